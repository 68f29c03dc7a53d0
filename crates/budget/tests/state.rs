//! A ledger is a function of its operations: replayed from any state on the way, they give the same
//! answers and, byte for byte, the same state.

#[cfg(test)]
mod common;

#[cfg(test)]
mod replay {
    use calybris_budget::{
        Applied, BudgetEngine, LedgerOperation, LedgerState, Limits, Receipt, StateError,
        finance::prove_conservation,
    };
    use proptest::prelude::*;

    use crate::common::{operation, with_hold};

    const FEW_KEYS: Limits = Limits { key_retention: 150, max_keys_per_tenant: 4 };

    fn json(engine: &BudgetEngine) -> String {
        serde_json::to_string(&engine.state()).unwrap()
    }

    fn run(engine: &BudgetEngine, steps: &[LedgerOperation], made: &mut Vec<u64>) -> Vec<String> {
        let mut answers = Vec::new();
        for step in steps {
            let before = engine.state();
            let operation = with_hold(step, made);
            let answer = engine.apply(&operation);
            if let Ok(Applied::Receipt(Receipt { hold: Some(id), .. })) = answer
                && matches!(operation, LedgerOperation::Tenant { .. })
                && !made.contains(&id)
            {
                made.push(id);
            }
            let keyed = format!("{operation:?}").contains("key: Some");
            if answer.is_err() && !keyed {
                assert_eq!(engine.state(), before, "a refusal changes nothing: {operation:?}");
            }
            let again: LedgerOperation =
                serde_json::from_str(&serde_json::to_string(&operation).unwrap()).unwrap();
            assert_eq!(again, operation);
            answers.push(format!("{operation:?} -> {answer:?}"));
        }
        answers
    }

    /// Ids in a block: `docs/format/ledger-v2.md`.
    const BLOCK: u64 = 1 << 22;

    /// The ledger as if every tenant had been given all but one of the ids of its block.
    fn nearly_used_up(engine: &BudgetEngine) -> BudgetEngine {
        let mut state = engine.state();
        for tenant in &mut state.tenants {
            tenant.next_hold = tenant.next_hold.next_multiple_of(BLOCK) - 1;
        }
        BudgetEngine::from_state(&state).unwrap()
    }

    proptest! {
        #[test]
        fn from_any_state_on_the_way(
            steps in proptest::collection::vec(operation(), 0..150),
            split in 0_usize..150,
            used_up: bool,
        ) {
            let (first, rest) = steps.split_at(split.min(steps.len()));
            let mut engine = BudgetEngine::with_limits(FEW_KEYS);
            let mut made = Vec::new();
            run(&engine, first, &mut made);
            if used_up {
                engine = nearly_used_up(&engine);
            }
            let text = json(&engine);
            let state: LedgerState = serde_json::from_str(&text).unwrap();
            // Checks amounts within and between tenants, and that the form is canonical.
            let replayed = BudgetEngine::from_state(&state).unwrap();
            prop_assert_eq!(json(&replayed), text);
            let mut made_again = made.clone();
            let answers = run(&engine, rest, &mut made);
            prop_assert_eq!(run(&replayed, rest, &mut made_again), answers);
            prop_assert_eq!(json(&replayed), json(&engine));
            prop_assert_eq!(replayed.state().digest(), engine.state().digest());
            let rebuilt = BudgetEngine::from_state(&engine.state()).unwrap();
            prop_assert_eq!(json(&rebuilt), json(&engine));
            // One knows every block that was given, the other those that matter.
            made_again.clone_from(&made);
            let answers = run(&engine, first, &mut made);
            prop_assert_eq!(run(&rebuilt, first, &mut made_again), answers);
            prop_assert_eq!(json(&rebuilt), json(&engine));
        }
    }

    #[test]
    fn looking_changes_nothing() {
        let engine = BudgetEngine::new();
        engine.ensure_tenant("a", 10);
        engine.try_reserve("a", 4);
        let before = engine.state().digest();
        let _ = (engine.snapshot(), engine.verify_conservation(), prove_conservation(&engine));
        let _ = (engine.balances("a"), engine.active_reservations(), engine.expire(u64::MAX));
        assert_eq!(engine.state().digest(), before);
        engine.try_reserve("a", 1);
        assert_ne!(engine.state().digest(), before);
    }

    /// Each of these is refused, and says what is wrong.
    #[test]
    fn impossible_states_are_refused() {
        let state: LedgerState = serde_json::from_str(include_str!("data/ledger_v2.json")).unwrap();
        BudgetEngine::from_state(&state).unwrap();
        let refused = |change: fn(&mut LedgerState)| {
            let mut changed = state.clone();
            change(&mut changed);
            assert_ne!(changed.digest(), state.digest());
            BudgetEngine::from_state(&changed).map(|_| ()).unwrap_err()
        };
        assert!(matches!(
            refused(|s| s.tenants[0].remaining_microcents += 1),
            StateError::Unequal { what: "initial_microcents", .. }
        ));
        assert!(matches!(
            refused(|s| s.tenants[0].committed_microcents = -1),
            StateError::NegativeAmount { field: "committed_microcents", value: -1, .. }
        ));
        assert!(matches!(
            refused(|s| s.tenants[1].holds[0].amount_microcents += 1),
            StateError::Unequal { what: "reserved_microcents", .. }
        ));
        assert!(matches!(
            refused(|s| s.tenants[0].children_spent_microcents += 1),
            StateError::Unequal { what: "children_spent_microcents", .. }
        ));
        assert!(matches!(
            refused(|s| s.tenants[0].parent_id = Some("org/team".into())),
            StateError::Parent { .. } | StateError::Unequal { .. }
        ));
        assert!(matches!(
            refused(|s| s.tenants[1].holds[0].hold = 9_999_999),
            StateError::HoldId { hold: 9_999_999, .. }
        ));
        assert!(matches!(
            refused(|s| s.next_number += 1),
            StateError::Number { expected: 1, found: 0, .. }
        ));
        assert!(matches!(
            refused(|s| s.tenants[1].number = 2),
            StateError::Number { expected: 1, found: 2, .. }
        ));
        assert!(matches!(refused(|s| s.tenants[2].next_hold = 0), StateError::HoldId { .. }));
        assert_eq!(refused(|s| s.next_spare += 1), StateError::NextSpare { expected: 0, found: 1 });
        assert!(matches!(
            refused(|s| s.tenants[2].tenant_id = "org/team".into()),
            StateError::NotCanonical { tenant_id } if tenant_id == "org/team"
        ));
        assert!(matches!(
            refused(|s| {
                let [org, team, ..] = &mut *s.tenants else { return };
                std::mem::swap(&mut org.number, &mut team.number);
            }),
            StateError::Parent { .. }
        ));
        assert!(matches!(refused(|s| s.tenants.swap(0, 1)), StateError::NotCanonical { .. }));
        assert!(matches!(
            refused(|s| s.tenants[1].keys.swap(0, 1)),
            StateError::NotCanonical { .. }
        ));
    }

    #[test]
    fn another_schema_is_refused() {
        let mut state = BudgetEngine::new().state();
        state.schema_version = "calybris.ledger.v3".into();
        let found = "calybris.ledger.v3".to_owned();
        assert_eq!(BudgetEngine::from_state(&state).map(|_| ()), Err(StateError::Schema { found }));
    }
}

#[cfg(test)]
mod golden {
    use calybris_budget::{
        BudgetEngine, Call, HoldAction, LedgerState, OverrunPolicy, Refusal, TenantAction, Window,
    };
    use calybris_kernel::digest::digest_to_hex;

    /// A bit of everything.
    fn engine() -> Result<BudgetEngine, Refusal> {
        let engine = BudgetEngine::new();
        engine.open_tenant("org", None, 1_000, Call::at(10))?;
        engine.open_tenant("org/team", Some("org"), 400, Call::at(10).with_key("open"))?;
        engine.open_tenant("solo", None, 50, Call::default())?;
        let set = |tenant, action| engine.perform(tenant, &action, Call::at(20)).map(|_| ());
        let window = Window::Rolling { length: 3_600_000 };
        set("org", TenantAction::SetWindow { window, limit_microcents: Some(900) })?;
        set("org", TenantAction::SetMaxReserved { cap_microcents: 700 })?;
        let policy = OverrunPolicy::Overdraft { cap_microcents: 25 };
        set("solo", TenantAction::SetOverrunPolicy { policy })?;
        let reserve = |tenant, amount_microcents, deadline, call| {
            let action = TenantAction::Reserve { amount_microcents, deadline };
            engine.perform(tenant, &action, call).map(|done| done.hold.unwrap_or(0))
        };
        let spent = reserve("org/team", 100, None, Call::at(30).with_key("a"))?;
        engine.settle(
            spent,
            &HoldAction::Commit { actual_microcents: 60 },
            Call::at(40).with_key("b"),
        )?;
        reserve("org/team", 120, Some(9_000), Call::at(50))?;
        reserve("org/team", 800, None, Call::at(60).with_key("refused")).unwrap_err();
        let over = reserve("solo", 40, None, Call::default())?;
        engine.settle(over, &HoldAction::Commit { actual_microcents: 65 }, Call::default())?;
        engine.perform("solo", &TenantAction::Freeze, Call::default())?;
        Ok(engine)
    }

    #[test]
    fn the_bytes_are_the_recorded_ones() {
        let state = engine().unwrap().state();
        let text = include_str!("data/ledger_v2.json").trim_end();
        assert_eq!(serde_json::to_string(&state).unwrap(), text);
        let recorded: LedgerState = serde_json::from_str(text).unwrap();
        assert_eq!(recorded, state);
        let page = include_str!("../../../docs/format/ledger-v2.md");
        let stated = page.lines().last().map(str::trim);
        assert_eq!(stated, Some(digest_to_hex(&state.digest()).as_str()));
        let unknown = text.replacen("\"limits\"", "\"more\":1,\"limits\"", 1);
        assert!(serde_json::from_str::<LedgerState>(&unknown).is_err());
    }
}
