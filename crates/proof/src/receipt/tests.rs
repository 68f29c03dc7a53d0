//! The worked receipts, every item established and refuted, and every changed byte.

use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::audit::AuditBundle;
use crate::envelope::{ProofEnvelope, ProofEnvelopeBuilder};
use crate::merkle::MerkleTree;
use crate::signature::TrustedKeys;
use crate::signature::tests::{SIGNED_AT, signer, trusted};
use crate::tests::{Case, case};
use crate::verify::audit_bundle;

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

/// Everything a verifier can have at hand about the full receipt.
struct Facts {
    case: Case,
    receipt: Receipt,
    trusted: TrustedKeys,
    audit: AuditBundle,
    envelope: ProofEnvelope,
}

const LEDGER: [u8; 32] = [5; 32];

fn facts() -> Facts {
    let (case, receipt) = full_receipt();
    let audit = audit_bundle(&case.snapshot, case.input, &case.decision);
    let wal = receipt.wal.unwrap();
    let envelope = ProofEnvelopeBuilder::new(&case.snapshot, case.input, &case.decision)
        .budget(3, LEDGER)
        .wal(wal.sequence, wal.entry_hash)
        .build();
    Facts { case, receipt, trusted: trusted(), audit, envelope }
}

impl Facts {
    fn log(&self) -> LogFacts<'_> {
        let (entry, audit) = (self.receipt.wal.unwrap(), &self.audit);
        LogFacts { entry, audit, standing: LogStanding::VerifiedChain }
    }

    fn ledger(&self) -> LedgerFacts<'_> {
        LedgerFacts {
            envelope: &self.envelope,
            snapshot_version: 3,
            ledger_digest: LEDGER.into(),
            conserved: true,
        }
    }

    fn context(&self) -> ReceiptContext<'_> {
        let case = &self.case;
        ReceiptContext {
            decision: Some(DecisionFacts {
                policy: &case.snapshot,
                input: case.input,
                decision: &case.decision,
            }),
            trusted_keys: Some(&self.trusted),
            log: Some(self.log()),
            state: self.receipt.state,
            ledger: Some(self.ledger()),
        }
    }

    /// One false fact refutes its item and no other, and fails even where nothing is required.
    #[track_caller]
    fn refutes(&self, item: Item, context: ReceiptContext<'_>) {
        let verdict = verify_receipt(&self.receipt, &context);
        for (other, finding) in verdict.items() {
            let refuted = matches!(finding, Finding::Refuted(_));
            assert_eq!(refuted, other == item, "{other} when {item} is false");
        }
        assert!(verdict.require(&[]).is_err());
    }
}

#[test]
fn every_item_is_established_with_the_facts_and_required_without_them() {
    let facts = facts();
    let verdict = verify_receipt(&facts.receipt, &facts.context());
    verdict.require(&Item::ALL).unwrap();
    assert!(verdict.items().all(|(_, finding)| *finding == Finding::Established));
    let names: Vec<_> = verdict.items().map(|(item, _)| std::format!("{item}")).collect();
    assert_eq!(names, ["claims", "replay", "signature", "log", "state", "ledger"]);

    // With nothing at hand only the claims hold, and nothing may be required beyond them.
    let nothing = verify_receipt(&facts.receipt, &ReceiptContext::default());
    nothing.require(&[]).unwrap();
    for item in Item::ALL {
        let refused = nothing.require(&[item]);
        assert_eq!(refused.is_ok(), item == Item::Claims, "{item}");
        let checked = *nothing.finding(item) == Finding::Established;
        assert_eq!(checked, item == Item::Claims, "{item}");
    }
    // A receipt that names nothing and that nobody signed establishes as little with all facts at hand.
    let mut bare = facts.receipt.clone();
    (bare.state, bare.wal, bare.signature) = (None, None, None);
    bare.claims_digest_hex = bare.claims_digest();
    let verdict = verify_receipt(&bare, &facts.context());
    verdict.require(&[Item::Replay, Item::Ledger]).unwrap();
    for item in [Item::Signature, Item::Log, Item::State] {
        assert!(verdict.require(&[item]).is_err(), "{item}");
    }
}

#[test]
fn a_false_decision_or_key_refutes_its_item() {
    let facts = facts();
    let (context, case) = (facts.context(), &facts.case);
    let (policy, input) = (&case.snapshot, case.input);
    let mut forged = case.decision;
    forged.estimated_cost_microunits += 1;
    let decision = Some(DecisionFacts { policy, input, decision: &forged });
    facts.refutes(Item::Replay, ReceiptContext { decision, ..context });
    let trusted_keys = Some(&TrustedKeys::default());
    facts.refutes(Item::Signature, ReceiptContext { trusted_keys, ..context });
}

#[test]
fn a_false_entry_or_state_refutes_its_item() {
    let facts = facts();
    let (context, log, other) = (facts.context(), facts.log(), HexDigest::new(&[6; 32]));
    for entry in
        [WalPosition { sequence: 6, ..log.entry }, WalPosition { entry_hash: other, ..log.entry }]
    {
        let log = Some(LogFacts { entry, ..log });
        facts.refutes(Item::Log, ReceiptContext { log, ..context });
    }
    // The log has the entry the receipt names, and that entry is about another decision.
    for audit in [
        AuditBundle { policy_digest_hex: other, ..facts.audit },
        AuditBundle { input_digest_hex: other, ..facts.audit },
        AuditBundle { decision_digest_hex: other, ..facts.audit },
    ] {
        let log = Some(LogFacts { audit: &audit, ..log });
        facts.refutes(Item::Log, ReceiptContext { log, ..context });
    }
    let known = facts.receipt.state.unwrap();
    for state in [
        StateTransition { step: known.step + 1, ..known },
        StateTransition { state_digest_before_hex: other, ..known },
        StateTransition { state_digest_after_hex: other, ..known },
    ] {
        facts.refutes(Item::State, ReceiptContext { state: Some(state), ..context });
    }
}

#[test]
fn a_false_ledger_or_envelope_refutes_the_ledger() {
    let facts = facts();
    let (context, ledger, other) = (facts.context(), facts.ledger(), HexDigest::new(&[6; 32]));
    for ledger in [
        LedgerFacts { conserved: false, ..ledger },
        LedgerFacts { snapshot_version: 4, ..ledger },
        LedgerFacts { ledger_digest: other, ..ledger },
    ] {
        facts.refutes(Item::Ledger, ReceiptContext { ledger: Some(ledger), ..context });
    }
    let envelope = facts.envelope;
    for envelope in [
        ProofEnvelope { policy_digest_hex: other, ..envelope },
        ProofEnvelope { input_digest_hex: other, ..envelope },
        ProofEnvelope { decision_digest_hex: other, ..envelope },
        ProofEnvelope { replay_valid: false, ..envelope },
        ProofEnvelope { wal_sequence: Some(6), ..envelope },
        ProofEnvelope { wal_entry_hash: Some(other), ..envelope },
        ProofEnvelope { budget_snapshot_version: None, ..envelope },
        ProofEnvelope { ledger_digest_hex: None, ..envelope },
    ] {
        let ledger = Some(LedgerFacts { envelope: &envelope, ..ledger });
        facts.refutes(Item::Ledger, ReceiptContext { ledger, ..context });
    }
}

/// A receipt whose issuer signed something false: every signature holds, and the replay refutes it.
#[test]
fn a_signed_falsehood_is_refuted_by_the_replay() {
    let facts = facts();
    let changes: [fn(&mut Receipt); 6] = [
        |r| r.policy_epoch ^= 1,
        |r| r.catalog_epoch ^= 1,
        |r| r.replay_valid = false,
        |r| r.policy_digest_hex = HexDigest::new(&[6; 32]),
        |r| r.input_digest_hex = HexDigest::new(&[6; 32]),
        |r| r.decision_digest_hex = HexDigest::new(&[6; 32]),
    ];
    let ReceiptContext { decision, trusted_keys, .. } = facts.context();
    let context = ReceiptContext { decision, trusted_keys, ..ReceiptContext::default() };
    for change in changes {
        let mut receipt = facts.receipt.clone();
        change(&mut receipt);
        let receipt = receipt.sign(&signer(), SIGNED_AT);
        let verdict = verify_receipt(&receipt, &context);
        assert_eq!(*verdict.finding(Item::Claims), Finding::Established);
        assert_eq!(*verdict.finding(Item::Signature), Finding::Established);
        assert!(matches!(verdict.finding(Item::Replay), Finding::Refuted(_)));
    }
    // The policy gives another decision: the digests are those of the facts, the facts do not hold.
    let mut case = facts.case;
    case.decision.eligible_models += 1;
    let evidence = Evidence::of(&case.snapshot, case.input, &case.decision);
    let mut receipt = facts.receipt;
    receipt.decision_digest_hex = evidence.decision_digest();
    let (policy, input) = (&case.snapshot, case.input);
    let decision = Some(DecisionFacts { policy, input, decision: &case.decision });
    let verdict = verify_receipt(&receipt, &ReceiptContext { decision, ..Default::default() });
    let refused =
        Finding::Refuted(EvidenceError::Refused("the decision does not replay under the policy"));
    assert_eq!(*verdict.finding(Item::Replay), refused);
}

#[test]
fn inclusion_under_a_tree_head_establishes_the_log() {
    let facts = facts();
    let wal = facts.receipt.wal.unwrap();
    let mut tree = MerkleTree::new();
    for entry in 0..9 {
        let hash = if entry == 4 { wal.entry_hash.to_bytes() } else { [entry; 32] };
        tree.append(&hash);
    }
    let (proof, head) = (tree.inclusion_proof(4, 9).unwrap(), tree.head());
    let check = |proof, head| {
        let standing = LogStanding::Inclusion { proof, head };
        let log = Some(LogFacts { standing, ..facts.log() });
        verify_receipt(&facts.receipt, &ReceiptContext { log, ..ReceiptContext::default() })
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
        let Facts { case, receipt, trusted, .. } = facts();
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
