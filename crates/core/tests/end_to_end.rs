//! The whole system in the order an auditor reads it: decide, verify, append, replay, prove.
//!
//! Each test is one claim. Together they are the claim that a decision can be checked by somebody who was not there.
#![cfg(feature = "wal")]

use std::fs;
use std::path::{Path, PathBuf};

use calybris_core::budget::{
    BudgetEngine, BudgetReservation, BudgetSettlement, ConservationStatus,
    conservation_status_for_snapshot,
};
use calybris_core::builder::{InputBuilder, ModelBuilder, PolicyBuilder};
use calybris_core::config::EngineConfig;
use calybris_core::digest::{decision_digest, digest_to_hex, input_digest, policy_digest};
use calybris_core::finance::{ledger_digest, prove_conservation};
use calybris_core::kernel::{KernelDecision, KernelInput, PolicySnapshot};
use calybris_core::persistence::{checkpoint_with_wal, recovery_plan, restore};
use calybris_core::policy_document::PolicyDocument;
use calybris_core::proof::ProofEnvelopeBuilder;
use calybris_core::verify::{VerifyResult, audit_bundle, verified_audit_bundle, verify_decision};
use calybris_core::wal::{
    AuditedRecord, WalError, WalWriter, read_verified_wal, replay_audited_wal, verify_wal,
    verify_wal_against_anchor,
};

/// What the log says beside a decision: who paid how much, in microcents.
type Charge = (String, i64);

#[cfg(test)]
mod desk {
    use super::*;

    pub(super) const GRANTED_MICROCENTS: i64 = 50_000_000;

    pub(super) struct Desk {
        pub(super) folder: tempfile::TempDir,
        pub(super) policy: PolicySnapshot,
        pub(super) ledger: BudgetEngine,
    }

    impl Desk {
        pub(super) fn open() -> Self {
            let models = [
                ModelBuilder::new(1, 0).quality(9_300).latency(2_400).cost(2_500_000, 10_000_000),
                ModelBuilder::new(2, 1).quality(8_300).latency(900).cost(150_000, 600_000),
                ModelBuilder::new(3, 1).quality(9_900).enabled(false),
            ];
            let config = EngineConfig::new();
            let policy = PolicyBuilder::new(config)
                .epochs(7, 11)
                .models(models.map(ModelBuilder::build))
                .build()
                .unwrap();
            let ledger = BudgetEngine::new();
            config.ensure_tenant(&ledger, "desk-1", GRANTED_MICROCENTS).unwrap();
            Self { folder: tempfile::tempdir().unwrap(), policy, ledger }
        }

        pub(super) fn file(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        pub(super) fn log(&self) -> WalWriter<AuditedRecord<Charge>> {
            EngineConfig::new().open_wal(&self.file("log.jsonl")).unwrap()
        }

        /// Decides, holds, settles half of the hold and logs, as a gateway would.
        pub(super) fn serve(&self, log: &WalWriter<AuditedRecord<Charge>>, sequence: u64) {
            let input = request(sequence);
            let decision = self.policy.prescribe_checked(input).unwrap();
            let mut charged = 0;
            if decision.is_executable() {
                // One microunit of the kernel (10^-6 USD) is 100 microcents of the ledger (10^-8 USD).
                let bound = i64::try_from(decision.estimated_cost_microunits).unwrap() * 100;
                let (_, hold) = self.ledger.try_reserve("desk-1", bound);
                charged = bound / 2;
                self.ledger.commit(hold.unwrap(), charged);
            }
            let charge = ("desk-1".to_owned(), charged);
            log.append_verified_audited(&self.policy, input, decision, charge).unwrap();
        }
    }

    /// Every third request is too risky to run.
    pub(super) fn request(sequence: u64) -> KernelInput {
        InputBuilder::new(sequence, 1)
            .tokens(1_200, 400)
            .business_value(20_000)
            .risk(if sequence.is_multiple_of(3) { 9_800 } else { 500 }, 9_000)
            .build()
    }

    pub(super) fn charge(ledger: &BudgetEngine, log: &Path, after: u64) {
        for entry in read_verified_wal::<AuditedRecord<Charge>>(log).unwrap() {
            let (tenant, charged) = entry.data.metadata;
            if entry.sequence > after && charged > 0 {
                let (_, hold) = ledger.try_reserve(&tenant, charged);
                ledger.commit(hold.unwrap(), charged);
            }
        }
    }
}

use desk::{Desk, GRANTED_MICROCENTS, charge, request};

#[test]
fn claim_1_the_same_policy_and_request_always_give_the_same_decision() {
    let desk = Desk::open();
    let decision = desk.policy.prescribe(request(1));
    assert!(decision.is_substitution());
    assert_eq!((decision.selected_model_id, decision.counterfactual_model_id), (2, 1));
    for _ in 0..100 {
        assert_eq!(desk.policy.prescribe(request(1)), decision);
    }
    // From the file a person keeps, on another machine, the policy is the same and decides the same.
    let path = desk.file("policy.json");
    PolicyDocument::new(&desk.policy, |id| Some(format!("model {id}"))).save(&path).unwrap();
    let (_, elsewhere) = PolicyDocument::load(&path).unwrap();
    assert_eq!(policy_digest(&elsewhere), policy_digest(&desk.policy));
    assert_eq!(elsewhere.prescribe(request(1)), decision);
}

#[test]
fn claim_2_a_decision_that_was_touched_does_not_verify() {
    let desk = Desk::open();
    let (input, decision) = (request(1), desk.policy.prescribe(request(1)));
    assert_eq!(verify_decision(&desk.policy, input, &decision), VerifyResult::Valid);
    let touched = [
        KernelDecision { estimated_cost_microunits: 1, ..decision },
        KernelDecision { selected_model_id: 1, ..decision },
        KernelDecision { request_sequence: 2, ..decision },
        KernelDecision { eligible_models: 1, ..decision },
    ];
    for touched in touched {
        assert!(!verify_decision(&desk.policy, input, &touched).is_valid());
        assert!(!audit_bundle(&desk.policy, input, &touched).replay_valid);
        assert!(verified_audit_bundle(&desk.policy, input, &touched).is_err());
    }
    assert!(!verify_decision(&desk.policy, request(2), &decision).is_valid(), "another request");
}

#[test]
fn claim_3_nothing_that_does_not_replay_enters_the_log() {
    let desk = Desk::open();
    let log = desk.log();
    desk.serve(&log, 1);
    let mut forged = desk.policy.prescribe(request(2));
    forged.estimated_cost_microunits = 0;
    let refused = log.append_verified_audited(&desk.policy, request(2), forged, Charge::default());
    assert!(matches!(refused, Err(WalError::Unverified(_))));
    log.flush_and_sync().unwrap();
    assert_eq!(verify_wal(&desk.file("log.jsonl")).unwrap().0, 1);
}

#[test]
fn claim_4_the_log_replays_from_the_file_alone() {
    let desk = Desk::open();
    let log = desk.log();
    (1..=9).for_each(|sequence| desk.serve(&log, sequence));
    log.flush_and_sync().unwrap();
    drop(log);
    let path = desk.file("log.jsonl");
    let verdicts = replay_audited_wal(&path, &desk.policy).unwrap();
    assert_eq!(verdicts.len(), 9);
    for verdict in verdicts {
        assert!(verdict.replay_valid && verdict.policy_digest_match);
        assert!(verdict.input_digest_match && verdict.decision_digest_match);
    }
    for entry in read_verified_wal::<AuditedRecord<Charge>>(&path).unwrap() {
        let AuditedRecord { audit, input, decision, .. } = entry.data;
        assert_eq!(input, request(entry.sequence));
        assert_eq!(audit.input_digest().unwrap(), input_digest(&input));
        assert_eq!(audit.decision_digest_hex, digest_to_hex(&decision_digest(&decision)));
    }
    // Under any other policy it does not.
    let other = PolicyBuilder::new(EngineConfig::new().minimum_confidence(5_501))
        .epochs(7, 11)
        .models(desk.policy.models().iter().copied())
        .build()
        .unwrap();
    assert_eq!(replay_audited_wal(&path, &other).unwrap_err().sequence(), Some(1));
}

#[test]
fn claim_5_every_byte_of_the_log_counts() {
    let desk = Desk::open();
    let log = desk.log();
    (1..=2).for_each(|sequence| desk.serve(&log, sequence));
    log.flush_and_sync().unwrap();
    let (path, anchor) = (desk.file("log.jsonl"), log.anchor());
    drop(log);
    let whole = fs::read(&path).unwrap();
    let last_line_end = whole.len() - 1;
    for at in 0..last_line_end {
        let mut touched = whole.clone();
        touched[at] ^= 1;
        fs::write(&path, &touched).unwrap();
        assert!(verify_wal(&path).is_err(), "byte {at}");
    }
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    fs::write(&path, lines[..1].concat()).unwrap();
    assert!(verify_wal(&path).is_ok(), "a clean cut leaves a whole chain");
    assert!(verify_wal_against_anchor(&path, &anchor).is_err(), "but not the anchored one");
}

#[test]
fn claim_6_money_is_neither_made_nor_lost() {
    let desk = Desk::open();
    let log = desk.log();
    (1..=9).for_each(|sequence| desk.serve(&log, sequence));
    let (answer, open) = desk.ledger.try_reserve("desk-1", 1_000);
    assert!(matches!(answer, BudgetReservation::Reserved { .. }));
    let (refused, none) = desk.ledger.try_reserve("desk-1", GRANTED_MICROCENTS);
    assert!(matches!(refused, BudgetReservation::Insufficient { .. }) && none.is_none());
    assert_eq!(desk.ledger.commit(u64::MAX, 1), BudgetSettlement::MissingReservation);
    assert_eq!(desk.ledger.verify_conservation(), ConservationStatus::Balanced);
    let proof = prove_conservation(&desk.ledger).unwrap();
    assert_eq!(proof.total_initial_microcents, GRANTED_MICROCENTS);
    // Six of nine ran, at 420 microunits bound each, half of which was used.
    assert_eq!(proof.total_committed_microcents, 6 * 420 * 100 / 2);
    assert_eq!(proof.active_reservations, 1);
    desk.ledger.release(open.unwrap());
    let mut forged = desk.ledger.snapshot();
    forged.tenants[0].remaining_microcents += 1;
    assert!(matches!(
        conservation_status_for_snapshot(&forged),
        ConservationStatus::Violation { delta_microcents: 1, .. }
    ));
}

#[test]
fn claim_7_a_restart_finds_what_was_spent() {
    let desk = Desk::open();
    let log = desk.log();
    let checkpoint = desk.file("ledger.json");
    (1..=4).for_each(|sequence| desk.serve(&log, sequence));
    checkpoint_with_wal(&desk.ledger, &checkpoint, log.sequence()).unwrap();
    (5..=9).for_each(|sequence| desk.serve(&log, sequence));
    log.flush_and_sync().unwrap();
    drop(log);

    let plan = recovery_plan(&checkpoint, &desk.file("log.jsonl")).unwrap();
    assert_eq!((plan.wal_high_watermark, plan.entries_to_replay), (4, 5));
    let restarted = BudgetEngine::new();
    restore(&restarted, &checkpoint).unwrap();
    charge(&restarted, &desk.file("log.jsonl"), plan.wal_high_watermark);
    assert_eq!(restarted.balances("desk-1"), desk.ledger.balances("desk-1"));
    assert_eq!(restarted.verify_conservation(), ConservationStatus::Balanced);
}

#[test]
fn claim_8_one_envelope_ties_decision_log_and_ledger_together() {
    let desk = Desk::open();
    let log = desk.log();
    let (input, decision) = (request(1), desk.policy.prescribe(request(1)));
    let entry =
        log.append_verified_audited(&desk.policy, input, decision, Charge::default()).unwrap();
    let snapshot = desk.ledger.snapshot();
    let ledger_digest = digest_to_hex(&ledger_digest(&snapshot));
    let envelope = ProofEnvelopeBuilder::new(&desk.policy, input, &decision)
        .wal(entry.sequence, entry.entry_hash)
        .budget(snapshot.version, ledger_digest.clone())
        .build();
    assert!(envelope.is_complete());
    let json = serde_json::to_value(envelope).unwrap();
    assert_eq!(json["ledger_digest_hex"], ledger_digest.as_str());
    assert_eq!(json["policy_digest_hex"], digest_to_hex(&policy_digest(&desk.policy)));
    assert_eq!(json["action"], "substitute");
    let without = ProofEnvelopeBuilder::new(&desk.policy, input, &decision).build();
    assert!(!without.is_complete());
}
