//! Worked values of the ledger digest, and the exact JSON of every artifact of this crate.

#[cfg(test)]
mod vectors {
    use calybris_budget::{
        BudgetEngine, BudgetSnapshot, ConservationStatus, TenantLedger,
        conservation_status_for_snapshot,
        finance::{certify_ledger, ledger_digest, prove_conservation},
    };
    use calybris_kernel::digest::digest_to_hex;

    #[derive(serde::Deserialize)]
    struct Case {
        snapshot: BudgetSnapshot,
        ledger_digest: String,
        conservation: String,
    }

    #[test]
    fn digests_and_conservation_are_the_recorded_ones() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("data/ledger_v1.json")).unwrap();
        assert_eq!(cases.len(), 4);
        for mut case in cases {
            assert_eq!(digest_to_hex(&ledger_digest(&case.snapshot)), case.ledger_digest);
            case.snapshot.tenants.reverse();
            assert_eq!(digest_to_hex(&ledger_digest(&case.snapshot)), case.ledger_digest);
            let status = conservation_status_for_snapshot(&case.snapshot);
            assert_eq!(status.to_string(), case.conservation);
        }
    }

    fn sample() -> BudgetSnapshot {
        let engine = BudgetEngine::new();
        engine.ensure_tenant("b", 10);
        engine.ensure_tenant("a", 20);
        engine.snapshot()
    }

    #[test]
    fn every_field_changes_the_digest() {
        let sample = sample();
        let changes: [fn(&mut BudgetSnapshot); 9] = [
            |s| s.version += 1,
            |s| s.active_reservations += 1,
            |s| s.wal_high_watermark = Some(0),
            |s| s.tenants.truncate(1),
            |s| s.tenants[0].tenant_id.push('x'),
            |s| s.tenants[1].initial_microcents += 1,
            |s| s.tenants[1].remaining_microcents += 1,
            |s| s.tenants[1].reserved_microcents += 1,
            |s| s.tenants[1].committed_microcents += 1,
        ];
        for change in changes {
            let mut changed = sample.clone();
            change(&mut changed);
            assert_ne!(ledger_digest(&changed), ledger_digest(&sample), "{changed:?}");
        }
    }

    #[test]
    fn the_json_forms_are_fixed_and_refuse_unknown_members() {
        let snapshot = serde_json::to_string(&sample()).unwrap();
        assert_eq!(
            snapshot,
            concat!(
                r#"{"version":9223372036871553024,"tenants":[{"tenant_id":"a","initial_microcents":20,"#,
                r#""remaining_microcents":20,"reserved_microcents":0,"committed_microcents":0},"#,
                r#"{"tenant_id":"b","initial_microcents":10,"remaining_microcents":10,"#,
                r#""reserved_microcents":0,"committed_microcents":0}],"active_reservations":0,"#,
                r#""wal_high_watermark":null}"#
            )
        );
        let without_watermark = snapshot.replace(r#","wal_high_watermark":null"#, "");
        assert_eq!(serde_json::from_str::<BudgetSnapshot>(&without_watermark).unwrap(), sample());
        let unknown = snapshot.replace(r#""version""#, r#""extra":1,"version""#);
        assert!(serde_json::from_str::<BudgetSnapshot>(&unknown).is_err());
        let unknown = snapshot.replace(r#""tenant_id":"a""#, r#""extra":1,"tenant_id":"a""#);
        assert!(serde_json::from_str::<BudgetSnapshot>(&unknown).is_err());
    }

    #[test]
    fn proof_and_certificate_have_their_fields_in_order() {
        let engine = BudgetEngine::new();
        engine.restore_from_snapshot(sample()).unwrap();
        let digest = |taken: &mut BudgetSnapshot| {
            taken.version = engine.snapshot_version();
            digest_to_hex(&ledger_digest(taken))
        };
        let proof = prove_conservation(&engine).unwrap();
        assert_eq!(
            serde_json::to_string(&proof).unwrap(),
            format!(
                r#"{{"ledger_digest_hex":"{}","snapshot_version":{},"tenant_count":2,"active_reservations":0,"total_initial_microcents":30,"total_committed_microcents":0,"aggregate_totals_representable":true}}"#,
                digest(&mut sample()),
                engine.snapshot_version(),
            )
        );
        let certificate = certify_ledger(&engine);
        assert_eq!(
            serde_json::to_string(&certificate).unwrap(),
            format!(
                r#"{{"ledger_digest_hex":"{}","snapshot_version":{},"tenant_count":2,"active_reservations":0,"total_initial_microcents":30,"total_committed_microcents":0,"aggregate_totals_representable":true,"conservation_balanced":true,"committed_since_last_certificate":0}}"#,
                digest(&mut sample()),
                engine.snapshot_version(),
            )
        );
    }

    #[test]
    fn imbalance_is_named_exactly() {
        let tenant = |remaining: i64, initial: i64| TenantLedger {
            tenant_id: "desk".into(),
            initial_microcents: initial,
            remaining_microcents: remaining,
            reserved_microcents: 0,
            committed_microcents: 1,
        };
        let status = |tenant: TenantLedger| {
            let tenants = vec![tenant];
            conservation_status_for_snapshot(&BudgetSnapshot { tenants, ..sample() })
        };
        let violation = |delta_microcents| ConservationStatus::Violation {
            tenant_id: "desk".into(),
            delta_microcents,
        };
        assert_eq!(status(tenant(4, 5)), ConservationStatus::Balanced);
        assert_eq!(status(tenant(4, 7)), violation(-2));
        assert_eq!(status(tenant(-1, 0)), violation(0));
        assert_eq!(status(tenant(i64::MAX - 1, i64::MIN)), violation(i64::MAX));
        assert_eq!(status(tenant(i64::MAX, 5)), ConservationStatus::AggregateOverflow);
    }
}
