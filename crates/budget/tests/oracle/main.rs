//! Every operation of the ledger against a plain model of the same rules: lists and maps, no locks, no
//! shortcuts. Every answer and every amount agree.

#[cfg(test)]
#[path = "../common/mod.rs"]
mod common;

#[cfg(test)]
mod plain;

#[cfg(test)]
mod against {
    use calybris_budget::{Applied, BudgetEngine, ConservationStatus, LedgerOperation, Receipt};
    use proptest::prelude::*;

    use crate::{
        common::{TENANTS, operation, with_hold},
        plain::{LIMITS, Model},
    };

    /// Some openings name another parent, some calls are made at the end of time, and some come after a
    /// restart.
    #[derive(Clone, Debug)]
    struct Step {
        operation: LedgerOperation,
        restarted: bool,
    }

    fn step() -> impl Strategy<Value = Step> {
        let parent = prop_oneof![
            20 => Just(None),
            1 => proptest::sample::select(&TENANTS[..]).prop_map(Some),
        ];
        let time = prop_oneof![60 => Just(None), 1 => (u64::MAX - 9..=u64::MAX).prop_map(Some)];
        let restarted = proptest::bool::weighted(0.05);
        (operation(), parent, time, restarted).prop_map(
            |(mut operation, other, time, restarted)| {
                if let LedgerOperation::Open { parent, .. } = &mut operation {
                    *parent = other.map(str::to_owned).or_else(|| parent.take());
                }
                let (LedgerOperation::Open { now, .. }
                | LedgerOperation::Tenant { now, .. }
                | LedgerOperation::Hold { now, .. }
                | LedgerOperation::Expire { now }) = &mut operation;
                *now = time.unwrap_or(*now);
                Step { operation, restarted }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn every_answer_and_every_amount(steps in proptest::collection::vec(step(), 0..200)) {
            let mut engine = BudgetEngine::with_limits(LIMITS);
            let mut model = Model::default();
            let mut made = Vec::new();
            for Step { operation, restarted } in &steps {
                if *restarted {
                    let state = engine.state();
                    engine = BudgetEngine::from_state(&state)?;
                    prop_assert_eq!(engine.state(), state);
                }
                let operation = with_hold(operation, &made);
                let answer = engine.apply(&operation);
                let id = match answer {
                    Ok(Applied::Receipt(Receipt { hold, .. })) => hold,
                    _ => None,
                };
                prop_assert_eq!(&model.apply(&operation, id), &answer, "{:?}", operation);
                if let (LedgerOperation::Tenant { .. }, Some(id)) = (&operation, id)
                    && !made.contains(&id)
                {
                    made.push(id);
                }
                prop_assert_eq!(engine.verify_conservation(), ConservationStatus::Balanced);
            }
            prop_assert_eq!(engine.active_reservations(), model.holds.len() as u64);
            prop_assert_eq!(engine.tenant_count(), model.tenants.len());
            for (name, tenant) in &model.tenants {
                prop_assert_eq!(engine.balances(name), Some(tenant.own));
                prop_assert_eq!(engine.tenant_status(name), Some(tenant.status));
            }
        }
    }
}
