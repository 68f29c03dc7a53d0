//! An append-only array read without locks: chunks that are never moved and never freed.
//!
//! Chunks get longer as the array grows, so that the lists of them stay in a core's first cache: of a
//! million accounts the longest chunk has 2,048, and all lists together take 14 kB.

use std::sync::{Arc, OnceLock};

/// Shelf `s` holds `2^(LOG2 + s)` values, in chunks of `2^(LOG2 + s / 3)`.
type Shelf<T> = Box<[OnceLock<Arc<[T]>>]>;

/// `Default` values in place from the start; the owner fills them.
#[derive(Debug)]
pub(crate) struct Arena<T, const LOG2: u32> {
    shelves: [OnceLock<Shelf<T>>; 33],
}

impl<T, const LOG2: u32> Default for Arena<T, LOG2> {
    fn default() -> Self {
        Self { shelves: std::array::from_fn(|_| OnceLock::new()) }
    }
}

/// Where the value at an index is.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    shelf: usize,
    /// On the shelf.
    chunk: usize,
    /// In the chunk.
    slot: usize,
    chunks_log2: u32,
    chunk_log2: u32,
}

impl<T: Default, const LOG2: u32> Arena<T, LOG2> {
    #[inline(always)]
    fn place(index: u32) -> Place {
        let number = u64::from(index) + (1 << LOG2);
        let shelf = number.ilog2() - LOG2;
        let chunk_log2 = LOG2 + shelf / 3;
        let on_shelf = usize::try_from(number - (1 << (LOG2 + shelf))).unwrap_or(usize::MAX);
        Place {
            shelf: shelf as usize,
            chunk: on_shelf >> chunk_log2,
            slot: on_shelf & ((1 << chunk_log2) - 1),
            chunks_log2: shelf - shelf / 3,
            chunk_log2,
        }
    }

    #[inline(always)]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let place = Self::place(index);
        self.shelves.get(place.shelf)?.get()?.get(place.chunk)?.get()?.get(place.slot)
    }

    /// The chunk around `index` and the slot in it, for a caller that will come back often.
    pub(crate) fn chunk(&self, index: u32) -> Option<(Arc<[T]>, usize)> {
        let place = Self::place(index);
        let chunk = self.shelves.get(place.shelf)?.get()?.get(place.chunk)?.get()?;
        Some((chunk.clone(), place.slot))
    }

    /// The slot at `index`, allocating its chunk if it is the first one there.
    pub(crate) fn get_or_grow(&self, index: u32) -> Option<&T> {
        let place = Self::place(index);
        let empty = || (0..1_usize << place.chunks_log2).map(|_| OnceLock::new()).collect();
        let shelf = self.shelves.get(place.shelf)?.get_or_init(empty);
        let filled = || (0..1_usize << place.chunk_log2).map(|_| T::default()).collect();
        shelf.get(place.chunk)?.get_or_init(filled).get(place.slot)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_a_place_of_its_own() {
        let arena = Arena::<std::sync::atomic::AtomicU32, 6>::default();
        let indexes = (0..70_000).chain([131_071, 131_072, 1_000_000]);
        for index in indexes.clone() {
            let slot = arena.get_or_grow(index).unwrap();
            slot.store(index + 1, std::sync::atomic::Ordering::Relaxed);
        }
        for index in indexes {
            let value = arena.get(index).unwrap().load(std::sync::atomic::Ordering::Relaxed);
            assert_eq!(value, index + 1);
        }
        assert!(arena.get(9_999_999).is_none());
        assert!(arena.get(u32::MAX).is_none());
        let last = Arena::<std::sync::atomic::AtomicU32, 0>::place(u32::MAX);
        assert_eq!((last.shelf, last.chunk, last.slot), (32, 0, 0));
    }
}
