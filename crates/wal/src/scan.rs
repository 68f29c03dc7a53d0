//! Verifying a whole file: in chunks, in parallel, in memory that does not grow with it.
//!
//! The hash of an entry needs only what the file says its predecessor's hash is, so chunks are verified
//! independently; that each chunk continues the one before is checked afterwards, in order.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use calybris_proof::chain::{ChainHash, ChainKey};

use crate::chain::{Head, hash_of};
use crate::error::{Fault, Place, WalError};
use crate::fold::VerifiedEntry;
use crate::line::{self, Line};
use crate::lines::{LineError, Lines};
use crate::segments::UNKNOWN;
use crate::storage::StorageFile;

const CHUNK_BYTES: u64 = 1 << 20;
/// Beyond this many threads the disk or the memory decides.
const MAX_THREADS: usize = 16;
/// Chunks given out for every thread: the one it verifies and one that waits, for it or to be joined.
const AHEAD: usize = 2;

/// What is done with the verified entries of one chunk.
pub(crate) trait Visit: Send {
    /// Takes the next entry, from one thread at a time.
    fn entry(&mut self, entry: &VerifiedEntry<'_>) -> Result<(), Fault>;

    /// The chunk is known to continue those before it. Called in the order of the log.
    fn joined(self: Box<Self>) {}
}

/// Makes what is called for every entry of one chunk.
pub(crate) type Visitor<'v> = dyn Fn() -> Box<dyn Visit + 'v> + Sync + 'v;

/// How far a scan has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes verified.
    pub bytes: u64,
    /// Bytes to verify.
    pub total_bytes: u64,
    /// The last sequence verified.
    pub sequence: u64,
}

/// A file to verify.
pub(crate) struct Scan<'a, 'v> {
    pub(crate) path: &'a Path,
    pub(crate) file: &'a dyn StorageFile,
    /// How much of it is looked at.
    pub(crate) bytes: u64,
    pub(crate) key: Option<&'a ChainKey>,
    /// What the file's first entry follows.
    pub(crate) start: Head,
    /// Heads the chain must pass through, if it gets that far.
    pub(crate) anchors: &'a [Head],
    pub(crate) visitor: Option<&'a Visitor<'v>>,
}

/// What a scan found: the longest prefix whose chain holds, and what ended it.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// After the last entry that holds.
    pub(crate) head: Head,
    /// Where that entry's line ends.
    pub(crate) end: u64,
    /// Whether that line has its newline.
    pub(crate) terminated: bool,
    /// Lines up to there, blank ones included.
    pub(crate) lines: u64,
    /// Blank lines that follow.
    blank: u64,
    /// How much of the file was looked at.
    pub(crate) bytes: u64,
    /// What is wrong with the line that follows the prefix, none at the end of the file.
    pub(crate) broken: Option<(Box<Place>, Fault)>,
}

/// The lines that start in one chunk, verified among themselves.
struct Chunk<'v> {
    /// The first entry's sequence and what it says it follows; the lines before it, and its offset.
    first: Option<(u64, ChainHash, u64, u64)>,
    /// After the last entry that holds.
    head: Option<Head>,
    /// As in [`Scanned`], of the chunk.
    end: u64,
    terminated: bool,
    lines: u64,
    blank: u64,
    /// The line that does not hold: its offset and fault.
    broken: Option<(u64, Fault)>,
    /// What was made of the entries that hold.
    visit: Option<Box<dyn Visit + 'v>>,
}

/// A chunk to verify, and where it goes.
struct Work<'v> {
    index: u64,
    done: mpsc::SyncSender<Result<Chunk<'v>, WalError>>,
}

impl<'v> Scan<'_, 'v> {
    pub(crate) fn run(
        &self,
        progress: Option<&mut dyn FnMut(Progress)>,
    ) -> Result<Scanned, WalError> {
        let bytes = self.bytes;
        let chunks = bytes.div_ceil(self.chunk_bytes());
        let mut found = Scanned { bytes, ..Scanned::nothing(self.start) };
        let mut progress = progress;
        let mut join = |index: u64, chunk: Chunk<'v>| {
            found.join(self.path, chunk);
            if let Some(report) = progress.as_mut() {
                let bytes = match bytes {
                    UNKNOWN => found.end,
                    _ => (index + 1).saturating_mul(CHUNK_BYTES).min(bytes),
                };
                report(Progress { bytes, total_bytes: found.bytes, sequence: found.head.sequence });
            }
            found.broken.is_none()
        };
        // Asking costs a dozen system calls, which a small segment is not worth.
        let threads = match chunks {
            0 | 1 => 1,
            _ => thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS),
        };
        if threads == 1 {
            for index in 0..chunks {
                if !join(index, self.chunk(index, bytes)?) {
                    break;
                }
            }
        } else {
            self.run_on(threads, chunks, bytes, &mut join)?;
        }
        if bytes == UNKNOWN {
            found.bytes = found.end;
        }
        Ok(found)
    }

    /// What is only known once it is read is read from its start to its end.
    fn chunk_bytes(&self) -> u64 {
        if self.bytes == UNKNOWN { UNKNOWN } else { CHUNK_BYTES }
    }

    /// Verifies chunks on `threads` threads and joins them in order, until `join` has seen enough.
    ///
    /// No more than [`AHEAD`] chunks for a thread are there at once, whichever of them is late: the next one is given
    /// out when one was joined.
    fn run_on(
        &self,
        threads: usize,
        chunks: u64,
        bytes: u64,
        join: &mut dyn FnMut(u64, Chunk<'v>) -> bool,
    ) -> Result<(), WalError> {
        let (work, given) = mpsc::channel();
        let given = Mutex::new(given);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let next = given.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok(Work { index, done }) = next else { break };
                        // Nobody waits for it where the scan ended before.
                        let _ = done.send(self.chunk(index, bytes));
                    }
                });
            }
            // Dropped before the threads are waited for, which is how they learn that there is no more.
            let work = work;
            let (mut waiting, mut left) = (VecDeque::new(), 0..chunks);
            for due in 0..chunks {
                for index in left.by_ref().take(threads * AHEAD - waiting.len()) {
                    let (done, chunk) = mpsc::sync_channel(1);
                    // The receiver outlives the scope.
                    let _ = work.send(Work { index, done });
                    waiting.push_back(chunk);
                }
                let Some(Ok(chunk)) = waiting.pop_front().map(|chunk| chunk.recv()) else {
                    // A thread panicked in a visitor; leaving the scope passes that on.
                    break;
                };
                if !join(due, chunk?) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Verifies the lines that start in chunk `index`.
    fn chunk(&self, index: u64, bytes: u64) -> Result<Chunk<'v>, WalError> {
        let start = index.saturating_mul(self.chunk_bytes());
        let visit = self.visitor.map(|visitor| visitor());
        let limit = start.saturating_add(self.chunk_bytes());
        let mut chunk = Chunk::new(start, visit);
        // One byte early: what ends there or is cut through belongs to the chunk before.
        let mut lines = Lines::new(self.file, start.saturating_sub(1), bytes);
        let read = |error: LineError| error.fault().map_err(WalError::io("read", self.path));
        if index > 0
            && let Err(error) = lines.next_line()
        {
            // The chunk in which this line starts reports it, and the scan ends there.
            return read(error).map(|_| chunk);
        }
        while lines.offset() < limit {
            let raw = match lines.next_line() {
                Ok(None) => break,
                Ok(Some(raw)) => raw,
                Err(error) => {
                    chunk.broken = Some(read(error)?);
                    break;
                }
            };
            if line::is_blank(raw.bytes) {
                chunk.blank += 1;
                continue;
            }
            let outcome = line::parse(raw.bytes).and_then(|line| {
                let (previous, head) = chunk.follow(&line, raw.offset, self.key)?;
                head.check(self.anchors)?;
                if let Some(visit) = &mut chunk.visit {
                    visit.entry(&VerifiedEntry {
                        sequence: head.sequence,
                        previous_hash: &previous.hash,
                        entry_hash: &head.hash,
                        data: line.data,
                        record: line.record.as_ref(),
                        path: self.path,
                        offset: raw.offset,
                    })?;
                }
                chunk.head = Some(head);
                Ok(())
            });
            if let Err(fault) = outcome {
                chunk.broken = Some((raw.offset, fault));
                break;
            }
            (chunk.end, chunk.terminated) = (raw.end(), raw.terminated);
            chunk.lines += chunk.blank + 1;
            chunk.blank = 0;
        }
        Ok(chunk)
    }
}

impl<'v> Chunk<'v> {
    fn new(start: u64, visit: Option<Box<dyn Visit + 'v>>) -> Self {
        let (first, head, broken) = (None, None, None);
        Self { first, head, end: start, terminated: true, lines: 0, blank: 0, broken, visit }
    }

    /// The heads before and after `line`; the chunk's first entry is believed in what it says it follows.
    fn follow(
        &mut self,
        line: &Line<'_>,
        offset: u64,
        key: Option<&ChainKey>,
    ) -> Result<(Head, Head), Fault> {
        let previous = match self.head {
            Some(head) => head,
            None => {
                let hash = hash_of(line.previous_hash, "a previous_hash")?;
                self.first = Some((line.sequence, hash, self.blank, offset));
                Head { sequence: line.sequence.wrapping_sub(1), hash }
            }
        };
        Ok((previous, previous.follow(line, key)?))
    }
}

impl Scanned {
    /// Before anything was looked at.
    fn nothing(start: Head) -> Self {
        let (lines, blank) = (0, 0);
        Self { head: start, end: 0, terminated: true, lines, blank, bytes: 0, broken: None }
    }

    /// Of a file that cannot be what follows `head`.
    pub(crate) fn refused(head: Head, place: Place, fault: Fault) -> Self {
        Self { broken: Some((place.into(), fault)), ..Self::nothing(head) }
    }

    /// Continues with the next chunk, if its first entry follows.
    fn join(&mut self, path: &Path, chunk: Chunk<'_>) {
        let place = |lines: u64, offset: u64, head: Head| {
            let line = lines.saturating_add(1);
            Box::new(Place { path: path.to_owned(), line, offset, sequence: head.next() })
        };
        if let Some((sequence, previous, lines_before, offset)) = chunk.first
            && let Err(fault) = self.head.is_followed_by(sequence, &previous)
        {
            self.blank += lines_before;
            self.broken = Some((place(self.lines + self.blank, offset, self.head), fault));
            return;
        }
        if let Some(visit) = chunk.visit {
            visit.joined();
        }
        if let Some(head) = chunk.head {
            (self.head, self.end, self.terminated) = (head, chunk.end, chunk.terminated);
            self.lines += self.blank + chunk.lines;
            self.blank = 0;
        }
        self.blank += chunk.blank;
        let lines = self.lines + self.blank;
        self.broken = chunk.broken.map(|(offset, fault)| (place(lines, offset, self.head), fault));
    }
}

#[cfg(test)]
mod tests;
