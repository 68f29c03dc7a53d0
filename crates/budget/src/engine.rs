//! The ledger as its callers see it: tenants by name, holds by id.

use std::sync::Arc;

use crate::{
    account::{self, Balances},
    hold::Hold,
    ledger::Ledger,
    outcome::{BudgetError, BudgetReservation, BudgetSettlement, TopUpResult},
    snapshot::{
        BudgetSnapshot, ConservationStatus, RestoreError, clamped, conservation_status_for_snapshot,
    },
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
#[derive(Clone, Debug, Default)]
pub struct BudgetEngine {
    pub(crate) ledger: Arc<Ledger>,
}

#[expect(clippy::must_use_candidate, reason = "the balances after it are there for who wants them")]
impl BudgetEngine {
    /// A ledger without tenants. Clones of an engine share it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
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
        not_negative(tenant_id, "initial_microcents", initial_microcents)?;
        let opened = self.ledger.open(tenant_id, initial_microcents);
        opened
            .map(|_| ())
            .ok_or_else(|| BudgetError::TooManyTenants { tenant_id: tenant_id.to_owned() })
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
        let Some(tenant) = self.ledger.by_name(tenant_id) else {
            return TopUpResult::MissingTenant;
        };
        let topped_up = self.ledger.change(tenant, |own| account::top_up(own, added_microcents));
        topped_up.map_or_else(TopUpResult::from, |after| TopUpResult::ToppedUp {
            added_microcents,
            new_initial_microcents: after.initial_microcents,
            remaining_microcents: after.remaining_microcents,
        })
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
        not_negative(tenant_id, "max_reserved_microcents", cap_microcents)?;
        let missing = || BudgetError::MissingTenant { tenant_id: tenant_id.to_owned() };
        let tenant = self.ledger.by_name(tenant_id).ok_or_else(missing)?;
        let set = self.ledger.change(tenant, |own| {
            own.max_reserved = cap_microcents;
            Ok(())
        });
        set.map_err(|_| missing())
    }

    /// Sets an amount aside. The id is there exactly when the answer is `Reserved`; it is never
    /// given to another hold in the life of the ledger.
    pub fn try_reserve(
        &self,
        tenant_id: &str,
        amount_microcents: i64,
    ) -> (BudgetReservation, Option<u64>) {
        let Some(tenant) = self.ledger.by_name(tenant_id) else {
            return (BudgetReservation::MissingTenant, None);
        };
        BudgetReservation::answer(self.ledger.reserve(tenant, amount_microcents))
    }

    /// Sets an amount aside in a guard that gives it back when dropped.
    ///
    /// ```
    /// # use calybris_budget::BudgetEngine;
    /// let engine = BudgetEngine::new();
    /// engine.ensure_tenant("desk-1", 100);
    /// let hold = engine.hold("desk-1", 60).map_err(|refused| format!("{refused:?}"))?;
    /// assert!(engine.hold("desk-1", 60).is_err(), "40 remain");
    /// hold.commit(50);
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
        let Some(tenant) = self.ledger.by_hold(reservation_id) else {
            return BudgetSettlement::MissingReservation;
        };
        let committed = self.ledger.commit(tenant, reservation_id, actual_microcents);
        BudgetSettlement::committed(committed, actual_microcents)
    }

    /// Gives a hold back.
    pub fn release(&self, reservation_id: u64) -> BudgetSettlement {
        let Some(tenant) = self.ledger.by_hold(reservation_id) else {
            return BudgetSettlement::MissingReservation;
        };
        BudgetSettlement::released(self.ledger.release(tenant, reservation_id))
    }

    /// The four amounts of a tenant at one instant.
    #[must_use]
    pub fn balances(&self, tenant_id: &str) -> Option<Balances> {
        let tenant = self.ledger.by_name(tenant_id)?;
        self.ledger.change(tenant, |own| Ok(own.balances)).ok()
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

    /// The committed amounts of all tenants at one instant, clamped to the range of `i64`.
    #[must_use]
    pub fn total_committed_microcents(&self) -> i64 {
        clamped(self.ledger.total_committed())
    }

    /// What was committed since [`certify_ledger`](crate::finance::certify_ledger) or a restore,
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

    /// Replaces all tenants by those of a snapshot. Holds open in this engine are forgotten with
    /// the tenants they belong to; tenant handles go on with the new tenant of their name.
    ///
    /// ```
    /// # use calybris_budget::{BudgetEngine, RestoreError};
    /// let engine = BudgetEngine::new();
    /// engine.ensure_tenant("desk-1", 100);
    /// let snapshot = engine.snapshot();
    ///
    /// let restarted = BudgetEngine::new();
    /// restarted.restore_from_snapshot(snapshot)?;
    /// assert_eq!(restarted.remaining_microcents("desk-1"), Some(100));
    ///
    /// restarted.try_reserve("desk-1", 1);
    /// let refused = engine.restore_from_snapshot(restarted.snapshot());
    /// assert_eq!(refused, Err(RestoreError::ActiveReservations { count: 1 }));
    /// # Ok::<(), RestoreError>(())
    /// ```
    ///
    /// # Errors
    /// A snapshot that does not balance, counts open holds (this form cannot list them), names a
    /// tenant twice or has an untagged version. The ledger is as it was then.
    pub fn restore_from_snapshot(&self, snapshot: BudgetSnapshot) -> Result<(), RestoreError> {
        self.ledger.restore(&snapshot)
    }
}

fn not_negative(tenant_id: &str, field: &'static str, value: i64) -> Result<(), BudgetError> {
    if value < 0 {
        return Err(BudgetError::NegativeAmount { tenant_id: tenant_id.to_owned(), field, value });
    }
    Ok(())
}
