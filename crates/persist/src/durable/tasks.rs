//! The durable ledger for tasks of tokio: the same operations, waiting for the disk without blocking a thread.

use calybris_budget::{Call, HoldAction, LedgerOperation, Receipt, Refusal, TenantAction};

use super::calls::{open, perform, receipt, settle};
use super::{Answer, DurableLedger, Pending};
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
}

impl Pending<'_> {
    /// As [`wait`](Self::wait), for a task of tokio.
    ///
    /// # Errors
    /// As [`DurableLedger::apply`].
    pub async fn wait_async(self) -> Result<Answer, PersistError> {
        if let Some(ticket) = self.ticket {
            let waited = self.ledger.log.wait_durable_async(ticket).await;
            waited.map_err(|error| self.ledger.failed(error))?;
        }
        Ok(self.answer)
    }
}
