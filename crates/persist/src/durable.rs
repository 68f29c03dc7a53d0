//! The durable ledger: every operation is a record in a hash-chained log before it is acknowledged.

mod calls;
mod checkpoints;
mod options;
mod record;
mod recover;
mod replay;
mod report;
#[cfg(feature = "async")]
mod tasks;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use calybris_budget::{Applied, BudgetEngine, LedgerOperation, Refusal};
use calybris_proof::chain::WalAnchor;
use calybris_wal::{Retirement, Ticket, WalError, WalWriter};

use crate::durable::checkpoints::Known;
use crate::error::PersistError;

pub use checkpoints::CheckpointReport;
pub use options::DurableOptions;
use record::Record;
pub use record::{LEDGER_RECORD_SCHEMA, LedgerRecord, Outcome};
pub use report::{LedgerReport, ListedHold, RejectedCheckpoint};

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
/// use calybris_budget::{Call, HoldAction, TenantAction};
/// use calybris_persist::{DurableLedger, PersistError};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let directory = folder.path().join("ledger");
/// let reserve = |amount_microcents| TenantAction::Reserve { amount_microcents, deadline: Some(60_000) };
/// let ledger = DurableLedger::open(&directory)?;
/// ledger.open_tenant("desk-1", None, 1_000, Call::default())?.unwrap();
/// let held = ledger.perform("desk-1", &reserve(600), Call::at(1_000).with_key("order-7"))?.unwrap();
/// let refused = ledger.perform("desk-1", &reserve(600), Call::at(2_000))?.unwrap_err();
/// assert_eq!(refused.to_string(), r#""desk-1": 600 asked, 400 remain"#);
/// assert!(matches!(DurableLedger::open(&directory), Err(PersistError::Wal(_))), "one at a time");
/// drop(ledger); // and here the process dies
///
/// let ledger = DurableLedger::open(&directory)?;
/// let open = &ledger.report().open_holds;
/// assert_eq!((open[0].amount_microcents, open[0].deadline), (600, Some(60_000)), "nothing was given back");
/// let again = ledger.perform("desk-1", &reserve(600), Call::at(3_000).with_key("order-7"))?.unwrap();
/// assert_eq!(again, held, "asked again, done once");
/// ledger.settle(held.hold.unwrap_or(0), &HoldAction::CommitHeld, Call::at(4_000))?.unwrap();
/// # Ok::<(), PersistError>(())
/// ```
#[derive(Debug)]
pub struct DurableLedger {
    directory: PathBuf,
    options: DurableOptions,
    engine: BudgetEngine,
    log: WalWriter<Record>,
    order: Mutex<Order>,
    /// Held while a cut through the engine is taken, of which there is one at a time: who waited for it with the order
    /// held would keep operations away for as long as another takes.
    cuts: Mutex<()>,
    /// Why, once the log fails: from then on there may be more in memory than on the disk.
    failed: OnceLock<String>,
    /// Those known to be good. Held by the one checkpoint, or retirement, under way.
    checkpoints: Mutex<Vec<Known>>,
    report: LedgerReport,
}

/// Held while an operation takes effect and is chained: the two orders are one.
#[derive(Debug)]
struct Order {
    /// Of the log. Every record is chained by who holds this, so that it is that of the state too; and it cannot be
    /// asked for once the lock is given up.
    head: WalAnchor,
}

impl Order {
    /// Everything chained so far.
    fn ticket(&self) -> Ticket {
        Ticket { sequence: self.head.sequence, entry_hash: self.head.last_hash }
    }
}

/// An operation that took effect and is chained, and may not be durable yet.
///
/// Dropping it takes nothing back: the operation keeps its place, and becomes durable with the ones around it or
/// is lost in a crash, whole, like everything nobody waited for.
#[must_use = "the answer is known, and durable, only after `wait`"]
#[derive(Debug)]
pub struct Pending<'l> {
    ledger: &'l DurableLedger,
    /// Of the last record that the answer rests on.
    ticket: Ticket,
    answer: Answer,
}

impl DurableLedger {
    /// Opens the ledger of a folder, creating both where there is none, and recovers it.
    ///
    /// # Errors
    /// [`PersistError::Wal`] when somebody else has it open or its log is broken;
    /// [`PersistError::LogBehindSnapshot`], [`PersistError::Forked`] and [`PersistError::Divergent`] when log and
    /// checkpoint do not belong together; [`PersistError::Divergent`] also at the first operation whose outcome is
    /// not the recorded one. Nothing is changed then.
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
    /// everything is refused with [`PersistError::Poisoned`]. With an idempotency key it can be asked again.
    pub fn apply(&self, operation: &LedgerOperation) -> Result<Answer, PersistError> {
        self.submit(operation)?.wait()
    }

    /// Does an operation, or refuses it, without waiting for the disk: for a caller that has something else to do
    /// meanwhile, or several operations to wait for at once.
    ///
    /// # Errors
    /// [`PersistError::OperationTooLarge`] before anything happens; [`PersistError::Poisoned`].
    ///
    /// ```
    /// use calybris_budget::{LedgerOperation, TenantAction};
    /// use calybris_persist::{DurableLedger, PersistError};
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// let ledger = DurableLedger::open(folder.path())?;
    /// let (now, key) = (0, None);
    /// let open = |tenant: String| {
    ///     LedgerOperation::Open { tenant, parent: None, initial_microcents: 100, now, key: None }
    /// };
    /// let action = TenantAction::TopUp { amount_microcents: 50 };
    /// let top_up = LedgerOperation::Tenant { tenant: "desk-1".into(), action, now, key };
    /// let both = [ledger.submit(&open("desk-1".into()))?, ledger.submit(&top_up)?];
    /// for pending in both {
    ///     pending.wait()?.unwrap(); // the first waits for both
    /// }
    /// assert_eq!(ledger.balances("desk-1")?.unwrap().remaining_microcents, 150);
    ///
    /// let too_large = ledger.submit(&open("x".repeat(70_000)));
    /// assert!(matches!(too_large, Err(PersistError::OperationTooLarge { limit: 65_536, .. })));
    /// # Ok::<(), PersistError>(())
    /// ```
    pub fn submit(&self, operation: &LedgerOperation) -> Result<Pending<'_>, PersistError> {
        let encoded = record::encode(operation)?;
        let mut order = self.lock_order()?;
        let answer = self.engine.apply(operation);
        if self.options.record_all || record::changes_the_ledger(operation, &answer) {
            let outcome = Outcome::of(&answer);
            self.chain(&mut order, &Record::Operation { operation: encoded, outcome })?;
        }
        Ok(Pending { ledger: self, ticket: order.ticket(), answer })
    }

    /// Saves the state, so that a restart replays only what comes after. Holds may be open and callers busy: an
    /// operation waits for the mark that the state is taken at, not for the copy and not for the disk.
    ///
    /// # Errors
    /// [`PersistError::Busy`] while another checkpoint is under way; [`PersistError::Wal`], [`PersistError::Io`]. The
    /// ledger goes on as it was.
    pub fn checkpoint(&self) -> Result<CheckpointReport, PersistError> {
        let mut good = self.lock_checkpoints()?;
        let (state, anchor) = self.cut(|engine| {
            let order = self.lock_order()?;
            Ok::<_, PersistError>(engine.state_at(move || order.head))
        })?;
        // A checkpoint is never ahead of the log on the disk.
        self.log.sync().map_err(|error| self.failed(error))?;
        let storage = &*self.options.storage;
        let saved = checkpoints::save(storage, &self.directory, anchor, &state)?;
        let CheckpointReport { sequence, state_digest_hex, .. } = saved;
        self.record(&Record::Checkpoint { sequence, state_digest_hex })?;
        checkpoints::retire(
            storage,
            &self.directory,
            &mut good,
            Known { anchor, state_digest_hex },
        )?;
        Ok(saved)
    }

    /// Retires the beginning of the log: the whole segments before the older of the two checkpoints kept. Both are
    /// read back first, and what goes is recorded in the log before it goes; a crash between is finished by the next
    /// opening. From then on a restart needs one of the two, and refuses without. None when there is nothing to
    /// retire: the log has too few segments, is one file, or there are fewer than two checkpoints.
    ///
    /// What was retired can no longer be verified or replayed from this folder; `DurableOptions::archive` (feature
    /// `archive`) keeps it in another one.
    ///
    /// # Errors
    /// [`PersistError::Unrestorable`] when a checkpoint cannot be read back; [`PersistError::Busy`] during a
    /// checkpoint; [`PersistError::Poisoned`]; [`PersistError::Wal`].
    ///
    /// ```
    /// use calybris_budget::Call;
    /// use calybris_persist::{DurableLedger, DurableOptions, PersistError};
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// let options = || DurableOptions::new().segment_bytes(1_000);
    /// let ledger = DurableLedger::open_with(folder.path(), options())?;
    /// for number in 0..20 {
    ///     ledger.open_tenant(&format!("desk-{number}"), None, 1_000, Call::default())?.unwrap();
    /// }
    /// let older = ledger.checkpoint()?;
    /// assert!(ledger.retire()?.is_none(), "one checkpoint is not enough");
    /// ledger.checkpoint()?;
    /// let retired = ledger.retire()?.unwrap();
    /// assert!(retired.sequence < older.sequence);
    /// drop(ledger);
    ///
    /// let ledger = DurableLedger::open_with(folder.path(), options())?;
    /// assert_eq!(ledger.report().log.after, retired.sequence);
    /// assert_eq!(ledger.snapshot()?.tenants.len(), 20);
    /// # Ok::<(), PersistError>(())
    /// ```
    pub fn retire(&self) -> Result<Option<Retirement>, PersistError> {
        let good = self.lock_checkpoints()?;
        drop(self.lock_order()?);
        let [older, newest] = *good.as_slice() else { return Ok(None) };
        let Some(plan) = self.log.retirable_before(older.anchor.sequence)? else { return Ok(None) };
        for known in [older, newest] {
            checkpoints::check(&*self.options.storage, &self.directory, known)?;
        }
        let Retirement { sequence, last_hash, .. } = plan;
        self.record(&Record::Retired { sequence, last_hash, checkpoint: older.anchor.sequence })?;
        Ok(self.log.retire_before(sequence.saturating_add(1))?)
    }

    /// The head of the log as far as it is durable, to be kept elsewhere: it is of every answer that was given, and of
    /// nothing that a crash could take.
    #[must_use]
    pub fn anchor(&self) -> WalAnchor {
        self.log.durable_anchor()
    }

    /// Reads the ledger; what it gives is durable.
    fn read<R>(&self, read: impl FnOnce(&BudgetEngine) -> R) -> Result<R, PersistError> {
        let (seen, ticket) = self.look(read)?;
        self.wait_durable(ticket)?;
        Ok(seen)
    }

    /// What is in memory, and the last record that it can rest on.
    fn look<R>(&self, read: impl FnOnce(&BudgetEngine) -> R) -> Result<(R, Ticket), PersistError> {
        let seen = read(&self.engine);
        // Asked for after reading: whatever was seen is chained by then.
        Ok((seen, self.lock_order()?.ticket()))
    }

    /// Reads all of the engine at one instant, in turn.
    fn cut<R>(&self, take: impl FnOnce(&BudgetEngine) -> R) -> R {
        let _turn = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        take(&self.engine)
    }

    /// Puts a record that is no operation into the log, durably.
    fn record(&self, record: &Record) -> Result<(), PersistError> {
        let mut order = self.lock_order()?;
        self.chain(&mut order, record)?;
        let ticket = order.ticket();
        drop(order);
        self.wait_durable(ticket)
    }

    fn chain(&self, order: &mut Order, record: &Record) -> Result<(), PersistError> {
        let Ticket { sequence, entry_hash: last_hash } =
            self.log.enqueue(record).map_err(|error| self.failed(error))?;
        order.head = WalAnchor { sequence, last_hash, ..order.head };
        Ok(())
    }

    fn lock_checkpoints(&self) -> Result<MutexGuard<'_, Vec<Known>>, PersistError> {
        match self.checkpoints.try_lock() {
            Ok(good) => Ok(good),
            // A storage that panicked in an earlier one: what is known to be good still is.
            Err(TryLockError::Poisoned(good)) => Ok(good.into_inner()),
            Err(TryLockError::WouldBlock) => {
                Err(PersistError::Busy { path: self.directory.clone() })
            }
        }
    }

    fn lock_order(&self) -> Result<MutexGuard<'_, Order>, PersistError> {
        let reason = match (self.order.lock(), self.failed.get()) {
            (Ok(order), None) => return Ok(order),
            (_, Some(reason)) => reason,
            // A panic between taking effect and being chained leaves the two apart like a failed write does.
            (Err(_), None) => "a thread panicked in the middle of an operation",
        };
        Err(PersistError::Poisoned { path: self.directory.clone(), reason: reason.to_owned() })
    }

    fn wait_durable(&self, ticket: Ticket) -> Result<(), PersistError> {
        self.log.wait_durable(ticket).map_err(|error| self.failed(error))
    }

    /// From now on nothing is acknowledged, and nothing in memory is believed.
    fn failed(&self, error: WalError) -> PersistError {
        self.failed.get_or_init(|| error.to_string());
        error.into()
    }
}

impl Pending<'_> {
    /// Returns the answer once it, and all it rests on, is durable.
    ///
    /// # Errors
    /// As [`DurableLedger::apply`].
    pub fn wait(self) -> Result<Answer, PersistError> {
        self.ledger.wait_durable(self.ticket)?;
        Ok(self.answer)
    }
}

#[cfg(test)]
mod tests;
