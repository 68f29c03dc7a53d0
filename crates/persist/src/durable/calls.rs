//! The ledger's operations one by one, and what can be read of it.

use calybris_budget::finance::{ConservationProof, prove_snapshot};
use calybris_budget::{
    Applied, Balances, BudgetEngine, BudgetSnapshot, Call, ExpiredHold, HoldAction,
    LedgerOperation, LedgerState, Receipt, Refusal, TenantAction, TenantStatus,
};

use super::{Answer, DurableLedger};
use crate::error::PersistError;

impl DurableLedger {
    /// Creates a tenant, or leaves the one of that name as it is:
    /// [`BudgetEngine::open_tenant`](calybris_budget::BudgetEngine::open_tenant), durable.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn open_tenant(
        &self,
        tenant_id: &str,
        parent_id: Option<&str>,
        initial_microcents: i64,
        call: Call<'_>,
    ) -> Result<Result<Receipt, Refusal>, PersistError> {
        let operation = open(tenant_id, parent_id, initial_microcents, call);
        Ok(self.apply(&operation)?.map(receipt))
    }

    /// Asks a tenant to do something:
    /// [`BudgetEngine::perform`](calybris_budget::BudgetEngine::perform), durable.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn perform(
        &self,
        tenant_id: &str,
        action: &TenantAction,
        call: Call<'_>,
    ) -> Result<Result<Receipt, Refusal>, PersistError> {
        Ok(self.apply(&perform(tenant_id, action, call))?.map(receipt))
    }

    /// Does something with an open hold:
    /// [`BudgetEngine::settle`](calybris_budget::BudgetEngine::settle), durable.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn settle(
        &self,
        hold: u64,
        action: &HoldAction,
        call: Call<'_>,
    ) -> Result<Result<Receipt, Refusal>, PersistError> {
        Ok(self.apply(&settle(hold, action, call))?.map(receipt))
    }

    /// Gives back every hold whose deadline is `now` or earlier:
    /// [`BudgetEngine::expire`](calybris_budget::BudgetEngine::expire), durable. Nothing else gives a hold back,
    /// a restart least of all.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn expire(&self, now: u64) -> Result<Vec<ExpiredHold>, PersistError> {
        Ok(expired(self.apply(&LedgerOperation::Expire { now })?))
    }

    /// The amounts of a tenant, none for one that does not exist.
    ///
    /// # Errors
    /// [`PersistError::Poisoned`] and [`PersistError::Wal`] after a failure of the log. The same goes for
    /// everything else that is read: it is durable, or it is not given.
    pub fn balances(&self, tenant_id: &str) -> Result<Option<Balances>, PersistError> {
        self.read(|engine| engine.balances(tenant_id))
    }

    /// Whether a tenant takes new holds, none for one that does not exist.
    ///
    /// # Errors
    /// As [`balances`](Self::balances).
    pub fn tenant_status(&self, tenant_id: &str) -> Result<Option<TenantStatus>, PersistError> {
        self.read(|engine| engine.tenant_status(tenant_id))
    }

    /// All tenants at one instant.
    ///
    /// # Errors
    /// As [`balances`](Self::balances).
    pub fn snapshot(&self) -> Result<BudgetSnapshot, PersistError> {
        self.read(|_| self.cut(BudgetEngine::snapshot))
    }

    /// Everything the ledger knows, at one instant, in canonical form.
    ///
    /// # Errors
    /// As [`balances`](Self::balances).
    pub fn state(&self) -> Result<LedgerState, PersistError> {
        self.read(|_| self.cut(BudgetEngine::state))
    }

    /// Proves that every tenant balances.
    ///
    /// # Errors
    /// As [`balances`](Self::balances); [`PersistError::NotConserved`] names the tenant and by how much.
    pub fn prove_conservation(&self) -> Result<ConservationProof, PersistError> {
        prove_snapshot(&self.snapshot()?)
            .map_err(|status| PersistError::NotConserved { path: self.directory.clone(), status })
    }
}

pub(super) fn open(
    tenant_id: &str,
    parent_id: Option<&str>,
    initial_microcents: i64,
    call: Call<'_>,
) -> LedgerOperation {
    LedgerOperation::Open {
        tenant: tenant_id.to_owned(),
        parent: parent_id.map(str::to_owned),
        initial_microcents,
        now: call.now(),
        key: call.key().map(str::to_owned),
    }
}

pub(super) fn perform(tenant_id: &str, action: &TenantAction, call: Call<'_>) -> LedgerOperation {
    LedgerOperation::Tenant {
        tenant: tenant_id.to_owned(),
        action: *action,
        now: call.now(),
        key: call.key().map(str::to_owned),
    }
}

pub(super) fn settle(hold: u64, action: &HoldAction, call: Call<'_>) -> LedgerOperation {
    LedgerOperation::Hold {
        hold,
        action: *action,
        now: call.now(),
        key: call.key().map(str::to_owned),
    }
}

/// What an operation other than an expiry is answered with.
pub(super) fn receipt(applied: Applied) -> Receipt {
    match applied {
        Applied::Receipt(receipt) => receipt,
        #[expect(clippy::unreachable, reason = "only an expiry is answered with holds")]
        Applied::Expired(_) => unreachable!(),
    }
}

/// What an expiry is answered with.
pub(super) fn expired(answer: Answer) -> Vec<ExpiredHold> {
    match answer {
        Ok(Applied::Expired(holds)) => holds,
        #[expect(clippy::unreachable, reason = "an expiry is answered with its holds")]
        Ok(Applied::Receipt(_)) | Err(_) => unreachable!(),
    }
}
