//! What a restart has to do: which snapshot, and which entries of the log after it.

use std::path::Path;

use calybris_budget::BudgetSnapshot;
use calybris_wal::{WalOptions, verify_wal_with};

use crate::checkpoint::load_snapshot;
use crate::error::PersistError;

/// What to restore, and what to replay on top of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryPlan {
    /// The snapshot.
    pub snapshot: BudgetSnapshot,
    /// Entries of the log, retired ones included; those that are there were verified.
    pub total_wal_entries: u64,
    /// Those after the snapshot: the last ones of the log.
    pub entries_to_replay: u64,
    /// The last entry the snapshot includes; 0 when it names no position, and everything is to be replayed.
    pub wal_high_watermark: u64,
}

/// Reads the snapshot and verifies the log, changing neither.
///
/// # Errors
/// [`PersistError::LogBehindSnapshot`] when the log lacks entries the snapshot includes, and
/// [`PersistError::LogBeginsAfterSnapshot`] when it lacks some that come after, because they were retired;
/// [`PersistError::Wal`] at the first broken line; as [`load_snapshot`](crate::load_snapshot).
///
/// ```
/// use calybris_budget::BudgetEngine;
/// use calybris_persist::{PersistError, checkpoint_with_wal, recovery_plan};
/// use calybris_wal::WalWriter;
///
/// let folder = tempfile::tempdir().unwrap();
/// let (snapshot, wal) = (folder.path().join("ledger.json"), folder.path().join("log.jsonl"));
/// let log = WalWriter::open(&wal)?;
/// log.append("grant")?;
/// checkpoint_with_wal(&BudgetEngine::new(), &snapshot, log.sequence())?;
/// log.append("spend")?;
/// log.flush_and_sync()?;
/// let plan = recovery_plan(&snapshot, &wal)?;
/// assert_eq!((plan.wal_high_watermark, plan.entries_to_replay), (1, 1));
///
/// checkpoint_with_wal(&BudgetEngine::new(), &snapshot, 9)?;
/// let missing = recovery_plan(&snapshot, &wal);
/// assert!(matches!(missing, Err(PersistError::LogBehindSnapshot { watermark: 9, found: 2, .. })));
/// # Ok::<(), PersistError>(())
/// ```
pub fn recovery_plan(snapshot: &Path, wal: &Path) -> Result<RecoveryPlan, PersistError> {
    plan(snapshot, wal, &WalOptions::new())
}

/// As [`recovery_plan`] for a keyed log.
///
/// # Errors
/// As [`recovery_plan`]; a key of fewer than 32 bytes.
pub fn recovery_plan_keyed(
    snapshot: &Path,
    wal: &Path,
    key: &[u8],
) -> Result<RecoveryPlan, PersistError> {
    plan(snapshot, wal, &WalOptions::new().key(key))
}

fn plan(path: &Path, wal: &Path, options: &WalOptions) -> Result<RecoveryPlan, PersistError> {
    let found = verify_wal_with(wal, options, None)?;
    let snapshot = load_snapshot(path)?;
    let watermark = snapshot.wal_high_watermark.unwrap_or(0);
    let files = || (path.to_owned(), wal.to_owned());
    let Some(entries_to_replay) = found.sequence.checked_sub(watermark) else {
        let ((snapshot, log), found) = (files(), found.sequence);
        return Err(PersistError::LogBehindSnapshot { snapshot, log, watermark, found });
    };
    if watermark < found.after {
        let ((snapshot, log), retired) = (files(), found.after);
        return Err(PersistError::LogBeginsAfterSnapshot { snapshot, log, watermark, retired });
    }
    Ok(RecoveryPlan {
        snapshot,
        total_wal_entries: found.sequence,
        entries_to_replay,
        wal_high_watermark: watermark,
    })
}
