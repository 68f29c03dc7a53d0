//! How far a log has come, for those who wait: seen without the writer's lock, so that a caller that is woken
//! holds nobody up.

use super::Goal;
use crate::primitive::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering, lock, wait};

/// Changed under the writer's lock, except for `ended`.
#[derive(Debug)]
pub(super) struct Progress {
    /// The last sequence that was chained.
    chained: AtomicU64,
    /// The last sequence the operating system has.
    written: AtomicU64,
    /// The last sequence a sync covered.
    durable: AtomicU64,
    /// A leader is at the file, or on the way to it.
    led: AtomicBool,
    /// Leads that are over, one way or the other. Counted after what they changed can be seen.
    ended: AtomicU64,
    sleepers: Mutex<()>,
    signal: Condvar,
}

impl Progress {
    /// Of a log that is durable up to a sequence.
    pub(super) fn new(sequence: u64) -> Self {
        let at = || AtomicU64::new(sequence);
        Self {
            chained: at(),
            written: at(),
            durable: at(),
            led: AtomicBool::new(false),
            ended: AtomicU64::new(0),
            sleepers: Mutex::new(()),
            signal: Condvar::new(),
        }
    }

    pub(super) fn is_reached(&self, goal: Goal) -> bool {
        match goal {
            Goal::Written(sequence) => self.written() >= sequence,
            Goal::Durable(sequence) => self.durable() >= sequence,
        }
    }

    pub(super) fn chained(&self) -> u64 {
        self.chained.load(Ordering::Acquire)
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub(super) fn is_led(&self) -> bool {
        self.led.load(Ordering::Acquire)
    }

    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn chain(&self, sequence: u64) {
        self.chained.store(sequence, Ordering::Release);
    }

    pub(super) fn write(&self, sequence: u64) {
        self.written.store(sequence, Ordering::Release);
    }

    pub(super) fn sync(&self, sequence: u64) {
        self.durable.store(sequence, Ordering::Release);
    }

    pub(super) fn set_led(&self, led: bool) {
        self.led.store(led, Ordering::Release);
    }

    /// Wakes every thread that sleeps.
    pub(super) fn end(&self) {
        let sleepers = lock(&self.sleepers);
        self.ended.fetch_add(1, Ordering::Release);
        drop(sleepers);
        self.signal.notify_all();
    }

    /// Sleeps until more leads are over than `ended`, which was read before `is_led` was.
    pub(super) fn sleep(&self, ended: u64) {
        let mut sleepers = lock(&self.sleepers);
        while self.ended() == ended {
            sleepers = wait(&self.signal, sleepers);
        }
    }
}
