//! Tenant names to indexes: an open-addressing table that readers never lock.
//!
//! Entries are only added, or pointed at a newer index, and only by the one thread that holds the
//! ledger's creation lock. A full table is copied into one twice its size, which is then published;
//! the old ones stay until the ledger goes (together they are no larger than the current one).

use std::{hash::BuildHasher as _, sync::OnceLock};

use crate::primitive::{AtomicU32, NameHasher, Ordering};

/// Small under loom, where every entry is a modelled object.
const SMALLEST_LOG2: u32 = if cfg!(loom) { 1 } else { 4 };
const TABLES: usize = 31 - SMALLEST_LOG2 as usize;

/// The most tenants, present and past, of one ledger: three quarters of the largest table.
pub(crate) const MAX_INDEX: u32 = 3 << 28;

/// An entry is 0 when empty, else `index + 1` in the low bits and, in the bits that an index of
/// this table cannot use, bits of the name's hash, so that a foreign tenant is rarely looked at.
type Table = Box<[AtomicU32]>;

#[derive(Debug)]
pub(crate) struct Names {
    tables: [OnceLock<Table>; TABLES],
    current: AtomicU32,
    hasher: NameHasher,
}

impl Default for Names {
    fn default() -> Self {
        let names = Self {
            tables: std::array::from_fn(|_| OnceLock::new()),
            current: AtomicU32::new(0),
            hasher: NameHasher::default(),
        };
        names.table_or_grow(0);
        names
    }
}

/// Where a name's probing starts, and its tag.
struct Probe<'t> {
    table: &'t [AtomicU32],
    position: usize,
    tag: u32,
}

impl Names {
    fn table_or_grow(&self, number: u32) -> Option<&Table> {
        let empty =
            || (0..1_usize << (number + SMALLEST_LOG2)).map(|_| AtomicU32::new(0)).collect();
        Some(self.tables.get(number as usize)?.get_or_init(empty))
    }

    #[inline(always)]
    fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    #[inline(always)]
    fn probe(&self, name: &str) -> Option<Probe<'_>> {
        let table = self.tables.get(self.current.load(Ordering::Acquire) as usize)?.get()?;
        Some(Probe::new(table, self.hash(name)))
    }

    /// What `known_as` makes of the index stored for `name`: nothing, for that of another name.
    #[inline(always)]
    pub(crate) fn get<T>(&self, name: &str, known_as: impl Fn(u32) -> Option<T>) -> Option<T> {
        self.probe(name)?.find(known_as).ok().map(|(_, found)| found)
    }

    /// Points `name` at `index`. The caller holds the creation lock, gives indexes without gaps
    /// in ascending order, and has already made the name of `index` readable.
    pub(crate) fn set<'n>(&self, name: &str, index: u32, name_of: impl Fn(u32) -> Option<&'n str>) {
        if self.probe(name).is_some_and(|probe| probe.is_full_at(index)) {
            self.grow(index, &name_of);
        }
        let Some(probe) = self.probe(name) else { return };
        let same = |index| (name_of(index) == Some(name)).then_some(());
        let (Ok((position, ())) | Err(position)) = probe.find(same);
        if let Some(entry) = probe.table.get(position) {
            entry.store(probe.tag | (index + 1), Ordering::Release);
        }
    }

    fn grow<'n>(&self, indexes: u32, name_of: &impl Fn(u32) -> Option<&'n str>) {
        let current = self.current.load(Ordering::Acquire);
        let Some(old) = self.tables.get(current as usize).and_then(OnceLock::get) else { return };
        let Some(new) = self.table_or_grow(current + 1) else { return };
        let low_bits = Probe::index_mask(old);
        for entry in old {
            let Some(index) = (entry.load(Ordering::Relaxed) & low_bits).checked_sub(1) else {
                continue;
            };
            debug_assert!(index < indexes, "an entry is stored after its index is given");
            let Some(name) = name_of(index) else { continue };
            let probe = Probe::new(new, self.hash(name));
            if let Err(position) = probe.find(|_| None::<()>)
                && let Some(entry) = new.get(position)
            {
                entry.store(probe.tag | (index + 1), Ordering::Relaxed);
            }
        }
        self.current.store(current + 1, Ordering::Release);
    }
}

impl<'t> Probe<'t> {
    #[inline(always)]
    fn new(table: &'t [AtomicU32], hash: u64) -> Self {
        let [low, high] =
            [hash & 0xffff_ffff, hash >> 32].map(|half| u32::try_from(half).unwrap_or(0));
        Self {
            table,
            position: low as usize & (table.len() - 1),
            tag: high & !Self::index_mask(table),
        }
    }

    #[inline(always)]
    fn index_mask(table: &[AtomicU32]) -> u32 {
        u32::try_from(table.len() * 2 - 1).unwrap_or(u32::MAX)
    }

    /// A table of `2^n` entries takes indexes below three quarters of that.
    fn is_full_at(&self, index: u32) -> bool {
        index as usize >= self.table.len() / 4 * 3
    }

    /// The first entry of this tag that `known_as` makes something of, and what; or the position
    /// of the empty entry after all of them.
    #[inline(always)]
    fn find<T>(&self, known_as: impl Fn(u32) -> Option<T>) -> Result<(usize, T), usize> {
        let low_bits = Self::index_mask(self.table);
        let mut position = self.position;
        loop {
            // A table is never full, so an empty entry ends every probe.
            let Some(entry) = self.table.get(position) else { return Err(position) };
            let entry = entry.load(Ordering::Acquire);
            let Some(index) = (entry & low_bits).checked_sub(1) else { return Err(position) };
            if entry & !low_bits == self.tag
                && let Some(found) = known_as(index)
            {
                return Ok((position, found));
            }
            position = (position + 1) & (self.table.len() - 1);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_through_growth_and_replacement() {
        let stored: Vec<String> = (0..5_000).map(|i| format!("tenant-{}", i % 4_000)).collect();
        let name_of = |index: u32| stored.get(index as usize).map(String::as_str);
        let names = Names::default();
        let get =
            |name: &str| names.get(name, |index| (name_of(index) == Some(name)).then_some(index));
        for (index, name) in (0_u32..).zip(&stored) {
            assert_eq!(get(name), index.checked_sub(4_000));
            names.set(name, index, name_of);
            assert_eq!(get(name), Some(index));
        }
        for (index, name) in (0_u32..).zip(&stored).skip(1_000) {
            assert_eq!(get(name), Some(index));
        }
        assert_eq!(get("nobody"), None);
        assert_eq!(get(""), None);
    }
}
