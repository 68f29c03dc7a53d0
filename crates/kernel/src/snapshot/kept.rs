//! A digest computed at the first need, once, and kept.

// The parent says whose: the processor's, or those of a model checker.
use super::atomic::{AtomicBool, AtomicU32, Ordering};

/// Without a lock, an allocator or 64-bit atomics. Threads that need the digest first at the same time all compute it
/// and store the same words, so that none can tell; who sees `ready` sees the words, which were stored before it.
#[derive(Debug)]
pub(crate) struct Kept {
    words: [AtomicU32; 8],
    ready: AtomicBool,
}

impl Kept {
    /// Not computed yet.
    pub(crate) fn empty() -> Self {
        Self { words: core::array::from_fn(|_| AtomicU32::new(0)), ready: AtomicBool::new(false) }
    }

    /// The digest, by `compute` if it is not kept yet, which must give the same each time.
    #[inline]
    pub(crate) fn get_or(&self, compute: impl FnOnce() -> [u8; 32]) -> [u8; 32] {
        let mut digest = [0; 32];
        if self.ready.load(Ordering::Acquire) {
            for (bytes, word) in digest.chunks_exact_mut(4).zip(&self.words) {
                bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
            }
            return digest;
        }
        digest = compute();
        for (bytes, word) in digest.chunks_exact(4).zip(&self.words) {
            let bytes = bytes.try_into().unwrap_or_default();
            word.store(u32::from_le_bytes(bytes), Ordering::Relaxed);
        }
        self.ready.store(true, Ordering::Release);
        digest
    }
}
