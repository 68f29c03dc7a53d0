//! Snapshots of the whole ledger, certificates over them, and restoring one.

use crate::{
    account::{Account, ROOT},
    cut::{Depth, Picture},
    engine::BudgetEngine,
    ledger::Ledger,
    snapshot::{
        BudgetSnapshot, RestoreError, SNAPSHOT_VERSION_TAG, TenantLedger, check_restorable,
    },
    store::{Cell, Locked, Store},
};

/// What snapshots remember from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Views {
    last_version: u64,
    /// Accounts by the bytes of their tenants' names.
    order: Vec<u32>,
    /// Accounts below this index are in `order`, or have been replaced: after a cut, those there were at it.
    pub(crate) ordered: u32,
    /// The committed total of the last certificate.
    certified: i128,
}

impl BudgetEngine {
    /// Replaces all tenants by those of a snapshot. Holds open in this engine are forgotten with
    /// the tenants they belong to; tenant handles go on with the new tenant of their name.
    ///
    /// A snapshot holds amounts alone. Restored tenants have no parent, cap, window, debt, deadline or key, and
    /// none is frozen or closed: a ledger that uses any of these restarts from its
    /// [`state`](Self::state) instead.
    ///
    /// ```
    /// # use calybris_budget::{BudgetEngine, RestoreError};
    /// let engine = BudgetEngine::new();
    /// engine.ensure_tenant("desk-1", 100);
    /// let snapshot = engine.snapshot();
    ///
    /// let restarted = BudgetEngine::new();
    /// restarted.restore_from_snapshot(snapshot)?;
    /// assert_eq!(restarted.remaining_microcents("desk-1"), Some(100));
    ///
    /// restarted.try_reserve("desk-1", 1);
    /// let refused = engine.restore_from_snapshot(restarted.snapshot());
    /// assert_eq!(refused, Err(RestoreError::ActiveReservations { count: 1 }));
    /// # Ok::<(), RestoreError>(())
    /// ```
    ///
    /// # Errors
    /// A snapshot that does not balance, counts open holds (this form cannot list them), names a
    /// tenant twice, has an untagged version or more tenants than there is room for. The ledger is as it was then.
    pub fn restore_from_snapshot(&self, snapshot: BudgetSnapshot) -> Result<(), RestoreError> {
        self.ledger.restore(&snapshot)
    }
}

impl Ledger {
    pub(crate) fn last_version(&self) -> u64 {
        self.views.lock().last_version
    }

    pub(crate) fn snapshot(&self) -> BudgetSnapshot {
        self.next_snapshot(&mut self.views.lock())
    }

    /// A snapshot for looking at: it does not raise the version.
    pub(crate) fn unversioned_snapshot(&self) -> BudgetSnapshot {
        self.look(&mut self.views.lock())
    }

    fn next_snapshot(&self, views: &mut Views) -> BudgetSnapshot {
        let seen = self.look(views);
        let next = (views.last_version & !SNAPSHOT_VERSION_TAG) + 1;
        views.last_version = self.store.id_bound(views.ordered).max(next) | SNAPSHOT_VERSION_TAG;
        BudgetSnapshot { version: views.last_version, ..seen }
    }

    fn look(&self, views: &mut Views) -> BudgetSnapshot {
        let mut active_reservations = 0;
        let mut tenants = Vec::with_capacity(views.order.len());
        self.pictures(
            views,
            Depth::Balances,
            || (),
            |_, cell, picture| {
                if let Picture::Balances { balances, open_holds } = picture {
                    active_reservations += open_holds;
                    tenants.push(TenantLedger::new(cell.name().to_owned(), balances));
                }
            },
        );
        let version = views.last_version;
        BudgetSnapshot { version, tenants, active_reservations, wal_high_watermark: None }
    }

    /// Shows every tenant as it was at one instant, by name. `at_cut` is called at that instant, before
    /// the first is shown.
    pub(crate) fn pictures<R>(
        &self,
        views: &mut Views,
        depth: Depth,
        at_cut: impl FnOnce() -> R,
        mut show: impl FnMut(u32, &Cell, Picture),
    ) -> R {
        let (epoch, accounts) = {
            let registry = self.store.registry.lock();
            (self.store.cut.begin(depth), registry.accounts)
        };
        let noted = at_cut();
        views.extend_order(&self.store, accounts);
        for address in views.order.iter().filter_map(|index| self.store.address(*index)) {
            // Shown when the tenant is free again: showing allocates, and may have to wait for memory.
            let account = address.cell.lock_briefly();
            let picture = self.store.cut.visit(epoch, address.index, account);
            if let Some(picture) = picture {
                show(address.index, address.cell, picture);
            }
        }
        self.store.cut.end(epoch);
        noted
    }

    /// Makes a certificate from a fresh snapshot and what was committed between the one before and
    /// it, and lets the next certificate start from it.
    pub(crate) fn certify<R>(&self, certificate: impl FnOnce(&BudgetSnapshot, i128) -> R) -> R {
        let mut views = self.views.lock();
        let snapshot = self.next_snapshot(&mut views);
        let committed = snapshot.total_committed();
        let since = committed - std::mem::replace(&mut views.certified, committed);
        certificate(&snapshot, since)
    }

    /// Lets the first certificate start from here.
    pub(crate) fn start_certificates(&self) {
        let mut views = self.views.lock();
        views.certified = self.look(&mut views).total_committed();
    }

    /// What was committed since the last certificate.
    pub(crate) fn committed_since_certificate(&self) -> i128 {
        let mut views = self.views.lock();
        self.look(&mut views).total_committed() - views.certified
    }

    /// Replaces every tenant, in one step that no operation and no snapshot sees half of.
    pub(crate) fn restore(&self, snapshot: &BudgetSnapshot) -> Result<(), RestoreError> {
        check_restorable(snapshot)?;
        let mut views = self.views.lock();
        let mut registry = self.store.registry.lock();
        let replaced = registry.accounts;
        let tenants = snapshot.tenants.len();
        // A child has a higher index than its parent, so this is the order of every path.
        let mut locked: Vec<Locked<'_>> = (0..replaced)
            .rev()
            .filter_map(|index| Some(self.store.address(index)?.cell.lock()))
            .collect();
        // Only now: nobody is about to take a spare any more.
        let first = self.store.number_above(&registry, snapshot.version & !SNAPSHOT_VERSION_TAG);
        if !Store::fits(&registry, first, tenants) {
            return Err(RestoreError::TooManyTenants { tenants });
        }
        self.store.go_on_from(&registry, first, first);
        for tenant in &snapshot.tenants {
            let Ok(address) = self.store.add(&mut registry, &tenant.tenant_id) else { continue };
            let mut account = address.cell.lock();
            account.initial = tenant.initial_microcents;
            account.remaining = tenant.remaining_microcents;
            account.committed = tenant.committed_microcents;
            account.parent = ROOT;
        }
        for account in &mut locked {
            **account = Account { epoch: account.epoch, ..Account::default() };
        }
        registry.tenants = 0;
        for index in replaced..registry.accounts {
            self.store.publish(&mut registry, index);
        }
        *views = Views {
            last_version: views.last_version.max(snapshot.version),
            order: Vec::new(),
            ordered: replaced,
            certified: snapshot.total_committed(),
        };
        Ok(())
    }
}

impl Views {
    fn extend_order(&mut self, store: &Store, accounts: u32) {
        if self.ordered == accounts {
            return;
        }
        let name = |index: &u32| store.address(*index).map_or("", |address| address.cell.name());
        self.order.extend(self.ordered..accounts);
        // Merges what is sorted already with what is new.
        self.order.sort_by(|a, b| name(a).cmp(name(b)));
        self.ordered = accounts;
    }
}
