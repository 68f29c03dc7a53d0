//! The ledger behind the engine, its tenant handles and its holds: one definition of each operation.

use crate::{
    account::{self, Account, Balances, Barrier},
    primitive::{Mutex, MutexGuard},
    snapshot::{
        BudgetSnapshot, RestoreError, SNAPSHOT_VERSION_TAG, TenantLedger, check_restorable,
    },
    store::{Cell, Path, Store},
};

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) store: Store,
    /// Locked for the whole of a snapshot or a restore, and by nothing else.
    snapshots: Mutex<Snapshots>,
}

#[derive(Debug, Default)]
struct Snapshots {
    last_version: u64,
    /// Accounts by the bytes of their tenants' names.
    order: Vec<u32>,
    /// Accounts below this index are in `order`, or have been replaced.
    ordered: u32,
    /// The committed total of the last certificate.
    certified: i128,
}

/// Where an operation is addressed: an account and the index it was found at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address<'c> {
    pub(crate) index: u32,
    pub(crate) cell: &'c Cell,
}

impl Ledger {
    #[inline]
    fn address(&self, index: u32) -> Option<Address<'_>> {
        Some(Address { index, cell: self.store.cell(index)? })
    }

    #[inline]
    pub(crate) fn by_name(&self, name: &str) -> Option<Address<'_>> {
        self.address(self.store.find(name)?)
    }

    #[inline]
    pub(crate) fn by_hold(&self, id: u64) -> Option<Address<'_>> {
        self.address(self.store.find_by_hold(id)?)
    }

    /// Runs `operation` on the locked path of a tenant, following the name when a restore has put
    /// another account in its place.
    #[inline]
    fn on_tenant<R>(
        &self,
        address: Address<'_>,
        mut operation: impl FnMut(u32, Path<'_, '_>) -> Result<R, Barrier>,
    ) -> Result<R, Barrier> {
        let Address { index, cell } = address;
        match self.store.with_path(index, cell, |path| operation(index, path)) {
            Some(result) => result,
            None => self.on_successor(address, operation),
        }
    }

    #[cold]
    fn on_successor<R>(
        &self,
        gone: Address<'_>,
        mut operation: impl FnMut(u32, Path<'_, '_>) -> Result<R, Barrier>,
    ) -> Result<R, Barrier> {
        let name = gone.cell.name();
        let mut tried = gone.index;
        loop {
            let Some(Address { index, cell }) = self.by_name(name).filter(|it| it.index != tried)
            else {
                return Err(Barrier::MissingTenant);
            };
            if let Some(result) = self.store.with_path(index, cell, |path| operation(index, path)) {
                return result;
            }
            tried = index;
        }
    }

    /// Creates a tenant, or leaves the one of that name as it is. `None` when the ledger is full.
    pub(crate) fn open(&self, name: &str, initial: i64) -> Option<u32> {
        if let Some(index) = self.present(name) {
            return Some(index);
        }
        let mut registry = self.store.registry.lock();
        if let Some(index) = self.present(name) {
            return Some(index);
        }
        let (index, cell) = self.store.add(&mut registry, name)?;
        let mut account = cell.lock();
        account.balances.initial_microcents = initial;
        account.balances.remaining_microcents = initial;
        account.present = true;
        drop(account);
        self.store.publish(&mut registry, index);
        Some(index)
    }

    fn present(&self, name: &str) -> Option<u32> {
        let found = self.by_name(name)?;
        found.cell.lock().present.then_some(found.index)
    }

    #[inline]
    pub(crate) fn reserve(
        &self,
        tenant: Address<'_>,
        amount: i64,
    ) -> Result<(u64, Balances), Barrier> {
        self.on_tenant(tenant, |index, path| {
            // An id is taken only once the amount is admitted, and nothing can fail after that.
            account::admit(path, amount)?;
            let account = path.first_mut().ok_or(Barrier::MissingTenant)?;
            let overflow = Barrier::Overflow { current: i64::MAX, added: 1 };
            let id = self.store.next_hold_id(index, account).ok_or(overflow)?;
            Ok((id, account::hold(path, id, amount)))
        })
    }

    #[inline]
    pub(crate) fn commit(
        &self,
        tenant: Address<'_>,
        id: u64,
        actual: i64,
    ) -> Result<Balances, Barrier> {
        self.on_tenant(tenant, |_, path| account::commit(path, id, actual))
    }

    /// The amount given back, and the balances after it.
    #[inline]
    pub(crate) fn release(&self, tenant: Address<'_>, id: u64) -> Result<(i64, Balances), Barrier> {
        self.on_tenant(tenant, |_, path| account::release(path, id))
    }

    /// An operation on one account alone.
    pub(crate) fn change<R>(
        &self,
        tenant: Address<'_>,
        change: impl Fn(&mut Account) -> Result<R, Barrier>,
    ) -> Result<R, Barrier> {
        self.on_tenant(tenant, |_, path| change(path.first_mut().ok_or(Barrier::MissingTenant)?))
    }

    pub(crate) fn last_version(&self) -> u64 {
        self.snapshots.lock().last_version
    }

    pub(crate) fn snapshot(&self) -> BudgetSnapshot {
        self.snapshot_locked(&mut self.snapshots.lock())
    }

    fn snapshot_locked(&self, snapshots: &mut Snapshots) -> BudgetSnapshot {
        let (epoch, accounts) = {
            let registry = self.store.registry.lock();
            (self.store.cut.begin(), registry.accounts)
        };
        snapshots.extend_order(&self.store, accounts);
        let mut active_reservations = 0;
        let mut tenants = Vec::with_capacity(snapshots.order.len());
        for (index, cell) in
            snapshots.order.iter().filter_map(|index| Some((*index, self.store.cell(*index)?)))
        {
            let seen = self.store.cut.visit(epoch, index, &mut cell.lock());
            if let Some(picture) = seen {
                active_reservations += picture.open_holds;
                tenants.push(TenantLedger::new(cell.name().to_owned(), picture.balances));
            }
        }
        self.store.cut.end();
        let next = (snapshots.last_version & !SNAPSHOT_VERSION_TAG) + 1;
        snapshots.last_version = self.store.id_bound().max(next) | SNAPSHOT_VERSION_TAG;
        BudgetSnapshot {
            version: snapshots.last_version,
            tenants,
            active_reservations,
            wal_high_watermark: None,
        }
    }

    /// Runs `use_since` on a fresh snapshot and what was committed between the last certified one
    /// and it, and certifies it.
    pub(crate) fn certify<R>(&self, certificate: impl FnOnce(&BudgetSnapshot, i128) -> R) -> R {
        let mut snapshots = self.snapshots.lock();
        let snapshot = self.snapshot_locked(&mut snapshots);
        let committed = snapshot.total_committed();
        let since = committed - std::mem::replace(&mut snapshots.certified, committed);
        certificate(&snapshot, since)
    }

    /// What was committed since the last certified snapshot.
    pub(crate) fn committed_since_certificate(&self) -> i128 {
        self.total_committed() - self.snapshots.lock().certified
    }

    pub(crate) fn total_committed(&self) -> i128 {
        self.unversioned_snapshot().total_committed()
    }

    /// A snapshot that leaves the version as it is.
    pub(crate) fn unversioned_snapshot(&self) -> BudgetSnapshot {
        let mut snapshots = self.snapshots.lock();
        let version = snapshots.last_version;
        let snapshot = self.snapshot_locked(&mut snapshots);
        snapshots.last_version = version;
        snapshot
    }

    /// Replaces every tenant, in one step that no operation and no snapshot sees half of.
    pub(crate) fn restore(&self, snapshot: &BudgetSnapshot) -> Result<(), RestoreError> {
        check_restorable(snapshot)?;
        let mut snapshots = self.snapshots.lock();
        let mut registry = self.store.registry.lock();
        let replaced = registry.accounts;
        let tenants = snapshot.tenants.len();
        if !Store::fits(&registry, tenants) {
            return Err(RestoreError::TooManyTenants { tenants });
        }
        // A child has a higher index than its parent, so this is the order of every path.
        let mut locked: Vec<MutexGuard<'_, Account>> =
            (0..replaced).rev().filter_map(|i| Some(self.store.cell(i)?.lock())).collect();
        for tenant in &snapshot.tenants {
            let Some((_, cell)) = self.store.add(&mut registry, &tenant.tenant_id) else {
                continue;
            };
            let mut account = cell.lock();
            account.balances = tenant.balances();
            account.present = true;
        }
        for account in &mut locked {
            **account = Account { epoch: account.epoch, ..Account::default() };
        }
        registry.tenants = 0;
        for index in replaced..registry.accounts {
            self.store.publish(&mut registry, index);
        }
        let version = snapshot.version & !SNAPSHOT_VERSION_TAG;
        self.store.skip_ids_below(version);
        *snapshots = Snapshots {
            last_version: snapshots.last_version.max(snapshot.version),
            order: Vec::new(),
            ordered: replaced,
            certified: snapshot.total_committed(),
        };
        Ok(())
    }
}

impl Snapshots {
    fn extend_order(&mut self, store: &Store, accounts: u32) {
        if self.ordered == accounts {
            return;
        }
        let name = |index: &u32| store.cell(*index).map_or("", Cell::name);
        self.order.extend(self.ordered..accounts);
        // Merges what is sorted already with what is new.
        self.order.sort_by(|a, b| name(a).cmp(name(b)));
        self.ordered = accounts;
    }
}
