//! The worked audited log, byte for byte; the two forms and every refusal.

use std::string::String;
use std::vec::Vec;
use std::{assert, assert_eq, format};

use super::*;
use crate::chain::{ChainHash, link_hash};
use crate::tests::{PolicyVector, case};
use crate::verify::{DecisionMismatch, audit_bundle, certify_decision, snapshot_fingerprint};

#[derive(serde::Deserialize)]
struct AuditedLog {
    policy: PolicyVector,
    lines: Vec<String>,
}

#[derive(serde::Deserialize)]
struct Line<'a> {
    sequence: u64,
    previous_hash: ChainHash,
    entry_hash: ChainHash,
    #[serde(borrow)]
    data: &'a serde_json::value::RawValue,
}

fn log() -> AuditedLog {
    serde_json::from_str(include_str!("../../tests/data/audited_log.json")).unwrap()
}

#[test]
fn worked_audited_log_is_read_replayed_and_rewritten_byte_for_byte() {
    let AuditedLog { policy, lines } = log();
    let snapshot = policy.snapshot();
    let mut previous = ChainHash::GENESIS;
    for (index, line) in lines.iter().enumerate() {
        let line: Line<'_> = serde_json::from_str(line).unwrap();
        assert_eq!(line.sequence, index as u64 + 1);
        assert!(line.previous_hash.ct_eq(&previous));
        previous = link_hash(&previous, line.data.get().as_bytes(), None);
        assert_eq!(line.entry_hash, previous);

        let record: AuditedRecord<serde_json::Value> =
            serde_json::from_str(line.data.get()).unwrap();
        assert_eq!(record.epochs(), (snapshot.policy_epoch(), snapshot.catalog_epoch()));
        assert!(record.replay(&snapshot).is_valid());
        let again = AuditedRecord::verified(
            &snapshot,
            record.input,
            record.decision,
            record.metadata.clone(),
        );
        assert_eq!(again.unwrap(), record);

        // The worked metadata keeps its member order only as raw JSON.
        let raw: AuditedRecord<&serde_json::value::RawValue> =
            serde_json::from_str(line.data.get()).unwrap();
        assert_eq!(serde_json::to_string(&raw).unwrap(), line.data.get());
    }
    assert!(lines.len() > 1);
}

#[test]
fn a_bundle_carries_the_canonical_digests() {
    let case = case();
    let bundle = audit_bundle(&case.snapshot, case.input, &case.decision);
    assert_eq!(bundle.policy_digest_hex, case.expect.policy_digest);
    assert_eq!(bundle.input_digest_hex, case.expect.input_digest);
    assert_eq!(bundle.decision_digest_hex, case.expect.decision_digest);
    assert_eq!(bundle.policy_digest().unwrap(), case.snapshot.digest());
    assert_eq!(snapshot_fingerprint(&case.snapshot), case.expect.policy_digest);
    assert_eq!(bundle.input_digest().unwrap(), bundle.input_digest_hex.to_bytes());
    assert_eq!(bundle.decision_digest().unwrap(), bundle.decision_digest_hex.to_bytes());
    assert!(bundle.schema_version == "calybris.audit.v1" && bundle.proof_version == 1);
    assert!(bundle.schema_version == *"calybris.audit.v1" && bundle.schema_version != *"");
    assert!(bundle.schema_version != "calybris.audit.v2" && AuditSchema::Unversioned == "");
    assert!(bundle.replay_valid);
}

proptest::proptest! {
    #[test]
    fn a_decision_just_made_gives_the_bytes_of_a_verified_one(
        request_sequence: u64,
        requested_model_id in 0_u32..10,
        business_value_microunits: i64,
        risk_bps: u16,
    ) {
        let case = case();
        let input = KernelInput {
            request_sequence,
            requested_model_id,
            business_value_microunits,
            risk_bps,
            ..case.input
        };
        let decided = case.snapshot.decide(input);
        let evidence = Evidence::from(&decided);
        assert_eq!(evidence, Evidence::of(&case.snapshot, input, decided.decision()));
        let bundle = audit_bundle(&case.snapshot, input, decided.decision());
        let json = |bundle: &AuditBundle| serde_json::to_string(bundle).unwrap();
        assert_eq!(json(&AuditBundle::from(&evidence)), json(&bundle));
        let verified = AuditedRecord::verified(&case.snapshot, input, *decided.decision(), ());
        assert_eq!(AuditedRecord::decided(&decided, ()), verified.unwrap());
    }
}

#[test]
fn a_decision_that_does_not_replay_is_refused_with_the_field() {
    let case = case();
    let mut forged = case.decision;
    forged.estimated_cost_microunits -= 1;
    let error = verified_audit_bundle(&case.snapshot, case.input, &forged).unwrap_err();
    let expected = DecisionMismatch { expected: case.decision, actual: forged };
    assert_eq!(expected.field(), Some("estimated_cost_microunits"));
    assert_eq!(error, VerifyError::Mismatch(expected.into()));
    let [request, found] = [forged.request_sequence, forged.estimated_cost_microunits];
    let says = format!(
        "decision for request {request} does not replay: estimated_cost_microunits is {found}, the policy gives {}",
        found + 1
    );
    assert_eq!(format!("{error}"), says);

    assert!(!audit_bundle(&case.snapshot, case.input, &forged).replay_valid);
    let certificate = certify_decision(&case.snapshot, case.input, &forged);
    assert!(!certificate.replay_valid);
    assert_eq!(certificate.replayed_decision_digest_hex, case.expect.decision_digest);
    assert_ne!(certificate.decision_digest_hex, case.expect.decision_digest);
    assert!(certify_decision(&case.snapshot, case.input, &case.decision).replay_valid);
}

/// The JSON of a decision in the format's order, each member changed alone.
#[test]
fn a_mismatch_names_the_first_member_that_differs() {
    let expected = case().decision;
    let serde_json::Value::Object(members) = serde_json::to_value(expected).unwrap() else {
        panic!("a decision is an object");
    };
    let changed = |name: &str| {
        let mut members = members.clone();
        let value = match name {
            "action" => "Reject".into(),
            "reason" => "BudgetConstraint".into(),
            _ => 7.into(),
        };
        assert_ne!(members.insert(name.into(), value), members.get(name).cloned());
        serde_json::from_value(members.into()).unwrap()
    };
    let mut seen = 0;
    for name in members.keys() {
        let mismatch = DecisionMismatch { expected, actual: changed(name) };
        assert_eq!(mismatch.field(), Some(name.as_str()));
        seen += 1;
    }
    assert_eq!(seen, 13);
    assert_eq!(DecisionMismatch { expected, actual: expected }.field(), None);
    // Of two that differ, the first in the format's order, which is not that of the names.
    let (mut actual, mut other) = (expected, expected);
    (actual.selected_model_id, actual.action) = (7, changed("action").action);
    assert_eq!(DecisionMismatch { expected, actual }.field(), Some("action"));
    (other.catalog_epoch, other.policy_epoch) = (7, 7);
    assert_eq!(DecisionMismatch { expected, actual: other }.field(), Some("policy_epoch"));
}

#[test]
fn a_verdict_is_valid_only_when_all_of_it_holds() {
    for bits in 0..16_u8 {
        let holds = |bit: u8| bits & 1 << bit != 0;
        let verdict = RecordVerdict {
            replay_valid: holds(0),
            policy_digest_match: holds(1),
            input_digest_match: holds(2),
            decision_digest_match: holds(3),
        };
        assert_eq!(verdict.is_valid(), bits == 15, "{verdict:?}");
    }
}

#[test]
fn a_counterfactual_is_the_policy_s_utility() {
    let case = case();
    let utility =
        |model_id| crate::verify::counterfactual_utility(&case.snapshot, case.input, model_id);
    assert_eq!(
        utility(case.decision.selected_model_id),
        Some(case.decision.expected_utility_microunits)
    );
    assert_eq!(utility(0), None);
}

#[test]
fn every_single_change_of_a_record_is_found() {
    let case = case();
    let record = AuditedRecord::verified(&case.snapshot, case.input, case.decision, ()).unwrap();
    let verdict = |change: fn(&mut AuditedRecord<()>)| {
        let mut changed = record.clone();
        change(&mut changed);
        assert_ne!(changed, record);
        changed.replay(&case.snapshot)
    };
    let other = HexDigest::new(&[9; 32]);
    assert_eq!(other, HexDigest::parse(&"09".repeat(32)).unwrap());
    assert!(!verdict(|r| r.audit.policy_digest_hex = HexDigest::new(&[9; 32])).policy_digest_match);
    assert!(!verdict(|r| r.audit.policy_epoch ^= 1).policy_digest_match);
    assert!(!verdict(|r| r.audit.catalog_epoch ^= 1).policy_digest_match);
    assert!(!verdict(|r| r.audit.input_digest_hex = HexDigest::new(&[9; 32])).input_digest_match);
    assert!(!verdict(|r| r.input.output_tokens ^= 1).input_digest_match);
    assert!(
        !verdict(|r| r.audit.decision_digest_hex = HexDigest::new(&[9; 32])).decision_digest_match
    );
    assert!(!verdict(|r| r.decision.eligible_models ^= 1).decision_digest_match);
    assert!(!verdict(|r| r.audit.replay_valid = false).replay_valid);
}

#[test]
fn the_unversioned_form_is_read_and_written_as_it_was() {
    let case = case();
    let current = audit_bundle(&case.snapshot, case.input, &case.decision);
    let old = format!(
        r#"{{"policy_digest_hex":"{}","input_digest_hex":"{}","decision_digest_hex":"{}","replay_valid":true}}"#,
        current.policy_digest_hex, current.input_digest_hex, current.decision_digest_hex
    );
    let bundle: AuditBundle = serde_json::from_str(&old).unwrap();
    assert_eq!(bundle.schema_version, AuditSchema::Unversioned);
    assert_eq!(bundle.epochs(), None);
    assert_eq!(serde_json::to_string(&bundle).unwrap(), old);
    let record =
        AuditedRecord { audit: bundle, input: case.input, decision: case.decision, metadata: () };
    assert!(record.replay(&case.snapshot).is_valid());
    assert_eq!(record.epochs(), (case.decision.policy_epoch, case.decision.catalog_epoch));
}

#[test]
fn no_third_form_is_read() {
    let case = case();
    let bundle = audit_bundle(&case.snapshot, case.input, &case.decision);
    let serde_json::Value::Object(members) = serde_json::to_value(bundle).unwrap() else {
        panic!("a bundle is an object");
    };
    let read = |members: &serde_json::Map<String, serde_json::Value>| {
        serde_json::from_value::<AuditBundle>(members.clone().into())
    };
    assert_eq!(read(&members).unwrap(), bundle);
    assert_eq!(members.len(), 10);
    for name in members.keys() {
        let mut without = members.clone();
        without.remove(name);
        assert!(read(&without).is_err(), "without {name}");
        let mut null = members.clone();
        null.insert(name.clone(), serde_json::Value::Null);
        assert!(read(&null).is_err(), "null {name}");
        // A number is no text and no boolean, and no epoch is negative.
        let mut wrong = members.clone();
        wrong.insert(name.clone(), (-1).into());
        assert!(read(&wrong).is_err(), "-1 {name}");
    }
    let mut extra = members.clone();
    extra.insert("extra".into(), 1.into());
    assert!(read(&extra).is_err());
    for (name, value) in [
        ("schema_version", "calybris.audit.v2"),
        ("digest_algorithm", "sha512"),
        ("created_by", "someone"),
        ("policy_digest_hex", "39C93CC0EE2F6145EC65985DF92BF6B0ED69582C90882FA5EF8411254F4AC937"),
    ] {
        let mut changed = members.clone();
        changed.insert(name.into(), value.into());
        assert!(read(&changed).is_err(), "{name} {value}");
    }
    let mut schema = members.clone();
    schema.insert("schema_version".into(), "calybris.audit.v2".into());
    let error = std::format!("{}", read(&schema).unwrap_err());
    assert!(error.contains("expected the text \"calybris.audit.v1\""), "{error}");
    let mut version = members;
    version.insert("proof_version".into(), 2.into());
    let error = read(&version).unwrap_err();
    assert_eq!(format!("{error}"), "proof_version is 2, only 1 is known");
}

#[test]
fn digests_are_checked_without_a_policy() {
    let case = case();
    let record = AuditedRecord::verified(&case.snapshot, case.input, case.decision, ()).unwrap();
    assert_eq!(record.check_digests(), Ok(()));
    let mut changed = record.clone();
    changed.input.input_tokens += 1;
    let named = |error| match error {
        EvidenceError::Digest { what, .. } => what,
        other => panic!("{other}"),
    };
    assert_eq!(named(changed.check_digests().unwrap_err()), "input_digest_hex");
    let mut changed = record.clone();
    changed.decision.estimated_cost_microunits += 1;
    assert_eq!(named(changed.check_digests().unwrap_err()), "decision_digest_hex");
    let mut changed = record;
    changed.audit.replay_valid = false;
    assert!(matches!(changed.check_digests(), Err(EvidenceError::Refused(_))));
}
