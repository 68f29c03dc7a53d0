//! The writer.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use calybris_kernel::{Decided, KernelDecision, KernelInput, PolicySnapshot};
use calybris_proof::audit::AuditedRecord;
use calybris_proof::chain::{AnchorSchema, ChainHash, WalAnchor};
use serde::Serialize;

use crate::chain::Head;
use crate::entry::WalEntry;
use crate::error::WalError;
use crate::group::{Goal, GroupCommit, Link};
use crate::open::WalOpening;
use crate::options::WalOptions;
use crate::recovery::WalReport;
use crate::retire::Retention;
use crate::{payload, reader};

/// The one writer of a log. Shared by reference between any number of threads; entries are chained in the
/// order their appends take effect.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("log");
/// use calybris_wal::{WalError, WalWriter, read_verified_wal};
///
/// let log = WalWriter::<String>::open(&path)?;
/// let entry = log.append("first".into())?;
/// assert_eq!((entry.sequence, &*entry.previous_hash), (1, "genesis"));
/// log.append_durable("second".into())?;
/// assert_eq!(read_verified_wal::<String>(&path)?[1].data, "second");
///
/// assert!(matches!(WalWriter::<String>::open(&path), Err(WalError::Locked { .. })));
/// # Ok::<(), WalError>(())
/// ```
pub struct WalWriter<T> {
    pub(crate) group: Arc<GroupCommit>,
    pub(crate) retention: Arc<Retention>,
    report: WalReport,
    sync_on_append: bool,
    payload: PhantomData<fn(T)>,
}

/// A promise that an entry is chained; redeemed with [`WalWriter::wait_durable`].
#[must_use = "the entry is durable only after `wait_durable`"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The entry's sequence.
    pub sequence: u64,
    /// The entry's hash.
    pub entry_hash: ChainHash,
}

impl<T> WalWriter<T> {
    /// Opens an unkeyed log, creating it where there is none.
    ///
    /// # Errors
    /// [`WalError::Locked`] while another writer has it; [`WalError::Entry`] at the first line that breaks
    /// the chain and [`WalError::AcknowledgedMissing`], unless no more than a tail is lost that was never
    /// acknowledged; [`WalError::Io`].
    pub fn open(path: &Path) -> Result<Self, WalError> {
        Self::open_with(path, &WalOptions::new())
    }

    /// Opens a log keyed with at least 32 secret bytes, creating it where there is none.
    ///
    /// # Errors
    /// As [`WalWriter::open`]; [`WalError::Key`].
    pub fn open_keyed(path: &Path, key: &[u8]) -> Result<Self, WalError> {
        Self::open_with(path, &WalOptions::new().key(key))
    }

    /// Opens an unkeyed log whose appends are durable when they return, or not.
    ///
    /// # Errors
    /// As [`WalWriter::open`].
    pub fn open_with_sync(path: &Path, sync_on_append: bool) -> Result<Self, WalError> {
        Self::open_with(path, &WalOptions::new().sync_on_append(sync_on_append))
    }

    /// Opens a log as `options` say.
    ///
    /// # Errors
    /// As [`WalWriter::open`]; [`WalError::Key`].
    pub fn open_with(path: &Path, options: &WalOptions) -> Result<Self, WalError> {
        WalOpening::lock(path, options)?.finish()
    }

    /// The writer of what was opened.
    pub(crate) fn opened(
        group: GroupCommit,
        report: WalReport,
        path: &Path,
        options: &WalOptions,
    ) -> Self {
        let (group, retention) = (Arc::new(group), Arc::new(Retention::new(path, options)));
        let sync_on_append = options.sync_on_append;
        Self { group, retention, report, sync_on_append, payload: PhantomData }
    }

    /// The same log for another payload.
    #[cfg(feature = "async")]
    pub(crate) fn retyped<U>(self) -> WalWriter<U> {
        let Self { group, retention, report, sync_on_append, payload: _ } = self;
        WalWriter { group, retention, report, sync_on_append, payload: PhantomData }
    }

    /// Verifies an unkeyed log without opening it for writing: [`verify_wal`](crate::verify_wal).
    ///
    /// # Errors
    /// As [`verify_wal`](crate::verify_wal).
    pub fn validate_chain(path: &Path) -> Result<(u64, ChainHash), WalError> {
        reader::verify_wal(path)
    }

    /// What was found when the log was opened, and what was done about it.
    #[must_use]
    pub fn report(&self) -> &WalReport {
        &self.report
    }

    /// Hands everything appended to the operating system.
    ///
    /// # Errors
    /// [`WalError::Io`], [`WalError::Displaced`] the first time; [`WalError::Poisoned`] from then on.
    pub fn flush(&self) -> Result<(), WalError> {
        self.group.reach(Goal::Written(self.sequence()))
    }

    /// Returns when everything appended is durable.
    ///
    /// # Errors
    /// As [`WalWriter::flush`].
    pub fn sync(&self) -> Result<(), WalError> {
        self.group.reach(Goal::Durable(self.sequence()))
    }

    /// As [`WalWriter::sync`], which flushes.
    ///
    /// # Errors
    /// As [`WalWriter::flush`].
    pub fn flush_and_sync(&self) -> Result<(), WalError> {
        self.sync()
    }

    /// Returns when the entry of a ticket is durable, syncing it together with whatever else waits.
    ///
    /// # Errors
    /// As [`WalWriter::flush`]; the entry may or may not be in the log then. [`WalError::ForeignTicket`] for a
    /// sequence that this log has not come to.
    pub fn wait_durable(&self, ticket: Ticket) -> Result<(), WalError> {
        self.group.reach(self.redeem(ticket)?)
    }

    /// What the holder of a ticket waits for; nobody would ever reach an entry that is not chained.
    pub(crate) fn redeem(&self, Ticket { sequence, .. }: Ticket) -> Result<Goal, WalError> {
        let head = self.sequence();
        if sequence > head {
            let path = self.report.path.clone();
            return Err(WalError::ForeignTicket { path, sequence, head });
        }
        Ok(Goal::Durable(sequence))
    }

    /// The sequence of the last entry, 0 for an empty log.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.group.head().sequence
    }

    /// Entries in the log.
    #[must_use]
    pub fn entry_count(&self) -> u64 {
        self.sequence()
    }

    /// The last sequence that is durable.
    #[must_use]
    pub fn durable_sequence(&self) -> u64 {
        self.group.durable()
    }

    /// The hash of the last entry, `genesis` for an empty log.
    #[must_use]
    pub fn last_hash(&self) -> ChainHash {
        self.group.head().hash
    }

    /// Returns an appended entry when it is where it is wanted.
    fn settle(&self, goal: Goal, link: Link, data: T) -> Result<WalEntry<T>, WalError> {
        self.group.reach(goal)?;
        Ok(entry(link, data))
    }

    /// Where the options want an appended entry.
    pub(crate) fn goal(&self, link: Link) -> Goal {
        match link {
            Link { sequence, .. } if self.sync_on_append => Goal::Durable(sequence),
            Link { sequence, over: true, .. } => Goal::Written(sequence),
            Link { over: false, .. } => Goal::Written(0),
        }
    }

    /// The head of everything appended. A crash can take what is not durable of it, and a log without its entry is
    /// refused: to be kept elsewhere is the [`WalWriter::durable_anchor`].
    #[must_use]
    pub fn anchor(&self) -> WalAnchor {
        self.anchor_of(self.group.head())
    }

    /// The head of what is durable, to be kept elsewhere.
    ///
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("log");
    /// use calybris_wal::WalWriter;
    ///
    /// let log = WalWriter::<&str>::open(&path)?;
    /// log.append_durable("first")?;
    /// log.append("second")?;
    /// assert_eq!((log.anchor().sequence, log.durable_anchor().sequence), (2, 1));
    /// log.sync()?;
    /// assert_eq!(log.durable_anchor(), log.anchor());
    /// # Ok::<(), calybris_wal::WalError>(())
    /// ```
    #[must_use]
    pub fn durable_anchor(&self) -> WalAnchor {
        self.anchor_of(self.group.durable_head())
    }

    fn anchor_of(&self, head: Head) -> WalAnchor {
        WalAnchor {
            schema_version: AnchorSchema,
            sequence: head.sequence,
            last_hash: head.hash,
            keyed: self.group.key().is_some(),
        }
    }
}

impl<T: Serialize> WalWriter<T> {
    /// Appends an entry. Unless the log syncs on append, it is buffered: by the operating system, and in the
    /// process up to [`WalOptions::buffer_bytes`].
    ///
    /// # Errors
    /// [`WalError::EntryTooLarge`] and [`WalError::Unwritable`] leave the log as it was; then as
    /// [`WalWriter::flush`].
    pub fn append(&self, data: T) -> Result<WalEntry<T>, WalError> {
        let link = self.group.chain(&payload::general(&data)?)?;
        self.settle(self.goal(link), link, data)
    }

    /// Appends an entry and returns when it is durable. Callers that do so at the same time share a sync.
    ///
    /// # Errors
    /// As [`WalWriter::append`]; after a failed write or sync the entry may or may not be in the log.
    pub fn append_durable(&self, data: T) -> Result<WalEntry<T>, WalError> {
        let link = self.group.chain(&payload::general(&data)?)?;
        self.settle(Goal::Durable(link.sequence), link, data)
    }

    /// Chains an entry without touching the file, so that its order can be fixed inside a caller's critical
    /// section and [`WalWriter::wait_durable`] called outside of it.
    ///
    /// # Errors
    /// As [`WalWriter::append`], without the I/O.
    ///
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("log");
    /// use std::sync::Mutex;
    /// use calybris_wal::WalWriter;
    ///
    /// let log = WalWriter::<i64>::open(&path)?;
    /// let balance = Mutex::new(100);
    /// let ticket = {
    ///     let mut balance = balance.lock().unwrap();
    ///     *balance -= 30;
    ///     log.enqueue(&-30)?
    /// };
    /// log.wait_durable(ticket)?;
    /// assert_eq!(log.durable_sequence(), 1);
    /// # Ok::<(), calybris_wal::WalError>(())
    /// ```
    pub fn enqueue(&self, data: &T) -> Result<Ticket, WalError> {
        let link = self.group.chain(&payload::general(data)?)?;
        Ok(Ticket { sequence: link.sequence, entry_hash: link.hash })
    }
}

#[cfg(loom)]
impl<T> WalWriter<T> {
    /// What the log for tokio polls, for the model checker, under which tokio does not build. `lead` gets
    /// what is to be called where it may block; dropped uncalled, the right to lead passes on.
    #[doc(hidden)]
    pub fn poll_durable(
        &self,
        ticket: Ticket,
        context: &mut std::task::Context<'_>,
        lead: impl FnOnce(Box<dyn FnOnce() + Send>),
    ) -> std::task::Poll<Result<(), WalError>> {
        let goal = Goal::Durable(ticket.sequence);
        self.group.poll_reach(goal, context, |claim| lead(Box::new(|| claim.lead())))
    }
}

impl<M: Serialize> WalWriter<AuditedRecord<M>> {
    /// Appends a decision just made with its audit bundle. It replays, so nothing is decided again.
    ///
    /// # Errors
    /// As [`WalWriter::append`].
    ///
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("log");
    /// use calybris_kernel::{KernelInput, KernelModel, PolicySnapshot};
    /// use calybris_proof::audit::AuditedRecord;
    /// use calybris_wal::{WalError, WalWriter, replay_audited_wal};
    ///
    /// # let model = KernelModel { model_id: 1, provider_id: 0, quality_bps: 9_000, risk_ceiling_bps: 9_500, enabled: 1, p95_latency_ms: 200, capabilities: 0, region_mask: 1, input_cost_microunits_per_million_tokens: 2_500_000, output_cost_microunits_per_million_tokens: 10_000_000 };
    /// # let input = KernelInput { request_sequence: 1, requested_model_id: 1, input_tokens: 1_000, output_tokens: 500, business_value_microunits: 5_000_000, budget_limit_microunits: u64::MAX, risk_bps: 500, confidence_bps: 9_000, minimum_quality_bps: 0, max_p95_latency_ms: 0, required_capabilities: 0, allowed_provider_mask: u64::MAX, required_region_mask: 0 };
    /// let policy = PolicySnapshot::try_new(1, 1, 9_600, 5_500, 3_500, 2, vec![model]).unwrap();
    /// let decided = policy.decide(input);
    ///
    /// let log = WalWriter::<AuditedRecord<&str>>::open(&path)?;
    /// let entry = log.append_decided(&decided, "desk 1")?;
    /// assert!(entry.data.audit.replay_valid);
    /// assert_eq!(replay_audited_wal(&path, &policy)?.len(), 1);
    /// // Under another policy it does not.
    /// let other = PolicySnapshot::try_new(2, 1, 9_600, 5_500, 3_500, 2, vec![model]).unwrap();
    /// assert_eq!(replay_audited_wal(&path, &other).unwrap_err().sequence(), Some(1));
    /// # Ok::<(), WalError>(())
    /// ```
    pub fn append_decided(
        &self,
        decided: &Decided,
        metadata: M,
    ) -> Result<WalEntry<AuditedRecord<M>>, WalError> {
        self.append_record(AuditedRecord::decided(decided, metadata))
    }

    /// As [`WalWriter::append_decided`]; returns when the entry is durable, as [`WalWriter::append_durable`] does.
    ///
    /// # Errors
    /// As [`WalWriter::append_durable`].
    pub fn append_decided_durable(
        &self,
        decided: &Decided,
        metadata: M,
    ) -> Result<WalEntry<AuditedRecord<M>>, WalError> {
        let record = AuditedRecord::decided(decided, metadata);
        let link = self.group.chain(&payload::audited(&record)?)?;
        self.settle(Goal::Durable(link.sequence), link, record)
    }

    /// Appends a decision with its audit bundle, whose `replay_valid` says whether it replays. To keep a
    /// decision that does not out of the log, use [`WalWriter::append_verified_audited`].
    ///
    /// # Errors
    /// As [`WalWriter::append`].
    pub fn append_audited(
        &self,
        snapshot: &PolicySnapshot,
        input: KernelInput,
        decision: KernelDecision,
        metadata: M,
    ) -> Result<WalEntry<AuditedRecord<M>>, WalError> {
        let audit = calybris_proof::verify::audit_bundle(snapshot, input, &decision);
        self.append_record(AuditedRecord { audit, input, decision, metadata })
    }

    /// Appends a decision with its audit bundle if it replays, and nothing otherwise.
    ///
    /// # Errors
    /// [`WalError::Unverified`]; then as [`WalWriter::append`].
    ///
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("log");
    /// use calybris_kernel::{KernelInput, KernelModel, PolicySnapshot};
    /// use calybris_proof::audit::AuditedRecord;
    /// use calybris_wal::{WalError, WalWriter, replay_audited_wal};
    ///
    /// # let model = KernelModel { model_id: 1, provider_id: 0, quality_bps: 9_000, risk_ceiling_bps: 9_500, enabled: 1, p95_latency_ms: 200, capabilities: 0, region_mask: 1, input_cost_microunits_per_million_tokens: 2_500_000, output_cost_microunits_per_million_tokens: 10_000_000 };
    /// # let input = KernelInput { request_sequence: 1, requested_model_id: 1, input_tokens: 1_000, output_tokens: 500, business_value_microunits: 5_000_000, budget_limit_microunits: u64::MAX, risk_bps: 500, confidence_bps: 9_000, minimum_quality_bps: 0, max_p95_latency_ms: 0, required_capabilities: 0, allowed_provider_mask: u64::MAX, required_region_mask: 0 };
    /// let policy = PolicySnapshot::try_new(1, 1, 9_600, 5_500, 3_500, 2, vec![model]).unwrap();
    /// let decision = policy.prescribe(input);
    ///
    /// let log = WalWriter::<AuditedRecord<&str>>::open(&path)?;
    /// log.append_verified_audited(&policy, input, decision, "desk 1")?;
    ///
    /// let mut forged = decision;
    /// forged.estimated_cost_microunits += 1;
    /// let refused = log.append_verified_audited(&policy, input, forged, "desk 1");
    /// assert!(matches!(refused, Err(WalError::Unverified(_))));
    /// assert_eq!(replay_audited_wal(&path, &policy)?.len(), 1);
    /// # Ok::<(), WalError>(())
    /// ```
    pub fn append_verified_audited(
        &self,
        snapshot: &PolicySnapshot,
        input: KernelInput,
        decision: KernelDecision,
        metadata: M,
    ) -> Result<WalEntry<AuditedRecord<M>>, WalError> {
        self.append_record(AuditedRecord::verified(snapshot, input, decision, metadata)?)
    }

    fn append_record(
        &self,
        record: AuditedRecord<M>,
    ) -> Result<WalEntry<AuditedRecord<M>>, WalError> {
        let link = self.group.chain(&payload::audited(&record)?)?;
        self.settle(self.goal(link), link, record)
    }
}

impl<T> fmt::Debug for WalWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WalWriter").field("group", &self.group).finish_non_exhaustive()
    }
}

pub(crate) fn entry<T>(link: Link, data: T) -> WalEntry<T> {
    WalEntry { sequence: link.sequence, previous_hash: link.previous, entry_hash: link.hash, data }
}
