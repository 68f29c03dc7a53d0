//! How far a log has come, for those who wait: seen without the writer's lock, so that a caller that is woken
//! holds nobody up.

use std::task::Waker;

use super::Goal;
use crate::primitive::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering, lock, wait};

/// What was chained, written and synced is changed under the writer's lock.
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
    /// Wakes threads.
    signal: Condvar,
    /// Threads look at `ended` under it before they sleep.
    waiting: Mutex<Waiting>,
}

/// Those who are woken when the lead under way ends, or the next.
#[derive(Debug, Default)]
struct Waiting {
    threads: u64,
    tasks: Vec<Waker>,
    /// How many were woken last, whoever led included.
    woken: u64,
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
            signal: Condvar::new(),
            waiting: Mutex::new(Waiting::default()),
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

    /// Takes the lead, if nobody has it.
    pub(super) fn claim(&self) -> bool {
        self.led.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// How many were woken when the last lead ended.
    pub(super) fn woken(&self) -> u64 {
        lock(&self.waiting).woken
    }

    /// Gives the lead back, and wakes everybody who waits beside so many who led.
    pub(super) fn end(&self, leaders: u64) {
        self.led.store(false, Ordering::Release);
        let mut waiting = lock(&self.waiting);
        self.ended.fetch_add(1, Ordering::Release);
        let Waiting { threads, tasks, .. } = std::mem::take(&mut *waiting);
        waiting.woken = leaders + threads + tasks.len() as u64;
        drop(waiting);
        self.signal.notify_all();
        tasks.into_iter().for_each(Waker::wake);
    }

    /// Sleeps until more leads are over than `ended`, which was read before the lead was not to be had.
    pub(super) fn sleep(&self, ended: u64) {
        let mut waiting = lock(&self.waiting);
        if self.ended() == ended {
            waiting.threads += 1;
        }
        while self.ended() == ended {
            waiting = wait(&self.signal, waiting);
        }
    }

    /// Has a task woken at the end of the lead under way, or of the next.
    #[cfg(any(feature = "async", loom))]
    pub(super) fn register(&self, waker: &Waker) {
        let Waiting { tasks, .. } = &mut *lock(&self.waiting);
        if !tasks.iter().any(|other| other.will_wake(waker)) {
            tasks.push(waker.clone());
        }
    }
}
