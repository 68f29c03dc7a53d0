//! Where the accounts live, how they are found and how a path of them is locked.

use std::sync::OnceLock;

use arrayvec::ArrayVec;

use crate::{
    account::{Account, ROOT},
    arena::Arena,
    cut::Cut,
    names::{MAX_INDEX, Names},
    primitive::{AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering},
};

/// The longest chain of tenant, parent, grandparent and so on.
pub const MAX_DEPTH: usize = 8;

/// A tenant takes hold ids from the ledger in blocks of this many, so that tenants do not meet at a
/// common counter. The block of an id tells its tenant.
const BLOCK_LOG2: u32 = 20;
/// Hold ids are below this: bit 63 marks a snapshot version.
const ID_LIMIT: u64 = 1 << 63;

/// One tenant. Two cache lines, which no other tenant shares.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Cell {
    name: OnceLock<Box<str>>,
    account: Mutex<Account>,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Cell>() == 128, "a million tenants should stay small");

impl Cell {
    pub(crate) fn name(&self) -> &str {
        self.name.get().map_or("", |name| name)
    }

    /// The account alone, outside any path.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Account> {
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

#[derive(Debug, Default)]
pub(crate) struct Store {
    cells: Arena<Cell>,
    names: Names,
    /// Account index + 1 by block of hold ids, counted from `first_block`.
    blocks: Arena<AtomicU32>,
    first_block: AtomicU64,
    next_block: AtomicU64,
    pub(crate) registry: Mutex<Registry>,
    pub(crate) cut: Cut,
}

/// Locked accounts: the tenant first, then its ancestors.
pub(crate) type Path<'p, 'c> = &'p mut [MutexGuard<'c, Account>];

impl Store {
    #[inline]
    pub(crate) fn cell(&self, index: u32) -> Option<&Cell> {
        self.cells.get(index)
    }

    pub(crate) fn chunk(&self, index: u32) -> Option<(std::sync::Arc<[Cell]>, usize)> {
        self.cells.chunk(index)
    }

    #[inline]
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.names.get(name, |index| Some(self.cell(index)?.name()))
    }

    /// The tenant that was given the block of this hold id.
    #[inline]
    pub(crate) fn find_by_hold(&self, id: u64) -> Option<u32> {
        let block = (id >> BLOCK_LOG2).checked_sub(self.first_block.load(Ordering::Acquire))?;
        let owner = self.blocks.get(u32::try_from(block).ok()?)?;
        owner.load(Ordering::Acquire).checked_sub(1)
    }

    /// Locks the path of a tenant, child before parent, and runs `operation` on it. `None` when
    /// the tenant is not there (any more).
    #[inline]
    pub(crate) fn with_path<R>(
        &self,
        index: u32,
        cell: &Cell,
        operation: impl FnOnce(Path<'_, '_>) -> R,
    ) -> Option<R> {
        let mut tenant = cell.account.lock();
        if !tenant.present {
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
        tenant: MutexGuard<'s, Account>,
        operation: impl FnOnce(Path<'_, 's>) -> R,
    ) -> Option<R> {
        let mut indexes = ArrayVec::<u32, MAX_DEPTH>::from_iter([index]);
        let mut parent = tenant.parent;
        let mut path = ArrayVec::<_, MAX_DEPTH>::from_iter([tenant]);
        while parent != ROOT {
            let account = self.cell(parent)?.account.lock();
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

    /// The next hold id of a tenant. Ids rise within a tenant and are never given twice.
    #[inline]
    pub(crate) fn next_hold_id(&self, index: u32, account: &mut Account) -> Option<u64> {
        if account.next_hold % (1 << BLOCK_LOG2) == 0 {
            account.next_hold = self.take_block(index)?;
        }
        let id = account.next_hold;
        account.next_hold += 1;
        Some(id)
    }

    #[cold]
    fn take_block(&self, index: u32) -> Option<u64> {
        let block = self.next_block.fetch_add(1, Ordering::AcqRel);
        let number = u32::try_from(block - self.first_block.load(Ordering::Acquire)).ok()?;
        let first_id = block.checked_mul(1 << BLOCK_LOG2).filter(|id| *id < ID_LIMIT)?;
        self.blocks.get_or_grow(number)?.store(index + 1, Ordering::Release);
        // No hold has id 0.
        Some(first_id.max(1))
    }

    /// An id above every one given so far.
    pub(crate) fn id_bound(&self) -> u64 {
        (self.next_block.load(Ordering::Acquire) << BLOCK_LOG2).clamp(1, ID_LIMIT - 1)
    }

    /// Ids below `bound` will not be given. No block may be in use; the registry is locked.
    pub(crate) fn skip_ids_below(&self, bound: u64) {
        let block = bound.div_ceil(1 << BLOCK_LOG2).max(self.next_block.load(Ordering::Acquire));
        self.first_block.store(block, Ordering::Release);
        self.next_block.store(block, Ordering::Release);
    }

    /// Whether that many more tenants can be added.
    pub(crate) fn fits(registry: &Registry, tenants: usize) -> bool {
        tenants <= MAX_INDEX.saturating_sub(registry.accounts) as usize
    }

    /// Adds a tenant nobody can see yet, and gives its index and its account to fill.
    pub(crate) fn add(&self, registry: &mut Registry, name: &str) -> Option<(u32, &Cell)> {
        let index = Some(registry.accounts).filter(|index| *index < MAX_INDEX)?;
        let cell = self.cells.get_or_grow(index)?;
        let _first_time = cell.name.set(name.into());
        cell.account.lock().epoch = self.cut.epoch();
        registry.accounts += 1;
        Some((index, cell))
    }

    /// Lets the tenant at `index` be found by its name.
    pub(crate) fn publish(&self, registry: &mut Registry, index: u32) {
        let name_of = |index| self.cell(index).map(Cell::name);
        if let Some(name) = name_of(index) {
            self.names.set(name, index, name_of);
            registry.tenants += 1;
        }
    }
}
