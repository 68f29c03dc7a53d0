//! The concurrency primitives: the standard ones, or loom's models of them under `--cfg loom`.
//!
//! Nothing else in the crate names `std::sync` locks or atomics, so a loom run sees every
//! synchronising step. Write-once cells stay the standard ones: they are only filled under
//! [`Mutex`] and never waited for.

#[cfg(loom)]
pub(crate) use loom::sync::{
    MutexGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
#[cfg(not(loom))]
pub(crate) use std::sync::{
    MutexGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

/// Tenant names come from outside, so their hash is keyed; loom needs every run to be the same.
#[cfg(not(loom))]
pub(crate) type NameHasher = std::collections::hash_map::RandomState;
#[cfg(loom)]
pub(crate) type NameHasher = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

#[cfg(loom)]
type Inner<T> = loom::sync::Mutex<T>;
#[cfg(not(loom))]
type Inner<T> = std::sync::Mutex<T>;

/// A mutex that ignores poisoning (nothing in this crate panics while holding one) and, when
/// contended, backs off long enough for the holder to finish several short operations.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(Inner<T>);

impl<T> Mutex<T> {
    #[cfg(loom)]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.try_lock().unwrap_or_else(|| self.lock_contended())
    }

    #[cfg(not(loom))]
    #[inline]
    fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }

    /// Two cores that take turns on every operation pay for moving the cache lines each time, and
    /// a thread put to sleep pays for being woken. Waiting a growing while, without touching the
    /// lock, keeps the total near that of one thread.
    #[cfg(not(loom))]
    #[cold]
    fn lock_contended(&self) -> MutexGuard<'_, T> {
        const LONGEST_WAIT_LOG2: u32 = 10;
        for wait_log2 in 3..=LONGEST_WAIT_LOG2 {
            for _ in 0..1_u32 << wait_log2 {
                std::hint::spin_loop();
            }
            if let Some(guard) = self.try_lock() {
                return guard;
            }
        }
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
