//! What only happens at the edges: amounts near the end of `i64`, closed ancestors, repeated calls
//! whose surroundings have changed, windows shorter than their slices, states nobody wrote.

#[cfg(test)]
mod extremes {
    use calybris_budget::{
        BudgetEngine, Call, ChargeState, HoldAction, LedgerState, Limits, OverrunPolicy, Receipt,
        Refusal, RefusalReason, StateError, TenantAction, TenantStatus, Window, WindowState,
        finance::certify_ledger,
    };

    fn untimed() -> Call<'static> {
        Call::default()
    }

    fn reserve(amount_microcents: i64) -> TenantAction {
        TenantAction::Reserve { amount_microcents, deadline: None }
    }

    fn commit(actual_microcents: i64) -> HoldAction {
        HoldAction::Commit { actual_microcents }
    }

    fn id(receipt: &Receipt) -> u64 {
        receipt.hold.unwrap()
    }

    fn rebuilt(engine: &BudgetEngine) -> LedgerState {
        let state = engine.state();
        assert_eq!(BudgetEngine::from_state(&state).unwrap().state(), state);
        state
    }

    /// Debt and open holds together are all spent one day: the room for that is asked for when the
    /// debt is made.
    #[test]
    fn a_debt_leaves_room_for_the_holds_still_open() {
        let engine = BudgetEngine::new();
        let policy = OverrunPolicy::Overdraft { cap_microcents: i64::MAX };
        engine.open_tenant("org", None, i64::MAX, untimed()).unwrap();
        engine.open_tenant("team", Some("org"), i64::MAX, untimed()).unwrap();
        for tenant in ["org", "team"] {
            engine.perform(tenant, &TenantAction::SetOverrunPolicy { policy }, untimed()).unwrap();
        }
        let large = id(&engine.perform("team", &reserve(1 << 62), untimed()).unwrap());
        let small = id(&engine.perform("team", &reserve(1), untimed()).unwrap());
        let refused = engine.settle(small, &commit(i64::MAX), untimed()).unwrap_err();
        assert!(matches!(refused.reason, RefusalReason::Overflow { .. }), "{refused}");
        engine.settle(small, &commit(1), untimed()).unwrap();
        engine.settle(large, &HoldAction::CommitHeld, untimed()).unwrap();
        rebuilt(&engine);
    }

    #[test]
    fn a_debt_up_to_the_last_microcent_can_be_owed_saved_and_paid() {
        let engine = BudgetEngine::new();
        let policy = OverrunPolicy::Overdraft { cap_microcents: i64::MAX };
        engine.open_tenant("solo", None, 10, untimed()).unwrap();
        engine.perform("solo", &TenantAction::SetOverrunPolicy { policy }, untimed()).unwrap();
        let hold = id(&engine.perform("solo", &reserve(10), untimed()).unwrap());
        let spent = engine.settle(hold, &commit(i64::MAX), untimed()).unwrap();
        assert_eq!(spent.balances.overdraft_microcents, i64::MAX - 10);
        rebuilt(&engine);
        let amount_microcents = i64::MAX - 10;
        let paid =
            engine.perform("solo", &TenantAction::TopUp { amount_microcents }, untimed()).unwrap();
        assert_eq!(paid.balances.committed_microcents, i64::MAX);
        assert_eq!(paid.balances.overdraft_microcents, 0);
        rebuilt(&engine);
    }

    fn closed_org() -> BudgetEngine {
        let engine = BudgetEngine::new();
        engine.open_tenant("org", None, 100, untimed()).unwrap();
        engine.open_tenant("team", Some("org"), 50, untimed().with_key("hire")).unwrap();
        engine.perform("org", &TenantAction::Close, untimed()).unwrap();
        engine
    }

    #[test]
    fn a_closed_tenant_is_closed_for_all_below_it() {
        let engine = closed_org();
        let closed = Refusal { scope: "org".into(), reason: RefusalReason::Closed };
        for action in [
            reserve(1),
            TenantAction::TopUp { amount_microcents: 1 },
            TenantAction::SetMaxReserved { cap_microcents: 1 },
            TenantAction::Freeze,
            TenantAction::Thaw,
            TenantAction::Close,
        ] {
            assert_eq!(
                engine.perform("team", &action, untimed()),
                Err(closed.clone()),
                "{action:?}"
            );
        }
        let below = engine.open_tenant("key", Some("team"), 1, untimed());
        assert_eq!(below, Err(closed));
        assert_eq!(engine.tenant_status("key"), None);
    }

    #[test]
    fn opening_again_gives_the_first_answer_whatever_became_of_the_parent() {
        let engine = BudgetEngine::new();
        engine.open_tenant("org", None, 100, untimed()).unwrap();
        let hire = untimed().with_key("hire");
        let first = engine.open_tenant("team", Some("org"), 50, hire).unwrap();
        engine.perform("org", &TenantAction::Close, untimed()).unwrap();
        assert_eq!(engine.open_tenant("team", Some("org"), 50, hire), Ok(first));
        // Without a key too, an existing tenant is left as it is.
        let again = engine.open_tenant("team", Some("org"), 7, untimed()).unwrap();
        assert_eq!((again.amount_microcents, again.balances.initial_microcents), (0, 50));
    }

    /// Opening a tenant is a call like any other: made at the latest time its ancestors have seen.
    #[test]
    fn the_key_of_an_opening_is_kept_from_the_time_of_the_parent() {
        let limits = Limits { key_retention: 50, max_keys_per_tenant: 9 };
        let engine = BudgetEngine::with_limits(limits);
        engine.ensure_tenant("org", 100);
        engine.perform("org", &reserve(1), Call::at(100)).unwrap();
        let hire = Call::at(5).with_key("hire");
        let first = engine.open_tenant("team", Some("org"), 50, hire).unwrap();
        engine.perform("team", &reserve(1), Call::at(150).with_key("order")).unwrap();
        assert_eq!(engine.open_tenant("team", Some("org"), 50, hire), Ok(first));
        engine.perform("team", &reserve(1), Call::at(151).with_key("order-2")).unwrap();
        let again = engine.open_tenant("team", Some("org"), 50, hire).unwrap();
        assert_eq!(again.amount_microcents, 0, "forgotten, and there already");
        rebuilt(&engine);
    }

    /// How long after time 0 an amount set aside then still counts.
    fn counts_for(length: u64) -> u64 {
        let engine = BudgetEngine::new();
        engine.ensure_tenant("solo", 1_000);
        let window = Window::Rolling { length };
        let limit = TenantAction::SetWindow { window, limit_microcents: Some(1) };
        engine.perform("solo", &limit, untimed()).unwrap();
        engine.perform("solo", &reserve(1), untimed()).unwrap();
        (1..).find(|now| engine.perform("solo", &reserve(1), Call::at(*now)).is_ok()).unwrap()
    }

    #[test]
    fn a_rolling_window_counts_for_its_length_and_less_than_two_slices_more() {
        for length in 1..400_u64 {
            let counted = counts_for(length);
            assert!(counted >= length, "{counted} of {length}");
            assert!(counted < length + 2 * length.div_ceil(60), "{counted} of {length}");
        }
    }

    /// The windows know when a hold was made, not when it grew: growth that is given back goes on counting
    /// where it was counted, and what others spent is never given back in its place.
    #[test]
    fn growth_that_is_given_back_counts_until_its_window_is_over() {
        let engine = BudgetEngine::new();
        engine.ensure_tenant("solo", 1_000);
        let window = Window::Fixed { length: 100 };
        let limit = TenantAction::SetWindow { window, limit_microcents: Some(100) };
        engine.perform("solo", &limit, untimed()).unwrap();
        let grown = id(&engine.perform("solo", &reserve(10), untimed()).unwrap());
        let grow = HoldAction::Grow { amount_microcents: 60 };
        engine.settle(grown, &grow, Call::at(100)).unwrap();
        let spent = id(&engine.perform("solo", &reserve(30), Call::at(100)).unwrap());
        engine.settle(spent, &HoldAction::CommitHeld, Call::at(101)).unwrap();
        engine.settle(grown, &HoldAction::Release, Call::at(102)).unwrap();
        let refused = engine.perform("solo", &reserve(11), Call::at(199)).unwrap_err();
        let reason = RefusalReason::WindowLimit { window, used: 90, limit: 100, asked: 11 };
        assert_eq!(refused.reason, reason);
        assert!(engine.perform("solo", &reserve(100), Call::at(200)).is_ok());
    }

    fn windowed() -> LedgerState {
        let engine = BudgetEngine::new();
        engine.ensure_tenant("solo", 1_000);
        for window in [Window::Fixed { length: 60 }, Window::Rolling { length: 60 }] {
            let limit = TenantAction::SetWindow { window, limit_microcents: Some(5) };
            engine.perform("solo", &limit, untimed()).unwrap();
        }
        rebuilt(&engine)
    }

    #[test]
    fn a_tenant_has_four_windows() {
        let engine = BudgetEngine::new();
        engine.ensure_tenant("solo", 1);
        let set = |length, limit_microcents| {
            let window = Window::Fixed { length };
            let set = TenantAction::SetWindow { window, limit_microcents };
            engine.perform("solo", &set, untimed()).map(drop).map_err(|refused| refused.reason)
        };
        for length in 1..=4 {
            assert_eq!(set(length, Some(1)), Ok(()));
        }
        assert_eq!(set(5, Some(1)), Err(RefusalReason::TooManyWindows { limit: 4 }));
        assert_eq!(set(4, Some(2)), Ok(()), "another limit on one of them");
        assert_eq!(set(3, None), Ok(()));
        assert_eq!(set(5, Some(1)), Ok(()), "in the place of the one removed");
        rebuilt(&engine);
    }

    fn not_canonical() -> StateError {
        StateError::NotCanonical { tenant_id: "solo".into() }
    }

    #[test]
    fn windows_out_of_order_or_twice_are_no_state() {
        let mut swapped = windowed();
        swapped.tenants[0].windows.swap(0, 1);
        assert_eq!(BudgetEngine::from_state(&swapped).unwrap_err(), not_canonical());
        let mut twice = windowed();
        let first = twice.tenants[0].windows[0].clone();
        twice.tenants[0].windows[1] = first;
        assert_eq!(BudgetEngine::from_state(&twice).unwrap_err(), not_canonical());
    }

    #[test]
    fn a_state_whose_hold_ids_are_used_up_is_refused() {
        for value in [u64::MAX, 1 << 62, (3 << 38) + 1] {
            let refused = |change: fn(&mut LedgerState, u64)| {
                let mut state = windowed();
                change(&mut state, value);
                BudgetEngine::from_state(&state).unwrap_err()
            };
            let no_hold_ids = |member| StateError::NoHoldIds { member, value };
            assert_eq!(refused(|s, value| s.next_number = value), no_hold_ids("next_number"));
            assert_eq!(refused(|s, value| s.next_spare = value), no_hold_ids("next_spare"));
        }
    }

    #[test]
    fn a_closed_tenant_with_open_holds_is_no_state() {
        let engine = BudgetEngine::new();
        engine.ensure_tenant("solo", 10);
        engine.try_reserve("solo", 1);
        let mut state = rebuilt(&engine);
        state.tenants[0].status = TenantStatus::Closed;
        assert!(BudgetEngine::from_state(&state).is_err());
    }

    #[test]
    fn charges_in_a_state_may_be_of_any_size_without_a_panic() {
        let mut state = windowed();
        let charge = |slot| ChargeState { slot, amount_microcents: i64::MAX };
        let window = Window::Fixed { length: u64::MAX };
        let charges = vec![charge(0), charge(u64::MAX)];
        state.tenants[0].windows =
            vec![WindowState { window, limit_microcents: i64::MAX, charges }];
        let engine = BudgetEngine::from_state(&state).unwrap();
        let refused = engine.perform("solo", &reserve(1), untimed()).unwrap_err();
        assert!(matches!(refused.reason, RefusalReason::WindowLimit { used: i64::MAX, .. }));
    }

    #[test]
    fn a_certificate_after_a_restart_counts_from_the_restart() {
        let engine = BudgetEngine::new();
        engine.ensure_tenant("solo", 100);
        let (_, hold) = engine.try_reserve("solo", 30);
        engine.commit(hold.unwrap(), 30);
        let restarted = BudgetEngine::from_state(&engine.state()).unwrap();
        assert_eq!(restarted.committed_since_last_certificate(), 0);
        assert_eq!(certify_ledger(&restarted).committed_since_last_certificate, 0);
    }

    /// Whoever returns from `expire` finds that what was due has been given back, also when somebody else is
    /// at it.
    #[test]
    fn who_expires_waits_for_who_expires_already() {
        const HOLDS: i64 = 200;
        let due = TenantAction::Reserve { amount_microcents: 1, deadline: Some(5) };
        for _ in 0..100 {
            let engine = BudgetEngine::new();
            engine.ensure_tenant("solo", HOLDS);
            for _ in 0..HOLDS {
                engine.perform("solo", &due, untimed()).unwrap();
            }
            let start = std::sync::Barrier::new(2);
            let expire = || {
                start.wait();
                let mine = engine.expire(5).len();
                (mine, engine.remaining_microcents("solo"))
            };
            let (a, b) = std::thread::scope(|scope| {
                let other = scope.spawn(expire);
                (expire(), other.join().unwrap())
            });
            assert_eq!((a.1, b.1), (Some(HOLDS), Some(HOLDS)));
            assert_eq!(a.0 + b.0, 200);
        }
    }

    #[test]
    fn a_refusal_names_a_tenant_or_none() {
        let engine = BudgetEngine::new();
        engine.ensure_tenant("", 1);
        let unknown = engine.settle(7, &HoldAction::Release, untimed()).unwrap_err();
        assert_eq!(unknown.to_string(), "hold 7 is not open");
        let refused = engine.perform("", &reserve(2), untimed()).unwrap_err();
        assert_eq!(refused.to_string(), "\"\": 2 asked, 1 remain");
    }

    #[test]
    fn a_snapshot_that_adds_up_to_too_much_names_the_tenant() {
        let engine = BudgetEngine::new();
        engine.ensure_tenant("desk", i64::MAX);
        let mut snapshot = engine.snapshot();
        snapshot.tenants[0].committed_microcents = 1;
        let refused = engine.restore_from_snapshot(snapshot).unwrap_err();
        let says = "the amounts of tenant \"desk\" add up to 9223372036854775808, more than 9223372036854775807";
        assert_eq!(refused.to_string(), says);
    }

    /// What a tenant cannot be set to, no state sets it to.
    #[test]
    fn settings_that_a_ledger_refuses_are_no_state() {
        type Change = fn(&mut LedgerState);
        let changes: [(Change, &str); 7] = [
            (
                |it| it.tenants[0].windows[0].window = Window::Fixed { length: 0 },
                "the length of a window is 0, outside 1 to 18446744073709551615",
            ),
            (
                |it| it.tenants[0].windows[1].window = Window::Rolling { length: 0 },
                "the length of a window is 0, outside 1 to 18446744073709551615",
            ),
            (
                |it| {
                    let window = |length| WindowState {
                        window: Window::Rolling { length },
                        ..it.tenants[0].windows[1].clone()
                    };
                    let more = [61, 62, 63].map(window);
                    it.tenants[0].windows.extend(more);
                },
                "the number of windows is 5, outside 0 to 4",
            ),
            (
                |it| it.tenants[0].keys[0].key.clear(),
                "the length of an idempotency key is 0, outside 1 to 255",
            ),
            (
                |it| it.tenants[0].keys[0].key = "k".repeat(256),
                "the length of an idempotency key is 256, outside 1 to 255",
            ),
            (
                |it| it.limits.max_keys_per_tenant = 0,
                "the number of idempotency keys is 1, outside 0 to 0",
            ),
            (
                |it| it.tenants[0].overrun_policy = OverrunPolicy::Overdraft { cap_microcents: -1 },
                "cap_microcents of the overrun policy: -1",
            ),
        ];
        let engine = BudgetEngine::from_state(&windowed()).unwrap();
        engine.perform("solo", &reserve(1), untimed().with_key("k")).unwrap();
        for (change, says) in changes {
            let mut state = rebuilt(&engine);
            change(&mut state);
            let refused = BudgetEngine::from_state(&state).map(drop);
            let refused = refused.map_err(|error| error.to_string()).expect_err(says);
            assert!(refused.contains("\"solo\"") && refused.ends_with(says), "{refused}");
        }
    }

    #[test]
    fn a_ledger_does_not_print_its_tenants() {
        let engine = BudgetEngine::new();
        engine.ensure_tenant("confidential", 1);
        assert_eq!(format!("{engine:?}"), "BudgetEngine { tenant_count: 1, .. }");
    }

    /// A key remembers a request as it was made, refused and senseless ones included.
    #[test]
    fn a_remembered_request_may_name_any_tenant_as_parent() -> Result<(), StateError> {
        let engine = BudgetEngine::new();
        let keyed = |tenant: &str, parent: &str| {
            engine.open_tenant(tenant, Some(parent), 1, Call::default().with_key("again"))
        };
        engine.ensure_tenant("a", 9);
        keyed("b", "a").unwrap();
        engine.ensure_tenant("c", 9);
        for (tenant, parent) in [("a", "b"), ("c", "c"), ("b", "a")] {
            let answer = keyed(tenant, parent);
            let state = engine.state();
            let restarted = BudgetEngine::from_state(&state)?;
            assert_eq!(restarted.state(), state, "{tenant} below {parent}: {answer:?}");
        }
        Ok(())
    }
}
