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
use crate::head_file::{Durable, HeadFile};
use crate::line::{self, MAX_ENTRY_BYTES};
use crate::primitive::{Condvar, Mutex, MutexGuard, lock, wait, yield_now};
use crate::storage::StorageFile;

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
    file: Box<dyn StorageFile>,
    /// Used by the leader only.
    head_file: Mutex<HeadFile>,
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
    /// The file's length after it.
    written_bytes: u64,
    /// The last sequence a sync covered.
    durable: u64,
    /// The file's length after it.
    durable_bytes: u64,
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
    /// Continues a file that is durable as far as it goes.
    pub(crate) fn new(
        path: PathBuf,
        file: Box<dyn StorageFile>,
        head_file: HeadFile,
        key: Option<ChainKey>,
        buffer_bytes: usize,
        Durable { head, bytes }: Durable,
    ) -> Self {
        let state = State {
            head,
            pending: Vec::new(),
            spare: Vec::new(),
            written: head.sequence,
            written_bytes: bytes,
            durable: head.sequence,
            durable_bytes: bytes,
            group: 1,
            led: false,
            failure: None,
            wakers: Vec::new(),
        };
        let (state, progress) = (Mutex::new(state), Condvar::new());
        let head_file = Mutex::new(head_file);
        Self { path, file, head_file, key, buffer_bytes, state, progress }
    }

    /// Of everything chained so far.
    pub(crate) fn head(&self) -> Head {
        lock(&self.state).head
    }

    /// The last sequence known to be durable.
    pub(crate) fn durable(&self) -> u64 {
        lock(&self.state).durable
    }

    pub(crate) fn is_keyed(&self) -> bool {
        self.key.is_some()
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

    /// Puts a group at the end of the file.
    ///
    /// After a failure the file is cut back to what is certain, as well as that can be done: a write that
    /// failed may have arrived in part, and what a failed sync covered may be in the system's cache and never
    /// on the disk. None of it was acknowledged.
    fn put(&self, group: &[u8], place: Place) -> Result<(), WalError> {
        self.check_place(place.offset)?;
        if !group.is_empty() {
            if let Err(error) = self.file.write_at(group, place.offset) {
                let _ = self.file.set_len(place.offset);
                return Err(WalError::io("write", &self.path)(error));
            }
        }
        if let Some(head) = place.sync {
            if let Err(error) = self.file.sync() {
                let _ = self.file.set_len(place.durable);
                return Err(WalError::io("sync", &self.path)(error));
            }
            let bytes = place.offset.saturating_add(group.len() as u64);
            lock(&self.head_file).record(Durable { head, bytes }, self.key.as_ref())?;
        }
        Ok(())
    }

    /// Whether the file is still the one that was opened, as long as it was left.
    fn check_place(&self, expected: u64) -> Result<(), WalError> {
        let displaced = |reason| Err(WalError::Displaced { path: self.path.clone(), reason });
        match self.file.len_at(&self.path).map_err(WalError::io("look up", &self.path))? {
            Some(found) if found == expected => Ok(()),
            Some(found) => displaced(format!("it has {found} bytes, this writer left {expected}")),
            None => displaced("it was moved, removed or replaced".into()),
        }
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
        let _ = lock(&self.head_file).sync();
    }
}

/// Where a group goes.
#[derive(Clone, Copy)]
struct Place {
    /// The file's length before it.
    offset: u64,
    /// The file's length at the last sync.
    durable: u64,
    /// The head after it, if it is to be synced.
    sync: Option<Head>,
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
        let (head, offset) = (state.head, state.written_bytes);
        let place =
            Place { offset, durable: state.durable_bytes, sync: sync.then_some(state.head) };
        drop(state);

        self.at_file = true;
        let outcome = group.put(&bytes, place);
        self.at_file = false;

        let mut state = lock(&group.state);
        #[cfg(feature = "observability")]
        crate::observe::group(head.sequence - state.written, bytes.len(), sync, &outcome);
        match &outcome {
            Ok(()) => {
                let entries = head.sequence - state.written;
                state.written = head.sequence;
                state.written_bytes = offset.saturating_add(bytes.len() as u64);
                if sync {
                    state.group = entries;
                    state.durable = head.sequence;
                    state.durable_bytes = state.written_bytes;
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
