//! No hold id is ever given twice, and every one leads to its tenant: within a block, from block to
//! block, across restarts from a state and across restores of a snapshot.

#[cfg(test)]
mod hold_ids {
    use std::collections::BTreeSet;

    use calybris_budget::{BudgetEngine, BudgetSettlement, Call, LedgerState, StateError};

    /// Ids in a block, the one that is never given included: `docs/format/ledger-v2.md`.
    const BLOCK: u64 = 1 << 22;
    const TENANTS: [&str; 3] = ["c", "a", "b"];

    fn opened() -> BudgetEngine {
        let engine = BudgetEngine::new();
        TENANTS.iter().for_each(|tenant| engine.ensure_tenant(tenant, 1_000));
        engine
    }

    fn restarted(state: &LedgerState) -> BudgetEngine {
        let engine = BudgetEngine::from_state(state).unwrap();
        assert_eq!(engine.state(), *state);
        engine
    }

    /// The next id of a tenant as if it had been given all but `left` of those of its block.
    fn nearly_used_up(engine: &BudgetEngine, left: u64) -> BudgetEngine {
        let mut state = engine.state();
        for tenant in &mut state.tenants {
            tenant.next_hold = tenant.next_hold.div_ceil(BLOCK) * BLOCK - left;
        }
        restarted(&state)
    }

    fn reserve(engine: &BudgetEngine, tenant: &str) -> u64 {
        engine.try_reserve(tenant, 1).1.unwrap()
    }

    /// Every id is found, settles a hold of its tenant, and is gone then.
    fn settle_all(engine: &BudgetEngine, ids: &[(u64, &str)]) {
        for (id, tenant) in ids {
            let before = engine.reserved_microcents(tenant);
            assert!(matches!(engine.release(*id), BudgetSettlement::Released { .. }), "{id}");
            assert_eq!(engine.reserved_microcents(tenant), before - 1, "{id} is of {tenant}");
            assert_eq!(engine.release(*id), BudgetSettlement::MissingReservation);
        }
        assert_eq!(engine.active_reservations(), 0);
    }

    #[test]
    fn tenants_have_blocks_of_their_own_from_the_start() {
        let engine = opened();
        let ids = TENANTS.map(|tenant| reserve(&engine, tenant));
        assert_eq!(ids, [1, 2 * BLOCK + 1, 4 * BLOCK + 1], "in the order they were opened");
        let restarted = restarted(&engine.state());
        settle_all(&restarted, &[(ids[0], "c"), (ids[1], "a"), (ids[2], "b")]);
        restarted.ensure_tenant("d", 1);
        assert_eq!(reserve(&restarted, "d"), 6 * BLOCK + 1);
    }

    #[test]
    fn used_up_blocks_are_followed_by_spare_ones() {
        let mut engine = opened();
        let mut given = Vec::new();
        // Three blocks of each: what is open in the first two is there when the third is begun.
        for _ in 0..3 {
            engine = nearly_used_up(&engine, 2);
            for _ in 0..4 {
                given.extend(TENANTS.map(|tenant| (reserve(&engine, tenant), tenant)));
            }
        }
        let spares: BTreeSet<u64> =
            given.iter().map(|(id, _)| id / BLOCK).filter(|it| it % 2 == 1).collect();
        assert_eq!(spares.len(), 9, "each spare block is of one tenant");
        let distinct: BTreeSet<u64> = given.iter().map(|(id, _)| *id).collect();
        assert_eq!(distinct.len(), given.len());
        for tenant in TENANTS {
            assert!(given.iter().filter(|(_, of)| *of == tenant).is_sorted(), "ids rise");
        }
        settle_all(&restarted(&engine.state()), &given);
        settle_all(&engine, &given);
    }

    #[test]
    fn a_restored_ledger_gives_none_of_the_ids_before_its_snapshot() {
        let engine = nearly_used_up(&opened(), 1);
        let before = TENANTS.map(|tenant| [(); 3].map(|()| reserve(&engine, tenant)));
        before.as_flattened().iter().for_each(|id| assert_ne!(engine.release(*id), missing()));
        let snapshot = engine.snapshot();
        let highest = before.as_flattened().iter().max().unwrap();
        let elsewhere = BudgetEngine::new();
        for restored in [&elsewhere, &engine, &engine] {
            restored.restore_from_snapshot(snapshot.clone()).unwrap();
            let after = TENANTS.map(|tenant| (reserve(restored, tenant), tenant));
            assert!(after.iter().all(|(id, _)| id > highest), "{after:?} {highest}");
            assert!(before.as_flattened().iter().all(|id| restored.release(*id) == missing()));
            restarted(&restored.state());
            settle_all(restored, &after);
        }
    }

    fn missing() -> BudgetSettlement {
        BudgetSettlement::MissingReservation
    }

    #[test]
    fn ids_that_were_never_given_are_missing() {
        let engine = opened();
        // A tenant of that name is what a place without tenant could be mistaken for.
        engine.ensure_tenant("", 5);
        let id = reserve(&engine, "");
        let never = [0, 1, BLOCK, BLOCK + 1, 2 * BLOCK, 8 * BLOCK + 1, 1 << 62, u64::MAX, id + 1];
        assert!(never.iter().all(|id| engine.commit(*id, 0) == missing()));
        assert_eq!(engine.reserved_microcents(""), 1);
    }

    #[test]
    fn a_state_with_more_levels_than_a_ledger_has_is_refused() {
        let engine = BudgetEngine::new();
        for level in 0..8 {
            let parent = (level > 0).then(|| format!("{}", level - 1));
            engine.open_tenant(&format!("{level}"), parent.as_deref(), 1, Call::default()).unwrap();
        }
        engine.ensure_tenant("8", 1);
        let mut state = restarted(&engine.state()).state();
        state.tenants[8].parent_id = Some("7".into());
        let refused = BudgetEngine::from_state(&state).map(drop);
        let (tenant_id, parent_id) = ("8".into(), "7".into());
        assert_eq!(refused, Err(StateError::Parent { tenant_id, parent_id }));
    }
}
