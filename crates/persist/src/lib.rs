//! Crate documentation is the README.
#![doc = include_str!("../README.md")]

mod checkpoint;
mod durable;
mod error;
mod files;
mod recovery;

pub use calybris_wal::Retirement;
pub use checkpoint::{checkpoint, checkpoint_with_wal, load_snapshot, restore, save_snapshot};
pub use durable::{
    Answer, CheckpointReport, DurableLedger, DurableOptions, LEDGER_RECORD_SCHEMA, LedgerRecord,
    LedgerReport, ListedHold, Outcome, Pending, RejectedCheckpoint,
};
pub use error::PersistError;
pub use recovery::{RecoveryPlan, recovery_plan, recovery_plan_keyed};

#[cfg(test)]
mod tests;
