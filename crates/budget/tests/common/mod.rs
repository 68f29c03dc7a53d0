//! Random operations on a small ledger, for the tests that compare two ways of running them.

use calybris_budget::{HoldAction, LedgerOperation, OverrunPolicy, TenantAction, Window};
use proptest::prelude::*;

pub(crate) const TENANTS: [&str; 6] = ["firm", "desk", "pad", "strategy-é", "solo", "nobody"];

/// Each tenant always under the same parent, two levels under the firm.
fn parent(tenant: &str) -> Option<String> {
    match tenant {
        "desk" | "pad" => Some("firm".into()),
        "strategy-é" => Some("desk".into()),
        "nobody" => Some("missing".into()),
        _ => None,
    }
}

fn amount() -> impl Strategy<Value = i64> {
    let half = (1_i64 << 62) - 100..(1_i64 << 62) + 100;
    prop_oneof![24 => 1_i64..120, 4 => -1_i64..1, 2 => (i64::MAX - 200)..=i64::MAX, 1 => half]
}

fn time() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![2 => Just(None), 3 => (0_u64..600).prop_map(Some), 1 => Just(Some(u64::MAX))]
}

fn window() -> impl Strategy<Value = Window> {
    let length = prop_oneof![Just(0_u64), Just(1), Just(61), Just(130), Just(200), Just(u64::MAX)];
    (length, any::<bool>()).prop_map(|(length, rolling)| {
        if rolling { Window::Rolling { length } } else { Window::Fixed { length } }
    })
}

fn policy() -> impl Strategy<Value = OverrunPolicy> {
    prop_oneof![
        Just(OverrunPolicy::Refuse),
        prop_oneof![9 => 0_i64..80, 1 => Just(i64::MAX)]
            .prop_map(|cap_microcents| OverrunPolicy::Overdraft { cap_microcents }),
        Just(OverrunPolicy::Freeze),
    ]
}

fn tenant_action() -> impl Strategy<Value = TenantAction> {
    prop_oneof![
        12 => (amount(), time()).prop_map(|(amount_microcents, deadline)| {
            TenantAction::Reserve { amount_microcents, deadline }
        }),
        4 => (amount(), amount(), time()).prop_map(|(amount_microcents, at_least_microcents, deadline)| {
            TenantAction::ReserveUpTo { amount_microcents, at_least_microcents, deadline }
        }),
        4 => amount().prop_map(|amount_microcents| TenantAction::TopUp { amount_microcents }),
        1 => (0_i64..200).prop_map(|cap_microcents| TenantAction::SetMaxReserved { cap_microcents }),
        2 => policy().prop_map(|policy| TenantAction::SetOverrunPolicy { policy }),
        2 => (window(), proptest::option::of(prop_oneof![9 => 0_i64..300, 1 => Just(i64::MAX)])).prop_map(|(window, limit_microcents)| {
            TenantAction::SetWindow { window, limit_microcents }
        }),
        1 => Just(TenantAction::Freeze),
        3 => Just(TenantAction::Thaw),
        1 => Just(TenantAction::Close),
    ]
}

fn hold_action() -> impl Strategy<Value = HoldAction> {
    prop_oneof![
        6 => amount().prop_map(|actual_microcents| HoldAction::Commit { actual_microcents }),
        1 => Just(HoldAction::CommitHeld),
        3 => amount().prop_map(|amount_microcents| HoldAction::CommitPart { amount_microcents }),
        3 => Just(HoldAction::Release),
        3 => amount().prop_map(|amount_microcents| HoldAction::Grow { amount_microcents }),
        2 => time().prop_map(|deadline| HoldAction::Extend { deadline }),
    ]
}

fn key() -> impl Strategy<Value = Option<String>> {
    prop_oneof![4 => Just(None), 2 => "[abc]".prop_map(Some), 1 => "[a-z]{0,3}".prop_map(Some)]
}

/// A hold is meant by its rank among all holds made so far; see [`with_hold`].
pub(crate) fn operation() -> impl Strategy<Value = LedgerOperation> {
    let tenant = || proptest::sample::select(&TENANTS[..]);
    let now = || prop_oneof![1 => Just(0_u64), 3 => 0_u64..600];
    prop_oneof![
        3 => (tenant(), amount(), now(), key()).prop_map(|(tenant, initial_microcents, now, key)| {
            LedgerOperation::Open {
                tenant: tenant.into(), parent: parent(tenant), initial_microcents, now, key,
            }
        }),
        8 => (tenant(), tenant_action(), now(), key()).prop_map(|(tenant, action, now, key)| {
            LedgerOperation::Tenant { tenant: tenant.into(), action, now, key }
        }),
        7 => (0_u64..40, hold_action(), now(), key()).prop_map(|(hold, action, now, key)| {
            LedgerOperation::Hold { hold, action, now, key }
        }),
        1 => now().prop_map(|now| LedgerOperation::Expire { now }),
    ]
}

/// The operation with the rank of its hold replaced by a hold's id.
pub(crate) fn with_hold(operation: &LedgerOperation, made: &[u64]) -> LedgerOperation {
    let mut operation = operation.clone();
    if let LedgerOperation::Hold { hold, .. } = &mut operation {
        let rank = usize::try_from(*hold).unwrap_or(0);
        *hold = made
            .len()
            .checked_sub(1 + rank % 8)
            .and_then(|at| made.get(at))
            .copied()
            .unwrap_or(*hold);
    }
    operation
}
