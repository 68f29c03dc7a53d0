//! The writer's core: entries are chained under a lock, and written and synced in groups.
//!
//! A caller that needs its entry written or durable either finds that done, waits for the caller that is at
//! the file (the leader), or becomes the leader and takes everything chained so far with it. While one
//! group is being synced, the next one forms.

#[cfg(any(feature = "async", loom))]
mod claim;
mod progress;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use calybris_proof::chain::{ChainHash, ChainKey, link_hash};

use crate::chain::Head;
use crate::error::WalError;
use crate::line::{self, MAX_ENTRY_BYTES};
use crate::observe;
use crate::output::Output;
use crate::primitive::{Mutex, Sole, lock, yield_now};

#[cfg(feature = "async")]
pub(crate) use claim::Claim;
use progress::Progress;

/// A buffer that grew beyond this for one group is not kept for the next.
const KEPT_BUFFER_BYTES: usize = 4 << 20;
/// How long a leader waits after the last one chained, in parts of what the last sync took: with nobody of the group
/// before back yet, and with all of them back.
const PATIENCE: [u64; 2] = [32, 1];
const PARTS: u32 = 64;

/// Where an entry was chained.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) sequence: u64,
    pub(crate) previous: ChainHash,
    pub(crate) hash: ChainHash,
    /// More is buffered now than the options allow.
    pub(crate) over: bool,
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
    output: Sole<Output>,
    key: Option<ChainKey>,
    buffer_bytes: usize,
    state: Mutex<State>,
    progress: Progress,
    /// Why nothing is acknowledged any more. Set under `state`, and before the leader that failed steps back.
    failure: OnceLock<String>,
}

/// Who was woken when the last lead ended, itself included, and what the last sync took.
#[derive(Clone, Copy, Debug)]
struct Last {
    callers: u64,
    time: Duration,
}

impl Last {
    /// How long a group of so many entries waits for one more. Callers that were woken together come back together, with an
    /// entry at least: the more of them are missing, the longer it takes to give up, since a sync for a few costs the
    /// others one more.
    fn patience(self, group: u64) -> Duration {
        // One caller alone waits for nobody, whether it has many entries or one that only has to be synced. A second that
        // comes meanwhile is counted when this lead ends.
        if self.callers <= 1 {
            return Duration::ZERO;
        }
        let [without, with] = PATIENCE;
        let missing = self.callers.saturating_sub(group);
        let parts = without.saturating_mul(missing) / self.callers;
        self.time / PARTS * u32::try_from(parts.max(with)).unwrap_or(PARTS)
    }
}

#[derive(Debug)]
struct State {
    /// Of everything chained.
    head: Head,
    /// Of everything a sync covered.
    durable: Head,
    /// Whole lines that are chained and not yet at the file.
    pending: Vec<u8>,
    /// Kept for its capacity.
    spare: Vec<u8>,
    /// What the last sync took.
    sync_time: Duration,
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
            durable: head,
            pending: Vec::new(),
            spare: Vec::new(),
            sync_time: Duration::ZERO,
        };
        let progress = Progress::new(head.sequence);
        let (state, output) = (Mutex::new(state), Sole::new(output));
        Self { path, output, key, buffer_bytes, state, progress, failure: OnceLock::new() }
    }

    /// Of everything chained so far.
    pub(crate) fn head(&self) -> Head {
        lock(&self.state).head
    }

    /// Of everything known to be durable.
    pub(crate) fn durable_head(&self) -> Head {
        lock(&self.state).durable
    }

    /// The last sequence known to be durable.
    pub(crate) fn durable(&self) -> u64 {
        self.progress.durable()
    }

    pub(crate) fn key(&self) -> Option<&ChainKey> {
        self.key.as_ref()
    }

    /// Whether this is still the log's writer.
    pub(crate) fn check(&self) -> Result<(), WalError> {
        self.fit()?;
        self.output.take().check_lock()
    }

    /// Chains an entry. It is in the log from here on, in this order, unless a write fails.
    pub(crate) fn chain(&self, payload: &[u8]) -> Result<Link, WalError> {
        let _span = observe::append(payload.len());
        let mut state = lock(&self.state);
        self.fit()?;
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
        self.progress.chain(sequence);
        let over = state.pending.len() > self.buffer_bytes;
        Ok(Link { sequence, previous, hash, over })
    }

    /// Returns when `goal` is reached, leading a group if nobody does.
    pub(crate) fn reach(&self, goal: Goal) -> Result<(), WalError> {
        loop {
            let ended = self.progress.ended();
            if let Some(settled) = self.settled(goal) {
                return settled;
            }
            if self.progress.claim() {
                Lead { group: self, caller: 1 }.take(goal)?;
            } else {
                self.progress.sleep(ended);
            }
        }
    }

    /// How waiting for `goal` ended, if it did.
    fn settled(&self, goal: Goal) -> Option<Result<(), WalError>> {
        if self.progress.is_reached(goal) { Some(Ok(())) } else { self.fit().err().map(Err) }
    }

    /// Whether nothing has failed so far.
    fn fit(&self) -> Result<(), WalError> {
        match self.failure.get() {
            Some(reason) => {
                Err(WalError::Poisoned { path: self.path.clone(), reason: reason.clone() })
            }
            None => Ok(()),
        }
    }

    /// Lets callers that are about to chain join the group, as long as it grows, but not for longer than a sync takes.
    fn gather(&self, last: Last) {
        let (start, mut chained) = (Instant::now(), self.progress.chained());
        let mut grown = start;
        loop {
            yield_now();
            let (now, before) = (Instant::now(), chained);
            chained = self.progress.chained();
            if chained > before {
                grown = now;
            }
            let patience = last.patience(chained - self.progress.written());
            // Another round is nothing new to a model checker.
            if cfg!(loom) || now - grown >= patience || now - start >= last.time {
                break;
            }
        }
    }
}

impl Drop for GroupCommit {
    /// Hands what is buffered to the operating system; a failure shows when the log is opened again.
    fn drop(&mut self) {
        let sequence = self.head().sequence;
        let _ = self.reach(Goal::Written(sequence));
        let _ = self.output.take().close();
    }
}

/// The one caller at the file. Steps back when dropped.
struct Lead<'a> {
    group: &'a GroupCommit,
    /// 1 if it waits itself, 0 if it leads for a task that does.
    caller: u64,
}

impl Lead<'_> {
    fn take(self, goal: Goal) -> Result<(), WalError> {
        let group = self.group;
        // A group that ended before the lead was taken may have settled it.
        if let Some(settled) = group.settled(goal) {
            return settled;
        }
        let sync = matches!(goal, Goal::Durable(_));
        if sync {
            let time = lock(&group.state).sync_time;
            group.gather(Last { callers: group.progress.woken(), time });
        }
        let mut state = lock(&group.state);
        let spare = std::mem::take(&mut state.spare);
        let mut bytes = std::mem::replace(&mut state.pending, spare);
        let head = state.head;
        drop(state);

        let start = Instant::now();
        let put = || {
            let _span = observe::group(bytes.len(), sync);
            group.output.take().put(&bytes, head, sync, group.key.as_ref())
        };
        // A storage or a subscriber that panics must not leave the others waiting; the panic goes on below.
        let outcome = catch_unwind(AssertUnwindSafe(put));

        let mut state = lock(&group.state);
        let entries = head.sequence - group.progress.written();
        let length = bytes.len();
        let failure = match &outcome {
            Ok(Ok(())) => {
                group.progress.write(head.sequence);
                if sync {
                    state.sync_time = start.elapsed();
                    state.durable = head;
                    group.progress.sync(head.sequence);
                }
                bytes.clear();
                bytes.shrink_to(KEPT_BUFFER_BYTES);
                state.spare = bytes;
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the storage or a subscriber panicked".into()),
        };
        if let Some(reason) = failure {
            group.failure.get_or_init(|| reason);
        }
        drop(state);
        drop(self);
        let outcome = outcome.unwrap_or_else(|panic| resume_unwind(panic));
        observe::grouped(entries, length, sync, outcome.as_ref().err());
        outcome
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.group.progress.end(self.caller);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
