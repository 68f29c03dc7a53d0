//! The durable ledger for tasks of tokio: the same operations, waiting for the disk without blocking a thread.

use std::panic::resume_unwind;
use std::sync::Arc;

use calybris_budget::finance::ConservationProof;
use calybris_budget::{
    Balances, BudgetEngine, BudgetSnapshot, Call, ExpiredHold, HoldAction, LedgerOperation,
    LedgerState, Receipt, Refusal, TenantAction, TenantStatus,
};
use calybris_wal::{Retirement, Ticket, WalError};

use super::calls::{expired, open, perform, receipt, settle};
use super::{Answer, CheckpointReport, DurableLedger, Pending};
use crate::error::PersistError;

impl DurableLedger {
    /// As [`apply`](Self::apply), for a task of tokio.
    ///
    /// Nothing happens before the future is polled; from then on dropping it takes nothing back, as
    /// with [`Pending`]. Tasks and threads that wait at the same time share a sync.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let directory = folder.path().join("ledger");
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// use std::sync::Arc;
    /// use calybris_budget::{Call, TenantAction};
    /// use calybris_persist::{DurableLedger, PersistError};
    ///
    /// let ledger = Arc::new(DurableLedger::open(&directory)?); // once, before there are requests
    /// ledger.open_tenant_async("desk-1", None, 1_000, Call::default()).await?.unwrap();
    /// let requests: Vec<_> = (0..3)
    ///     .map(|request| {
    ///         let ledger = Arc::clone(&ledger);
    ///         let reserve = TenantAction::Reserve { amount_microcents: 400, deadline: Some(60_000) };
    ///         tokio::spawn(async move {
    ///             ledger.perform_async("desk-1", &reserve, Call::at(request)).await
    ///         })
    ///     })
    ///     .collect();
    /// let mut refused = 0;
    /// for request in requests {
    ///     refused += u32::from(request.await.unwrap()?.is_err());
    /// }
    /// assert_eq!(refused, 1, "400 and 400 and 400 are not to be had of 1000");
    /// # Ok::<(), PersistError>(()) }).unwrap();
    /// ```
    pub async fn apply_async(&self, operation: &LedgerOperation) -> Result<Answer, PersistError> {
        self.submit(operation)?.wait_async().await
    }

    /// As [`open_tenant`](Self::open_tenant), for a task.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub async fn open_tenant_async(
        &self,
        tenant_id: &str,
        parent_id: Option<&str>,
        initial_microcents: i64,
        call: Call<'_>,
    ) -> Result<Result<Receipt, Refusal>, PersistError> {
        let operation = open(tenant_id, parent_id, initial_microcents, call);
        Ok(self.apply_async(&operation).await?.map(receipt))
    }

    /// As [`perform`](Self::perform), for a task.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub async fn perform_async(
        &self,
        tenant_id: &str,
        action: &TenantAction,
        call: Call<'_>,
    ) -> Result<Result<Receipt, Refusal>, PersistError> {
        let operation = perform(tenant_id, action, call);
        Ok(self.apply_async(&operation).await?.map(receipt))
    }

    /// As [`settle`](Self::settle), for a task.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub async fn settle_async(
        &self,
        hold: u64,
        action: &HoldAction,
        call: Call<'_>,
    ) -> Result<Result<Receipt, Refusal>, PersistError> {
        let operation = settle(hold, action, call);
        Ok(self.apply_async(&operation).await?.map(receipt))
    }

    /// As [`expire`](Self::expire), for a task.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub async fn expire_async(&self, now: u64) -> Result<Vec<ExpiredHold>, PersistError> {
        Ok(expired(self.apply_async(&LedgerOperation::Expire { now }).await?))
    }

    /// As [`balances`](Self::balances), for a task.
    ///
    /// # Errors
    /// As [`balances`](Self::balances).
    pub async fn balances_async(&self, tenant_id: &str) -> Result<Option<Balances>, PersistError> {
        self.read_async(|engine| engine.balances(tenant_id)).await
    }

    /// As [`tenant_status`](Self::tenant_status), for a task.
    ///
    /// # Errors
    /// As [`balances`](Self::balances).
    pub async fn tenant_status_async(
        &self,
        tenant_id: &str,
    ) -> Result<Option<TenantStatus>, PersistError> {
        self.read_async(|engine| engine.tenant_status(tenant_id)).await
    }

    async fn read_async<R>(
        &self,
        read: impl FnOnce(&BudgetEngine) -> R,
    ) -> Result<R, PersistError> {
        let (seen, ticket) = self.look(read)?;
        self.wait_durable_async(ticket).await?;
        Ok(seen)
    }

    async fn wait_durable_async(&self, ticket: Ticket) -> Result<(), PersistError> {
        self.log.wait_durable_async(ticket).await.map_err(|error| self.failed(error))
    }
}

/// What takes as long as the ledger is large runs off the runtime's own threads, and is done whether or not the
/// future is polled to its end.
impl DurableLedger {
    /// As [`snapshot`](Self::snapshot), for a task.
    ///
    /// # Errors
    /// As [`balances`](Self::balances); [`WalError::RuntimeStopped`].
    pub async fn snapshot_async(self: &Arc<Self>) -> Result<BudgetSnapshot, PersistError> {
        self.blocking(Self::snapshot).await
    }

    /// As [`state`](Self::state), for a task.
    ///
    /// # Errors
    /// As [`snapshot_async`](Self::snapshot_async).
    pub async fn state_async(self: &Arc<Self>) -> Result<LedgerState, PersistError> {
        self.blocking(Self::state).await
    }

    /// As [`prove_conservation`](Self::prove_conservation), for a task.
    ///
    /// # Errors
    /// As [`prove_conservation`](Self::prove_conservation); [`WalError::RuntimeStopped`].
    pub async fn prove_conservation_async(
        self: &Arc<Self>,
    ) -> Result<ConservationProof, PersistError> {
        self.blocking(Self::prove_conservation).await
    }

    /// As [`checkpoint`](Self::checkpoint), for a task.
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint); [`WalError::RuntimeStopped`].
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let directory = folder.path().join("ledger");
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// use std::sync::Arc;
    /// use calybris_budget::Call;
    /// use calybris_persist::{DurableLedger, PersistError};
    ///
    /// let ledger = Arc::new(DurableLedger::open(&directory)?);
    /// ledger.open_tenant_async("desk-1", None, 1_000, Call::default()).await?.unwrap();
    /// let (one, other) = tokio::join!(ledger.checkpoint_async(), ledger.balances_async("desk-1"));
    /// assert_eq!(one?.sequence, 2, "after the beginning and the tenant");
    /// assert_eq!(other?.unwrap().remaining_microcents, 1_000, "nobody waits for it");
    /// # Ok::<(), PersistError>(()) }).unwrap();
    /// ```
    pub async fn checkpoint_async(self: &Arc<Self>) -> Result<CheckpointReport, PersistError> {
        self.blocking(Self::checkpoint).await
    }

    /// As [`retire`](Self::retire), for a task.
    ///
    /// # Errors
    /// As [`retire`](Self::retire); [`WalError::RuntimeStopped`].
    pub async fn retire_async(self: &Arc<Self>) -> Result<Option<Retirement>, PersistError> {
        self.blocking(Self::retire).await
    }

    async fn blocking<R: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<R, PersistError> + Send + 'static,
    ) -> Result<R, PersistError> {
        let ledger = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&ledger)).await {
            Ok(done) => done,
            Err(stopped) => match stopped.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => Err(WalError::RuntimeStopped.into()),
            },
        }
    }
}

impl Pending<'_> {
    /// As [`wait`](Self::wait), for a task of tokio.
    ///
    /// # Errors
    /// As [`DurableLedger::apply`].
    pub async fn wait_async(self) -> Result<Answer, PersistError> {
        self.ledger.wait_durable_async(self.ticket).await?;
        Ok(self.answer)
    }
}
