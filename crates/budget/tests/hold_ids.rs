//! No hold id is ever given twice, and every one leads to its tenant: within a block, from block to
//! block, across restarts from a state and across restores of a snapshot.

#[cfg(test)]
mod hold_ids {
    use std::collections::BTreeSet;

    use calybris_budget::{
        BudgetEngine, BudgetSettlement, Call, LedgerState, MAX_SNAPSHOT_VERSION, RefusalReason,
        RestoreError, StateError, TenantAction,
    };

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

    /// Spare `s` is block `2s + 1`, above that of the tenant's number, and one tenant's.
    #[test]
    fn a_spare_that_a_tenant_cannot_have_is_refused() {
        let state = opened().state();
        let [a, b, c] = ["a", "b", "c"]
            .map(|name| state.tenants.iter().position(|tenant| tenant.tenant_id == name).unwrap());
        let with = |next_spare: u64, next_holds: &[(usize, u64)]| {
            let mut state = LedgerState { next_spare, ..state.clone() };
            for (tenant, next_hold) in next_holds {
                state.tenants[*tenant].next_hold = *next_hold;
            }
            BudgetEngine::from_state(&state).map(|engine| assert_eq!(engine.state(), state))
        };
        let refused =
            |tenant: &str, hold| Err(StateError::HoldId { tenant_id: tenant.into(), hold });
        let spare = |spare: u64| (2 * spare + 1) * BLOCK;
        assert_eq!(with(3, &[(c, spare(0) + 2), (b, spare(2) + 2)]), Ok(()));
        assert_eq!(with(3, &[(b, spare(1) + 2), (c, spare(2) + 2)]), refused("b", spare(1) + 1));
        assert_eq!(with(3, &[(a, spare(2) + 2), (c, spare(2) + 3)]), refused("a", spare(2) + 1));
        assert_eq!(with(3, &[(c, spare(2) + 1)]), refused("c", spare(2)));
        assert_eq!(with(2, &[(c, spare(2) + 2)]), refused("c", spare(2) + 1));
        let next_spare = |expected, found| Err(StateError::NextSpare { expected, found });
        assert_eq!(with(4, &[(c, spare(2) + 2)]), next_spare(3, 4));
    }

    /// What a ledger gets to, a restart can read: at the end of the numbers it opens nobody.
    #[test]
    fn a_state_at_the_end_of_the_numbers_can_be_read_back() {
        let end = 3 << 38;
        let mut snapshot = opened().snapshot();
        snapshot.version = MAX_SNAPSHOT_VERSION;
        let restored = BudgetEngine::new();
        restored.restore_from_snapshot(snapshot.clone()).unwrap();
        let mut state = restarted(&restored.state()).state();
        assert_eq!(state.next_number, (1 << 39) + 3);
        let forward = end - state.next_number;
        (state.next_number, state.next_spare) = (end, end - 3);
        for tenant in &mut state.tenants {
            tenant.number += forward;
            tenant.next_hold = (2 * tenant.number + 1) * BLOCK;
        }
        let last = restarted(&state);
        let full = last.open_tenant("d", None, 1, Call::default()).unwrap_err().reason;
        assert_eq!(full, RefusalReason::TooManyTenants { limit: end });
        let too_many = Err(RestoreError::TooManyTenants { tenants: 3 });
        assert_eq!(last.restore_from_snapshot(snapshot), too_many);
        assert_eq!(last.state(), state, "nobody was lost");
        assert!(last.try_reserve("c", 1).1.is_some(), "the last spare is above its number");
        assert_eq!(last.try_reserve("a", 1).1, None);
        let reserve = TenantAction::Reserve { amount_microcents: 1, deadline: None };
        let used_up = last.perform("a", &reserve, Call::default()).unwrap_err();
        assert_eq!(used_up.reason, RefusalReason::NoHoldIds { limit: end });
        let says = "\"a\": the tenant's hold ids are used up, and so are all 824633720832 blocks to go on with";
        assert_eq!(used_up.to_string(), says);
        assert_eq!(restarted(&last.state()).reserved_microcents("c"), 1);
    }

    #[test]
    fn spares_taken_at_once_are_those_of_a_serial_order() {
        for _ in 0..50 {
            let engine = nearly_used_up(&opened(), 0);
            let start = std::sync::Barrier::new(TENANTS.len());
            std::thread::scope(|scope| {
                for tenant in TENANTS {
                    let (engine, start) = (&engine, &start);
                    scope.spawn(move || {
                        start.wait();
                        reserve(engine, tenant);
                    });
                }
            });
            let state = restarted(&engine.state()).state();
            let given =
                state.tenants.iter().map(|tenant| (tenant.next_hold / BLOCK / 2, tenant.number));
            let mut next = 0;
            for (spare, number) in given.collect::<BTreeSet<_>>() {
                assert_eq!(spare, number.max(next), "{state:?}");
                next = spare + 1;
            }
            assert_eq!(state.next_spare, next);
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
