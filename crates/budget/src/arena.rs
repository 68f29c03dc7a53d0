//! An append-only array read without locks: chunks of fixed size, never moved, never freed.

use std::sync::{Arc, OnceLock};

/// Small under loom, where every slot of a chunk is a modelled object.
const CHUNK_LOG2: u32 = if cfg!(loom) { 1 } else { 6 };
const CHUNK: usize = 1 << CHUNK_LOG2;
/// Shelf `s` holds `2^s` chunks; 27 shelves of 64-slot chunks cover every `u32` index.
const SHELVES: usize = 33 - CHUNK_LOG2 as usize;

type Shelf<T> = Box<[OnceLock<Arc<[T]>>]>;

/// `Default` values in place from the start; the owner fills them.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    shelves: [OnceLock<Shelf<T>>; SHELVES],
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { shelves: std::array::from_fn(|_| OnceLock::new()) }
    }
}

/// Shelf, chunk on the shelf, slot in the chunk.
#[inline]
fn place(index: u32) -> (usize, usize, usize) {
    let chunk = (index >> CHUNK_LOG2) + 1;
    let shelf = chunk.ilog2();
    ((shelf as usize), (chunk - (1 << shelf)) as usize, index as usize & (CHUNK - 1))
}

impl<T: Default> Arena<T> {
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let (shelf, chunk, slot) = place(index);
        self.shelves.get(shelf)?.get()?.get(chunk)?.get()?.get(slot)
    }

    /// The chunk around `index` and the slot in it, for a caller that will come back often.
    pub(crate) fn chunk(&self, index: u32) -> Option<(Arc<[T]>, usize)> {
        let (shelf, chunk, slot) = place(index);
        Some((self.shelves.get(shelf)?.get()?.get(chunk)?.get()?.clone(), slot))
    }

    /// The slot at `index`, allocating its chunk if it is the first one there.
    pub(crate) fn get_or_grow(&self, index: u32) -> Option<&T> {
        let (shelf, chunk, slot) = place(index);
        let empty = || (0..1_usize << shelf).map(|_| OnceLock::new()).collect();
        let shelf = self.shelves.get(shelf)?.get_or_init(empty);
        let filled = || (0..CHUNK).map(|_| T::default()).collect();
        shelf.get(chunk)?.get_or_init(filled).get(slot)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_a_place_of_its_own() {
        let arena = Arena::<std::sync::atomic::AtomicU32>::default();
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
        assert_eq!(place(u32::MAX).0, SHELVES - 1);
    }
}
