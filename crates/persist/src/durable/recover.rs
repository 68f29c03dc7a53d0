//! From what is in the folder to the ledger that was there.
//!
//! | checkpoint | log | verdict |
//! |---|---|---|
//! | none | begins with its first entry | replay from there |
//! | none | its beginning was retired | refuse: the ledger cannot be known |
//! | any | ends before its name says | refuse: acknowledged entries are missing |
//! | any | its beginning is gone, and it has no record of that | refuse: somebody else removed it |
//! | whole | begins after it | note it, try the one before |
//! | not whole | any | note it, try the one before |
//! | whole | no record of it | note it, try the one before: a crash came between, or somebody else made it |
//! | whole | another entry at its place | refuse: they do not belong together |
//! | whole | a record that gives its state another digest | refuse: the state was altered |
//! | whole | agrees | restore it, replay what follows, comparing outcomes |

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use calybris_budget::BudgetEngine;
use calybris_budget::finance::prove_snapshot;
use calybris_kernel::digest::HexDigest;
use calybris_wal::{WalOptions, WalWriter, visit_wal_with};

use crate::durable::checkpoints::{self, Known};
use crate::durable::record::{self, Record};
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
    let log = WalWriter::<Record>::open_with(&path, &options.writing(&wal))?;
    // Whole or not: a checkpoint gets its name only once the log is durable up to there.
    let newest = checkpoints::newest(storage, directory)?;
    if let Some((watermark, snapshot)) = newest.filter(|it| it.0 > log.sequence()) {
        let found = log.sequence();
        return Err(PersistError::LogBehindSnapshot { snapshot, log: path, watermark, found });
    }
    if log.sequence() == 0 {
        log.append_durable(record::begin(options.limits))?;
    }
    let found = restore_and_replay(directory, &options, &path, &wal, &log)?;
    let Recovered { engine, operations_replayed, checkpoint, rejected_checkpoints } = found;
    let state = engine.state();
    let conservation = prove_snapshot(&engine.snapshot())
        .map_err(|status| PersistError::NotConserved { path: directory.to_owned(), status })?;
    let report = LedgerReport {
        directory: directory.to_owned(),
        log: log.report().clone(),
        checkpoint_sequence: checkpoint.map_or(0, |known| known.sequence),
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
        order: Mutex::new(Order { head: log.anchor() }),
        log,
        failed: AtomicBool::new(false),
        checkpoints: Mutex::new(checkpoint.into_iter().collect()),
        report,
    })
}

struct Recovered {
    engine: BudgetEngine,
    operations_replayed: u64,
    checkpoint: Option<Known>,
    rejected_checkpoints: Vec<RejectedCheckpoint>,
}

/// From the newest checkpoint that holds, or from the first entry where that is still there.
fn restore_and_replay(
    directory: &Path,
    options: &DurableOptions,
    path: &Path,
    wal: &WalOptions,
    log: &WalWriter<Record>,
) -> Result<Recovered, PersistError> {
    let retired = log.report().after;
    let mut rejected = Vec::new();
    let mut before = u64::MAX;
    loop {
        let loaded = checkpoints::load(&*options.storage, directory, before, &mut rejected)?;
        if loaded.is_none() && retired > 0 {
            let (log, rejected) = (path.to_owned(), rejected.len());
            return Err(PersistError::BeginningRetired { log, retired, rejected });
        }
        let mut replay = Replay::new(path, log.anchor().keyed, loaded);
        visit_wal_with(path, wal, |entry| replay.take(&entry))?;
        match replay.finish()? {
            Replayed::Ledger { engine, operations: operations_replayed, checkpoint } => {
                let rejected_checkpoints = rejected;
                return Ok(Recovered {
                    engine,
                    operations_replayed,
                    checkpoint,
                    rejected_checkpoints,
                });
            }
            Replayed::Unconfirmed(loaded) => {
                before = loaded.anchor.sequence;
                let reason = if before > retired {
                    "the log has no record of it".to_owned()
                } else {
                    format!("the log begins after entry {retired}")
                };
                rejected.push(RejectedCheckpoint { path: loaded.path, reason });
            }
        }
    }
}
