//! What a tenant owns, and what a single scope of a path allows and does.
//!
//! Amounts only move between `remaining`, `reserved` and `committed`, and `initial` is their sum, so
//! none of the plain additions below can leave the range of an `i64`.

use serde::{Deserialize, Serialize};

use crate::{
    due::Deadlines, holds::Holds, keys::Keys, operation::OverrunPolicy, refusal::RefusalReason,
    window::Meter,
};

/// The parent of a tenant without parent.
pub(crate) const ROOT: u32 = u32::MAX;
/// The parent of an account without tenant: not opened yet, or replaced by a restore.
const NOBODY: u32 = u32::MAX - 1;

/// The amounts of a tenant, in microcents. None is negative.
///
/// `remaining + reserved + committed == initial`. In a hierarchy a tenant's reserved and spent amounts
/// (`committed + overdraft`) include those of the tenants below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balances {
    /// Everything ever granted.
    pub initial_microcents: i64,
    /// What can still be reserved.
    pub remaining_microcents: i64,
    /// The sum of the open holds.
    pub reserved_microcents: i64,
    /// What was spent, over the whole life of the tenant.
    pub committed_microcents: i64,
    /// Spent beyond everything granted, where the [`OverrunPolicy`] allows it. Nothing remains
    /// while anything is owed: whatever comes in pays it back first.
    pub overdraft_microcents: i64,
}

/// Whether a tenant takes new holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    /// It does.
    #[default]
    Active,
    /// Not until it is thawed.
    Frozen,
    /// Never again.
    Closed,
}

/// In this order: up to the one open hold within `holds`, everything that reserving and committing
/// changes, in one cache line; what they only read after it.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Account {
    pub(crate) remaining: i64,
    pub(crate) reserved: i64,
    pub(crate) committed: i64,
    /// The next hold id, or one that is never given when a spare block has to be taken first.
    pub(crate) next_hold: u64,
    /// The snapshot epoch this account was last seen in.
    pub(crate) epoch: u32,
    /// The account of the parent, or [`ROOT`].
    pub(crate) parent: u32,
    pub(crate) holds: Holds,
    pub(crate) initial: i64,
    /// What most tenants never need. Absent means all defaults.
    pub(crate) extras: Option<Box<Extras>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    /// The latest caller time seen.
    pub(crate) clock: u64,
    /// The cap on `reserved`; 0 is none.
    pub(crate) max_reserved: i64,
    pub(crate) status: TenantStatus,
    pub(crate) overrun: OverrunPolicy,
    pub(crate) overdraft: i64,
    /// What the tenants below have spent, counted in `committed + overdraft`.
    pub(crate) children_spent: i64,
    /// By window.
    pub(crate) meters: Vec<Meter>,
    pub(crate) deadlines: Deadlines,
    pub(crate) keys: Keys,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            initial: 0,
            remaining: 0,
            reserved: 0,
            committed: 0,
            holds: Holds::default(),
            next_hold: 0,
            epoch: 0,
            extras: None,
            parent: NOBODY,
        }
    }
}

impl Account {
    /// The length of what reserving and committing changes.
    #[cfg(not(any(loom, shuttle)))]
    pub(crate) const CHANGING_BYTES: usize =
        std::mem::offset_of!(Self, holds) + Holds::CHANGING_BYTES;

    /// Whether this is the account of a tenant.
    #[inline(always)]
    pub(crate) fn is_present(&self) -> bool {
        self.parent != NOBODY
    }

    pub(crate) fn extras_mut(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    #[inline(always)]
    pub(crate) fn clock(&self) -> u64 {
        self.extras.as_ref().map_or(0, |extras| extras.clock)
    }

    pub(crate) fn not_closed(&self) -> Result<(), RefusalReason> {
        match self.extras.as_ref().map(|extras| extras.status) {
            Some(TenantStatus::Closed) => Err(RefusalReason::Closed),
            Some(TenantStatus::Active | TenantStatus::Frozen) | None => Ok(()),
        }
    }

    #[inline(always)]
    pub(crate) fn overdraft(&self) -> i64 {
        self.extras.as_ref().map_or(0, |extras| extras.overdraft)
    }

    #[inline(always)]
    pub(crate) fn balances(&self) -> Balances {
        Balances {
            initial_microcents: self.initial,
            remaining_microcents: self.remaining,
            reserved_microcents: self.reserved,
            committed_microcents: self.committed,
            overdraft_microcents: self.overdraft(),
        }
    }

    /// Whether the scope lets `amount` be set aside.
    #[inline(always)]
    pub(crate) fn admit(&self, amount: i64, now: u64) -> Result<(), RefusalReason> {
        if let Some(extras) = &self.extras {
            extras.open_for_holds()?;
        }
        if self.remaining < amount {
            return Err(RefusalReason::Insufficient { remaining: self.remaining, asked: amount });
        }
        match &self.extras {
            Some(extras) => extras.admit(self.reserved, amount, now),
            None => Ok(()),
        }
    }

    /// The most the scope lets be set aside; 0 or less when nothing.
    pub(crate) fn available(&self, now: u64) -> i64 {
        let Some(extras) = &self.extras else { return self.remaining };
        let cap = match extras.max_reserved {
            0 => i64::MAX,
            cap => cap.saturating_sub(self.reserved),
        };
        let windows = extras.meters.iter().map(|meter| meter.available(now));
        windows.fold(self.remaining.min(cap), i64::min)
    }

    /// Sets an admitted amount aside.
    #[inline(always)]
    pub(crate) fn set_aside(&mut self, amount: i64, now: u64) {
        self.remaining -= amount;
        self.reserved += amount;
        if let Some(extras) = &mut self.extras {
            extras.meters.iter_mut().for_each(|meter| meter.charge(now, amount));
        }
    }

    /// Whether the scope lets `spent` be settled against `held`, and the debt that would make.
    #[inline(always)]
    pub(crate) fn admit_spend(&self, held: i64, spent: i64) -> Result<(), RefusalReason> {
        if spent - held <= self.remaining {
            return Ok(());
        }
        let refuse = RefusalReason::Overrun { held, remaining: self.remaining, asked: spent };
        self.extras.as_ref().map_or(Err(refuse), |extras| {
            let debt = spent - held - self.remaining;
            extras.admit_debt(debt, refuse)?;
            // What was and will be spent, open holds included, stays within an `i64` together.
            let owed = extras.overdraft.checked_add(debt);
            let overflow = RefusalReason::Overflow { current: extras.overdraft, asked: debt };
            owed.and_then(|owed| self.initial.checked_add(owed)).map(drop).ok_or(overflow)
        })
    }

    /// Ends `held` of what is set aside, `spent` of it spent, the rest given back.
    #[inline(always)]
    pub(crate) fn settle(&mut self, held: i64, spent: i64, began: u64, now: u64) {
        self.reserved -= held;
        self.committed += spent;
        self.remaining += held - spent;
        if self.extras.is_some() {
            self.settle_extras(held, spent, began, now);
        }
    }

    fn settle_extras(&mut self, held: i64, spent: i64, began: u64, now: u64) {
        let Some(extras) = &mut self.extras else { return };
        for meter in &mut extras.meters {
            meter.refund(began, held.saturating_sub(spent).max(0));
            meter.charge(now, spent.saturating_sub(held));
        }
        if self.remaining < 0 {
            let debt = -self.remaining;
            self.remaining = 0;
            self.committed -= debt;
            extras.overdraft += debt;
            if extras.overrun == OverrunPolicy::Freeze && extras.status == TenantStatus::Active {
                extras.status = TenantStatus::Frozen;
            }
        }
        self.pay_overdraft();
    }

    /// Whatever remains pays a debt before it can be reserved.
    pub(crate) fn pay_overdraft(&mut self) {
        let Some(extras) = &mut self.extras else { return };
        let paid = extras.overdraft.min(self.remaining);
        extras.overdraft -= paid;
        self.remaining -= paid;
        self.committed += paid;
    }

    /// Everything granted, raised by `amount`.
    pub(crate) fn top_up(&mut self, amount: i64) -> Result<(), RefusalReason> {
        let current = self.initial;
        let overflow = RefusalReason::Overflow { current, asked: amount };
        self.initial = current.checked_add(amount).ok_or(overflow)?;
        self.remaining += amount;
        self.pay_overdraft();
        Ok(())
    }
}

impl Extras {
    /// Whether anything differs from what absent extras mean.
    pub(crate) fn needed(&self) -> bool {
        self.clock > 0
            || self.max_reserved > 0
            || self.status != TenantStatus::Active
            || self.overrun != OverrunPolicy::Refuse
            || self.overdraft > 0
            || self.children_spent > 0
            || !self.meters.is_empty()
            || !self.deadlines.is_empty()
            || !self.keys.is_empty()
    }

    fn open_for_holds(&self) -> Result<(), RefusalReason> {
        match self.status {
            TenantStatus::Active => Ok(()),
            TenantStatus::Frozen => Err(RefusalReason::Frozen),
            TenantStatus::Closed => Err(RefusalReason::Closed),
        }
    }

    fn admit(&self, reserved: i64, asked: i64, now: u64) -> Result<(), RefusalReason> {
        let limit = self.max_reserved;
        if limit > 0 && asked > limit.saturating_sub(reserved) {
            return Err(RefusalReason::ExposureLimit { reserved, limit, asked });
        }
        match self.meters.iter().find(|meter| meter.available(now) < asked) {
            None => Ok(()),
            Some(meter) => Err(RefusalReason::WindowLimit {
                window: meter.window,
                used: meter.used(now),
                limit: meter.limit,
                asked,
            }),
        }
    }

    fn admit_debt(&self, debt: i64, refuse: RefusalReason) -> Result<(), RefusalReason> {
        let overdraft = self.overdraft;
        match self.overrun {
            OverrunPolicy::Refuse => Err(refuse),
            OverrunPolicy::Overdraft { cap_microcents: limit }
                if debt > limit.saturating_sub(overdraft) =>
            {
                Err(RefusalReason::OverdraftLimit { overdraft, limit, asked: debt })
            }
            OverrunPolicy::Overdraft { .. } | OverrunPolicy::Freeze => Ok(()),
        }
    }
}
