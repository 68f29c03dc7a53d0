//! The envelope's exact JSON, its completeness, and what it refuses to read.

use std::string::String;
use std::{format, vec};

use super::*;
use crate::tests::case;

#[test]
fn a_complete_envelope_has_the_published_members_in_order() {
    let case = case();
    let hash = "509d7a305a0aea4055ac4eb27fa7d097902fc8a1120ae65198d33d75e2693f36";
    let builder = ProofEnvelopeBuilder::new(&case.snapshot, case.input, &case.decision);
    let envelope = builder.wal(5, hash).budget(7, [3; 32]).build();
    assert!(envelope.is_complete());
    let expected = format!(
        concat!(
            r#"{{"proof_version":1,"policy_digest_hex":"{}","input_digest_hex":"{}","#,
            r#""decision_digest_hex":"{}","replay_valid":true,"wal_sequence":5,"wal_entry_hash":"{}","#,
            r#""budget_snapshot_version":7,"ledger_digest_hex":"{}","action":"substitute","#,
            r#""reason":"alternative_maximizes_utility","selected_model_id":48,"#,
            r#""counterfactual_model_id":0,"estimated_cost_microunits":2709251073595366404,"#,
            r#""expected_utility_microunits":6513198626055723925}}"#
        ),
        case.expect.policy_digest,
        case.expect.input_digest,
        case.expect.decision_digest,
        hash,
        "03".repeat(32)
    );
    assert_eq!(serde_json::to_string(&envelope).unwrap(), expected);
    assert_eq!(serde_json::from_str::<ProofEnvelope>(&expected).unwrap(), envelope);
    for (from, to) in [
        ("\"proof_version\":1", "\"proof_version\":2"),
        ("\"substitute\"", "\"Substitute\""),
        ("alternative_max", "alternatives_max"),
        ("{\"proof", "{\"extra\":0,\"proof"),
        (hash, "genesis"),
    ] {
        let changed = expected.replace(from, to);
        assert_ne!(changed, expected);
        assert!(serde_json::from_str::<ProofEnvelope>(&changed).is_err(), "{changed}");
    }
}

#[test]
fn every_missing_part_makes_it_incomplete() {
    let case = case();
    let builder = || ProofEnvelopeBuilder::new(&case.snapshot, case.input, &case.decision);
    let digest = HexDigest::new(&[0xAB; 32]);
    let text: String = digest.into();
    let incomplete = vec![
        builder(),
        builder().wal(1, digest),
        builder().budget(1, digest),
        builder().wal(1, ChainHash::GENESIS).budget(1, digest),
        builder().wal(1, digest).budget(1, "not a digest"),
        builder().wal(1, text.to_uppercase()).budget(1, digest),
    ];
    for envelope in incomplete.into_iter().map(ProofEnvelopeBuilder::build) {
        assert!(!envelope.is_complete());
        assert_eq!(envelope.wal_sequence.is_some(), envelope.wal_entry_hash.is_some());
        assert_eq!(
            envelope.budget_snapshot_version.is_some(),
            envelope.ledger_digest_hex.is_some()
        );
        let json = serde_json::to_string(&envelope).unwrap();
        assert_eq!(serde_json::from_str::<ProofEnvelope>(&json).unwrap(), envelope);
    }
    assert!(builder().wal(1, &text).budget(1, text.clone()).build().is_complete());
    let (typed, chained) = (builder().wal(1, digest), ChainHash::from(digest));
    assert_eq!(typed.budget(1, chained).build().ledger_digest_hex, Some(digest));
    assert_eq!(typed.build().wal_entry_hash, Some(digest));
    let mut forged = case.decision;
    forged.eligible_models += 1;
    let forged = ProofEnvelopeBuilder::new(&case.snapshot, case.input, &forged);
    assert!(!forged.wal(1, digest).budget(1, digest).build().is_complete());
}

#[test]
fn every_reason_reads_back() {
    let case = case();
    let mut envelope =
        ProofEnvelopeBuilder::new(&case.snapshot, case.input, &case.decision).build();
    for reason in [
        KernelReason::RequestedModelMaximizesUtility,
        KernelReason::RiskHardLimit,
        KernelReason::RiskCeilingConstraint,
    ] {
        envelope.reason = reason;
        let json = serde_json::to_string(&envelope).unwrap();
        assert!(json.contains(reason.as_str()));
        assert_eq!(serde_json::from_str::<ProofEnvelope>(&json).unwrap(), envelope);
    }
}
