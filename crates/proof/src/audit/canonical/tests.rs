//! Against the general serializer: the same bytes, and of any bytes the same record or none.

use std::format;
use std::string::String;
use std::vec::Vec;
use std::{assert, assert_eq, assert_ne};

use calybris_kernel::digest::HexDigest;
use calybris_kernel::{KernelAction, KernelDecision, KernelInput, KernelReason};
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::super::{
    AuditBundle, AuditSchema, AuditedRecord, CreatedBy, DigestAlgorithm, PROOF_VERSION,
};

/// Numbers of every length, with the ends of the range.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(u64::MAX),
        Just(i64::MAX as u64),
        (any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift),
    ]
}

fn signed() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(i64::MIN),
        Just(i64::MAX),
        (any::<i64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift),
    ]
}

prop_compose! {
    fn input()(
        large in [number(), number(), number(), number(), number()],
        business_value_microunits in signed(),
        middle in any::<[u32; 4]>(),
        small in any::<[u16; 3]>(),
    ) -> KernelInput {
        KernelInput {
            request_sequence: large[0],
            requested_model_id: middle[0],
            input_tokens: middle[1],
            output_tokens: middle[2],
            business_value_microunits,
            budget_limit_microunits: large[1],
            risk_bps: small[0],
            confidence_bps: small[1],
            minimum_quality_bps: small[2],
            max_p95_latency_ms: middle[3],
            required_capabilities: large[2],
            allowed_provider_mask: large[3],
            required_region_mask: large[4],
        }
    }
}

prop_compose! {
    fn decision()(
        action in proptest::sample::select(KernelAction::ALL),
        reason in proptest::sample::select(KernelReason::ALL),
        large in [number(), number(), number(), number()],
        utilities in [signed(), signed()],
        middle in any::<[u32; 2]>(),
        small in any::<[u16; 3]>(),
    ) -> KernelDecision {
        KernelDecision {
            request_sequence: large[0],
            action,
            reason,
            selected_model_id: middle[0],
            selected_model_index: small[0],
            estimated_cost_microunits: large[1],
            expected_utility_microunits: utilities[0],
            counterfactual_model_id: middle[1],
            counterfactual_utility_microunits: utilities[1],
            evaluated_models: small[1],
            eligible_models: small[2],
            policy_epoch: large[2],
            catalog_epoch: large[3],
        }
    }
}

prop_compose! {
    fn bundle()(
        versioned in prop::bool::weighted(0.9),
        epochs in [number(), number()],
        digests in any::<[[u8; 32]; 3]>(),
        replay_valid: bool,
    ) -> AuditBundle {
        AuditBundle {
            schema_version: if versioned { AuditSchema::V1 } else { AuditSchema::Unversioned },
            digest_algorithm: DigestAlgorithm,
            proof_version: PROOF_VERSION,
            policy_epoch: if versioned { epochs[0] } else { 0 },
            catalog_epoch: if versioned { epochs[1] } else { 0 },
            created_by: CreatedBy,
            policy_digest_hex: HexDigest::new(&digests[0]),
            input_digest_hex: HexDigest::new(&digests[1]),
            decision_digest_hex: HexDigest::new(&digests[2]),
            replay_valid,
        }
    }
}

prop_compose! {
    fn record()(
        audit in bundle(), input in input(), decision in decision(), metadata in ".{0,12}",
    ) -> AuditedRecord<String> {
        AuditedRecord { audit, input, decision, metadata }
    }
}

fn write(record: &AuditedRecord<String>) -> Vec<u8> {
    let mut json = Vec::new();
    record.write_canonical(&mut json, |text, json| serde_json::to_writer(json, text)).unwrap();
    json
}

/// Whatever is read as canonical, the general reader reads as the same record, and it is written as it was.
fn agrees(json: &[u8]) -> bool {
    let Some(read) = AuditedRecord::from_canonical(json) else { return false };
    let Ok(metadata) = serde_json::from_slice::<&RawValue>(read.metadata) else { return false };
    let AuditedRecord { audit, input, decision, .. } = read;
    let general: AuditedRecord<&RawValue> = serde_json::from_slice(json).unwrap();
    assert_eq!((general.audit, general.input, general.decision), (audit, input, decision));
    assert_eq!(general.metadata.get(), metadata.get());
    let mut again = Vec::new();
    let raw = |bytes: &&[u8], json: &mut Vec<u8>| {
        json.extend_from_slice(bytes);
        Ok::<(), ()>(())
    };
    read.write_canonical(&mut again, raw).unwrap();
    assert_eq!(again, json);
    true
}

proptest! {
    #[test]
    fn writes_what_the_general_serializer_writes(record in record()) {
        let json = write(&record);
        prop_assert_eq!(&json, &serde_json::to_vec(&record).unwrap());
        prop_assert_eq!(agrees(&json), record.audit.schema_version == AuditSchema::V1);
    }

    #[test]
    fn changed_bytes_are_read_the_same_or_not_at_all(
        record in record(),
        at: proptest::sample::Index,
        removed in 0..3_usize,
        put in proptest::collection::vec(
            proptest::sample::select(&b"0123456789-+.eE\",:{} \n\\atrufls[]\0\xff"[..]), 0..3,
        ),
    ) {
        let mut json = write(&record);
        let at = at.index(json.len());
        let end = json.len().min(at + removed);
        json.splice(at..end, put);
        agrees(&json);
    }
}

/// A record whose every member is wide, and the spellings no canonical number, text or digest has.
#[test]
fn other_spellings_are_left_to_the_general_reader() {
    let case = crate::tests::case();
    let mut record =
        AuditedRecord::verified(&case.snapshot, case.input, case.decision, String::new()).unwrap();
    record.input.business_value_microunits = i64::MIN;
    record.input.allowed_provider_mask = u64::MAX;
    record.input.required_region_mask = 0;
    let json = String::from_utf8(write(&record)).unwrap();
    assert!(agrees(json.as_bytes()));
    for (from, to) in [
        ("-9223372036854775808", "-9223372036854775809"),
        ("-9223372036854775808", "9223372036854775808"),
        ("-9223372036854775808", "-0"),
        ("-9223372036854775808", "-01"),
        ("18446744073709551615", "18446744073709551616"),
        ("18446744073709551615", "99999999999999999999999"),
        ("18446744073709551615", "1.0"),
        ("18446744073709551615", "1e3"),
        ("\"required_region_mask\":0", "\"required_region_mask\":00"),
        ("\"required_region_mask\":0", "\"required_region_mask\":"),
        ("\"required_region_mask\":0", "\"required_region_mask\":+1"),
        ("\"required_region_mask\":0", "\"required_region_mask\": 0"),
        ("\"proof_version\":1", "\"proof_version\":2"),
        ("\"sha256\"", "\"sha\\u00325\""),
        ("\"sha256\"", "\"sha512\""),
        ("calybris.audit.v1", "calybris.audit.v2"),
        ("_digest_hex\":\"", "_digest_hex\":\"A"),
        ("\"replay_valid\":true", "\"replay_valid\":1"),
        (",\"metadata\":", ",\"extra\":1,\"metadata\":"),
        ("{\"audit\"", " {\"audit\""),
    ] {
        let changed = json.replacen(from, to, 1);
        assert_ne!(changed, json, "{from}");
        assert_eq!(AuditedRecord::from_canonical(changed.as_bytes()), None, "{from} -> {to}");
    }
    for length in 0..json.len() - "\"\"}".len() {
        assert_eq!(AuditedRecord::from_canonical(&json.as_bytes()[..length]), None, "{length}");
    }
}

#[test]
fn every_reason_and_action_is_read_as_it_is_written() {
    let case = crate::tests::case();
    let record =
        AuditedRecord::verified(&case.snapshot, case.input, case.decision, String::new()).unwrap();
    for (&reason, &action) in KernelReason::ALL.iter().zip(KernelAction::ALL.iter().cycle()) {
        let mut record = record.clone();
        (record.decision.reason, record.decision.action) = (reason, action);
        let json = write(&record);
        assert_eq!(json, serde_json::to_vec(&record).unwrap(), "{reason}");
        assert!(agrees(&json), "{reason}");
        let other = format!("\"{reason}\"");
        let other =
            String::from_utf8(json).unwrap().replacen(&format!("\"{reason:?}\""), &other, 1);
        assert_eq!(AuditedRecord::from_canonical(other.as_bytes()), None, "{reason}");
    }
}
