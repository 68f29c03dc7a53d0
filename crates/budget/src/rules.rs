//! The rules of every operation over a path: a tenant followed by its ancestors, all locked.
//!
//! Every rule first asks each scope and only then changes all of them, so that an operation happens
//! along the whole path or nowhere, and a refusal names the scope.

use std::ops::DerefMut;

use crate::{
    account::{Account, TenantStatus},
    holds::{FOREVER, OpenHold},
    operation::{HoldAction, OverrunPolicy, TenantAction},
    refusal::{Barrier, Receipt, RefusalReason},
    store::{HoldIds, MAX_NUMBER},
    window::{MAX_WINDOWS, Meter, Window},
};

/// Locked accounts, or plain ones in tests.
pub(crate) trait Scope: DerefMut<Target = Account> {}
impl<T: DerefMut<Target = Account>> Scope for T {}

/// What a tenant is asked to do. A new hold takes its id from `ids`.
#[inline(always)]
pub(crate) fn on_tenant<S: Scope>(
    path: &mut [S],
    action: TenantAction,
    now: u64,
    ids: HoldIds<'_>,
) -> Result<Receipt, Barrier> {
    match action {
        TenantAction::Reserve { amount_microcents: amount, deadline } => {
            within(amount, 1, i64::MAX)?;
            reserve(path, amount, deadline, now, ids)
        }
        TenantAction::ReserveUpTo { amount_microcents, at_least_microcents, deadline } => {
            within(at_least_microcents, 1, i64::MAX)?;
            within(amount_microcents, at_least_microcents, i64::MAX)?;
            let available = path.iter().map(|scope| scope.available(now)).min().unwrap_or(0);
            // Where too little is available, the scope that lacks it refuses the least asked for.
            let amount = available.clamp(at_least_microcents, amount_microcents);
            reserve(path, amount, deadline, now, ids)
        }
        TenantAction::TopUp { .. }
        | TenantAction::SetMaxReserved { .. }
        | TenantAction::SetOverrunPolicy { .. }
        | TenantAction::SetWindow { .. }
        | TenantAction::Freeze
        | TenantAction::Thaw
        | TenantAction::Close => {
            ask(path, Account::not_closed)?;
            let tenant = path.first_mut().ok_or(RefusalReason::MissingTenant)?;
            let amount_microcents = set(tenant, action, now)?;
            Ok(Receipt { hold: None, amount_microcents, balances: tenant.balances() })
        }
    }
}

/// What is done with an open hold of the first scope.
#[inline(always)]
pub(crate) fn on_hold<S: Scope>(
    path: &mut [S],
    id: u64,
    action: HoldAction,
    now: u64,
) -> Result<Receipt, Barrier> {
    let missing = RefusalReason::MissingHold { hold: id };
    let tenant = path.first_mut().ok_or(missing)?;
    let hold = tenant.holds.get(id).ok_or(missing)?;
    let amount = match action {
        HoldAction::Commit { actual_microcents: actual } => {
            within(actual, 0, i64::MAX)?;
            ask(path, |scope| scope.admit_spend(hold.amount, actual))?;
            end(path, id, hold, actual, now)
        }
        HoldAction::CommitHeld => end(path, id, hold, hold.amount, now),
        HoldAction::Release => {
            end(path, id, hold, 0, now);
            hold.amount
        }
        HoldAction::CommitPart { amount_microcents: part } => {
            within(part, 1, hold.amount)?;
            if part == hold.amount {
                end(path, id, hold, part, now)
            } else {
                shrink(path, id, part, now)
            }
        }
        HoldAction::Grow { amount_microcents: more } => {
            within(more, 1, i64::MAX)?;
            ask(path, |scope| scope.admit(more, now))?;
            resize(path, id, more);
            set_aside(path, more, now);
            more
        }
        HoldAction::Extend { deadline } => {
            extend(path, id, later(deadline, now)?);
            hold.amount
        }
    };
    let balances = path.first().map(|tenant| tenant.balances()).unwrap_or_default();
    Ok(Receipt { hold: Some(id), amount_microcents: amount, balances })
}

/// Asks every scope, the tenant first; a refusal says at which level.
#[inline(always)]
fn ask<S: Scope>(
    path: &[S],
    rule: impl Fn(&Account) -> Result<(), RefusalReason>,
) -> Result<(), Barrier> {
    for (level, scope) in (0_u8..).zip(path) {
        rule(scope).map_err(|reason| Barrier { level, reason })?;
    }
    Ok(())
}

fn within(asked: i64, minimum: i64, maximum: i64) -> Result<(), RefusalReason> {
    if asked < minimum || asked > maximum {
        return Err(RefusalReason::InvalidAmount { asked, minimum, maximum });
    }
    Ok(())
}

fn later(deadline: Option<u64>, now: u64) -> Result<u64, RefusalReason> {
    match deadline {
        None => Ok(FOREVER),
        Some(deadline) if deadline > now => Ok(deadline),
        Some(deadline) => Err(RefusalReason::PastDeadline { deadline, now }),
    }
}

#[inline(always)]
fn reserve<S: Scope>(
    path: &mut [S],
    amount: i64,
    deadline: Option<u64>,
    now: u64,
    ids: HoldIds<'_>,
) -> Result<Receipt, Barrier> {
    let deadline = later(deadline, now)?;
    ask(path, |scope| scope.admit(amount, now))?;
    // An id is taken only once nothing else can refuse.
    let tenant = path.first_mut().ok_or(RefusalReason::MissingTenant)?;
    let id = ids.take(tenant).ok_or(RefusalReason::NoHoldIds { limit: MAX_NUMBER })?;
    tenant.holds.insert(id, OpenHold { amount, began: now, deadline });
    if deadline != FOREVER {
        tenant.extras_mut().deadlines.add(deadline, id);
    }
    set_aside(path, amount, now);
    let balances = path.first().map(|tenant| tenant.balances()).unwrap_or_default();
    Ok(Receipt { hold: Some(id), amount_microcents: amount, balances })
}

#[inline(always)]
fn set_aside<S: Scope>(path: &mut [S], amount: i64, now: u64) {
    for scope in path {
        scope.set_aside(amount, now);
    }
}

/// Ends a hold, `spent` of it spent; gives `spent`.
#[inline(always)]
fn end<S: Scope>(path: &mut [S], id: u64, hold: OpenHold, spent: i64, now: u64) -> i64 {
    if let Some(tenant) = path.first_mut() {
        tenant.holds.remove(id);
        if hold.deadline != FOREVER {
            tenant.extras_mut().deadlines.remove(hold.deadline, id);
        }
    }
    settle(path, hold.amount, spent, hold.began, now);
    spent
}

/// Spends a part of a hold that stays open; gives the part.
fn shrink<S: Scope>(path: &mut [S], id: u64, part: i64, now: u64) -> i64 {
    resize(path, id, -part);
    settle(path, part, part, now, now);
    part
}

#[inline(always)]
fn settle<S: Scope>(path: &mut [S], held: i64, spent: i64, began: u64, now: u64) {
    let mut below = false;
    for scope in path {
        scope.settle(held, spent, began, now);
        if below && spent > 0 {
            scope.extras_mut().children_spent += spent;
        }
        below = true;
    }
}

fn resize<S: Scope>(path: &mut [S], id: u64, by: i64) {
    let Some(tenant) = path.first_mut() else { return };
    if let Some(hold) = tenant.holds.remove(id) {
        tenant.holds.insert(id, OpenHold { amount: hold.amount + by, ..hold });
    }
}

fn extend<S: Scope>(path: &mut [S], id: u64, deadline: u64) {
    let Some(tenant) = path.first_mut() else { return };
    let Some(hold) = tenant.holds.remove(id) else { return };
    tenant.holds.insert(id, OpenHold { deadline, ..hold });
    let deadlines = &mut tenant.extras_mut().deadlines;
    if hold.deadline != FOREVER {
        deadlines.remove(hold.deadline, id);
    }
    if deadline != FOREVER {
        deadlines.add(deadline, id);
    }
}

/// What concerns one scope alone. Gives the amount moved.
fn set(tenant: &mut Account, action: TenantAction, now: u64) -> Result<i64, RefusalReason> {
    match action {
        TenantAction::TopUp { amount_microcents } => {
            within(amount_microcents, 1, i64::MAX)?;
            tenant.top_up(amount_microcents)?;
            return Ok(amount_microcents);
        }
        TenantAction::SetMaxReserved { cap_microcents } => {
            within(cap_microcents, 0, i64::MAX)?;
            tenant.extras_mut().max_reserved = cap_microcents;
        }
        TenantAction::SetOverrunPolicy { policy } => {
            if let OverrunPolicy::Overdraft { cap_microcents } = policy {
                within(cap_microcents, 0, i64::MAX)?;
            }
            tenant.extras_mut().overrun = policy;
        }
        TenantAction::SetWindow { window, limit_microcents } => {
            set_window(tenant, window, limit_microcents, now)?;
        }
        TenantAction::Freeze => tenant.extras_mut().status = TenantStatus::Frozen,
        TenantAction::Thaw => tenant.extras_mut().status = TenantStatus::Active,
        TenantAction::Close => {
            if tenant.reserved > 0 {
                return Err(RefusalReason::OpenHolds { reserved: tenant.reserved });
            }
            tenant.extras_mut().status = TenantStatus::Closed;
        }
        TenantAction::Reserve { .. } | TenantAction::ReserveUpTo { .. } => {}
    }
    Ok(0)
}

fn set_window(
    tenant: &mut Account,
    window: Window,
    limit: Option<i64>,
    now: u64,
) -> Result<(), RefusalReason> {
    if window.length() == 0 {
        return Err(RefusalReason::EmptyWindow);
    }
    let reserved = tenant.reserved;
    let meters = &mut tenant.extras_mut().meters;
    let position = meters.binary_search_by_key(&window, |meter| meter.window);
    match (position, limit) {
        (Ok(at), Some(limit)) => {
            within(limit, 0, i64::MAX)?;
            if let Some(meter) = meters.get_mut(at) {
                meter.limit = limit;
            }
        }
        (Err(at), Some(limit)) => {
            within(limit, 0, i64::MAX)?;
            if meters.len() == MAX_WINDOWS {
                return Err(RefusalReason::TooManyWindows { limit: MAX_WINDOWS as u64 });
            }
            meters.insert(at, Meter::starting(window, limit, now, reserved));
        }
        (Ok(at), None) => drop(meters.remove(at)),
        (Err(_), None) => {}
    }
    Ok(())
}
