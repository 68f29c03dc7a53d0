//! What can go wrong between the ledger and the disk, with the file it went wrong in.

use std::io;
use std::path::{Path, PathBuf};

use calybris_budget::{ConservationStatus, RestoreError};
use calybris_wal::WalError;

/// What saving and recovering refuse.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PersistError {
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
    /// Somebody else is writing the same snapshot.
    #[error("{} is being written by somebody else", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The file is no snapshot, or not all of one.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// The amounts in the snapshot do not add up.
    #[error("{}: {status}", path.display())]
    NotConserved {
        /// The file.
        path: PathBuf,
        /// What does not.
        status: ConservationStatus,
    },
    /// The ledger cannot go on from the snapshot.
    #[error("{}: {source}", path.display())]
    Restore {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: RestoreError,
    },
    /// Holds are open, which this form of a snapshot counts but cannot list: it could not be restored.
    #[error("{} was not written: {count} holds are open", path.display())]
    OpenHolds {
        /// The file.
        path: PathBuf,
        /// How many.
        count: u64,
    },
    /// A tenant has more than amounts and a cap, which is all that this form of a snapshot knows.
    #[error("{} was not written: it cannot keep {what} of tenant {tenant_id:?}", path.display())]
    MoreThanAmounts {
        /// The file.
        path: PathBuf,
        /// Whose.
        tenant_id: String,
        /// What would be lost.
        what: &'static str,
    },
    /// The log ends before the position the snapshot includes: entries are missing.
    #[error("{} includes log entries up to {watermark}, {} ends at {found}", snapshot.display(), log.display())]
    LogBehindSnapshot {
        /// The snapshot.
        snapshot: PathBuf,
        /// The log.
        log: PathBuf,
        /// The last entry the snapshot includes.
        watermark: u64,
        /// The last entry of the log.
        found: u64,
    },
    /// The log begins after the position the snapshot includes: entries in between were retired.
    #[error("{} includes log entries up to {watermark}, {} begins after entry {retired}", snapshot.display(), log.display())]
    LogBeginsAfterSnapshot {
        /// The snapshot.
        snapshot: PathBuf,
        /// The log.
        log: PathBuf,
        /// The last entry the snapshot includes; 0 when it names no position.
        watermark: u64,
        /// The last entry that was retired.
        retired: u64,
    },
    /// The log has another entry where the snapshot was taken: they do not belong together.
    #[error("{} was not taken after entry {sequence} of {}", snapshot.display(), log.display())]
    Forked {
        /// The snapshot.
        snapshot: PathBuf,
        /// The log.
        log: PathBuf,
        /// The entry.
        sequence: u64,
    },
    /// A checkpoint that the log's beginning was to give way to cannot be restored. Nothing was retired.
    #[error("{} cannot be restored, so nothing is retired: {reason}", path.display())]
    Unrestorable {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The beginning of the log was retired, and there is no checkpoint to go on from: the ledger cannot be known.
    #[error(
        "{} begins after entry {retired}, and no checkpoint after it can be restored ({rejected} were passed over)",
        log.display()
    )]
    BeginningRetired {
        /// The log.
        log: PathBuf,
        /// The last entry that was retired.
        retired: u64,
        /// Checkpoints that are there and are not whole, or not recorded in the log.
        rejected: usize,
    },
    /// A ledger has one log: one file, where it was made with one, or a directory of segments.
    #[error("{} and {} are both there, and a ledger has one log", one_file.display(), segments.display())]
    TwoLogs {
        /// The one.
        one_file: PathBuf,
        /// The other.
        segments: PathBuf,
    },
    /// The log says something about the ledger that cannot be.
    #[error("{} sequence {sequence}: {reason}", path.display())]
    Divergent {
        /// The log.
        path: PathBuf,
        /// The entry.
        sequence: u64,
        /// What it says and what is so.
        reason: String,
    },
    /// The operation is too large to be logged; nothing happened.
    #[error("operation has {found} bytes as JSON, at most {limit} are allowed")]
    OperationTooLarge {
        /// Its bytes.
        found: usize,
        /// The bound.
        limit: usize,
    },
    /// The log failed earlier, or a thread panicked in the middle of an operation: there may be more in memory than
    /// on the disk, so nothing more is done or told. Open the ledger again.
    #[error("{} refuses everything until it is opened again: {reason}", path.display())]
    Poisoned {
        /// The ledger.
        path: PathBuf,
        /// What failed.
        reason: String,
    },
    /// The log is broken or cannot be written.
    #[error(transparent)]
    Wal(#[from] WalError),
}

impl PersistError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }
}
