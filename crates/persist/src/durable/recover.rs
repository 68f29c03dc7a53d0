//! From what is in the folder to the ledger that was there.
//!
//! | checkpoint | log | verdict |
//! |---|---|---|
//! | none | any | replay from the first entry |
//! | not whole | any | note it, try the one before |
//! | whole | ends before it | refuse: acknowledged entries are missing |
//! | whole | another entry at its place | refuse: they do not belong together |
//! | whole | a record that gives its state another digest | refuse: the state was altered |
//! | whole | agrees | restore it, replay what follows |

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use calybris_budget::finance::ConservationProof;
use calybris_budget::{BudgetEngine, LedgerState};
use calybris_kernel::digest::HexDigest;
use calybris_wal::{WalEntry, WalReport, WalWriter, visit_wal_with};
use serde_json::value::RawValue;

use crate::durable::checkpoints::{self, Loaded};
use crate::durable::record::{self, LEDGER_RECORD_SCHEMA, LedgerRecord};
use crate::durable::{DurableLedger, DurableOptions};
use crate::error::PersistError;

const LOG: &str = "ledger.log";

/// What opening a ledger found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerReport {
    /// The log as it was found: its entries, all verified, and what a crash had left after them.
    pub log: WalReport,
    /// The last entry the restored checkpoint includes; 0 when there was none to restore.
    pub checkpoint_sequence: u64,
    /// Operations replayed after it.
    pub operations_replayed: u64,
    /// Checkpoints that were not whole.
    pub rejected_checkpoints: Vec<RejectedCheckpoint>,
    /// Holds that are open, by tenant and id: their callers may still settle them.
    pub open_holds: Vec<ListedHold>,
    /// The digest of the recovered state.
    pub state_digest_hex: HexDigest,
    /// That every tenant balances.
    pub conservation: ConservationProof,
}

/// A checkpoint that was not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedCheckpoint {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// A hold that was open when the ledger stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedHold {
    /// Whose.
    pub tenant_id: String,
    /// Its id.
    pub hold: u64,
    /// What is set aside.
    pub amount_microcents: i64,
    /// When it was made, in caller time.
    pub began: u64,
    /// From when on it may be given back.
    pub deadline: Option<u64>,
}

pub(crate) fn open(
    directory: &Path,
    options: DurableOptions,
) -> Result<DurableLedger, PersistError> {
    let storage = &*options.storage;
    storage.create_directory(directory).map_err(PersistError::io("create", directory))?;
    let path = directory.join(LOG);
    let log = WalWriter::<Box<RawValue>>::open_with(&path, &options.wal)?;
    let mut rejected_checkpoints = Vec::new();
    let loaded = checkpoints::load(storage, directory, &mut rejected_checkpoints)?;
    if let Some(loaded) = loaded.as_ref().filter(|it| it.anchor.sequence > log.sequence()) {
        return Err(PersistError::LogBehindSnapshot {
            snapshot: loaded.path.clone(),
            log: path,
            watermark: loaded.anchor.sequence,
            found: log.sequence(),
        });
    }
    if log.sequence() == 0 {
        log.append_durable(record::begin(options.limits)?)?;
    }
    let checkpoint_sequence = loaded.as_ref().map_or(0, |loaded| loaded.anchor.sequence);
    let mut replay = Replay::new(&path, loaded);
    let take = |entry: WalEntry<LedgerRecord>| replay.take(&entry);
    visit_wal_with(&path, &options.wal, take)?;
    let (engine, operations_replayed) = replay.finish()?;
    let state = engine.state();
    let snapshot = engine.snapshot();
    let conservation = calybris_budget::finance::prove_snapshot(&snapshot)
        .map_err(|status| PersistError::NotConserved { path: path.clone(), status })?;
    let report = LedgerReport {
        log: log.report().clone(),
        checkpoint_sequence,
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
        order: Mutex::new(()),
        checkpointing: Mutex::new(()),
        report,
    })
}

/// A ledger on its way from a checkpoint to the end of the log.
struct Replay<'a> {
    log: &'a Path,
    checkpoint: Option<Loaded>,
    engine: Option<BudgetEngine>,
    operations: u64,
    fault: Option<PersistError>,
}

impl<'a> Replay<'a> {
    fn new(log: &'a Path, checkpoint: Option<Loaded>) -> Self {
        let engine = checkpoint.as_ref().map(|loaded| loaded.engine.clone());
        Self { log, checkpoint, engine, operations: 0, fault: None }
    }

    /// Takes the next entry; after a fault, nothing more.
    fn take(&mut self, entry: &WalEntry<LedgerRecord>) {
        if self.fault.is_none() {
            self.fault = self.step(entry).err();
        }
    }

    fn step(&mut self, entry: &WalEntry<LedgerRecord>) -> Result<(), PersistError> {
        let restored = self.checkpoint.as_ref().map_or(0, |loaded| loaded.anchor.sequence);
        if let Some(loaded) = self.checkpoint.as_ref().filter(|_| entry.sequence == restored) {
            if loaded.anchor.last_hash != entry.entry_hash {
                return Err(self.forked(loaded, entry.sequence));
            }
        }
        match &entry.data {
            LedgerRecord::Begin { schema_version, limits } => {
                if entry.sequence != 1 || schema_version != LEDGER_RECORD_SCHEMA {
                    let reason =
                        format!("no log of a ledger begins with \"{schema_version}\" here");
                    return Err(self.divergent(entry.sequence, reason));
                }
                self.engine.get_or_insert_with(|| BudgetEngine::with_limits(*limits));
            }
            LedgerRecord::Operation(operation) if entry.sequence > restored => {
                let Some(engine) = &self.engine else {
                    let reason = "the first entry does not begin a ledger".to_owned();
                    return Err(self.divergent(entry.sequence, reason));
                };
                // Done or refused, the answer was acknowledged when the record became durable.
                let _answered = engine.apply(operation);
                self.operations += 1;
            }
            LedgerRecord::Operation(_) => {}
            LedgerRecord::Checkpoint { sequence, state_digest_hex } => {
                let same = self.checkpoint.as_ref().filter(|it| it.anchor.sequence == *sequence);
                if let Some(loaded) = same.filter(|it| it.state_digest_hex != *state_digest_hex) {
                    let found = loaded.state_digest_hex;
                    let reason = format!(
                        "the state saved after entry {sequence} has digest {state_digest_hex}, {} has {found}",
                        loaded.path.display()
                    );
                    return Err(self.divergent(entry.sequence, reason));
                }
            }
        }
        Ok(())
    }

    fn forked(&self, loaded: &Loaded, sequence: u64) -> PersistError {
        let (snapshot, log) = (loaded.path.clone(), self.log.to_owned());
        PersistError::Forked { snapshot, log, sequence }
    }

    fn divergent(&self, sequence: u64, reason: String) -> PersistError {
        PersistError::Divergent { path: self.log.to_owned(), sequence, reason }
    }

    fn finish(self) -> Result<(BudgetEngine, u64), PersistError> {
        match (self.fault, self.engine) {
            (Some(fault), _) => Err(fault),
            (None, Some(engine)) => Ok((engine, self.operations)),
            (None, None) => Ok((BudgetEngine::new(), 0)),
        }
    }
}

fn open_holds(state: &LedgerState) -> Vec<ListedHold> {
    let of_tenant = |tenant: &calybris_budget::TenantState| {
        let tenant_id = tenant.tenant_id.clone();
        let listed = |hold: &calybris_budget::HoldState| ListedHold {
            tenant_id: tenant_id.clone(),
            hold: hold.hold,
            amount_microcents: hold.amount_microcents,
            began: hold.began,
            deadline: hold.deadline,
        };
        tenant.holds.iter().map(listed).collect::<Vec<_>>()
    };
    state.tenants.iter().flat_map(of_tenant).collect()
}
