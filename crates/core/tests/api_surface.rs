//! The public surface, used the way people write against it: if a name, path or shape changes, this does not compile.
#![cfg(feature = "wal")]
#![expect(clippy::too_many_lines, reason = "a list is long")]

use calybris_core::{
    budget, builder, config, digest, finance, kernel, persistence, proof, verify, wal,
};

use budget::{
    BudgetEngine, BudgetReservation, BudgetSettlement, BudgetSnapshot, ConservationStatus,
    RestoreError, TenantLedger, TopUpResult,
};
use kernel::{
    KernelAction, KernelDecision, KernelInput, KernelModel, KernelReason, PolicyError,
    PolicySnapshot,
};

#[cfg(test)]
mod given {
    use super::*;

    pub(super) const MODEL: KernelModel = KernelModel {
        model_id: 1,
        provider_id: 0,
        quality_bps: 9_000,
        risk_ceiling_bps: 9_500,
        enabled: 1,
        p95_latency_ms: 100,
        capabilities: 0,
        region_mask: kernel::ALL_REGIONS,
        input_cost_microunits_per_million_tokens: 2_500_000,
        output_cost_microunits_per_million_tokens: 10_000_000,
    };

    pub(super) const INPUT: KernelInput = KernelInput {
        request_sequence: 1,
        requested_model_id: 1,
        input_tokens: 1_000,
        output_tokens: 100,
        business_value_microunits: 50_000,
        budget_limit_microunits: u64::MAX,
        risk_bps: 100,
        confidence_bps: 9_000,
        minimum_quality_bps: 0,
        max_p95_latency_ms: 0,
        required_capabilities: 0,
        allowed_provider_mask: kernel::ALL_PROVIDERS,
        required_region_mask: 0,
    };

    pub(super) fn policy() -> PolicySnapshot {
        PolicySnapshot::try_new(1, 2, 9_600, 5_500, 3_500, 2, vec![MODEL]).unwrap()
    }
}

use given::{INPUT, MODEL, policy};

#[test]
fn kernel_surface() {
    let _: (u64, u64, u16, u16) =
        (kernel::ALL_PROVIDERS, kernel::ALL_REGIONS, kernel::MAX_PROVIDER_ID, kernel::MAX_BPS);
    let _: (u16, usize) = (kernel::MAX_RISK_PENALTY_MULTIPLIER_BPS, kernel::MAX_CATALOG_MODELS);
    assert_eq!(kernel::BASIS_POINTS, 10_000);
    let refused: Result<PolicySnapshot, PolicyError> =
        PolicySnapshot::try_new(1, 2, 9_600, 5_500, 3_500, 2, Vec::new());
    assert!(refused.is_err());
    let unchecked = PolicySnapshot::new_unchecked(1, 2, 9_600, 5_500, 3_500, 2, vec![MODEL]);
    unchecked.validate().unwrap();
    let policy = policy();
    let _: &[KernelModel] = policy.models();
    assert_eq!((policy.policy_epoch(), policy.catalog_epoch()), (1, 2));
    let _: (u16, u16) = (policy.hard_risk_limit_bps(), policy.minimum_confidence_bps());
    let _: (u16, u64) =
        (policy.risk_penalty_multiplier_bps(), policy.latency_penalty_microunits_per_ms());

    let decision: KernelDecision = policy.prescribe(INPUT);
    let checked: Result<KernelDecision, kernel::InputError> = policy.prescribe_checked(INPUT);
    assert_eq!(checked.unwrap(), decision);
    let batch: Vec<KernelDecision> = policy.prescribe_batch(&[INPUT, INPUT]);
    let mut into = [decision; 2];
    assert_eq!(policy.prescribe_batch_into(&[INPUT, INPUT], &mut into), 2);
    assert_eq!(batch, into);
    let (traced, kernel::DecisionTrace { rejections, evaluated_models, eligible_models }) =
        policy.prescribe_with_trace(INPUT);
    assert_eq!((traced, evaluated_models, eligible_models), (decision, 1, 1));
    let kernel::RejectionHistogram {
        disabled,
        quality,
        risk_ceiling,
        latency,
        capability,
        provider,
        region,
        budget,
        utility,
    } = rejections;
    let counts: [u16; 9] =
        [disabled, quality, risk_ceiling, latency, capability, provider, region, budget, utility];
    assert_eq!(counts, [0; 9]);
    let explanation: kernel::Explanation = policy.explain(INPUT);
    assert_eq!(explanation.decision, decision);
    for kernel::CandidateExplanation { model_id, model_index, verdict } in explanation.candidates {
        assert!(model_id == 1 && model_index == 0, "{verdict:?}");
    }
    let utility: Option<i64> = policy.utility_for_model(INPUT, 1);
    assert_eq!(utility, Some(decision.expected_utility_microunits));
    INPUT.validate().unwrap();
    assert!(decision.is_executable() && decision.is_requested_execution());
    assert!(!decision.is_substitution() && !decision.is_rejected());
    assert_eq!(decision.action, KernelAction::ExecuteRequested);
    assert_eq!(decision.reason, KernelReason::RequestedModelMaximizesUtility);
    assert_eq!(
        format!("{} {}", decision.action, KernelReason::RiskHardLimit),
        "execute_requested risk_hard_limit"
    );
}

#[test]
fn digest_and_verify_surface() {
    let policy = policy();
    let decision = policy.prescribe(INPUT);
    let digests: [[u8; 32]; 3] = [
        digest::policy_digest(&policy),
        digest::input_digest(&INPUT),
        digest::decision_digest(&decision),
    ];
    let hex: String = digest::digest_to_hex(&digests[0]);
    assert_eq!(hex.len(), 64);
    let tags: [&[u8]; 4] = [
        digest::POLICY_DIGEST_TAG,
        digest::INPUT_DIGEST_TAG,
        digest::DECISION_DIGEST_TAG,
        digest::LEDGER_DIGEST_TAG,
    ];
    assert!(tags.iter().all(|tag| tag.len() == 9));

    match verify::verify_decision(&policy, INPUT, &decision) {
        verify::VerifyResult::Valid => {}
        verify::VerifyResult::Mismatch { expected, actual } => panic!("{expected:?} {actual:?}"),
        verify::VerifyResult::DigestMismatch { .. } => panic!("digest"),
    }
    let bundle: verify::AuditBundle = verify::audit_bundle(&policy, INPUT, &decision);
    let again: Result<verify::AuditBundle, verify::VerifyError> =
        verify::verified_audit_bundle(&policy, INPUT, &decision);
    assert_eq!(again.unwrap(), bundle);
    let decoded: Result<[u8; 32], digest::DigestDecodeError> = bundle.policy_digest();
    assert_eq!(decoded.unwrap(), digests[0]);
    assert_eq!(bundle.input_digest().unwrap(), digests[1]);
    assert_eq!(bundle.decision_digest().unwrap(), digests[2]);
    assert!(bundle.policy_digest_hex == hex && bundle.policy_digest_hex.len() == 64);
    assert_eq!(&bundle.policy_digest_hex[..8], &hex[..8]);
    assert_eq!(verify::snapshot_fingerprint(&policy), hex);
    let certificate: verify::CorrectnessCertificate =
        verify::certify_decision(&policy, INPUT, &decision);
    assert!(certificate.replay_valid);
    let counterfactual: Option<i64> = verify::counterfactual_utility(&policy, INPUT, 1);
    assert!(counterfactual.is_some());
}

#[test]
fn budget_and_finance_surface() {
    fn shared<T: Send + Sync>(_: &T) {}
    let engine = BudgetEngine::new();
    shared(&engine);
    engine.ensure_tenant("desk", 1_000);
    engine.try_ensure_tenant("desk", 1_000).unwrap();
    match engine.top_up_tenant("desk", 500) {
        TopUpResult::ToppedUp {
            added_microcents,
            new_initial_microcents,
            remaining_microcents,
        } => {
            assert_eq!(
                (added_microcents, new_initial_microcents, remaining_microcents),
                (500, 1_500, 1_500)
            );
        }
        other @ (TopUpResult::MissingTenant
        | TopUpResult::InvalidAmount
        | TopUpResult::Overflow) => {
            panic!("{other:?}");
        }
    }
    engine.set_max_reserved_microcents("desk", 800);
    engine.try_set_max_reserved_microcents("desk", 800).unwrap();
    let (reserved, first): (BudgetReservation, Option<u64>) = engine.try_reserve("desk", 600);
    assert!(matches!(reserved, BudgetReservation::Reserved { remaining_microcents: 900 }));
    assert!(matches!(
        engine.try_reserve("desk", 300).0,
        BudgetReservation::ExposureLimitExceeded {
            current_reserved_microcents: 600,
            max_reserved_microcents: 800
        }
    ));
    assert!(matches!(engine.try_reserve("nobody", 1).0, BudgetReservation::MissingTenant));
    assert!(matches!(engine.try_reserve("desk", 0).0, BudgetReservation::InvalidAmount));
    assert!(matches!(
        engine.try_reserve("desk", 1_200).0,
        BudgetReservation::Insufficient { remaining_microcents: 900, required_microcents: 1_200 }
    ));
    assert!(!matches!(reserved, BudgetReservation::Overflow { .. }));
    let overrun: BudgetSettlement = engine.commit(first.unwrap(), 9_999);
    assert!(matches!(overrun, BudgetSettlement::Overrun { remaining_microcents: 900 }));
    assert!(matches!(engine.commit(first.unwrap(), -1), BudgetSettlement::InvalidAmount));
    assert!(matches!(
        engine.commit(first.unwrap(), 500),
        BudgetSettlement::Committed { remaining_microcents: 1_000, actual_microcents: 500 }
    ));
    assert!(matches!(engine.release(first.unwrap()), BudgetSettlement::MissingReservation));
    let second = engine.try_reserve("desk", 100).1.unwrap();
    let released = engine.release(second);
    assert!(matches!(
        released,
        BudgetSettlement::Released { remaining_microcents: 1_000, returned_microcents: 100 }
    ));
    assert!(!matches!(released, BudgetSettlement::Overflow { .. }));

    let amounts: [Option<i64>; 3] = [
        engine.remaining_microcents("desk"),
        engine.initial_microcents("desk"),
        engine.committed_microcents("desk"),
    ];
    assert_eq!(amounts, [Some(1_000), Some(1_500), Some(500)]);
    let reserved: i64 = engine.reserved_microcents("desk");
    assert_eq!(reserved, 0);
    assert_eq!((engine.tenant_count(), engine.active_reservations()), (1, 0));
    assert_eq!(engine.total_committed_microcents(), 500);
    assert_eq!(engine.committed_since_last_certificate(), 500);

    let snapshot: BudgetSnapshot = engine.snapshot();
    assert_eq!(snapshot.version, engine.snapshot_version());
    let BudgetSnapshot { version: _, tenants, active_reservations, wal_high_watermark } =
        snapshot.clone();
    let _: (Vec<TenantLedger>, Option<u64>) = (tenants, wal_high_watermark);
    assert_eq!(active_reservations, 0);
    match engine.verify_conservation() {
        ConservationStatus::Balanced => {}
        ConservationStatus::Violation { tenant_id, delta_microcents } => {
            panic!("{tenant_id} {delta_microcents}");
        }
        ConservationStatus::AggregateOverflow => panic!("overflow"),
    }
    let _: &dyn std::error::Error = &budget::conservation_status_for_snapshot(&snapshot);
    let restored: Result<(), RestoreError> =
        BudgetEngine::new().restore_from_snapshot(snapshot.clone());
    restored.unwrap();

    let digest: [u8; 32] = finance::ledger_digest(&snapshot);
    let proof: Result<finance::ConservationProof, ConservationStatus> =
        finance::prove_conservation(&engine);
    assert_eq!(proof.unwrap().total_committed_microcents, 500);
    let certificate: finance::FinancialCertificate = finance::certify_ledger(&engine);
    assert!(certificate.conservation_balanced);
    let of_snapshot: finance::FinancialCertificate = finance::certify_snapshot(&snapshot, true, 0);
    assert_eq!(of_snapshot.ledger_digest_hex, digest::digest_to_hex(&digest));
    assert_eq!(i128::from(finance::MICROCENTS_PER_CENT), 1_000_000);
}

#[test]
fn wal_surface() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, keyed, audited) =
        (folder.path().join("plain"), folder.path().join("keyed"), folder.path().join("audited"));
    let key = [7_u8; 32];
    let log = wal::WalWriter::<String>::open(&plain).unwrap();
    let written: Result<wal::WalEntry<String>, wal::WalError> = log.append("one".to_owned());
    let wal::WalEntry { sequence, previous_hash, entry_hash, data } = written.unwrap();
    assert_eq!((sequence, data.as_str()), (1, "one"));
    assert!(previous_hash == "genesis" && entry_hash.len() == 64);
    log.flush().unwrap();
    log.sync().unwrap();
    log.flush_and_sync().unwrap();
    assert_eq!((log.sequence(), log.entry_count()), (1, 1));
    assert_eq!(log.last_hash(), entry_hash);
    let anchor: wal::WalAnchor = log.anchor();
    wal::WalWriter::<String>::validate_chain(&plain).unwrap();
    let entries: Vec<wal::WalEntry<String>> = wal::read_wal::<String>(&plain).unwrap();
    assert_eq!(entries, wal::read_verified_wal::<String>(&plain).unwrap());
    let mut seen = 0;
    wal::visit_verified_wal::<String, _>(&plain, |_| seen += 1).unwrap();
    let (count, last) = wal::verify_wal(&plain).unwrap();
    let last: String = last.into();
    assert_eq!((count, seen, last.len()), (1, 1, 64));
    wal::verify_wal_against_anchor(&plain, &anchor).unwrap();

    let log = wal::WalWriter::<u64>::open_keyed(&keyed, &key).unwrap();
    log.append(5).unwrap();
    log.flush_and_sync().unwrap();
    assert_eq!(wal::read_verified_wal_keyed::<u64>(&keyed, &key).unwrap().len(), 1);
    wal::visit_verified_wal_keyed::<u64, _>(&keyed, &key, |_| ()).unwrap();
    wal::verify_wal_keyed(&keyed, &key).unwrap();
    wal::verify_wal_keyed_against_anchor(&keyed, &key, &log.anchor()).unwrap();

    let policy = policy();
    let decision = policy.prescribe(INPUT);
    let log = wal::WalWriter::open(&audited).unwrap(); // M is inferred
    log.append_audited(&policy, INPUT, decision, "desk").unwrap();
    let entry = log.append_verified_audited(&policy, INPUT, decision, "desk").unwrap();
    let decided: kernel::Decided = policy.decide(INPUT);
    log.append_decided(&decided, "desk").unwrap();
    log.append_decided_durable(&decided, "desk").unwrap();
    let wal::AuditedRecord { audit, input, decision: logged, metadata } = entry.data;
    assert!(audit.replay_valid && input == INPUT && logged == decision && metadata == "desk");
    log.flush_and_sync().unwrap();
    let verdicts: Vec<wal::WalReplayVerdict> = wal::replay_audited_wal(&audited, &policy).unwrap();
    let wal::WalReplayVerdict {
        sequence,
        replay_valid,
        policy_digest_match,
        input_digest_match,
        decision_digest_match,
    } = verdicts[0];
    assert!(sequence == 1 && replay_valid && policy_digest_match);
    assert!(input_digest_match && decision_digest_match);
    wal::replay_audited_wal_keyed::<String>(&audited, &policy, None).unwrap();
    let resolved = wal::replay_audited_wal_with_resolver::<String, _>(&audited, None, |_| {
        Some(policy.clone())
    });
    assert_eq!(resolved.unwrap().len(), 4);
}

#[test]
fn proof_persistence_config_and_builder_surface() {
    let config = config::EngineConfig::new()
        .latency_penalty(2)
        .hard_risk_limit(9_600)
        .minimum_confidence(5_500)
        .risk_penalty_multiplier(3_500)
        .default_exposure_cap(0)
        .wal_sync_on_append(false)
        .max_catalog_size(1_024);
    assert_eq!(config, config::EngineConfig::new());
    config.validate().unwrap();
    let engine = BudgetEngine::new();
    config.ensure_tenant(&engine, "desk", 1_000).unwrap();

    let built: Result<PolicySnapshot, builder::BuildError> = builder::PolicyBuilder::new(config)
        .epochs(1, 2)
        .model(builder::ModelBuilder::new(1, 0).build())
        .models([builder::ModelBuilder::new(2, 0)
            .quality(9_000)
            .risk_ceiling(9_000)
            .enabled(true)
            .latency(100)
            .capabilities(1)
            .regions(1)
            .cost(2_500_000, 10_000_000)
            .build()])
        .build();
    let policy = built.unwrap();
    let input = builder::InputBuilder::new(1, 2)
        .tokens(1_000, 100)
        .business_value(90_000)
        .budget_limit(10_000)
        .risk(100, 9_000)
        .minimum_quality(8_500)
        .max_latency(200)
        .capabilities(1)
        .providers(kernel::ALL_PROVIDERS)
        .regions(1)
        .build();
    let decision = policy.prescribe(input);
    assert!(decision.is_requested_execution());

    let folder = tempfile::tempdir().unwrap();
    let (saved, log) = (folder.path().join("ledger.json"), folder.path().join("log"));
    let writer = wal::WalWriter::open(&log).unwrap();
    let entry = writer.append_verified_audited(&policy, input, decision, ()).unwrap();
    writer.flush_and_sync().unwrap();
    persistence::save_snapshot(&engine.snapshot(), &saved).unwrap();
    let loaded: BudgetSnapshot = persistence::load_snapshot(&saved).unwrap();
    persistence::checkpoint(&engine, &saved).unwrap();
    persistence::checkpoint_with_wal(&engine, &saved, 1).unwrap();
    let restored: BudgetSnapshot = persistence::restore(&engine, &saved).unwrap();
    assert_eq!(restored.tenants, loaded.tenants);
    let persistence::RecoveryPlan {
        snapshot,
        total_wal_entries,
        entries_to_replay,
        wal_high_watermark,
    } = persistence::recovery_plan(&saved, &log).unwrap();
    assert_eq!((total_wal_entries, entries_to_replay, wal_high_watermark), (1, 0, 1));
    assert!(persistence::recovery_plan_keyed(&saved, &log, &[7; 32]).is_err(), "not keyed");

    let ledger_digest = digest::digest_to_hex(&finance::ledger_digest(&snapshot));
    let envelope: proof::ProofEnvelope =
        proof::ProofEnvelopeBuilder::new(&policy, input, &decision)
            .wal(entry.sequence, entry.entry_hash)
            .budget(snapshot.version, ledger_digest)
            .build();
    assert!(envelope.is_complete());
}

#[cfg(feature = "async")]
#[test]
fn async_wal_surface() {
    use calybris_core::async_wal::{AsyncWalWriter, verify_async_wal, verify_async_wal_keyed};

    let folder = tempfile::tempdir().unwrap();
    let path = |name| folder.path().join(name);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let log = AsyncWalWriter::<String>::open(&path("plain")).await.unwrap();
        log.append("one".to_owned()).await.unwrap();
        log.flush_and_sync().await.unwrap();
        assert_eq!((log.sequence(), log.last_hash().len()), (1, 64));
        verify_async_wal(&path("plain")).await.unwrap();
        let log = AsyncWalWriter::<u64>::open_keyed(&path("keyed"), &[7; 32]).await.unwrap();
        log.append(1).await.unwrap();
        log.flush_and_sync().await.unwrap();
        verify_async_wal_keyed(&path("keyed"), &[7; 32]).await.unwrap();
        let log = AsyncWalWriter::open_with_sync(&path("audited"), true).await.unwrap();
        let (policy, decision) = (policy(), policy().prescribe(INPUT));
        log.append_audited(&policy, INPUT, decision, ()).await.unwrap();
        log.append_verified_audited(&policy, INPUT, decision, ()).await.unwrap();
        log.append_decided(&policy.decide(INPUT), ()).await.unwrap();
        log.append_decided_durable(&policy.decide(INPUT), ()).await.unwrap();
    });
}

#[cfg(feature = "observability")]
#[test]
fn instrument_surface() {
    use calybris_core::instrument;

    let policy = policy();
    let decision = instrument::prescribe_traced(&policy, INPUT);
    assert!(instrument::verify_traced(&policy, INPUT, &decision).is_valid());
}
