//! The ledger as its callers see it: tenants by name, holds by id.

use std::sync::Arc;

use crate::{
    account::{Balances, TenantStatus},
    hold::Hold,
    keys::Limits,
    ledger::Ledger,
    operation::{Call, HoldAction, LedgerOperation, TenantAction},
    outcome::{BudgetError, BudgetReservation, BudgetSettlement, TopUpResult},
    refusal::{Applied, ExpiredHold, Receipt, Refusal},
    snapshot::{BudgetSnapshot, ConservationStatus, clamped, conservation_status_for_snapshot},
    tenant::Tenant,
};

/// A ledger of tenants. Every operation takes `&self`, from any number of threads.
///
/// ```
/// use calybris_budget::{BudgetEngine, BudgetReservation, BudgetSettlement};
///
/// let engine = BudgetEngine::new();
/// engine.ensure_tenant("desk-1", 1_000);
///
/// let (answer, id) = engine.try_reserve("desk-1", 300);
/// assert_eq!(answer, BudgetReservation::Reserved { remaining_microcents: 700 });
/// let settled = engine.commit(id.unwrap_or(0), 250);
/// let expected = BudgetSettlement::Committed { remaining_microcents: 750, actual_microcents: 250 };
/// assert_eq!(settled, expected);
///
/// let (refused, _) = engine.try_reserve("desk-1", 751);
/// assert!(matches!(refused, BudgetReservation::Insufficient { remaining_microcents: 750, .. }));
/// ```
#[derive(Clone, Default)]
pub struct BudgetEngine {
    pub(crate) ledger: Arc<Ledger>,
}

/// A ledger may have millions of tenants, so it does not print them.
impl std::fmt::Debug for BudgetEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BudgetEngine")
            .field("tenant_count", &self.tenant_count())
            .finish_non_exhaustive()
    }
}

#[expect(clippy::must_use_candidate, reason = "the balances after it are there for who wants them")]
impl BudgetEngine {
    /// A ledger without tenants. Clones of an engine share it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A ledger without tenants, keeping idempotency keys as long and as many as told.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self { ledger: Arc::new(Ledger { limits, ..Ledger::default() }) }
    }

    /// [`try_ensure_tenant`](Self::try_ensure_tenant) for a caller who knows the amount is good:
    /// does nothing where that would refuse.
    pub fn ensure_tenant(&self, tenant_id: &str, initial_microcents: i64) {
        let _refused = self.try_ensure_tenant(tenant_id, initial_microcents);
    }

    /// Creates a tenant with this much to spend; leaves an existing one as it is.
    ///
    /// # Errors
    /// A negative amount; a ledger that is full (805,306,368 tenants).
    pub fn try_ensure_tenant(
        &self,
        tenant_id: &str,
        initial_microcents: i64,
    ) -> Result<(), BudgetError> {
        let opened = self.open_tenant(tenant_id, None, initial_microcents, Call::default());
        opened
            .map(drop)
            .map_err(|refused| BudgetError::new(tenant_id, "initial_microcents", refused.reason))
    }

    /// A handle to a tenant, for calls that neither hash nor compare its name.
    #[must_use]
    pub fn tenant(&self, tenant_id: &str) -> Option<Tenant> {
        Tenant::find(&self.ledger, tenant_id)
    }

    /// Grants a tenant more.
    ///
    /// ```
    /// # use calybris_budget::{BudgetEngine, TopUpResult};
    /// let engine = BudgetEngine::new();
    /// engine.ensure_tenant("desk-1", 1);
    /// assert!(matches!(engine.top_up_tenant("desk-1", 4), TopUpResult::ToppedUp { .. }));
    /// assert_eq!(engine.remaining_microcents("desk-1"), Some(5));
    /// assert_eq!(engine.top_up_tenant("desk-1", i64::MAX), TopUpResult::Overflow);
    /// ```
    pub fn top_up_tenant(&self, tenant_id: &str, added_microcents: i64) -> TopUpResult {
        let top_up = TenantAction::TopUp { amount_microcents: added_microcents };
        TopUpResult::of(self.perform(tenant_id, &top_up, Call::default()))
    }

    /// [`try_set_max_reserved_microcents`](Self::try_set_max_reserved_microcents) for a caller who
    /// knows tenant and cap are good: does nothing where that would refuse.
    pub fn set_max_reserved_microcents(&self, tenant_id: &str, cap_microcents: i64) {
        let _refused = self.try_set_max_reserved_microcents(tenant_id, cap_microcents);
    }

    /// Caps what a tenant may have set aside at once; 0 removes the cap. Open holds stay.
    ///
    /// # Errors
    /// A negative cap; no such tenant.
    pub fn try_set_max_reserved_microcents(
        &self,
        tenant_id: &str,
        cap_microcents: i64,
    ) -> Result<(), BudgetError> {
        let cap = TenantAction::SetMaxReserved { cap_microcents };
        self.perform(tenant_id, &cap, Call::default()).map(drop).map_err(|refused| {
            BudgetError::new(tenant_id, "max_reserved_microcents", refused.reason)
        })
    }

    /// Sets an amount aside. The id is there exactly when the answer is `Reserved`; it is never
    /// given to another hold in the life of the ledger.
    pub fn try_reserve(
        &self,
        tenant_id: &str,
        amount_microcents: i64,
    ) -> (BudgetReservation, Option<u64>) {
        self.ledger.try_reserve(self.ledger.store.by_name(tenant_id), amount_microcents)
    }

    /// Sets an amount aside in a guard that gives it back when dropped.
    ///
    /// ```
    /// # use calybris_budget::BudgetEngine;
    /// let engine = BudgetEngine::new();
    /// engine.ensure_tenant("desk-1", 100);
    /// let hold = engine.hold("desk-1", 60).map_err(|refused| format!("{refused:?}"))?;
    /// assert!(engine.hold("desk-1", 60).is_err(), "40 remain");
    /// hold.commit(50).map_err(|(_hold, refused)| format!("{refused:?}"))?;
    /// assert_eq!(engine.remaining_microcents("desk-1"), Some(50));
    /// # Ok::<(), String>(())
    /// ```
    ///
    /// # Errors
    /// The refusals of [`try_reserve`](Self::try_reserve).
    pub fn hold(&self, tenant_id: &str, amount_microcents: i64) -> Result<Hold, BudgetReservation> {
        let tenant = self.tenant(tenant_id).ok_or(BudgetReservation::MissingTenant)?;
        tenant.hold(amount_microcents)
    }

    /// Spends `actual_microcents` of a hold and gives the rest back. More than the hold is taken
    /// from what remains, if that is enough.
    pub fn commit(&self, reservation_id: u64, actual_microcents: i64) -> BudgetSettlement {
        let tenant = self.ledger.store.by_hold(reservation_id);
        self.ledger.commit(tenant, reservation_id, actual_microcents)
    }

    /// Gives a hold back.
    pub fn release(&self, reservation_id: u64) -> BudgetSettlement {
        self.ledger.release(self.ledger.store.by_hold(reservation_id), reservation_id)
    }

    /// Creates a tenant, under a parent if one is named; leaves an existing one as it is.
    ///
    /// Every amount a tenant sets aside or spends is set aside or spent at each of its ancestors too,
    /// and each of them can refuse it.
    ///
    /// ```
    /// use calybris_budget::{BudgetEngine, Call, RefusalReason, TenantAction};
    ///
    /// let engine = BudgetEngine::new();
    /// engine.open_tenant("org", None, 100, Call::default())?;
    /// engine.open_tenant("team", Some("org"), 500, Call::default())?;
    ///
    /// let reserve = |amount_microcents| TenantAction::Reserve { amount_microcents, deadline: None };
    /// engine.perform("team", &reserve(80), Call::default())?;
    /// assert_eq!(engine.reserved_microcents("org"), 80);
    ///
    /// let refused = engine.perform("team", &reserve(30), Call::default()).unwrap_err();
    /// assert_eq!(refused.scope, "org");
    /// assert_eq!(refused.reason, RefusalReason::Insufficient { remaining: 20, asked: 30 });
    /// # Ok::<(), calybris_budget::Refusal>(())
    /// ```
    ///
    /// # Errors
    /// A negative amount; a parent that is missing, closed or [`MAX_DEPTH`](crate::MAX_DEPTH) levels
    /// deep; a tenant that exists under another parent; a full ledger.
    pub fn open_tenant(
        &self,
        tenant_id: &str,
        parent_id: Option<&str>,
        initial_microcents: i64,
        call: Call<'_>,
    ) -> Result<Receipt, Refusal> {
        self.ledger.open(tenant_id, parent_id, initial_microcents, call)
    }

    /// Asks a tenant to do something.
    ///
    /// ```
    /// use calybris_budget::{BudgetEngine, Call, RefusalReason, TenantAction};
    ///
    /// let engine = BudgetEngine::new();
    /// engine.ensure_tenant("desk-1", 100);
    /// let up_to = TenantAction::ReserveUpTo {
    ///     amount_microcents: 250,
    ///     at_least_microcents: 50,
    ///     deadline: Some(5_000),
    /// };
    /// let call = Call::at(1_000).with_key("order-17");
    /// let first = engine.perform("desk-1", &up_to, call)?;
    /// assert_eq!(first.amount_microcents, 100);
    ///
    /// // The caller lost the answer and asks again; nothing more is set aside.
    /// assert_eq!(engine.perform("desk-1", &up_to, call)?, first);
    /// let other = TenantAction::TopUp { amount_microcents: 1 };
    /// let refused = engine.perform("desk-1", &other, call).unwrap_err();
    /// assert_eq!(refused.reason, RefusalReason::KeyConflict);
    /// # Ok::<(), calybris_budget::Refusal>(())
    /// ```
    ///
    /// # Errors
    /// The scope that refuses, the rule and its numbers. Nothing changes then.
    pub fn perform(
        &self,
        tenant_id: &str,
        action: &TenantAction,
        call: Call<'_>,
    ) -> Result<Receipt, Refusal> {
        self.ledger.perform_by_name(tenant_id, action, call)
    }

    /// Does something with an open hold.
    ///
    /// ```
    /// use calybris_budget::{BudgetEngine, Call, HoldAction, RefusalReason};
    ///
    /// let engine = BudgetEngine::new();
    /// engine.ensure_tenant("desk-1", 100);
    /// let (_, id) = engine.try_reserve("desk-1", 60);
    /// let id = id.unwrap_or(0);
    /// let part = HoldAction::CommitPart { amount_microcents: 20 };
    /// engine.settle(id, &part, Call::default())?;
    /// let rest = engine.settle(id, &HoldAction::Release, Call::default())?;
    /// assert_eq!((rest.amount_microcents, rest.balances.committed_microcents), (40, 20));
    ///
    /// let refused = engine.settle(id, &HoldAction::Release, Call::default()).unwrap_err();
    /// assert_eq!(refused.reason, RefusalReason::MissingHold { hold: id });
    /// # Ok::<(), calybris_budget::Refusal>(())
    /// ```
    ///
    /// # Errors
    /// The scope that refuses, the rule and its numbers. Nothing changes then.
    pub fn settle(
        &self,
        hold: u64,
        action: &HoldAction,
        call: Call<'_>,
    ) -> Result<Receipt, Refusal> {
        self.ledger.settle_by_id(hold, action, call)
    }

    /// Gives back every hold whose deadline is `now` or earlier, by deadline and then by id. Each is
    /// given back in a step of its own. Until this is called, a hold past its deadline is open.
    ///
    /// ```
    /// use calybris_budget::{BudgetEngine, Call, TenantAction};
    ///
    /// let engine = BudgetEngine::new();
    /// engine.ensure_tenant("desk-1", 100);
    /// let reserve = TenantAction::Reserve { amount_microcents: 60, deadline: Some(5_000) };
    /// engine.perform("desk-1", &reserve, Call::at(1_000))?;
    /// assert!(engine.expire(4_999).is_empty());
    /// assert_eq!(engine.expire(5_000)[0].amount_microcents, 60);
    /// assert_eq!(engine.remaining_microcents("desk-1"), Some(100));
    /// # Ok::<(), calybris_budget::Refusal>(())
    /// ```
    #[must_use = "these holds can no longer be settled"]
    pub fn expire(&self, now: u64) -> Vec<ExpiredHold> {
        self.ledger.expire(now)
    }

    /// Any operation as a value. What a log of these leads to depends on nothing but their order.
    ///
    /// # Errors
    /// The scope that refuses, the rule and its numbers.
    pub fn apply(&self, operation: &LedgerOperation) -> Result<Applied, Refusal> {
        self.ledger.apply(operation)
    }

    /// The amounts of a tenant at one instant.
    #[must_use]
    pub fn balances(&self, tenant_id: &str) -> Option<Balances> {
        self.tenant(tenant_id)?.balances()
    }

    /// Whether a tenant takes new holds. Its ancestors have to as well.
    #[must_use]
    pub fn tenant_status(&self, tenant_id: &str) -> Option<TenantStatus> {
        self.tenant(tenant_id)?.status()
    }

    /// What a tenant can still reserve.
    #[must_use]
    pub fn remaining_microcents(&self, tenant_id: &str) -> Option<i64> {
        Some(self.balances(tenant_id)?.remaining_microcents)
    }

    /// Everything ever granted to a tenant.
    #[must_use]
    pub fn initial_microcents(&self, tenant_id: &str) -> Option<i64> {
        Some(self.balances(tenant_id)?.initial_microcents)
    }

    /// What a tenant has spent over its whole life.
    #[must_use]
    pub fn committed_microcents(&self, tenant_id: &str) -> Option<i64> {
        Some(self.balances(tenant_id)?.committed_microcents)
    }

    /// The sum of a tenant's open holds; 0 for one that does not exist.
    #[must_use]
    pub fn reserved_microcents(&self, tenant_id: &str) -> i64 {
        self.balances(tenant_id).map_or(0, |balances| balances.reserved_microcents)
    }

    /// How many tenants there are.
    #[must_use]
    pub fn tenant_count(&self) -> usize {
        usize::try_from(self.ledger.store.registry.lock().tenants).unwrap_or(usize::MAX)
    }

    /// Open holds of all tenants, at one instant.
    #[must_use]
    pub fn active_reservations(&self) -> u64 {
        self.ledger.unversioned_snapshot().active_reservations
    }

    /// The version of the last snapshot taken or restored; 0 before the first.
    #[must_use]
    pub fn snapshot_version(&self) -> u64 {
        self.ledger.last_version()
    }

    /// The sum of the committed amounts of all tenants at one instant, clamped to the range of `i64`. In a
    /// hierarchy an amount counts at every level.
    #[must_use]
    pub fn total_committed_microcents(&self) -> i64 {
        clamped(self.ledger.unversioned_snapshot().total_committed())
    }

    /// What was committed since [`certify_ledger`](crate::finance::certify_ledger) or a restart,
    /// clamped to the range of `i64`.
    #[must_use]
    pub fn committed_since_last_certificate(&self) -> i64 {
        clamped(self.ledger.committed_since_certificate())
    }

    /// All tenants at one instant. No operation waits for it longer than reading one tenant takes.
    #[must_use]
    pub fn snapshot(&self) -> BudgetSnapshot {
        self.ledger.snapshot()
    }

    /// Whether every tenant balances, at one instant.
    #[must_use]
    pub fn verify_conservation(&self) -> ConservationStatus {
        conservation_status_for_snapshot(&self.ledger.unversioned_snapshot())
    }
}
