//! Where the accounts live, how they are found and how a path of them is locked.

use std::{collections::BTreeMap, sync::OnceLock};

use arrayvec::ArrayVec;
use smol_str::SmolStr;

use crate::{
    account::{Account, ROOT},
    arena::Arena,
    cut::Cut,
    names::{MAX_INDEX, Names},
    primitive::{AtomicU32, AtomicU64, Mutex, Ordering, ShortGuard, ShortMutex},
    refusal::RefusalReason,
    snapshot::{MAX_SNAPSHOT_VERSION, SNAPSHOT_VERSION_TAG},
};

/// The longest chain of tenant, parent, grandparent and so on.
pub const MAX_DEPTH: usize = 8;

/// Hold ids come in blocks of this many, so that tenants do not meet at a common counter. Block `2n`
/// is that of the tenant with number `n`, so that an id leads to its tenant without a table as large
/// as the ledger; odd blocks are spares, for tenants whose ids are used up. The first id of a block
/// is never given: a tenant whose next id that would be takes a spare block first.
const BLOCK_LOG2: u32 = 22;
const PAIR_LOG2: u32 = BLOCK_LOG2 + 1;
/// Chunks of the arenas; small under loom, where every slot of a chunk is a modelled object.
const CELLS_LOG2: u32 = if cfg!(loom) { 1 } else { 8 };
const SPARES_LOG2: u32 = if cfg!(loom) { 1 } else { 12 };
/// Hold ids are below this bit, which marks a snapshot version.
const ID_LIMIT: u64 = SNAPSHOT_VERSION_TAG;
/// The highest next number and next spare of a ledger: three quarters of the ids. A snapshot is restored from
/// half of them at most ([`MAX_SNAPSHOT_VERSION`]), so that the state of a restored ledger can be read back.
pub(crate) const MAX_NUMBER: u64 = (ID_LIMIT >> PAIR_LOG2) / 4 * 3;
const _: () = assert!(
    ((MAX_SNAPSHOT_VERSION ^ SNAPSHOT_VERSION_TAG) >> PAIR_LOG2) + MAX_INDEX as u64 <= MAX_NUMBER
);

/// One tenant. Two cache lines, which no other tenant shares; the lock and what a reserve + commit
/// changes are in the first.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub(crate) struct Cell {
    account: ShortMutex<Account>,
    name: OnceLock<SmolStr>,
}

#[cfg(not(any(loom, shuttle)))]
const _: () = {
    assert!(size_of::<Cell>() == 128, "a million tenants should stay small");
    let account = size_of::<ShortMutex<Account>>() - size_of::<Account>();
    assert!(account + Account::CHANGING_BYTES == 64, "two cores should hand over one cache line");
};

impl Cell {
    pub(crate) fn name(&self) -> &str {
        self.name.get().map_or("", |name| name)
    }

    /// The account alone, outside any path.
    pub(crate) fn lock(&self) -> Locked<'_> {
        self.account.lock()
    }

    /// The account alone, with all of it brought near before it is locked, and not while it is: whoever
    /// visits one tenant after another may be descheduled at any moment.
    pub(crate) fn lock_briefly(&self) -> Locked<'_> {
        let _second_cache_line = self.name.get();
        self.account.lock()
    }
}

/// What only the creation of tenants, snapshots and restores touch.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// Accounts from index 0, including those a restore has replaced.
    pub(crate) accounts: u32,
    /// Those present.
    pub(crate) tenants: u64,
}

/// An account and the index it was found at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address<'c> {
    pub(crate) index: u32,
    pub(crate) cell: &'c Cell,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    cells: Arena<Cell, CELLS_LOG2>,
    names: Names,
    /// What a tenant's number is above its index.
    offset: AtomicU64,
    /// Account index + 1 by spare block, counted from `first_spare`.
    spares: Arena<AtomicU32, SPARES_LOG2>,
    first_spare: AtomicU64,
    /// Account index by earlier spares, where a state the ledger was built from still knew them.
    earlier_spares: BTreeMap<u64, u32>,
    next_spare: AtomicU64,
    pub(crate) registry: Mutex<Registry>,
    pub(crate) cut: Cut,
}

/// Locked accounts: the tenant first, then its ancestors.
pub(crate) type Path<'p, 'c> = &'p mut [Locked<'c>];
/// An account, locked.
pub(crate) type Locked<'c> = ShortGuard<'c, Account>;

/// The spare after the one that a tenant with this next hold id was given last, if it was.
pub(crate) fn spare_after(next_hold: u64) -> Option<u64> {
    let last = next_hold.checked_sub(1)?;
    Some(spare(last)? + 1)
}

/// Which spare an id is from, if it is from one.
#[inline(always)]
fn spare(id: u64) -> Option<u64> {
    (!(id >> BLOCK_LOG2).is_multiple_of(2)).then_some(id >> PAIR_LOG2)
}

/// Whether it is an id at all that is never given.
pub(crate) fn is_never_given(id: u64) -> bool {
    id.is_multiple_of(1 << BLOCK_LOG2)
}

/// Where a tenant's hold ids come from.
pub(crate) struct HoldIds<'s> {
    store: &'s Store,
    index: u32,
}

impl HoldIds<'_> {
    /// The next id of the tenant. Ids rise within a tenant and are never given twice.
    #[inline(always)]
    pub(crate) fn take(self, tenant: &mut Account) -> Option<u64> {
        if is_never_given(tenant.next_hold) {
            tenant.next_hold = self.store.take_spare(self.index)?;
        }
        let id = tenant.next_hold;
        tenant.next_hold += 1;
        Some(id)
    }
}

impl Store {
    #[inline(always)]
    pub(crate) fn address(&self, index: u32) -> Option<Address<'_>> {
        Some(Address { index, cell: self.cells.get(index)? })
    }

    pub(crate) fn chunk(&self, index: u32) -> Option<(std::sync::Arc<[Cell]>, usize)> {
        self.cells.chunk(index)
    }

    #[inline(always)]
    pub(crate) fn by_name(&self, name: &str) -> Option<Address<'_>> {
        self.names.get(name, |index| {
            let address = self.address(index)?;
            address.cell.account.fetch();
            (address.cell.name() == name).then_some(address)
        })
    }

    /// The tenant that this hold id is from, if it was given: that shows when its holds are looked at.
    #[inline(always)]
    pub(crate) fn by_hold(&self, id: u64) -> Option<Address<'_>> {
        if let Some(spare) = spare(id) {
            return self.by_spare(spare);
        }
        let index = (id >> PAIR_LOG2).checked_sub(self.offset.load(Ordering::Acquire))?;
        self.address(u32::try_from(index).ok()?)
    }

    fn by_spare(&self, spare: u64) -> Option<Address<'_>> {
        let Some(place) = spare.checked_sub(self.first_spare.load(Ordering::Acquire)) else {
            return self.address(*self.earlier_spares.get(&spare)?);
        };
        let owner = self.spares.get(u32::try_from(place).ok()?)?;
        self.address(owner.load(Ordering::Acquire).checked_sub(1)?)
    }

    /// Locks a tenant that has no parent. `None` when it has one, or is not there (any more).
    #[inline(always)]
    pub(crate) fn lock_alone<'c>(&self, address: Address<'c>) -> Option<Locked<'c>> {
        let mut tenant = address.cell.account.lock();
        if tenant.parent != ROOT {
            return None;
        }
        self.cut.before_change(self.cut.epoch(), address.index, &mut tenant);
        Some(tenant)
    }

    /// Locks the path of a tenant, child before parent, and runs `operation` on it. `None` when
    /// the tenant is not there (any more).
    pub(crate) fn with_path<R>(
        &self,
        Address { index, cell }: Address<'_>,
        operation: impl FnOnce(Path<'_, '_>) -> R,
    ) -> Option<R> {
        let mut tenant = cell.account.lock();
        if !tenant.is_present() {
            return None;
        }
        if tenant.parent != ROOT {
            return self.with_ancestors(index, tenant, operation);
        }
        self.cut.before_change(self.cut.epoch(), index, &mut tenant);
        Some(operation(std::slice::from_mut(&mut tenant)))
    }

    fn with_ancestors<'s, R>(
        &'s self,
        index: u32,
        tenant: Locked<'s>,
        operation: impl FnOnce(Path<'_, 's>) -> R,
    ) -> Option<R> {
        let mut indexes = ArrayVec::<u32, MAX_DEPTH>::from_iter([index]);
        let mut parent = tenant.parent;
        let mut path = ArrayVec::<_, MAX_DEPTH>::from_iter([tenant]);
        while parent != ROOT {
            let account = self.cells.get(parent)?.account.lock();
            indexes.try_push(parent).ok()?;
            parent = account.parent;
            path.try_push(account).ok()?;
        }
        let epoch = self.cut.epoch();
        for (index, account) in indexes.into_iter().zip(&mut path) {
            self.cut.before_change(epoch, index, account);
        }
        Some(operation(&mut path))
    }

    /// The hold ids of the tenant at `index`.
    #[inline(always)]
    pub(crate) fn hold_ids(&self, index: u32) -> HoldIds<'_> {
        HoldIds { store: self, index }
    }

    /// The number that the tenant at `index` has, or will have.
    pub(crate) fn number(&self, index: u32) -> u64 {
        self.offset.load(Ordering::Acquire) + u64::from(index)
    }

    /// A spare above the tenant's own block, so that the ids of a tenant rise. In one step, so that
    /// spares are given as if tenants had come for them one after another.
    #[cold]
    fn take_spare(&self, index: u32) -> Option<u64> {
        let spare = |next: u64| next.max(self.number(index));
        let take = |next| Some(spare(next) + 1).filter(|next| *next <= MAX_NUMBER);
        let next = self.next_spare.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).ok()?;
        let spare = spare(next);
        let place = u32::try_from(spare - self.first_spare()).ok()?;
        self.spares.get_or_grow(place)?.store(index + 1, Ordering::Release);
        Some((2 * spare + 1) << BLOCK_LOG2 | 1)
    }

    /// An id above every one given so far, of this many accounts.
    pub(crate) fn id_bound(&self, accounts: u32) -> u64 {
        let pairs = self.number(accounts).max(self.next_spare.load(Ordering::Acquire));
        (pairs << PAIR_LOG2).max(1)
    }

    /// The first number, and spare, whose ids are above `bound` and all those given so far.
    pub(crate) fn number_above(&self, registry: &Registry, bound: u64) -> u64 {
        bound.max(self.id_bound(registry.accounts)).div_ceil(1 << PAIR_LOG2)
    }

    /// Sets the number of the next tenant, and the next spare. Whoever has a lower one can take no hold any
    /// more, and the registry is locked.
    pub(crate) fn go_on_from(&self, registry: &Registry, number: u64, spare: u64) {
        self.offset.store(number - u64::from(registry.accounts), Ordering::Release);
        self.first_spare.store(spare, Ordering::Release);
        self.next_spare.store(spare, Ordering::Release);
    }

    /// Spares below this were given out before this ledger began or was restored.
    fn first_spare(&self) -> u64 {
        self.first_spare.load(Ordering::Acquire)
    }

    /// Goes on with the last id, or another one, that a state says a tenant was given, in a store nobody
    /// else has seen. False when it cannot be: its block is another tenant's, or a spare that has not
    /// been given out, or not to a tenant of this number.
    pub(crate) fn adopt_id(&mut self, id: u64, index: u32) -> bool {
        match spare(id) {
            None => id >> PAIR_LOG2 == self.number(index),
            // A spare block is given together with the first of its ids, and lies above the tenant's own.
            Some(spare)
                if (self.number(index)..self.first_spare()).contains(&spare)
                    && !is_never_given(id) =>
            {
                *self.earlier_spares.entry(spare).or_insert(index) == index
            }
            Some(_) => false,
        }
    }

    /// Whether that many more tenants can be added, numbered from `first`.
    pub(crate) fn fits(registry: &Registry, first: u64, tenants: usize) -> bool {
        let left = u64::from(MAX_INDEX.saturating_sub(registry.accounts));
        tenants as u64 <= left.min(MAX_NUMBER.saturating_sub(first))
    }

    /// Adds a tenant nobody can see yet, and gives its index and its account to fill.
    pub(crate) fn add(
        &self,
        registry: &mut Registry,
        name: &str,
    ) -> Result<Address<'_>, RefusalReason> {
        let index = registry.accounts;
        let full = |limit| RefusalReason::TooManyTenants { limit };
        if self.number(index) >= MAX_NUMBER {
            return Err(full(MAX_NUMBER));
        }
        let cell = (index < MAX_INDEX).then(|| self.cells.get_or_grow(index)).flatten();
        let cell = cell.ok_or(full(u64::from(MAX_INDEX)))?;
        let _first_time = cell.name.set(name.into());
        let mut account = cell.account.lock();
        account.epoch = self.cut.epoch();
        account.next_hold = self.number(index) << PAIR_LOG2 | 1;
        drop(account);
        registry.accounts += 1;
        Ok(Address { index, cell })
    }

    /// Lets the tenant at `index` be found by its name.
    pub(crate) fn publish(&self, registry: &mut Registry, index: u32) {
        let name_of = |index| self.cells.get(index).map(Cell::name);
        if let Some(name) = name_of(index) {
            self.names.set(name, index, name_of);
            registry.tenants += 1;
        }
    }
}
