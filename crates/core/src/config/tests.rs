//! Defaults, bounds, and what a setting does.

use calybris_budget::BudgetReservation;

use super::*;

#[test]
fn defaults_are_as_documented() {
    let expected = EngineConfig {
        latency_penalty_microunits_per_ms: 2,
        hard_risk_limit_bps: 9_600,
        minimum_confidence_bps: 5_500,
        risk_penalty_multiplier_bps: 3_500,
        default_exposure_cap_microcents: 0,
        wal_sync_on_append: false,
        max_catalog_size: 1_024,
    };
    assert_eq!(EngineConfig::default(), expected);
    assert_eq!(expected.validate(), Ok(()));
}

#[test]
fn every_bound_is_checked_on_both_sides() {
    let config = EngineConfig::new();
    for (good, bad, field) in [
        (config.hard_risk_limit(10_000), config.hard_risk_limit(10_001), "hard_risk_limit_bps"),
        (
            config.minimum_confidence(10_000),
            config.minimum_confidence(10_001),
            "minimum_confidence_bps",
        ),
        (
            config.risk_penalty_multiplier(50_000),
            config.risk_penalty_multiplier(50_001),
            "risk_penalty_multiplier_bps",
        ),
        (
            config.default_exposure_cap(0),
            config.default_exposure_cap(-1),
            "default_exposure_cap_microcents",
        ),
        (config.max_catalog_size(1), config.max_catalog_size(0), "max_catalog_size"),
        (config.max_catalog_size(65_535), config.max_catalog_size(65_536), "max_catalog_size"),
    ] {
        assert_eq!(good.validate(), Ok(()));
        assert_eq!(bad.validate().unwrap_err().field, field);
    }
}

#[test]
fn a_new_tenant_gets_the_default_cap_and_an_existing_one_keeps_its_own() {
    let config = EngineConfig::new().default_exposure_cap(300);
    let ledger = BudgetEngine::new();
    ledger.ensure_tenant("old", 1_000);
    ledger.set_max_reserved_microcents("old", 700);
    config.ensure_tenant(&ledger, "old", 5).unwrap();
    config.ensure_tenant(&ledger, "new", 1_000).unwrap();
    let cap = |tenant| match ledger.try_reserve(tenant, 1_000).0 {
        BudgetReservation::ExposureLimitExceeded { max_reserved_microcents, .. } => {
            max_reserved_microcents
        }
        other => panic!("{other:?}"),
    };
    assert_eq!((cap("old"), cap("new")), (700, 300));
    assert_eq!(ledger.initial_microcents("old"), Some(1_000));
    EngineConfig::new().ensure_tenant(&ledger, "uncapped", 1_000).unwrap();
    let answer = ledger.try_reserve("uncapped", 1_000).0;
    assert!(matches!(answer, BudgetReservation::Reserved { .. }));
    assert!(config.ensure_tenant(&ledger, "negative", -1).is_err());
}

/// `durable_sequence` counts what an fsync has returned for.
#[cfg(feature = "wal")]
#[test]
fn a_log_syncs_on_append_exactly_when_configured() {
    let folder = tempfile::tempdir().unwrap();
    for sync in [false, true] {
        let path = folder.path().join(format!("log-{sync}"));
        let log = EngineConfig::new().wal_sync_on_append(sync).open_wal::<u32>(&path).unwrap();
        for number in 1..=3 {
            log.append(number).unwrap();
            assert_eq!(log.durable_sequence(), if sync { u64::from(number) } else { 0 });
        }
    }
}
