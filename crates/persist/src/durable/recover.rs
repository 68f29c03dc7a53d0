//! From what is in the folder to the ledger that was there.
//!
//! | checkpoint | log | verdict |
//! |---|---|---|
//! | none | any | replay from the first entry |
//! | any | ends before its name says | refuse: acknowledged entries are missing |
//! | not whole | any | note it, try the one before |
//! | whole | no record of it | note it, try the one before: a crash came between, or somebody else made it |
//! | whole | another entry at its place | refuse: they do not belong together |
//! | whole | a record that gives its state another digest | refuse: the state was altered |
//! | whole | agrees | restore it, replay what follows, comparing outcomes |

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use calybris_budget::finance::prove_snapshot;
use calybris_kernel::digest::HexDigest;
use calybris_wal::{WalEntry, WalOptions, WalWriter, visit_wal_with};

use crate::durable::checkpoints;
use crate::durable::record::{self, LedgerRecord, Record};
use crate::durable::replay::{Replay, Replayed};
use crate::durable::report::{LedgerReport, RejectedCheckpoint, open_holds};
use crate::durable::{DurableLedger, DurableOptions, Order};
use crate::error::PersistError;
use crate::files;

/// The log, a directory of segments.
const LOG: &str = "log";
/// The log of a ledger that was made with one file. It goes on as it is.
const ONE_FILE: &str = "ledger.log";

/// Where the log is, and how it is opened.
fn log_of(
    directory: &Path,
    options: &DurableOptions,
) -> Result<(PathBuf, WalOptions), PersistError> {
    let (one_file, segments) = (directory.join(ONE_FILE), directory.join(LOG));
    let segmented = options.wal.clone().segment_bytes(options.segment_bytes);
    match options.storage.open_read(&one_file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((segments, segmented)),
        Err(error) => Err(PersistError::io("open", &one_file)(error)),
        Ok(_) if options.storage.is_directory(&segments) => {
            Err(PersistError::TwoLogs { one_file, segments })
        }
        Ok(_) => Ok((one_file, options.wal.clone())),
    }
}

pub(crate) fn open(
    directory: &Path,
    options: DurableOptions,
) -> Result<DurableLedger, PersistError> {
    let storage = &*options.storage;
    files::create_directory(storage, directory)?;
    let (path, wal) = log_of(directory, &options)?;
    let log = WalWriter::<Record>::open_with(&path, &wal)?;
    // Whole or not: a checkpoint gets its name only once the log is durable up to there.
    let newest = checkpoints::newest(storage, directory)?;
    if let Some((watermark, snapshot)) = newest.filter(|it| it.0 > log.sequence()) {
        let found = log.sequence();
        return Err(PersistError::LogBehindSnapshot { snapshot, log: path, watermark, found });
    }
    if log.sequence() == 0 {
        log.append_durable(record::begin(options.limits))?;
    }
    let mut rejected_checkpoints = Vec::new();
    let mut before = u64::MAX;
    let (engine, operations_replayed, checkpoint) = loop {
        let loaded = checkpoints::load(storage, directory, before, &mut rejected_checkpoints)?;
        let mut replay = Replay::new(&path, log.anchor().keyed, loaded);
        let take = |entry: WalEntry<LedgerRecord>| replay.take(&entry);
        visit_wal_with(&path, &wal, take)?;
        match replay.finish()? {
            Replayed::Ledger { engine, operations, checkpoint } => {
                break (engine, operations, checkpoint);
            }
            Replayed::Unconfirmed(loaded) => {
                before = loaded.anchor.sequence;
                let reason = "the log has no record of it".to_owned();
                rejected_checkpoints.push(RejectedCheckpoint { path: loaded.path, reason });
            }
        }
    };
    let state = engine.state();
    let conservation = prove_snapshot(&engine.snapshot())
        .map_err(|status| PersistError::NotConserved { path: directory.to_owned(), status })?;
    let report = LedgerReport {
        directory: directory.to_owned(),
        log: log.report().clone(),
        checkpoint_sequence: checkpoint.unwrap_or(0),
        operations_replayed,
        rejected_checkpoints,
        open_holds: open_holds(&state),
        state_digest_hex: HexDigest::new(&state.digest()),
        conservation,
    };
    Ok(DurableLedger {
        directory: directory.to_owned(),
        options,
        engine,
        log,
        order: Mutex::new(Order::default()),
        failed: AtomicBool::new(false),
        checkpoints: Mutex::new(checkpoint.into_iter().collect()),
        report,
    })
}
