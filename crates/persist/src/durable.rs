//! The durable ledger: every operation is a record in a hash-chained log before it is acknowledged.

mod checkpoints;
mod options;
mod record;
mod recover;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use calybris_budget::finance::{ConservationProof, prove_snapshot};
use calybris_budget::{
    Applied, Balances, BudgetEngine, BudgetSnapshot, LedgerOperation, LedgerState, Refusal,
    TenantStatus,
};
use calybris_proof::chain::WalAnchor;
use calybris_wal::WalWriter;
use serde_json::value::RawValue;

use crate::error::PersistError;

pub use checkpoints::CheckpointReport;
pub use options::DurableOptions;
pub use record::{LEDGER_RECORD_SCHEMA, LedgerRecord};
pub use recover::{LedgerReport, ListedHold, RejectedCheckpoint};

/// What the ledger answered: what it did, or which rule of which scope refused. Both are durable.
pub type Answer = Result<Applied, Refusal>;

/// A ledger in a folder. Shared by reference between any number of threads; callers that wait for the disk at
/// the same time share one sync.
///
/// The ledger is a function of its log: the order of the log is the order in which operations took effect, and
/// replaying it gives the same state again, byte for byte, open holds, deadlines, caps, idempotency keys and
/// hold ids included. A restart settles nothing by itself: an open hold is open again.
///
/// ```
/// use calybris_budget::{Applied, HoldAction, LedgerOperation, TenantAction};
/// use calybris_persist::{DurableLedger, PersistError};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let directory = folder.path().join("ledger");
/// let open = LedgerOperation::Open {
///     tenant: "desk-1".into(), parent: None, initial_microcents: 1_000, now: 0, key: None,
/// };
/// let reserve = |amount_microcents, key: &str| LedgerOperation::Tenant {
///     tenant: "desk-1".into(),
///     action: TenantAction::Reserve { amount_microcents, deadline: None },
///     now: 1,
///     key: Some(key.into()),
/// };
/// let ledger = DurableLedger::open(&directory)?;
/// ledger.apply(&open)?.unwrap();
/// let held = ledger.apply(&reserve(600, "order-7"))?.unwrap();
/// let refused = ledger.apply(&reserve(600, "order-8"))?.unwrap_err();
/// assert_eq!(refused.to_string(), r#""desk-1": 600 asked, 400 remain"#);
/// assert!(matches!(DurableLedger::open(&directory), Err(PersistError::Wal(_))), "one at a time");
/// drop(ledger); // and here the process dies
///
/// let ledger = DurableLedger::open(&directory)?;
/// assert_eq!(ledger.report().open_holds[0].amount_microcents, 600);
/// assert_eq!(ledger.apply(&reserve(600, "order-7"))?.unwrap(), held, "asked again, done once");
/// # Ok::<(), PersistError>(())
/// ```
#[derive(Debug)]
pub struct DurableLedger {
    directory: PathBuf,
    options: DurableOptions,
    engine: BudgetEngine,
    log: WalWriter<Box<RawValue>>,
    /// Held while an operation is chained and takes effect: the two orders are one.
    order: Mutex<()>,
    /// Held by the one checkpoint under way.
    checkpointing: Mutex<()>,
    report: LedgerReport,
}

impl DurableLedger {
    /// Opens the ledger of a folder, creating both where there is none, and recovers it.
    ///
    /// # Errors
    /// [`PersistError::Wal`] when somebody else has it open or its log is broken;
    /// [`PersistError::LogBehindSnapshot`], [`PersistError::Forked`] and [`PersistError::Divergent`] when log and
    /// checkpoint do not belong together. Nothing is changed then.
    pub fn open(directory: &Path) -> Result<Self, PersistError> {
        Self::open_with(directory, DurableOptions::new())
    }

    /// As [`DurableLedger::open`], with a key, limits or another storage.
    ///
    /// # Errors
    /// As [`DurableLedger::open`]; a key of fewer than 32 bytes.
    pub fn open_with(directory: &Path, options: DurableOptions) -> Result<Self, PersistError> {
        recover::open(directory, options)
    }

    /// What opening found.
    #[must_use]
    pub fn report(&self) -> &LedgerReport {
        &self.report
    }

    /// Does an operation, or refuses it, and returns when the record of it is durable.
    ///
    /// # Errors
    /// [`PersistError::OperationTooLarge`] before anything happens. [`PersistError::Wal`] when the disk failed: the
    /// operation may or may not be found when the ledger is opened again, whole in either case; until then
    /// everything is refused. With an idempotency key it can be asked again.
    pub fn apply(&self, operation: &LedgerOperation) -> Result<Answer, PersistError> {
        let record = record::encode(operation)?;
        let (ticket, answer) = {
            let _order = self.lock_order()?;
            let ticket = self.log.enqueue(&record)?;
            (ticket, self.engine.apply(operation))
        };
        self.log.wait_durable(ticket)?;
        Ok(answer)
    }

    /// Saves the state, so that a restart replays only what comes after. Holds may be open and callers busy: an
    /// operation waits for the mark that the state is taken at, not for the copy and not for the disk.
    ///
    /// # Errors
    /// [`PersistError::Busy`] while another checkpoint is under way; [`PersistError::Wal`], [`PersistError::Io`]. The
    /// ledger goes on as it was.
    pub fn checkpoint(&self) -> Result<CheckpointReport, PersistError> {
        let busy = |_| PersistError::Busy { path: self.directory.clone() };
        let _one = self.checkpointing.try_lock().map_err(busy)?;
        let order = self.lock_order()?;
        let (state, anchor) = self.engine.state_at(move || {
            let anchor = self.log.anchor();
            drop(order);
            anchor
        });
        // A checkpoint is never ahead of the log on the disk.
        self.log.flush_and_sync()?;
        let storage = &*self.options.storage;
        let saved = checkpoints::save(storage, &self.directory, anchor, &state)?;
        self.log.append_durable(record::checkpoint(&saved)?)?;
        checkpoints::retire(storage, &self.directory)?;
        Ok(saved)
    }

    fn lock_order(&self) -> Result<MutexGuard<'_, ()>, PersistError> {
        // A panic between chaining and taking effect would leave the two apart.
        self.order.lock().map_err(|_| PersistError::Abandoned { path: self.directory.clone() })
    }

    /// The head of the log, to be kept elsewhere.
    #[must_use]
    pub fn anchor(&self) -> WalAnchor {
        self.log.anchor()
    }

    /// The amounts of a tenant. Reads may see an operation that its caller is still waiting for.
    #[must_use]
    pub fn balances(&self, tenant_id: &str) -> Option<Balances> {
        self.engine.balances(tenant_id)
    }

    /// Whether a tenant takes new holds.
    #[must_use]
    pub fn tenant_status(&self, tenant_id: &str) -> Option<TenantStatus> {
        self.engine.tenant_status(tenant_id)
    }

    /// All tenants at one instant.
    #[must_use]
    pub fn snapshot(&self) -> BudgetSnapshot {
        self.engine.snapshot()
    }

    /// Everything the ledger knows, at one instant, in canonical form.
    #[must_use]
    pub fn state(&self) -> LedgerState {
        self.engine.state()
    }

    /// Proves that every tenant balances.
    ///
    /// # Errors
    /// [`PersistError::NotConserved`] names the tenant and by how much.
    pub fn prove_conservation(&self) -> Result<ConservationProof, PersistError> {
        prove_snapshot(&self.snapshot())
            .map_err(|status| PersistError::NotConserved { path: self.directory.clone(), status })
    }
}
