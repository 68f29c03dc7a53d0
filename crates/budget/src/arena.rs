//! An append-only array read without locks: chunks of fixed size, never moved, never freed.

use std::sync::{Arc, OnceLock};

/// Shelf `s` holds `2^s` chunks.
type Shelf<T> = Box<[OnceLock<Arc<[T]>>]>;

/// `Default` values in place from the start, `2^LOG2` to a chunk; the owner fills them.
#[derive(Debug)]
pub(crate) struct Arena<T, const LOG2: u32> {
    shelves: [OnceLock<Shelf<T>>; 33],
}

impl<T, const LOG2: u32> Default for Arena<T, LOG2> {
    fn default() -> Self {
        Self { shelves: std::array::from_fn(|_| OnceLock::new()) }
    }
}

impl<T: Default, const LOG2: u32> Arena<T, LOG2> {
    /// Shelf, chunk on the shelf, slot in the chunk.
    #[inline(always)]
    fn place(index: u32) -> (usize, usize, usize) {
        let chunk = (u64::from(index) >> LOG2) + 1;
        let shelf = chunk.ilog2();
        let on_shelf = usize::try_from(chunk - (1 << shelf)).unwrap_or(usize::MAX);
        (shelf as usize, on_shelf, index as usize & ((1 << LOG2) - 1))
    }

    #[inline(always)]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let (shelf, chunk, slot) = Self::place(index);
        self.shelves.get(shelf)?.get()?.get(chunk)?.get()?.get(slot)
    }

    /// The chunk around `index` and the slot in it, for a caller that will come back often.
    pub(crate) fn chunk(&self, index: u32) -> Option<(Arc<[T]>, usize)> {
        let (shelf, chunk, slot) = Self::place(index);
        Some((self.shelves.get(shelf)?.get()?.get(chunk)?.get()?.clone(), slot))
    }

    /// The slot at `index`, allocating its chunk if it is the first one there.
    pub(crate) fn get_or_grow(&self, index: u32) -> Option<&T> {
        let (shelf, chunk, slot) = Self::place(index);
        let empty = || (0..1_usize << shelf).map(|_| OnceLock::new()).collect();
        let shelf = self.shelves.get(shelf)?.get_or_init(empty);
        let filled = || (0..1_usize << LOG2).map(|_| T::default()).collect();
        shelf.get(chunk)?.get_or_init(filled).get(slot)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_a_place_of_its_own() {
        let arena = Arena::<std::sync::atomic::AtomicU32, 6>::default();
        let indexes = (0..1_000).chain([4_095, 4_096, 65_535, 65_536]);
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
        let all_bits = Arena::<std::sync::atomic::AtomicU32, 0>::place(u32::MAX);
        assert_eq!(all_bits, (32, 0, 0));
    }
}
