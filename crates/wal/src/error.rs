//! Everything the log can refuse, with the place and the bound.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use calybris_proof::chain::{ChainError, ChainHash};

/// Where in a log something was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The log, or the segment of it.
    pub path: PathBuf,
    /// The line, counting from 1 and counting blank lines.
    pub line: u64,
    /// Where the line starts, in bytes from the start of the file.
    pub offset: u64,
    /// The sequence that was due there.
    pub sequence: u64,
}

impl Place {
    /// The error of something wrong here.
    pub(crate) fn refuse(&self, fault: Fault) -> WalError {
        WalError::Entry { place: self.clone(), fault }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, offset, sequence } = self;
        write!(f, "{} line {line} (byte {offset}, sequence {sequence})", path.display())
    }
}

/// What is wrong with one line of a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryFault {
    /// The line is longer than [`MAX_ENTRY_BYTES`](crate::MAX_ENTRY_BYTES).
    #[error("the line has {found} bytes or more, at most {limit} are allowed")]
    TooLong {
        /// Bytes seen before the reader gave up.
        found: u64,
        /// The bound.
        limit: u64,
    },
    /// The line is not one JSON object with the four members.
    #[error("{expected} expected at byte {at} of the line")]
    Malformed {
        /// What the reader was looking for.
        expected: &'static str,
        /// Where, in bytes from the start of the line.
        at: u64,
    },
    /// The sequence does not follow.
    #[error("sequence is {found}, {expected} is due")]
    Sequence {
        /// In the line.
        found: u64,
        /// One after the predecessor's.
        expected: u64,
    },
    /// The line does not name its predecessor's hash.
    #[error("previous_hash is {found}, the entry before has {expected}")]
    PreviousHash {
        /// In the line.
        found: ChainHash,
        /// The predecessor's.
        expected: ChainHash,
    },
    /// The hash is not that of the payload.
    #[error("entry_hash {found} is not that of the payload{}", expected.map(|hash| format!(", which has {hash}")).unwrap_or_default())]
    EntryHash {
        /// In the line.
        found: ChainHash,
        /// What the payload hashes to; withheld in a keyed log, where it would help a forger.
        expected: Option<ChainHash>,
    },
    /// Another segment of the log is due: one is missing, cut short or renamed.
    #[error("the segment is named after sequence {found}, {expected} is due")]
    SegmentName {
        /// In its name.
        found: u64,
        /// One after the last entry before it.
        expected: u64,
    },
    /// No segment continues what was retired; the one that did was there before that was recorded.
    #[error("no segment of the log is there, and a record says that those before were retired")]
    SegmentMissing,
    /// The archived segment cannot be unpacked, or is another one.
    #[error("the archived segment is damaged: {reason}")]
    Archive {
        /// What is wrong with it.
        reason: String,
    },
    /// A segment that another one follows ends inside a line.
    #[error("the segment ends inside a line, and another segment follows")]
    Unsealed,
    /// The entry at the trusted head's sequence is another one.
    #[error("entry_hash is {found}, the trusted head is {expected}")]
    Anchor {
        /// In the line.
        found: ChainHash,
        /// Of the trusted head.
        expected: ChainHash,
    },
    /// The payload is JSON, but not what the reader was asked to read.
    #[error("the payload does not decode: {reason}")]
    Payload {
        /// What the decoder said.
        reason: String,
    },
    /// An audited record does not replay.
    #[error("the record does not replay: {reason}")]
    Replay {
        /// What differs.
        reason: String,
    },
    /// No policy was found for an audited record.
    #[error("no policy with digest {policy_digest} was given")]
    PolicyMissing {
        /// The digest the record names.
        policy_digest: String,
    },
}

/// Boxed: it is larger than what is usually returned in its place.
pub(crate) type Fault = Box<EntryFault>;

/// What a log refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// The operating system refused.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another writer has the log open.
    #[error("{} is locked by another writer", path.display())]
    Locked {
        /// The log.
        path: PathBuf,
    },
    /// The log was replaced, moved or cut while a writer had it open.
    #[error("{} is no longer the log that was opened: {reason}", path.display())]
    Displaced {
        /// The log.
        path: PathBuf,
        /// What was noticed.
        reason: String,
    },
    /// The log is one file, and rotation was asked for.
    #[error("{} is a file, the segments of a log need a directory", path.display())]
    NotADirectory {
        /// The log.
        path: PathBuf,
    },
    /// The file is a segment of a log that is a directory, which is what a writer opens.
    #[error("{} is a segment of a log, open its directory", path.display())]
    OneSegment {
        /// The segment.
        path: PathBuf,
    },
    /// The log is an archive, which can only be read.
    #[error("{} is archived and can only be read", path.display())]
    Archived {
        /// The segment.
        path: PathBuf,
    },
    /// The segment was retired while the log was read; what is left of the log can be read from its start.
    #[error("{} was retired while the log was read, it now begins after sequence {sequence}", path.display())]
    Retired {
        /// The segment.
        path: PathBuf,
        /// The last sequence retired.
        sequence: u64,
    },
    /// The record of what was retired is damaged, or another key's.
    #[error("{} is no record of retirement of this log: {reason}", path.display())]
    RetirementRecord {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The trusted head is of an entry that was retired.
    #[error("{} begins after sequence {retired}, the trusted head is {expected}", path.display())]
    AnchorRetired {
        /// The log.
        path: PathBuf,
        /// The last sequence retired.
        retired: u64,
        /// The trusted one.
        expected: u64,
    },
    /// A write or sync failed earlier; open the log again.
    #[error("{} refuses writes until it is opened again, after: {reason}", path.display())]
    Poisoned {
        /// The log.
        path: PathBuf,
        /// The first failure.
        reason: String,
    },
    /// A line breaks the chain.
    #[error("{place}: {fault}")]
    Entry {
        /// Where.
        place: Place,
        /// What.
        fault: Box<EntryFault>,
    },
    /// Entries are missing that were acknowledged as durable, says the head file or the anchor.
    #[error("{place}: the log ends here, entries up to {durable} were acknowledged{}", damage.as_ref().map(|fault| format!("; {fault}")).unwrap_or_default())]
    AcknowledgedMissing {
        /// Where the first of them is missing.
        place: Box<Place>,
        /// The last sequence acknowledged.
        durable: u64,
        /// What is there instead, none at the end of the file.
        damage: Option<Box<EntryFault>>,
    },
    /// The log ends below a head that is trusted.
    #[error("{} ends at sequence {found}, the trusted head is {expected}", path.display())]
    BelowAnchor {
        /// The log.
        path: PathBuf,
        /// The log's last sequence.
        found: u64,
        /// The trusted one.
        expected: u64,
    },
    /// The trusted head is of a keyed log and no key was given, or the reverse.
    #[error("{} was opened {}, the trusted head is of a log {}", path.display(), with_key(*keyed), with_key(!*keyed))]
    AnchorKey {
        /// The log.
        path: PathBuf,
        /// Whether a key was given.
        keyed: bool,
    },
    /// The entry to append is too large.
    #[error("entry has {found} bytes, at most {limit} are allowed")]
    EntryTooLarge {
        /// Bytes of its line.
        found: u64,
        /// [`MAX_ENTRY_BYTES`](crate::MAX_ENTRY_BYTES).
        limit: u64,
    },
    /// The entry to append does not serialize to one line of JSON.
    #[error("entry cannot be written: {reason}")]
    Unwritable {
        /// Why.
        reason: String,
    },
    /// The ticket is another log's: this one has not come so far.
    #[error("{} has no entry {sequence} to wait for, its last is {head}", path.display())]
    ForeignTicket {
        /// The log.
        path: PathBuf,
        /// The ticket's.
        sequence: u64,
        /// The log's.
        head: u64,
    },
    /// The log holds as many entries as a sequence can count.
    #[error("{} is full: its sequence is {}", path.display(), u64::MAX)]
    Full {
        /// The log.
        path: PathBuf,
    },
    /// The key cannot be one.
    #[error(transparent)]
    Key(#[from] ChainError),
    /// The decision to append does not replay; nothing was written.
    #[error("decision was not appended: {0}")]
    Unverified(#[from] calybris_proof::verify::VerifyError),
    /// A background task was cancelled by the runtime.
    #[error("the runtime stopped before the log was done")]
    RuntimeStopped,
}

impl WalError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }

    /// The sequence the error is about, where it is about one.
    #[must_use]
    pub fn sequence(&self) -> Option<u64> {
        match self {
            Self::Entry { place, .. } => Some(place.sequence),
            Self::AcknowledgedMissing { place, .. } => Some(place.sequence),
            Self::BelowAnchor { expected, .. } | Self::AnchorRetired { expected, .. } => {
                Some(*expected)
            }
            Self::Retired { sequence, .. } => Some(*sequence),
            _ => None,
        }
    }
}

fn with_key(keyed: bool) -> &'static str {
    if keyed { "with a key" } else { "without a key" }
}
