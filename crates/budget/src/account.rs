//! What a tenant owns, and the rules of each operation over a path of them.
//!
//! A path is the tenant of an operation followed by its ancestors, all locked. Every rule first asks
//! each scope of the path and only then changes all of them, so it happens everywhere or nowhere.

use std::ops::{Deref, DerefMut};

use crate::holds::{Holds, OpenHold};

/// No parent.
pub(crate) const ROOT: u32 = u32::MAX;

/// The four amounts of a tenant, in microcents.
///
/// `remaining + reserved + committed == initial`, and none is negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Balances {
    /// Everything ever granted.
    pub initial_microcents: i64,
    /// What can still be reserved.
    pub remaining_microcents: i64,
    /// The sum of the open holds.
    pub reserved_microcents: i64,
    /// What was spent, over the whole life of the tenant.
    pub committed_microcents: i64,
}

/// A scope's reason to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Barrier {
    MissingTenant,
    MissingHold,
    InvalidAmount,
    Insufficient { remaining: i64, required: i64 },
    Exposure { reserved: i64, cap: i64 },
    Overrun { remaining: i64 },
    Overflow { current: i64, added: i64 },
}

#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) balances: Balances,
    pub(crate) holds: Holds,
    /// The next hold id, or a multiple of the block size when a block has to be fetched first.
    pub(crate) next_hold: u64,
    /// The snapshot epoch this account was last seen in.
    pub(crate) epoch: u64,
    /// The cap on `reserved`; 0 is none.
    pub(crate) max_reserved: i64,
    pub(crate) parent: u32,
    /// False before the tenant is opened and after a restore has replaced it.
    pub(crate) present: bool,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            balances: Balances::default(),
            holds: Holds::default(),
            next_hold: 0,
            epoch: 0,
            max_reserved: 0,
            parent: ROOT,
            present: false,
        }
    }
}

impl Account {
    fn admit(&self, amount: i64) -> Result<(), Barrier> {
        let Balances { remaining_microcents: remaining, reserved_microcents: reserved, .. } =
            self.balances;
        if remaining < amount {
            return Err(Barrier::Insufficient { remaining, required: amount });
        }
        if self.max_reserved > 0 && amount > self.max_reserved.saturating_sub(reserved) {
            return Err(Barrier::Exposure { reserved, cap: self.max_reserved });
        }
        Ok(())
    }
}

/// Whether every scope can set `amount` aside.
#[inline]
pub(crate) fn admit<A: Deref<Target = Account>>(path: &[A], amount: i64) -> Result<(), Barrier> {
    if amount <= 0 {
        return Err(Barrier::InvalidAmount);
    }
    path.iter().try_for_each(|scope| scope.admit(amount))
}

/// Sets an admitted amount aside on every scope, as a hold of the first.
#[inline]
pub(crate) fn hold<A: DerefMut<Target = Account>>(
    path: &mut [A],
    id: u64,
    amount: i64,
) -> Balances {
    for scope in path.iter_mut() {
        scope.balances.remaining_microcents -= amount;
        scope.balances.reserved_microcents += amount;
    }
    path.first_mut().map_or_else(Balances::default, |tenant| {
        tenant.holds.insert(id, OpenHold { amount });
        tenant.balances
    })
}

/// Spends `actual` of a hold of the first scope and gives the rest back, on every scope.
#[inline]
pub(crate) fn commit<A: DerefMut<Target = Account>>(
    path: &mut [A],
    id: u64,
    actual: i64,
) -> Result<Balances, Barrier> {
    let tenant = path.first_mut().ok_or(Barrier::MissingHold)?;
    let held = tenant.holds.get_mut(id).ok_or(Barrier::MissingHold)?.amount;
    if actual < 0 {
        return Err(Barrier::InvalidAmount);
    }
    for scope in path.iter() {
        let remaining = scope.balances.remaining_microcents;
        if actual - held > remaining {
            return Err(Barrier::Overrun { remaining });
        }
    }
    settle(path, id, actual).map(|(_, after)| after)
}

/// Gives a hold of the first scope back, on every scope. The amount, and the balances after it.
#[inline]
pub(crate) fn release<A: DerefMut<Target = Account>>(
    path: &mut [A],
    id: u64,
) -> Result<(i64, Balances), Barrier> {
    settle(path, id, 0)
}

#[inline]
fn settle<A: DerefMut<Target = Account>>(
    path: &mut [A],
    id: u64,
    spent: i64,
) -> Result<(i64, Balances), Barrier> {
    let tenant = path.first_mut().ok_or(Barrier::MissingHold)?;
    let held = tenant.holds.remove(id).ok_or(Barrier::MissingHold)?.amount;
    for scope in path.iter_mut() {
        scope.balances.reserved_microcents -= held;
        scope.balances.committed_microcents += spent;
        scope.balances.remaining_microcents += held - spent;
    }
    Ok((held, path.first().map_or_else(Balances::default, |tenant| tenant.balances)))
}

/// Grants more to one scope.
pub(crate) fn top_up(account: &mut Account, amount: i64) -> Result<Balances, Barrier> {
    if amount <= 0 {
        return Err(Barrier::InvalidAmount);
    }
    let current = account.balances.initial_microcents;
    let initial =
        current.checked_add(amount).ok_or(Barrier::Overflow { current, added: amount })?;
    account.balances.initial_microcents = initial;
    account.balances.remaining_microcents += amount;
    Ok(account.balances)
}
