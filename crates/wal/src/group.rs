//! The writer's core: entries are chained under a lock, and written and synced in groups.
//!
//! A caller that needs its entry written or durable either finds that done, waits for the caller that is at
//! the file (the leader), or becomes the leader and takes everything chained so far with it. Nobody waits
//! for a timer: while one group is being synced, the next one forms.

#[cfg(any(feature = "async", loom))]
mod claim;

use std::path::PathBuf;
use std::task::Waker;

use calybris_proof::chain::{ChainHash, ChainKey, link_hash};

use crate::chain::Head;
use crate::error::WalError;
use crate::line::{self, MAX_ENTRY_BYTES};
use crate::output::Output;
use crate::primitive::{Condvar, Mutex, MutexGuard, lock, wait, yield_now};

#[cfg(feature = "async")]
pub(crate) use claim::Claim;

/// A buffer that grew beyond this for one group is not kept for the next.
const KEPT_BUFFER_BYTES: usize = 4 << 20;
/// How often a leader lets others chain before it goes to the file. Another round is nothing new to a model
/// checker.
const GATHERING_ROUNDS: u32 = if cfg!(loom) { 2 } else { 128 };

/// Where an entry was chained.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) sequence: u64,
    pub(crate) previous: ChainHash,
    pub(crate) hash: ChainHash,
}

/// What a caller waits for, for every entry up to a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The operating system has the bytes.
    Written(u64),
    /// A sync returned after that.
    Durable(u64),
}

/// A log open for appending.
#[derive(Debug)]
pub(crate) struct GroupCommit {
    path: PathBuf,
    /// Used by the leader only.
    output: Mutex<Output>,
    key: Option<ChainKey>,
    buffer_bytes: usize,
    state: Mutex<State>,
    progress: Condvar,
}

#[derive(Debug)]
struct State {
    /// Of everything chained.
    head: Head,
    /// Whole lines that are chained and not yet at the file.
    pending: Vec<u8>,
    /// Kept for its capacity.
    spare: Vec<u8>,
    /// The last sequence the operating system has.
    written: u64,
    /// The last sequence a sync covered.
    durable: u64,
    /// Entries in the last group that was synced.
    group: u64,
    /// A leader is at the file, or on the way to it.
    led: bool,
    failure: Option<String>,
    /// Of tasks that wait.
    wakers: Vec<Waker>,
}

impl State {
    fn reached(&self, goal: Goal) -> bool {
        match goal {
            Goal::Written(sequence) => self.written >= sequence,
            Goal::Durable(sequence) => self.durable >= sequence,
        }
    }
}

impl GroupCommit {
    /// Continues a log that is durable as far as it goes.
    pub(crate) fn new(
        path: PathBuf,
        output: Output,
        key: Option<ChainKey>,
        buffer_bytes: usize,
    ) -> Self {
        let head = output.head();
        let state = State {
            head,
            pending: Vec::new(),
            spare: Vec::new(),
            written: head.sequence,
            durable: head.sequence,
            group: 1,
            led: false,
            failure: None,
            wakers: Vec::new(),
        };
        let (state, output, progress) = (Mutex::new(state), Mutex::new(output), Condvar::new());
        Self { path, output, key, buffer_bytes, state, progress }
    }

    /// Of everything chained so far.
    pub(crate) fn head(&self) -> Head {
        lock(&self.state).head
    }

    /// The last sequence known to be durable.
    pub(crate) fn durable(&self) -> u64 {
        lock(&self.state).durable
    }

    pub(crate) fn key(&self) -> Option<&ChainKey> {
        self.key.as_ref()
    }

    /// Whether this is still the log's writer.
    pub(crate) fn check(&self) -> Result<(), WalError> {
        if let Some(reason) = &lock(&self.state).failure {
            return Err(self.poisoned(reason));
        }
        lock(&self.output).check_lock()
    }

    /// Chains an entry. It is in the log from here on, in this order, unless a write fails.
    pub(crate) fn chain(&self, payload: &[u8]) -> Result<Link, WalError> {
        let mut state = lock(&self.state);
        if let Some(reason) = &state.failure {
            return Err(self.poisoned(reason));
        }
        let previous = state.head.hash;
        let Some(sequence) = state.head.sequence.checked_add(1) else {
            return Err(WalError::Full { path: self.path.clone() });
        };
        let found = line::length(sequence, &previous, payload);
        if found > MAX_ENTRY_BYTES {
            return Err(WalError::EntryTooLarge { found, limit: MAX_ENTRY_BYTES });
        }
        let hash = link_hash(&previous, payload, self.key.as_ref());
        line::write(&mut state.pending, sequence, &previous, &hash, payload);
        state.head = Head { sequence, hash };
        Ok(Link { sequence, previous, hash })
    }

    /// What an append has to wait for when nothing durable was asked for: nothing while the buffer has room.
    pub(crate) fn backpressure(&self) -> Goal {
        let state = lock(&self.state);
        if state.pending.len() > self.buffer_bytes {
            Goal::Written(state.head.sequence)
        } else {
            Goal::Written(state.written)
        }
    }

    /// Returns when `goal` is reached, leading a group if nobody does.
    pub(crate) fn reach(&self, goal: Goal) -> Result<(), WalError> {
        let mut state = lock(&self.state);
        loop {
            if state.reached(goal) {
                return Ok(());
            }
            if let Some(reason) = &state.failure {
                return Err(self.poisoned(reason));
            }
            if state.led {
                state = wait(&self.progress, state);
            } else {
                state.led = true;
                drop(state);
                Lead::new(self).take(goal)?;
                state = lock(&self.state);
            }
        }
    }

    /// Lets callers that are about to chain join the group: until it is as large as the one before, and as
    /// long as it grows, but not for ever.
    fn gather<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        for _ in 0..GATHERING_ROUNDS {
            let before = state.head.sequence;
            let as_before = before - state.written >= state.group;
            drop(state);
            yield_now();
            state = lock(&self.state);
            if as_before && state.head.sequence == before {
                break;
            }
        }
        state
    }

    fn poisoned(&self, reason: &str) -> WalError {
        WalError::Poisoned { path: self.path.clone(), reason: reason.into() }
    }
}

impl Drop for GroupCommit {
    /// Hands what is buffered to the operating system; a failure shows when the log is opened again.
    fn drop(&mut self) {
        let sequence = self.head().sequence;
        let _ = self.reach(Goal::Written(sequence));
        let _ = lock(&self.output).sync_head_file();
    }
}

/// The one caller at the file. Steps back when dropped, even by a panic of the storage.
struct Lead<'a> {
    group: &'a GroupCommit,
    at_file: bool,
}

impl<'a> Lead<'a> {
    /// `led` has been set by the caller.
    fn new(group: &'a GroupCommit) -> Self {
        Self { group, at_file: false }
    }

    fn take(mut self, goal: Goal) -> Result<(), WalError> {
        let group = self.group;
        let sync = matches!(goal, Goal::Durable(_));
        let mut state = lock(&group.state);
        if sync {
            state = group.gather(state);
        }
        let spare = std::mem::take(&mut state.spare);
        let mut bytes = std::mem::replace(&mut state.pending, spare);
        let head = state.head;
        drop(state);

        self.at_file = true;
        let outcome = lock(&group.output).put(&bytes, head, sync, group.key.as_ref());
        self.at_file = false;

        let mut state = lock(&group.state);
        #[cfg(feature = "observability")]
        crate::observe::group(head.sequence - state.written, bytes.len(), sync, &outcome);
        match &outcome {
            Ok(()) => {
                let entries = head.sequence - state.written;
                state.written = head.sequence;
                if sync {
                    state.group = entries;
                    state.durable = head.sequence;
                }
                bytes.clear();
                bytes.shrink_to(KEPT_BUFFER_BYTES);
                state.spare = bytes;
            }
            Err(error) => state.failure = Some(error.to_string()),
        }
        outcome
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.group.state);
        if self.at_file {
            state.failure = Some("the storage panicked".into());
        }
        state.led = false;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.group.progress.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }
}
