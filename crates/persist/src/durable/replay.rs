//! Applying the log again, up to the first entry that does not come out as recorded.

use std::path::Path;

use calybris_budget::BudgetEngine;
use calybris_wal::WalEntry;

use crate::durable::checkpoints::Loaded;
use crate::durable::record::{LEDGER_RECORD_SCHEMA, LedgerRecord, Outcome};
use crate::error::PersistError;

/// What a replay comes to.
pub(super) enum Replayed {
    Ledger {
        engine: BudgetEngine,
        operations: u64,
        /// The last entry the checkpoint includes.
        checkpoint: Option<u64>,
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
    /// The log has the record of the checkpoint.
    confirmed: bool,
    fault: Option<PersistError>,
}

impl<'a> Replay<'a> {
    pub(super) fn new(log: &'a Path, keyed: bool, checkpoint: Option<Loaded>) -> Self {
        let engine = checkpoint.as_ref().map(|loaded| loaded.engine.clone()).unwrap_or_default();
        Self { log, keyed, checkpoint, engine, operations: 0, confirmed: false, fault: None }
    }

    /// Takes the next entry; after a fault, nothing more.
    pub(super) fn take(&mut self, entry: &WalEntry<LedgerRecord>) {
        if let (LedgerRecord::Checkpoint { sequence, .. }, Some(loaded)) =
            (&entry.data, &self.checkpoint)
        {
            self.confirmed |= *sequence == loaded.anchor.sequence;
        }
        if self.fault.is_none() {
            self.fault = self.step(entry).err();
        }
    }

    fn step(&mut self, entry: &WalEntry<LedgerRecord>) -> Result<(), PersistError> {
        let restored = self.checkpoint.as_ref().map_or(0, |loaded| loaded.anchor.sequence);
        if let Some(loaded) = self.checkpoint.as_ref().filter(|_| entry.sequence == restored) {
            if loaded.anchor.last_hash != entry.entry_hash || loaded.anchor.keyed != self.keyed {
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
                if self.checkpoint.is_none() {
                    self.engine = BudgetEngine::with_limits(*limits);
                }
            }
            _ if entry.sequence == 1 => {
                let reason = "the first entry does not begin a ledger".to_owned();
                return Err(self.divergent(entry.sequence, reason));
            }
            LedgerRecord::Operation { .. } if entry.sequence <= restored => {}
            LedgerRecord::Operation { operation, outcome } => {
                let found = Outcome::of(&self.engine.apply(operation));
                if found != *outcome {
                    let reason = format!("the outcome is {found:?}, recorded is {outcome:?}");
                    return Err(self.divergent(entry.sequence, reason));
                }
                self.operations += 1;
            }
            LedgerRecord::Checkpoint { sequence, .. } if *sequence >= entry.sequence => {
                let reason = format!("a checkpoint cannot have been made after entry {sequence}");
                return Err(self.divergent(entry.sequence, reason));
            }
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

    /// The ledger at the end of the log, or that its checkpoint is not to be trusted.
    pub(super) fn finish(self) -> Result<Replayed, PersistError> {
        match (self.fault, self.engine, self.checkpoint) {
            (Some(fault @ PersistError::Forked { .. }), ..) => Err(fault),
            (_, _, Some(loaded)) if !self.confirmed => Ok(Replayed::Unconfirmed(loaded)),
            (Some(fault), ..) => Err(fault),
            (None, engine, loaded) => Ok(Replayed::Ledger {
                engine,
                operations: self.operations,
                checkpoint: loaded.map(|loaded| loaded.anchor.sequence),
            }),
        }
    }
}
