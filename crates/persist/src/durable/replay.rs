//! Applying the log again, up to the first entry that does not come out as recorded.

use std::path::Path;

use calybris_budget::BudgetEngine;
use calybris_proof::chain::ChainHash;
use calybris_wal::WalEntry;
use serde_json::value::RawValue;

use crate::durable::checkpoints::{Known, Loaded};
use crate::durable::record::{self, LEDGER_RECORD_SCHEMA, LedgerRecord, Outcome};
use crate::error::PersistError;

/// What a replay comes to.
pub(super) enum Replayed {
    Ledger {
        engine: BudgetEngine,
        operations: u64,
        checkpoint: Option<Known>,
    },
    /// The log does not say that the checkpoint was made: a crash came between, or somebody else made it.
    Unconfirmed(Loaded),
}

/// A ledger on its way from a checkpoint to the end of the log.
pub(super) struct Replay<'a> {
    log: &'a Path,
    keyed: bool,
    checkpoint: Option<Loaded>,
    engine: BudgetEngine,
    operations: u64,
    /// The log has the entry the checkpoint was made after.
    anchored: bool,
    /// The log has the record of the checkpoint.
    confirmed: bool,
    /// What the first entry there is follows.
    begins_after: Option<(u64, ChainHash)>,
    /// The log has the record of its retirement.
    beginning_retired: bool,
    fault: Option<PersistError>,
}

impl<'a> Replay<'a> {
    pub(super) fn new(log: &'a Path, keyed: bool, checkpoint: Option<Loaded>) -> Self {
        let engine = checkpoint.as_ref().map(|loaded| loaded.engine.clone()).unwrap_or_default();
        Self {
            log,
            keyed,
            checkpoint,
            engine,
            operations: 0,
            anchored: false,
            confirmed: false,
            begins_after: None,
            beginning_retired: false,
            fault: None,
        }
    }

    /// Takes the next entry; after a fault, only what decides whose fault it is. Operations that the checkpoint
    /// includes are not decoded.
    pub(super) fn take(&mut self, entry: &WalEntry<Box<RawValue>>) {
        let (sequence, data) = (entry.sequence, &entry.data);
        let (before, hash) = (sequence.saturating_sub(1), entry.previous_hash);
        self.begins_after.get_or_insert((before, hash));
        let restored = self.checkpoint.as_ref().map_or(0, |loaded| loaded.anchor.sequence);
        self.anchored |= sequence == restored;
        let mut outcome = self.check_anchor(sequence, &entry.entry_hash);
        if sequence == 1 || sequence > restored || !record::is_operation(data) {
            match serde_json::from_str(data.get()) {
                Ok(record) => {
                    self.note(&record);
                    if self.fault.is_none() {
                        outcome = outcome.and_then(|()| self.step(sequence, restored, &record));
                    }
                }
                Err(error) => {
                    let reason = format!("it is no record of a ledger: {error}");
                    outcome = outcome.and(Err(self.divergent(sequence, reason)));
                }
            }
        }
        if self.fault.is_none() {
            self.fault = outcome.err();
        }
    }

    fn check_anchor(&self, sequence: u64, hash: &ChainHash) -> Result<(), PersistError> {
        let due = self.checkpoint.as_ref().filter(|loaded| loaded.anchor.sequence == sequence);
        match due.filter(|it| it.anchor.last_hash != *hash || it.anchor.keyed != self.keyed) {
            Some(loaded) => {
                let (snapshot, log) = (loaded.path.clone(), self.log.to_owned());
                Err(PersistError::Forked { snapshot, log, sequence })
            }
            None => Ok(()),
        }
    }

    fn note(&mut self, record: &LedgerRecord) {
        match record {
            LedgerRecord::Checkpoint { sequence, .. } => {
                let loaded = self.checkpoint.as_ref();
                self.confirmed |= loaded.is_some_and(|it| it.anchor.sequence == *sequence);
            }
            LedgerRecord::Retired { sequence, last_hash, .. } => {
                self.beginning_retired |= self.begins_after == Some((*sequence, *last_hash));
            }
            LedgerRecord::Begin { .. } | LedgerRecord::Operation { .. } => {}
        }
    }

    fn step(&mut self, at: u64, restored: u64, record: &LedgerRecord) -> Result<(), PersistError> {
        match record {
            LedgerRecord::Begin { schema_version, limits } => {
                if at != 1 || schema_version != LEDGER_RECORD_SCHEMA {
                    let reason =
                        format!("no log of a ledger begins with \"{schema_version}\" here");
                    return Err(self.divergent(at, reason));
                }
                if self.checkpoint.is_none() {
                    self.engine = BudgetEngine::with_limits(*limits);
                }
            }
            _ if at == 1 => {
                let reason = "the first entry does not begin a ledger".to_owned();
                return Err(self.divergent(at, reason));
            }
            LedgerRecord::Operation { .. } if at <= restored => {}
            LedgerRecord::Operation { operation, outcome } => {
                let found = Outcome::of(&self.engine.apply(operation));
                if found != *outcome {
                    let reason = format!("the outcome is {found:?}, recorded is {outcome:?}");
                    return Err(self.divergent(at, reason));
                }
                self.operations += 1;
            }
            LedgerRecord::Retired { sequence, checkpoint, .. } => {
                if !(sequence < checkpoint && *checkpoint < at) {
                    let reason = format!(
                        "entries up to {sequence} cannot have given way to a checkpoint after entry {checkpoint}"
                    );
                    return Err(self.divergent(at, reason));
                }
            }
            LedgerRecord::Checkpoint { sequence, .. } if *sequence >= at => {
                let reason = format!("a checkpoint cannot have been made after entry {sequence}");
                return Err(self.divergent(at, reason));
            }
            LedgerRecord::Checkpoint { sequence, state_digest_hex } => {
                let same = self.checkpoint.as_ref().filter(|it| it.anchor.sequence == *sequence);
                if let Some(loaded) = same.filter(|it| it.state_digest_hex != *state_digest_hex) {
                    let found = loaded.state_digest_hex;
                    let reason = format!(
                        "the state saved after entry {sequence} has digest {state_digest_hex}, {} has {found}",
                        loaded.path.display()
                    );
                    return Err(self.divergent(at, reason));
                }
            }
        }
        Ok(())
    }

    fn divergent(&self, sequence: u64, reason: String) -> PersistError {
        PersistError::Divergent { path: self.log.to_owned(), sequence, reason }
    }

    /// The ledger at the end of the log, or that its checkpoint is not to be trusted.
    pub(super) fn finish(mut self) -> Result<Replayed, PersistError> {
        let loaded = match (self.fault.take(), self.checkpoint.take()) {
            (Some(fault @ PersistError::Forked { .. }), _) => return Err(fault),
            (_, Some(loaded)) if !(self.anchored && self.confirmed) => {
                return Ok(Replayed::Unconfirmed(loaded));
            }
            (Some(fault), _) => return Err(fault),
            (None, loaded) => loaded,
        };
        match self.begins_after {
            Some((after, _)) if after > 0 && !self.beginning_retired => {
                let reason = format!("nothing says that the entries up to {after} were retired");
                Err(self.divergent(after.saturating_add(1), reason))
            }
            _ => Ok(Replayed::Ledger {
                engine: self.engine,
                operations: self.operations,
                checkpoint: loaded.map(|Loaded { anchor, state_digest_hex, .. }| Known {
                    sequence: anchor.sequence,
                    state_digest_hex,
                }),
            }),
        }
    }
}
