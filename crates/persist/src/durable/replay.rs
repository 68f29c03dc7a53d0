//! Applying the log again, up to the first entry that does not come out as recorded.

use std::collections::BTreeMap;
use std::path::Path;

use calybris_budget::BudgetEngine;
use calybris_kernel::digest::HexDigest;
use calybris_proof::chain::{AnchorSchema, ChainHash, WalAnchor};
use calybris_wal::VerifiedEntry;

use crate::durable::checkpoints::{KEPT, Known, Loaded};
use crate::durable::record::{self, LEDGER_RECORD_SCHEMA, LedgerRecord, Outcome};
use crate::error::PersistError;

/// What a replay comes to.
pub(super) enum Replayed {
    Ledger {
        engine: BudgetEngine,
        operations: u64,
        /// The one that was restored and the one before, as far as both are recorded in the log.
        checkpoints: Vec<Known>,
    },
    /// The log does not say that the checkpoint was made: a crash came between, or somebody else made it.
    Unconfirmed(Loaded),
}

/// An entry, decoded where it has to be: operations that a checkpoint includes are not.
pub(super) struct Entry {
    sequence: u64,
    previous_hash: ChainHash,
    hash: ChainHash,
    record: Option<Result<LedgerRecord, String>>,
}

impl Entry {
    /// `restored` is the last entry that the checkpoint includes.
    pub(super) fn new(entry: &VerifiedEntry<'_>, restored: u64) -> Self {
        let (sequence, data) = (entry.sequence, entry.data);
        let counts = sequence == 1 || sequence > restored || !record::is_operation(data);
        let decode = || serde_json::from_slice(data).map_err(|error| error.to_string());
        Self {
            sequence,
            previous_hash: *entry.previous_hash,
            hash: *entry.entry_hash,
            record: counts.then(decode),
        }
    }
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
    /// The entries that checkpoints are named after, as the log has them, and the digest it records for each.
    named: BTreeMap<u64, (Option<ChainHash>, Option<HexDigest>)>,
    /// What the first entry there is follows.
    begins_after: Option<(u64, ChainHash)>,
    /// The log has the record of its retirement.
    beginning_retired: bool,
    fault: Option<PersistError>,
}

impl<'a> Replay<'a> {
    /// `named` are the entries that the checkpoints there are were made after, by their names.
    pub(super) fn new(
        log: &'a Path,
        keyed: bool,
        checkpoint: Option<Loaded>,
        named: impl Iterator<Item = u64>,
    ) -> Self {
        let engine = checkpoint.as_ref().map(|loaded| loaded.engine.clone()).unwrap_or_default();
        Self {
            log,
            keyed,
            checkpoint,
            engine,
            operations: 0,
            anchored: false,
            confirmed: false,
            named: named.map(|sequence| (sequence, (None, None))).collect(),
            begins_after: None,
            beginning_retired: false,
            fault: None,
        }
    }

    /// Takes the next entry; after a fault, only what decides whose fault it is.
    pub(super) fn take(&mut self, entry: Entry) {
        let Entry { sequence, previous_hash, hash, record } = entry;
        self.begins_after.get_or_insert((sequence.saturating_sub(1), previous_hash));
        let restored = self.checkpoint.as_ref().map_or(0, |loaded| loaded.anchor.sequence);
        self.anchored |= sequence == restored;
        if let Some((named, _)) = self.named.get_mut(&sequence) {
            *named = Some(hash);
        }
        let mut outcome = self.check_anchor(sequence, &hash);
        match record {
            None => {}
            Some(Ok(record)) => {
                self.note(&record);
                if self.fault.is_none() {
                    outcome = outcome.and_then(|()| self.step(sequence, restored, &record));
                }
            }
            Some(Err(error)) => {
                let reason = format!("it is no record of a ledger: {error}");
                outcome = outcome.and(Err(self.divergent(sequence, reason)));
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
            LedgerRecord::Checkpoint { sequence, state_digest_hex } => {
                if let Some((_, recorded)) = self.named.get_mut(sequence) {
                    *recorded = Some(*state_digest_hex);
                }
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
                checkpoints: loaded.map_or_else(Vec::new, |loaded| self.known(&loaded)),
                engine: self.engine,
                operations: self.operations,
            }),
        }
    }

    /// The newest that are recorded in the log, up to the one that was restored.
    fn known(&self, restored: &Loaded) -> Vec<Known> {
        let known = |(sequence, found): (&u64, &(Option<ChainHash>, Option<HexDigest>))| {
            let (sequence, keyed) = (*sequence, self.keyed);
            let (Some(last_hash), Some(state_digest_hex)) = *found else { return None };
            let anchor = WalAnchor { schema_version: AnchorSchema, sequence, last_hash, keyed };
            Some(Known { anchor, state_digest_hex })
        };
        let mut all: Vec<_> =
            self.named.range(..=restored.anchor.sequence).filter_map(known).collect();
        all.drain(..all.len().saturating_sub(KEPT));
        all
    }
}
