//! The log for tokio: the same core as [`WalWriter`], with waiting instead of blocking.
//!
//! Dropping or timing out an append leaves a valid log. Once an append has been polled, its entry is chained
//! and will be written with its neighbours; whether it is in can be asked by its sequence or read back.

use std::path::Path;
use std::sync::Arc;

use calybris_kernel::{Decided, KernelDecision, KernelInput, PolicySnapshot};
use calybris_proof::audit::AuditedRecord;
use calybris_proof::chain::{ChainHash, WalAnchor};
use serde::Serialize;
use tokio::task::{spawn_blocking, yield_now};

use crate::entry::WalEntry;
use crate::error::WalError;
use crate::group::{Claim, Goal, GroupCommit, Link};
use crate::options::WalOptions;
use crate::recovery::WalReport;
use crate::retire::Retirement;
use crate::writer::{Ticket, WalWriter, entry};
use crate::{payload, reader};

/// The one writer of a log, for tokio. Shared by reference between any number of tasks.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("log");
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use calybris_wal::WalError;
/// use calybris_wal::async_wal::{AsyncWalWriter, verify_async_wal};
///
/// let log = AsyncWalWriter::<u32>::open(&path).await?;
/// log.append(7).await?;
/// log.flush_and_sync().await?;
/// assert_eq!(verify_async_wal(&path).await?, (1, log.last_hash()));
///
/// let second = AsyncWalWriter::<u32>::open(&path).await;
/// assert!(matches!(second, Err(WalError::Locked { .. })));
/// # Ok::<(), WalError>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct AsyncWalWriter<T> {
    writer: WalWriter<T>,
}

impl<T> AsyncWalWriter<T> {
    /// As [`WalWriter::open`].
    ///
    /// # Errors
    /// As [`WalWriter::open`].
    pub async fn open(path: &Path) -> Result<Self, WalError> {
        Self::open_with(path, &WalOptions::new()).await
    }

    /// As [`WalWriter::open_keyed`].
    ///
    /// # Errors
    /// As [`WalWriter::open_keyed`].
    pub async fn open_keyed(path: &Path, key: &[u8]) -> Result<Self, WalError> {
        Self::open_with(path, &WalOptions::new().key(key)).await
    }

    /// As [`WalWriter::open_with_sync`].
    ///
    /// # Errors
    /// As [`WalWriter::open`].
    pub async fn open_with_sync(path: &Path, sync_on_append: bool) -> Result<Self, WalError> {
        Self::open_with(path, &WalOptions::new().sync_on_append(sync_on_append)).await
    }

    /// As [`WalWriter::open_with`].
    ///
    /// # Errors
    /// As [`WalWriter::open_with`].
    pub async fn open_with(path: &Path, options: &WalOptions) -> Result<Self, WalError> {
        let (path, options) = (path.to_owned(), options.clone());
        // The payload's type need not cross threads for the log to be opened on another one.
        let opened = blocking(move || WalWriter::<()>::open_with(&path, &options)).await?;
        Ok(Self { writer: opened.retyped() })
    }

    /// As [`WalWriter::report`].
    #[must_use]
    pub fn report(&self) -> &WalReport {
        self.writer.report()
    }

    /// Returns when everything appended is durable.
    ///
    /// # Errors
    /// As [`WalWriter::flush`].
    pub async fn flush_and_sync(&self) -> Result<(), WalError> {
        self.reach(Goal::Durable(self.sequence())).await
    }

    /// Returns when the entry of a ticket is durable.
    ///
    /// # Errors
    /// As [`WalWriter::wait_durable`].
    pub async fn wait_durable(&self, ticket: Ticket) -> Result<(), WalError> {
        self.writer.wait_durable_async(ticket).await
    }

    /// The sequence of the last entry, 0 for an empty log.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.writer.sequence()
    }

    /// The last sequence that is durable.
    #[must_use]
    pub fn durable_sequence(&self) -> u64 {
        self.writer.durable_sequence()
    }

    /// The hash of the last entry, `genesis` for an empty log.
    #[must_use]
    pub fn last_hash(&self) -> ChainHash {
        self.writer.last_hash()
    }

    /// As [`WalWriter::anchor`].
    #[must_use]
    pub fn anchor(&self) -> WalAnchor {
        self.writer.anchor()
    }

    /// As [`WalWriter::durable_anchor`].
    #[must_use]
    pub fn durable_anchor(&self) -> WalAnchor {
        self.writer.durable_anchor()
    }

    /// As [`WalWriter::retirable_before`].
    ///
    /// # Errors
    /// As [`WalWriter::retirable_before`].
    pub async fn retirable_before(&self, sequence: u64) -> Result<Option<Retirement>, WalError> {
        let (retention, group) = (self.writer.retention.clone(), self.writer.group.clone());
        blocking(move || retention.plan(sequence, &group)).await
    }

    /// As [`WalWriter::retire_before`].
    ///
    /// # Errors
    /// As [`WalWriter::retire_before`].
    pub async fn retire_before(&self, sequence: u64) -> Result<Option<Retirement>, WalError> {
        let (retention, group) = (self.writer.retention.clone(), self.writer.group.clone());
        blocking(move || retention.retire(sequence, &group)).await
    }

    async fn settle(&self, goal: Goal, link: Link, data: T) -> Result<WalEntry<T>, WalError> {
        self.reach(goal).await?;
        Ok(entry(link, data))
    }

    async fn reach(&self, goal: Goal) -> Result<(), WalError> {
        reach(&self.writer.group, goal).await
    }
}

impl<T> WalWriter<T> {
    /// As [`WalWriter::wait_durable`] for a task of tokio, which waits without blocking; dropping the future takes
    /// nothing back. Threads and tasks may wait for the same log, and share a sync.
    ///
    /// # Errors
    /// As [`WalWriter::wait_durable`].
    ///
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("log");
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// use calybris_wal::{WalError, WalWriter};
    ///
    /// let log = WalWriter::<u32>::open(&path)?;
    /// let ticket = log.enqueue(&7)?;
    /// log.wait_durable_async(ticket).await?;
    /// assert_eq!(log.durable_sequence(), 1);
    ///
    /// std::fs::remove_file(&path).unwrap();
    /// let ticket = log.enqueue(&8)?;
    /// let lost = log.wait_durable_async(ticket).await;
    /// assert!(matches!(lost, Err(WalError::Poisoned { .. })));
    /// # Ok::<(), WalError>(()) }).unwrap();
    /// ```
    pub async fn wait_durable_async(&self, ticket: Ticket) -> Result<(), WalError> {
        reach(&self.group, self.redeem(ticket)?).await
    }
}

async fn reach(group: &Arc<GroupCommit>, goal: Goal) -> Result<(), WalError> {
    let lead = |claim| drop(tokio::spawn(gather_and_lead(claim)));
    std::future::poll_fn(|context| group.poll_reach(goal, context, lead)).await
}

impl<T: Serialize> AsyncWalWriter<T> {
    /// As [`WalWriter::append`].
    ///
    /// # Errors
    /// As [`WalWriter::append`].
    pub async fn append(&self, data: T) -> Result<WalEntry<T>, WalError> {
        let link = self.writer.group.chain(&payload::general(&data)?)?;
        self.settle(self.writer.goal(link), link, data).await
    }

    /// As [`WalWriter::append_durable`].
    ///
    /// # Errors
    /// As [`WalWriter::append_durable`].
    pub async fn append_durable(&self, data: T) -> Result<WalEntry<T>, WalError> {
        let link = self.writer.group.chain(&payload::general(&data)?)?;
        self.settle(Goal::Durable(link.sequence), link, data).await
    }

    /// As [`WalWriter::enqueue`], which does not block.
    ///
    /// # Errors
    /// As [`WalWriter::enqueue`].
    pub fn enqueue(&self, data: &T) -> Result<Ticket, WalError> {
        self.writer.enqueue(data)
    }
}

impl<M: Serialize> AsyncWalWriter<AuditedRecord<M>> {
    /// As [`WalWriter::append_decided`].
    ///
    /// # Errors
    /// As [`WalWriter::append_decided`].
    pub async fn append_decided(
        &self,
        decided: &Decided,
        metadata: M,
    ) -> Result<WalEntry<AuditedRecord<M>>, WalError> {
        self.append_record(AuditedRecord::decided(decided, metadata)).await
    }

    /// As [`WalWriter::append_decided_durable`].
    ///
    /// # Errors
    /// As [`WalWriter::append_decided_durable`].
    pub async fn append_decided_durable(
        &self,
        decided: &Decided,
        metadata: M,
    ) -> Result<WalEntry<AuditedRecord<M>>, WalError> {
        let record = AuditedRecord::decided(decided, metadata);
        let link = self.writer.group.chain(&payload::audited(&record)?)?;
        self.settle(Goal::Durable(link.sequence), link, record).await
    }

    /// As [`WalWriter::append_audited`].
    ///
    /// # Errors
    /// As [`WalWriter::append_audited`].
    pub async fn append_audited(
        &self,
        snapshot: &PolicySnapshot,
        input: KernelInput,
        decision: KernelDecision,
        metadata: M,
    ) -> Result<WalEntry<AuditedRecord<M>>, WalError> {
        let audit = calybris_proof::verify::audit_bundle(snapshot, input, &decision);
        self.append_record(AuditedRecord { audit, input, decision, metadata }).await
    }

    /// As [`WalWriter::append_verified_audited`].
    ///
    /// # Errors
    /// As [`WalWriter::append_verified_audited`].
    pub async fn append_verified_audited(
        &self,
        snapshot: &PolicySnapshot,
        input: KernelInput,
        decision: KernelDecision,
        metadata: M,
    ) -> Result<WalEntry<AuditedRecord<M>>, WalError> {
        self.append_record(AuditedRecord::verified(snapshot, input, decision, metadata)?).await
    }

    async fn append_record(
        &self,
        record: AuditedRecord<M>,
    ) -> Result<WalEntry<AuditedRecord<M>>, WalError> {
        let link = self.writer.group.chain(&payload::audited(&record)?)?;
        self.settle(self.writer.goal(link), link, record).await
    }
}

/// A task of its own, so that a lead never rests with a future that nobody polls.
async fn gather_and_lead(mut claim: Claim) {
    while claim.grows() {
        yield_now().await;
    }
    drop(spawn_blocking(move || claim.lead()));
}

/// As [`verify_wal`](crate::verify_wal), off the runtime's own threads.
///
/// # Errors
/// As [`verify_wal`](crate::verify_wal).
pub async fn verify_async_wal(path: &Path) -> Result<(u64, ChainHash), WalError> {
    let path = path.to_owned();
    blocking(move || reader::verify_wal(&path)).await
}

/// As [`verify_wal_keyed`](crate::verify_wal_keyed), off the runtime's own threads.
///
/// # Errors
/// As [`verify_wal_keyed`](crate::verify_wal_keyed).
pub async fn verify_async_wal_keyed(path: &Path, key: &[u8]) -> Result<(u64, ChainHash), WalError> {
    let (path, key) = (path.to_owned(), key.to_vec());
    blocking(move || reader::verify_wal_keyed(&path, &key)).await
}

async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, WalError> + Send + 'static,
) -> Result<R, WalError> {
    spawn_blocking(work).await.unwrap_or(Err(WalError::RuntimeStopped))
}
