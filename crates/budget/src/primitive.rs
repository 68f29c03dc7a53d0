//! The concurrency primitives: real ones, or under `--cfg loom` and `--cfg shuttle` the models of
//! them that those checkers schedule.
//!
//! Nothing else in the crate names locks or atomics, so a checker sees every synchronising step.
//! Write-once cells stay the standard ones: they are only filled under [`Mutex`] and never waited for.

#[cfg(loom)]
use loom::sync as source;
#[cfg(shuttle)]
use shuttle::sync as source;
#[cfg(not(any(loom, shuttle)))]
use std::sync as source;
#[cfg(not(any(loom, shuttle)))]
use std::time::{Duration, Instant};

pub(crate) use source::atomic::{AtomicU32, AtomicU64, Ordering};

/// Tenant names come from outside, so their hash is keyed; checkers need every run to be the same.
#[cfg(not(any(loom, shuttle)))]
pub(crate) type NameHasher = foldhash::quality::RandomState;
#[cfg(any(loom, shuttle))]
pub(crate) type NameHasher = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

/// For what may be held long: waiters sleep. Poisoning is ignored; nothing in this crate panics
/// while holding one.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(source::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn lock(&self) -> source::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    #[cfg(any(loom, shuttle))]
    pub(crate) fn try_lock(&self) -> Option<source::MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }

    #[cfg(any(loom, shuttle))]
    #[expect(clippy::unused_self, reason = "a checker models no caches")]
    pub(crate) fn fetch(&self) {}
}

#[cfg(any(loom, shuttle))]
pub(crate) type ShortMutex<T> = Mutex<T>;
#[cfg(any(loom, shuttle))]
pub(crate) use source::MutexGuard as ShortGuard;

#[cfg(not(any(loom, shuttle)))]
pub(crate) use spin::mutex::SpinMutexGuard as ShortGuard;

/// For what is held for nanoseconds: taking it is one atomic exchange and giving it back a plain
/// store, half the price of a mutex that has to know of sleepers.
#[cfg(not(any(loom, shuttle)))]
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct ShortMutex<T>(spin::mutex::SpinMutex<T>);

#[cfg(not(any(loom, shuttle)))]
impl<T> ShortMutex<T> {
    #[inline(always)]
    pub(crate) fn lock(&self) -> ShortGuard<'_, T> {
        self.try_lock().unwrap_or_else(|| self.lock_contended())
    }

    #[inline(always)]
    pub(crate) fn try_lock(&self) -> Option<ShortGuard<'_, T>> {
        self.0.try_lock()
    }

    /// Brings the lock nearer while something else is looked at: its cache line may come with it.
    #[inline(always)]
    pub(crate) fn fetch(&self) {
        let _locked = self.0.is_locked();
    }

    /// Moving the tenant's cache line to another core takes as long as a dozen operations, and a waiter that
    /// looks at the lock moves it. So it looks once in a few microseconds, and the holder does hundreds
    /// of operations in between; nobody hands the lock over. A look finds it free about every second
    /// time, also under a holder that takes it again at once. A holder that was descheduled is waited for
    /// by giving it the core, then asleep.
    #[cold]
    fn lock_contended(&self) -> ShortGuard<'_, T> {
        /// Looks at the lock after pauses, then after yields.
        const PAUSED: u32 = 32;
        const YIELDED: u32 = 64;
        const PAUSE: Duration = Duration::from_micros(6);
        const NAP: Duration = Duration::from_micros(50);
        let mut looks = 0;
        loop {
            if looks < PAUSED {
                pause_for(PAUSE);
            } else if looks < PAUSED + YIELDED {
                (0..8).for_each(|_| std::thread::yield_now());
            } else {
                std::thread::sleep(NAP);
            }
            if let Some(guard) = self.try_lock() {
                return guard;
            }
            looks = (looks + 1).min(PAUSED + YIELDED);
        }
    }
}

/// By the clock, since the pause instruction takes 10 ns on one processor and several times that on another;
/// and not in one run of it, which a hypervisor takes for a deadlock, and the core away.
#[cfg(not(any(loom, shuttle)))]
fn pause_for(span: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < span {
        (0..8).for_each(|_| std::hint::spin_loop());
    }
}
