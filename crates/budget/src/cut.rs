//! A consistent cut through all accounts that stops none of them.
//!
//! A snapshot raises the epoch to an odd number; that is the moment it shows. Whoever is first to
//! change an account in that epoch keeps a picture of it from before, and the snapshot, which visits
//! the accounts one after another, takes that picture instead of the account. An operation reads the
//! epoch once, with its whole path locked, so it falls on one side of the cut as a whole; and one
//! that starts after another has finished never falls on an earlier side.

use std::collections::BTreeMap;

use crate::{
    account::{Account, Balances},
    primitive::{AtomicU32, Ordering, ShortGuard, ShortMutex},
};

/// What a cut shows of each account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Amounts and the number of open holds.
    Balances,
    /// Everything. Takes as long as copying the tenant's holds and keys.
    Everything,
}

/// Epochs go up in fours: idle, balances, idle, everything. They may wrap: every cut visits every
/// account, so none is ever more than one cut behind.
const STEP: u32 = 4;

impl Depth {
    fn of(epoch: u32) -> Option<Self> {
        match epoch % STEP {
            1 => Some(Self::Balances),
            3 => Some(Self::Everything),
            _ => None,
        }
    }

    fn after(self, epoch: u32) -> u32 {
        let idle = epoch - epoch % STEP;
        idle.wrapping_add(STEP)
            + match self {
                Self::Balances => 1,
                Self::Everything => 3,
            }
    }
}

/// An account as a snapshot shows it.
#[derive(Clone, Debug)]
pub(crate) enum Picture {
    Balances { balances: Balances, open_holds: u64 },
    Everything(Box<Account>),
}

/// Pictures by account index. A tree, because no operation shall wait for a table to grow.
type Pictures = BTreeMap<u32, Option<Picture>>;

/// Pictures are kept in this many places, so that those who keep one hardly ever meet. Few under a
/// checker, which looks at every lock.
const SHELVES: usize = if cfg!(any(loom, shuttle)) { 2 } else { 256 };

#[derive(Debug)]
pub(crate) struct Cut {
    epoch: AtomicU32,
    /// What the snapshot in progress has yet to fetch.
    kept: Box<[ShortMutex<Pictures>]>,
}

impl Default for Cut {
    fn default() -> Self {
        let kept = (0..SHELVES).map(|_| ShortMutex::default()).collect();
        Self { epoch: AtomicU32::new(0), kept }
    }
}

/// `None` for an account that is not there.
fn picture(account: &Account, depth: Depth) -> Option<Picture> {
    account.is_present().then(|| match depth {
        Depth::Balances => {
            Picture::Balances { balances: account.balances(), open_holds: account.holds.len() }
        }
        Depth::Everything => Picture::Everything(Box::new(account.clone())),
    })
}

impl Cut {
    /// The epoch an operation belongs to. Read with its whole path locked.
    #[inline]
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// All shelves, the one that a picture is put on most of the time first.
    fn shelves(&self, index: u32) -> impl Iterator<Item = &ShortMutex<Pictures>> {
        let own = index as usize % SHELVES;
        self.kept.iter().cycle().skip(own).take(SHELVES)
    }

    /// Keeps a picture on a shelf that nobody has locked: a snapshot may have been descheduled with one,
    /// and no operation shall wait for that.
    fn keep(&self, index: u32, before: Option<Picture>) {
        let free = self.shelves(index).find_map(ShortMutex::try_lock);
        let shelf = free.or_else(|| self.shelves(index).next().map(ShortMutex::lock));
        if let Some(mut shelf) = shelf {
            shelf.insert(index, before);
        }
    }

    /// To be called on every account of a path before it changes.
    #[inline]
    pub(crate) fn before_change(&self, epoch: u32, index: u32, account: &mut Account) {
        if account.epoch != epoch {
            self.enter_epoch(epoch, index, account);
        }
    }

    #[cold]
    fn enter_epoch(&self, epoch: u32, index: u32, account: &mut Account) {
        if let Some(depth) = Depth::of(epoch) {
            self.keep(index, picture(account, depth));
        }
        account.epoch = epoch;
    }

    /// Starts a cut and gives its epoch. One at a time, and with the set of accounts locked.
    pub(crate) fn begin(&self, depth: Depth) -> u32 {
        let epoch = depth.after(self.epoch());
        self.epoch.store(epoch, Ordering::Release);
        epoch
    }

    /// The account as it was when the cut of `epoch` began.
    pub(crate) fn visit(
        &self,
        epoch: u32,
        index: u32,
        mut account: ShortGuard<'_, Account>,
    ) -> Option<Picture> {
        if account.epoch != epoch {
            account.epoch = epoch;
            return picture(&account, Depth::of(epoch)?);
        }
        // Its picture was kept when that was noted, and nobody else takes it.
        drop(account);
        self.shelves(index).find_map(|shelf| shelf.lock().remove(&index)).flatten()
    }

    /// Ends the cut; pictures nobody asked for are dropped.
    pub(crate) fn end(&self, epoch: u32) {
        self.epoch.store(epoch + 1, Ordering::Release);
        for shelf in &self.kept {
            let unasked = std::mem::take(&mut *shelf.lock());
            drop(unasked);
        }
    }
}
