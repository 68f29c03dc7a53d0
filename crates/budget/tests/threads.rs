//! Many threads on few tenants: no refusal that no moment justifies, nothing lost, every snapshot
//! balanced and consistent.

#[cfg(test)]
mod threads {
    use std::{
        sync::atomic::{AtomicBool, AtomicI64, Ordering},
        thread,
    };

    use calybris_budget::{BudgetEngine, BudgetReservation, BudgetSettlement, ConservationStatus};

    const THREADS: i64 = 4;
    const ROUNDS: i64 = 5_000;

    #[test]
    fn a_budget_large_enough_for_all_never_refuses() {
        let engine = BudgetEngine::new();
        engine.ensure_tenant("shared", THREADS * 10);
        engine.set_max_reserved_microcents("shared", THREADS * 10);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        let (answer, id) = engine.try_reserve("shared", 10);
                        let id = id.unwrap_or_else(|| panic!("refused: {answer:?}"));
                        let settled = engine.release(id);
                        assert!(matches!(settled, BudgetSettlement::Released { .. }));
                        assert_eq!(engine.release(id), BudgetSettlement::MissingReservation);
                    }
                });
            }
        });
        assert_eq!(engine.remaining_microcents("shared"), Some(THREADS * 10));
    }

    #[test]
    fn a_contested_budget_is_spent_exactly_and_never_over() {
        let engine = BudgetEngine::new();
        let budget = THREADS * ROUNDS / 3;
        engine.ensure_tenant("scarce", budget);
        let spent = AtomicI64::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let tenant = engine.tenant("scarce").unwrap();
                    for _ in 0..ROUNDS {
                        if let (BudgetReservation::Reserved { .. }, Some(id)) =
                            tenant.try_reserve(1)
                        {
                            tenant.commit(id, 1);
                            spent.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(spent.into_inner(), budget);
        assert_eq!(engine.committed_microcents("scarce"), Some(budget));
        assert_eq!(engine.remaining_microcents("scarce"), Some(0));
    }

    /// The lock of a tenant goes to whoever finds it free, which is somebody else most of the time.
    #[test]
    fn who_waits_gets_a_turn_beside_one_who_never_stops() {
        let engine = BudgetEngine::new();
        engine.ensure_tenant("shared", 2);
        let done = AtomicBool::new(false);
        let one_turn = || engine.hold("shared", 1).map(drop).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    one_turn();
                }
            });
            (0..ROUNDS).for_each(|_| one_turn());
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(engine.remaining_microcents("shared"), Some(2));
    }

    /// One thread adds to `first` and then to `second`, so at no instant has `second` more.
    #[test]
    fn a_snapshot_never_shows_an_effect_without_its_cause() {
        let engine = BudgetEngine::new();
        engine.ensure_tenant("second", 0);
        engine.ensure_tenant("first", 0);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..ROUNDS * 4 {
                    engine.top_up_tenant("first", 1);
                    engine.top_up_tenant("second", 1);
                }
                done.store(true, Ordering::Release);
            });
            let mut version = 0;
            while !done.load(Ordering::Acquire) {
                let snapshot = engine.snapshot();
                let [first, second] = [0, 1].map(|i| snapshot.tenants[i].initial_microcents);
                assert!(first == second || first == second + 1, "{first} {second}");
                assert!(snapshot.version > version);
                version = snapshot.version;
            }
        });
    }

    #[test]
    fn tenants_created_under_way_appear_whole_and_ids_are_unique() {
        let engine = BudgetEngine::new();
        let mut ids = thread::scope(|scope| {
            let workers: Vec<_> = (0..THREADS)
                .map(|worker| {
                    let engine = &engine;
                    scope.spawn(move || {
                        let open = |i: i64| {
                            let name = format!("tenant-{}", i % 500);
                            engine.ensure_tenant(&name, 1_000_000);
                            let (_, id) = engine.try_reserve(&name, 1 + worker);
                            id.unwrap()
                        };
                        (0..ROUNDS / 2).map(open).collect::<Vec<_>>()
                    })
                })
                .collect();
            for _ in 0..50 {
                assert_eq!(engine.verify_conservation(), ConservationStatus::Balanced);
                let snapshot = engine.snapshot();
                assert!(snapshot.tenants.is_sorted_by(|a, b| a.tenant_id < b.tenant_id));
                assert!(snapshot.tenants.iter().all(|t| t.initial_microcents == 1_000_000));
            }
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(engine.tenant_count(), 500);
        ids.sort_unstable();
        let made = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), made);
        assert_eq!(engine.active_reservations(), made as u64);
        for id in ids {
            assert!(matches!(engine.commit(id, 1), BudgetSettlement::Committed { .. }));
        }
        assert_eq!(engine.total_committed_microcents(), i64::try_from(made).unwrap());
    }

    #[test]
    fn a_restore_replaces_all_tenants_at_once_and_handles_follow() {
        let engine = BudgetEngine::new();
        engine.ensure_tenant("kept", 5);
        let snapshot = engine.snapshot();
        engine.ensure_tenant("dropped", 5);
        let kept = engine.tenant("kept").unwrap();
        let dropped = engine.tenant("dropped").unwrap();
        let (_, stale) = kept.try_reserve(5);
        engine.restore_from_snapshot(snapshot).unwrap();
        assert_eq!(engine.tenant_count(), 1);
        assert_eq!(kept.balances().unwrap().remaining_microcents, 5);
        assert_eq!(kept.commit(stale.unwrap(), 1), BudgetSettlement::MissingReservation);
        assert!(matches!(kept.try_reserve(5), (BudgetReservation::Reserved { .. }, Some(_))));
        assert_eq!(dropped.try_reserve(1), (BudgetReservation::MissingTenant, None));
        engine.ensure_tenant("dropped", 9);
        assert_eq!(dropped.balances().unwrap().remaining_microcents, 9);
    }
}
