//! Deadlines of holds: by tenant, and for the whole ledger only which tenants have one coming.

use std::collections::BTreeSet;

use crate::primitive::ShortMutex;

/// The deadlines of one tenant's open holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deadlines {
    by_time: BTreeSet<(u64, u64)>,
    /// The earliest deadline the ledger was told of; derived, not part of the state.
    announced: Option<u64>,
}

impl Deadlines {
    pub(crate) fn add(&mut self, deadline: u64, hold: u64) {
        self.by_time.insert((deadline, hold));
    }

    pub(crate) fn remove(&mut self, deadline: u64, hold: u64) {
        self.by_time.remove(&(deadline, hold));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_time.is_empty()
    }

    /// Deadline and id of what is due at `now`.
    pub(crate) fn due(&self, now: u64) -> impl Iterator<Item = (u64, u64)> {
        self.by_time.range(..=(now, u64::MAX)).copied()
    }
}

/// Tenants by a deadline no later than their first. An entry may be stale; none is missing.
#[derive(Debug, Default)]
pub(crate) struct DueTenants(ShortMutex<BTreeSet<(u64, u32)>>);

impl DueTenants {
    /// Makes sure the ledger knows of the tenant's first deadline.
    pub(crate) fn announce(&self, index: u32, deadlines: &mut Deadlines) {
        let Some((first, _)) = deadlines.by_time.first().copied() else { return };
        if deadlines.announced.is_none_or(|announced| first < announced) {
            deadlines.announced = Some(first);
            self.0.lock().insert((first, index));
        }
    }

    /// Takes the tenants that may have something due at `now`. The caller visits each, tells its
    /// `Deadlines` with [`taken`](Self::taken), and announces what is left.
    pub(crate) fn take(&self, now: u64) -> BTreeSet<u32> {
        let mut all = self.0.lock();
        let later = match now.checked_add(1) {
            Some(next) => all.split_off(&(next, 0)),
            None => BTreeSet::new(),
        };
        std::mem::replace(&mut *all, later).into_iter().map(|(_, index)| index).collect()
    }

    /// The announcement of these deadlines is no longer listed.
    pub(crate) fn taken(deadlines: &mut Deadlines, now: u64) {
        if deadlines.announced.is_some_and(|announced| announced <= now) {
            deadlines.announced = None;
        }
    }
}
