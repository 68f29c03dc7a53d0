//! The worked receipts, every item established and refuted, and every changed byte.

use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::envelope::ProofEnvelopeBuilder;
use crate::merkle::MerkleTree;
use crate::signature::tests::{SIGNED_AT, signer, trusted};
use crate::tests::{Case, case};

#[derive(serde::Deserialize)]
struct Vectors {
    step: u64,
    state_before: HexDigest,
    state_after: HexDigest,
    wal_sequence: u64,
    wal_entry_hash: HexDigest,
    variants: Vec<Variant>,
}

#[derive(serde::Deserialize)]
struct Variant {
    state: bool,
    wal: bool,
    claims_digest: String,
    signature: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../tests/data/receipt.json")).unwrap()
}

fn parts() -> (Case, StateTransition, WalPosition) {
    let vectors = vectors();
    let state = StateTransition {
        step: vectors.step,
        state_digest_before_hex: vectors.state_before,
        state_digest_after_hex: vectors.state_after,
    };
    let wal = WalPosition { sequence: vectors.wal_sequence, entry_hash: vectors.wal_entry_hash };
    (case(), state, wal)
}

fn full_receipt() -> (Case, Receipt) {
    let (case, state, wal) = parts();
    let evidence = Evidence::of(&case.snapshot, case.input, &case.decision);
    let receipt = Receipt::issue(&evidence, Some(state), Some(wal)).unwrap();
    (case, receipt.sign(&signer(), SIGNED_AT))
}

#[test]
fn worked_receipts_are_reproduced() {
    let (case, state, wal) = parts();
    let evidence = Evidence::of(&case.snapshot, case.input, &case.decision);
    let variants = vectors().variants;
    for variant in &variants {
        let (state, wal) = (variant.state.then_some(state), variant.wal.then_some(wal));
        let receipt = Receipt::issue(&evidence, state, wal).unwrap().sign(&signer(), SIGNED_AT);
        assert_eq!(receipt.claims_digest_hex, variant.claims_digest);
        let signature = receipt.signature.as_ref().unwrap().signature_hex;
        assert_eq!(std::format!("{signature}"), variant.signature);
        let json = serde_json::to_string(&receipt).unwrap();
        assert_eq!(serde_json::from_str::<Receipt>(&json).unwrap(), receipt);
        assert_eq!(json.contains("\"state\""), variant.state);
        assert_eq!(json.contains("\"wal\""), variant.wal);
        assert!(serde_json::from_str::<Receipt>(&json.replacen('{', "{\"x\":1,", 1)).is_err());
    }
    assert_eq!(variants.len(), 4);
}

#[test]
fn every_item_is_established_with_the_facts_and_required_without_them() {
    let (case, receipt) = full_receipt();
    let trusted = trusted();
    let digest = HexDigest::new(&[5; 32]);
    let builder = ProofEnvelopeBuilder::new(&case.snapshot, case.input, &case.decision);
    let envelope = builder.budget(3, digest).build();
    let ledger = LedgerFacts {
        envelope: &envelope,
        snapshot_version: 3,
        ledger_digest: digest,
        conserved: true,
    };
    let (policy, input, decision) = (&case.snapshot, case.input, &case.decision);
    let context = ReceiptContext {
        decision: Some(DecisionFacts { policy, input, decision }),
        trusted_keys: Some(&trusted),
        log: Some(LogFacts::VerifiedEntry(receipt.wal.unwrap())),
        state: receipt.state,
        ledger: Some(ledger),
    };
    let verdict = verify_receipt(&receipt, &context);
    verdict.require(&Item::ALL).unwrap();
    assert!(verdict.items().all(|(_, finding)| *finding == Finding::Established));

    // With nothing at hand only the claims hold, and nothing may be required beyond them.
    let nothing = verify_receipt(&receipt, &ReceiptContext::default());
    nothing.require(&[]).unwrap();
    for item in Item::ALL {
        let refused = nothing.require(&[item]);
        assert_eq!(refused.is_ok(), item == Item::Claims, "{item}");
    }

    // One false fact refutes its item and no other, and fails even where nothing is required.
    let only = |wrong: &ReceiptContext<'_>, item: Item| {
        let verdict = verify_receipt(&receipt, wrong);
        for (other, finding) in verdict.items() {
            let refuted = matches!(finding, Finding::Refuted(_));
            assert_eq!(refuted, other == item, "{other} when {item} is false");
        }
        assert!(verdict.require(&[]).is_err());
    };
    let mut forged = case.decision;
    forged.estimated_cost_microunits += 1;
    let facts = DecisionFacts { policy, input, decision: &forged };
    only(&ReceiptContext { decision: Some(facts), ..context }, Item::Replay);
    let nobody = crate::signature::TrustedKeys::default();
    only(&ReceiptContext { trusted_keys: Some(&nobody), ..context }, Item::Signature);
    let elsewhere = WalPosition { sequence: 6, ..receipt.wal.unwrap() };
    let log = Some(LogFacts::VerifiedEntry(elsewhere));
    only(&ReceiptContext { log, ..context }, Item::Log);
    let state = receipt.state.map(|state| StateTransition { step: state.step + 1, ..state });
    only(&ReceiptContext { state, ..context }, Item::State);
    for ledger in [
        LedgerFacts { conserved: false, ..ledger },
        LedgerFacts { snapshot_version: 4, ..ledger },
        LedgerFacts { ledger_digest: HexDigest::new(&[6; 32]), ..ledger },
    ] {
        only(&ReceiptContext { ledger: Some(ledger), ..context }, Item::Ledger);
    }
    let bare = ProofEnvelopeBuilder::new(policy, input, decision).build();
    let ledger = LedgerFacts { envelope: &bare, ..ledger };
    only(&ReceiptContext { ledger: Some(ledger), ..context }, Item::Ledger);
}

#[test]
fn inclusion_under_a_tree_head_establishes_the_log() {
    let (_, receipt) = full_receipt();
    let wal = receipt.wal.unwrap();
    let mut tree = MerkleTree::new();
    for entry in 0..9 {
        let hash = if entry == 4 { wal.entry_hash.to_bytes() } else { [entry; 32] };
        tree.append(&hash);
    }
    let (proof, head) = (tree.inclusion_proof(4, 9).unwrap(), tree.head());
    let check = |proof, head| {
        let log = Some(LogFacts::Inclusion { proof, head });
        verify_receipt(&receipt, &ReceiptContext { log, ..ReceiptContext::default() })
    };
    check(&proof, &head).require(&[Item::Log]).unwrap();
    let other = tree.head_at(8).unwrap();
    assert!(check(&proof, &other).require(&[]).is_err());
    assert!(check(&tree.inclusion_proof(5, 9).unwrap(), &head).require(&[]).is_err());
}

#[test]
fn a_decision_that_does_not_replay_gets_no_receipt() {
    let mut case = case();
    case.decision.eligible_models += 1;
    let evidence = Evidence::of(&case.snapshot, case.input, &case.decision);
    assert!(matches!(Receipt::issue(&evidence, None, None), Err(EvidenceError::Refused(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_receipt_that_verifies_cannot_be_changed_in_any_byte(
        at in any::<proptest::sample::Index>(),
        to in any::<u8>(),
    ) {
        let (case, receipt) = full_receipt();
        let trusted = trusted();
        let (policy, input, decision) = (&case.snapshot, case.input, &case.decision);
        let context = ReceiptContext {
            decision: Some(DecisionFacts { policy, input, decision }),
            trusted_keys: Some(&trusted),
            ..ReceiptContext::default()
        };
        let required = [Item::Replay, Item::Signature];
        let mut json = serde_json::to_vec(&receipt).unwrap();
        let at = at.index(json.len());
        prop_assume!(json[at] != to);
        json[at] = to;
        let still = serde_json::from_slice::<Receipt>(&json)
            .is_ok_and(|read| verify_receipt(&read, &context).require(&required).is_ok());
        prop_assert!(!still, "{}", String::from_utf8_lossy(&json));
    }
}
