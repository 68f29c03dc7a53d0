//! Random operations against a plain model of the rules: every answer and every amount agree.

#[cfg(test)]
mod model {
    use std::collections::BTreeMap;

    use calybris_budget::{
        BudgetEngine, BudgetReservation, BudgetSettlement, ConservationStatus, TopUpResult,
    };
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Ensure(u8, i64),
        TopUp(u8, i64),
        Cap(u8, i64),
        Reserve(u8, i64),
        Commit(u8, i64),
        Release(u8),
        Restart,
    }

    #[derive(Clone, Copy, Default)]
    struct Account {
        initial: i64,
        remaining: i64,
        reserved: i64,
        committed: i64,
        cap: i64,
    }

    #[derive(Default)]
    struct Model {
        accounts: BTreeMap<u8, Account>,
        /// Tenant and amount of every hold ever made, by id; `None` once settled.
        holds: BTreeMap<u64, Option<(u8, i64)>>,
    }

    fn amount() -> impl Strategy<Value = i64> {
        prop_oneof![
            8 => -2_i64..200,
            1 => Just(i64::MAX),
            1 => Just(i64::MIN),
            1 => (i64::MAX - 300)..i64::MAX,
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        let tenant = 0_u8..4;
        prop_oneof![
            2 => (tenant.clone(), amount()).prop_map(|(t, a)| Step::Ensure(t, a)),
            2 => (tenant.clone(), amount()).prop_map(|(t, a)| Step::TopUp(t, a)),
            1 => (tenant.clone(), amount()).prop_map(|(t, a)| Step::Cap(t, a)),
            8 => (tenant, amount()).prop_map(|(t, a)| Step::Reserve(t, a)),
            5 => (any::<u8>(), amount()).prop_map(|(h, a)| Step::Commit(h, a)),
            3 => any::<u8>().prop_map(Step::Release),
            1 => Just(Step::Restart),
        ]
    }

    fn name(tenant: u8) -> String {
        format!("tenant-{tenant}")
    }

    impl Model {
        /// Some hold, open or settled, or an id that was never given.
        fn pick(&self, choice: u8) -> u64 {
            let ids: Vec<u64> = self.holds.keys().copied().collect();
            ids.get(usize::from(choice) % (ids.len() + 1)).copied().unwrap_or(u64::from(choice))
        }

        fn run(&mut self, engine: &mut BudgetEngine, step: &Step) {
            match *step {
                Step::Ensure(tenant, amount) => {
                    let accepted = engine.try_ensure_tenant(&name(tenant), amount).is_ok();
                    assert_eq!(accepted, amount >= 0);
                    if accepted {
                        let fresh =
                            Account { initial: amount, remaining: amount, ..Account::default() };
                        self.accounts.entry(tenant).or_insert(fresh);
                    }
                }
                Step::TopUp(tenant, amount) => {
                    let answer = engine.top_up_tenant(&name(tenant), amount);
                    assert_eq!(answer, self.top_up(tenant, amount));
                }
                Step::Cap(tenant, cap) => {
                    let set = engine.try_set_max_reserved_microcents(&name(tenant), cap).is_ok();
                    let account = self.accounts.get_mut(&tenant).filter(|_| cap >= 0);
                    assert_eq!(set, account.is_some());
                    if let Some(account) = account {
                        account.cap = cap;
                    }
                }
                Step::Reserve(tenant, amount) => {
                    let (answer, id) = engine.try_reserve(&name(tenant), amount);
                    let expected = self.reserve(tenant, amount);
                    assert_eq!(answer, expected);
                    let reserved = matches!(expected, BudgetReservation::Reserved { .. });
                    assert_eq!(id.is_some(), reserved);
                    if let Some(id) = id {
                        assert!(id > 0);
                        assert_eq!(
                            self.holds.insert(id, Some((tenant, amount))),
                            None,
                            "id reused"
                        );
                    }
                }
                Step::Commit(choice, actual) => {
                    let id = self.pick(choice);
                    assert_eq!(engine.commit(id, actual), self.settle(id, Some(actual)));
                }
                Step::Release(choice) => {
                    let id = self.pick(choice);
                    assert_eq!(engine.release(id), self.settle(id, None));
                }
                Step::Restart => self.restart(engine),
            }
        }

        fn top_up(&mut self, tenant: u8, added: i64) -> TopUpResult {
            let Some(account) = self.accounts.get_mut(&tenant) else {
                return TopUpResult::MissingTenant;
            };
            if added <= 0 {
                return TopUpResult::InvalidAmount;
            }
            let Some(initial) = account.initial.checked_add(added) else {
                return TopUpResult::Overflow;
            };
            account.initial = initial;
            account.remaining += added;
            TopUpResult::ToppedUp {
                added_microcents: added,
                new_initial_microcents: initial,
                remaining_microcents: account.remaining,
            }
        }

        fn reserve(&mut self, tenant: u8, amount: i64) -> BudgetReservation {
            let Some(account) = self.accounts.get_mut(&tenant) else {
                return BudgetReservation::MissingTenant;
            };
            if amount <= 0 {
                return BudgetReservation::InvalidAmount;
            }
            if amount > account.remaining {
                return BudgetReservation::Insufficient {
                    remaining_microcents: account.remaining,
                    required_microcents: amount,
                };
            }
            if account.cap > 0 && account.reserved + amount > account.cap {
                return BudgetReservation::ExposureLimitExceeded {
                    current_reserved_microcents: account.reserved,
                    max_reserved_microcents: account.cap,
                };
            }
            account.remaining -= amount;
            account.reserved += amount;
            BudgetReservation::Reserved { remaining_microcents: account.remaining }
        }

        fn settle(&mut self, id: u64, actual: Option<i64>) -> BudgetSettlement {
            let Some(Some((tenant, held))) = self.holds.get(&id).copied() else {
                return BudgetSettlement::MissingReservation;
            };
            let account = self.accounts.get_mut(&tenant).unwrap();
            let spent = actual.unwrap_or(0);
            if spent < 0 {
                return BudgetSettlement::InvalidAmount;
            }
            if spent - held > account.remaining {
                return BudgetSettlement::Overrun { remaining_microcents: account.remaining };
            }
            account.reserved -= held;
            account.committed += spent;
            account.remaining += held - spent;
            self.holds.insert(id, None);
            let remaining_microcents = account.remaining;
            match actual {
                Some(actual_microcents) => {
                    BudgetSettlement::Committed { remaining_microcents, actual_microcents }
                }
                None => {
                    BudgetSettlement::Released { remaining_microcents, returned_microcents: held }
                }
            }
        }

        /// A new engine from a snapshot; refused while holds are open.
        fn restart(&mut self, engine: &mut BudgetEngine) {
            let open = self.holds.values().flatten().count() as u64;
            let restarted = BudgetEngine::new();
            let snapshot = engine.snapshot();
            let version = snapshot.version;
            assert_eq!(restarted.restore_from_snapshot(snapshot).is_ok(), open == 0);
            if open == 0 {
                assert!(restarted.snapshot().version > version);
                for account in self.accounts.values_mut() {
                    account.cap = 0;
                }
                *engine = restarted;
            }
        }

        fn check(&self, engine: &BudgetEngine) {
            assert_eq!(engine.verify_conservation(), ConservationStatus::Balanced);
            assert_eq!(engine.tenant_count(), self.accounts.len());
            let snapshot = engine.snapshot();
            let open = self.holds.values().flatten().count() as u64;
            assert_eq!(snapshot.active_reservations, open);
            for (seen, (tenant, account)) in snapshot.tenants.iter().zip(&self.accounts) {
                assert_eq!(seen.tenant_id, name(*tenant));
                assert_eq!(seen.initial_microcents, account.initial);
                assert_eq!(seen.remaining_microcents, account.remaining);
                assert_eq!(seen.reserved_microcents, account.reserved);
                assert_eq!(seen.committed_microcents, account.committed);
                let balances = engine.balances(&name(*tenant)).unwrap();
                assert_eq!(balances.remaining_microcents, account.remaining);
                assert_eq!(balances.overdraft_microcents, 0);
            }
            assert!(self.holds.keys().all(|id| *id < snapshot.version & !(1 << 63)));
        }
    }

    proptest! {
        #[test]
        fn every_answer_is_the_models(steps in proptest::collection::vec(step(), 0..120)) {
            let mut engine = BudgetEngine::new();
            let mut model = Model::default();
            for step in &steps {
                model.run(&mut engine, step);
            }
            model.check(&engine);
        }
    }
}
