//! A consistent cut through all accounts that stops none of them.
//!
//! A snapshot raises the epoch to an odd number; that is the moment it shows. Whoever is first to
//! change an account in that epoch keeps a picture of it from before, and the snapshot, which visits
//! the accounts one after another, takes that picture instead of the account. An operation reads the
//! epoch once, with its whole path locked, so it falls on one side of the cut as a whole; and one
//! that starts after another has finished never falls on an earlier side.

use std::collections::HashMap;

use crate::{
    account::{Account, Balances},
    primitive::{AtomicU64, Mutex, Ordering},
};

/// An account as a snapshot shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picture {
    pub(crate) balances: Balances,
    pub(crate) open_holds: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Cut {
    epoch: AtomicU64,
    /// Pictures by account index, until the snapshot in progress fetches them.
    kept: Mutex<HashMap<u32, Option<Picture>>>,
}

/// `None` for an account that is not there.
fn picture(account: &Account) -> Option<Picture> {
    let taken = Picture { balances: account.balances, open_holds: account.holds.len() };
    account.present.then_some(taken)
}

impl Cut {
    /// The epoch an operation belongs to. Read with its whole path locked.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// To be called on every account of a path before it changes.
    #[inline]
    pub(crate) fn before_change(&self, epoch: u64, index: u32, account: &mut Account) {
        if account.epoch != epoch {
            self.enter_epoch(epoch, index, account);
        }
    }

    #[cold]
    fn enter_epoch(&self, epoch: u64, index: u32, account: &mut Account) {
        if epoch % 2 == 1 {
            self.kept.lock().insert(index, picture(account));
        }
        account.epoch = epoch;
    }

    /// Starts a cut. One at a time, and with the set of accounts locked.
    pub(crate) fn begin(&self) -> u64 {
        self.epoch.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The account as it was when the cut of `epoch` began.
    pub(crate) fn visit(&self, epoch: u64, index: u32, account: &mut Account) -> Option<Picture> {
        if account.epoch == epoch {
            return self.kept.lock().remove(&index).flatten();
        }
        account.epoch = epoch;
        picture(account)
    }

    /// Ends the cut; pictures nobody asked for are dropped.
    pub(crate) fn end(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.kept.lock().clear();
    }
}
