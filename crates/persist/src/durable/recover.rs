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

//!
//! What is there is locked and read once; only when nothing is left to refuse, what a crash left is repaired.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use calybris_budget::BudgetEngine;
use calybris_budget::finance::prove_snapshot;
use calybris_kernel::digest::HexDigest;
use calybris_wal::storage::{Storage, create_directory};
use calybris_wal::{WalOpening, WalOptions, WalWriter, durable_head};

use crate::durable::checkpoints::{self, Known};
use crate::durable::record::{self, Record};
use crate::durable::replay::{Entry, Replay, Replayed};
use crate::durable::report::{LedgerReport, RejectedCheckpoint, open_holds};
use crate::durable::{DurableLedger, DurableOptions, Order};
use crate::error::PersistError;

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
    let is_directory = options.storage.is_directory(&segments);
    match options.storage.open_read(&one_file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(PersistError::io("open", &one_file)(error))
        }
        Err(_) if is_directory => Ok((segments, segmented)),
        Err(_) => {
            // What has checkpoints and no log is not begun anew, nor what has the head of one: opening that is refused.
            check_end(&*options.storage, directory, &segments, 0)?;
            let had_one_file = durable_head(&one_file, &options.wal)?.is_some();
            Ok(if had_one_file { (one_file, options.wal.clone()) } else { (segments, segmented) })
        }
        Ok(_) if is_directory => Err(PersistError::TwoLogs { one_file, segments }),
        Ok(_) => Ok((one_file, options.wal.clone())),
    }
}

/// Whether the log comes as far as the newest checkpoint, whole or not: one gets its name only once the log is durable
/// up to there.
fn check_end(
    storage: &dyn Storage,
    directory: &Path,
    log: &Path,
    found: u64,
) -> Result<(), PersistError> {
    match checkpoints::list(storage, directory)?.pop() {
        Some((watermark, snapshot)) if watermark > found => {
            Err(PersistError::LogBehindSnapshot { snapshot, log: log.to_owned(), watermark, found })
        }
        _ => Ok(()),
    }
}

pub(crate) fn open(
    directory: &Path,
    options: DurableOptions,
) -> Result<DurableLedger, PersistError> {
    let (path, wal) = log_of(directory, &options)?;
    let mut opening = WalOpening::lock(&path, &options.writing(&wal))?;
    let Recovered { engine, operations_replayed, checkpoints, rejected_checkpoints, is_new } =
        restore_and_replay(directory, &options, &path, &mut opening)?;
    let state = engine.state();
    let conservation = prove_snapshot(&engine.snapshot())
        .map_err(|status| PersistError::NotConserved { path: directory.to_owned(), status })?;
    // Its name may be no more than cached, whoever made it.
    create_directory(&*options.storage, directory)?;
    let log: WalWriter<Record> = opening.finish()?;
    if is_new {
        log.append_durable(record::begin(options.limits))?;
    }
    let report = LedgerReport {
        directory: directory.to_owned(),
        log: log.report().clone(),
        checkpoint_sequence: checkpoints.last().map_or(0, |known| known.anchor.sequence),
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
        cuts: Mutex::default(),
        failed: OnceLock::new(),
        checkpoints: Mutex::new(checkpoints),
        report,
    })
}

struct Recovered {
    engine: BudgetEngine,
    operations_replayed: u64,
    /// The one that was restored is the last.
    checkpoints: Vec<Known>,
    rejected_checkpoints: Vec<RejectedCheckpoint>,
    /// There was no entry.
    is_new: bool,
}

/// From the newest checkpoint that holds, or from the first entry where that is still there.
fn restore_and_replay(
    directory: &Path,
    options: &DurableOptions,
    path: &Path,
    opening: &mut WalOpening,
) -> Result<Recovered, PersistError> {
    let storage = &*options.storage;
    let mut rejected = Vec::new();
    let mut before = u64::MAX;
    loop {
        let loaded = checkpoints::load(storage, directory, before, &mut rejected)?;
        let restored = loaded.as_ref().map(|loaded| loaded.anchor.sequence);
        let named = checkpoints::list(storage, directory)?.into_iter().map(|it| it.0);
        let mut replay = Replay::new(path, opening.is_keyed(), loaded, named);
        let found = opening.fold(
            |part: &mut Vec<Entry>, entry| part.push(Entry::new(entry, restored.unwrap_or(0))),
            |part| part.into_iter().for_each(|entry| replay.take(entry)),
        )?;
        let (end, retired) = (found.sequence, found.after);
        check_end(storage, directory, path, end)?;
        if restored.is_none() && retired > 0 {
            let (log, rejected) = (path.to_owned(), rejected.len());
            return Err(PersistError::BeginningRetired { log, retired, rejected });
        }
        match replay.finish()? {
            Replayed::Ledger { engine, operations: operations_replayed, checkpoints } => {
                let is_new = end == 0;
                let engine =
                    if is_new { BudgetEngine::with_limits(options.limits) } else { engine };
                return Ok(Recovered {
                    engine,
                    operations_replayed,
                    checkpoints,
                    rejected_checkpoints: rejected,
                    is_new,
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
