//! A handle to one tenant: its operations without looking it up.

use std::sync::Arc;

use crate::{
    account::{Account, Balances, TenantStatus},
    hold::Hold,
    keys::Request,
    ledger::Ledger,
    operation::{Call, HoldAction, TenantAction},
    outcome::{BudgetReservation, BudgetSettlement},
    refusal::{Receipt, Refusal, RefusalReason},
    store::{Address, Cell, Path},
};

/// A tenant of an engine. Cheap to clone; keeps the ledger alive.
///
/// ```
/// use calybris_budget::{BudgetEngine, BudgetReservation, BudgetSettlement};
///
/// let engine = BudgetEngine::new();
/// assert!(engine.tenant("desk-1").is_none());
/// engine.ensure_tenant("desk-1", 100);
/// let desk = engine.tenant("desk-1").ok_or("opened above")?;
/// let (answer, id) = desk.try_reserve(40);
/// assert_eq!(answer, BudgetReservation::Reserved { remaining_microcents: 60 });
/// let id = id.ok_or("reserved")?;
/// assert!(matches!(desk.release(id), BudgetSettlement::Released { .. }));
/// assert_eq!(desk.release(id), BudgetSettlement::MissingReservation);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone)]
pub struct Tenant {
    ledger: Arc<Ledger>,
    /// The chunk of the store this tenant is in.
    chunk: Arc<[Cell]>,
    slot: usize,
    index: u32,
}

impl std::fmt::Debug for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tenant").field("tenant_id", &self.id()).finish_non_exhaustive()
    }
}

#[expect(clippy::must_use_candidate, reason = "the balances after it are there for who wants them")]
impl Tenant {
    pub(crate) fn find(ledger: &Arc<Ledger>, name: &str) -> Option<Self> {
        let Address { index, .. } = ledger.store.by_name(name)?;
        let (chunk, slot) = ledger.store.chunk(index)?;
        Some(Self { ledger: Arc::clone(ledger), chunk, slot, index })
    }

    #[inline]
    fn address(&self) -> Option<Address<'_>> {
        Some(Address { index: self.index, cell: self.chunk.get(self.slot)? })
    }

    /// The name the tenant was opened with.
    #[must_use]
    pub fn id(&self) -> &str {
        self.address().map_or("", |address| address.cell.name())
    }

    fn read<R>(&self, read: impl Fn(&Account) -> R) -> Option<R> {
        let missing = RefusalReason::MissingTenant;
        let read = |_, path: Path<'_, '_>| Ok(read(path.first().ok_or(missing)?));
        self.ledger.on_path(self.address()?, read).ok()
    }

    /// The amounts at one instant; `None` once a restore has removed the tenant.
    #[must_use]
    pub fn balances(&self) -> Option<Balances> {
        self.read(Account::balances)
    }

    /// Whether the tenant takes new holds; its ancestors have to as well. `None` once a restore has
    /// removed it.
    #[must_use]
    pub fn status(&self) -> Option<TenantStatus> {
        self.read(|own| own.extras.as_ref().map_or(TenantStatus::Active, |extras| extras.status))
    }

    fn ask_in_full(&self, request: Request, call: Call<'_>) -> Result<Receipt, Refusal> {
        let missing =
            || Refusal { scope: self.id().to_owned(), reason: RefusalReason::MissingTenant };
        self.ledger.ask_in_full(self.address().ok_or_else(missing)?, request, call)
    }

    /// [`BudgetEngine::perform`](crate::BudgetEngine::perform) on this tenant.
    ///
    /// # Errors
    /// The scope that refuses, the rule and its numbers. Nothing changes then.
    pub fn perform(&self, action: &TenantAction, call: Call<'_>) -> Result<Receipt, Refusal> {
        self.ask_in_full(Request::Tenant(*action), call)
    }

    /// [`BudgetEngine::settle`](crate::BudgetEngine::settle) of a hold of this tenant; another
    /// tenant's hold is a missing one here.
    ///
    /// # Errors
    /// The scope that refuses, the rule and its numbers. Nothing changes then.
    pub fn settle(
        &self,
        hold: u64,
        action: &HoldAction,
        call: Call<'_>,
    ) -> Result<Receipt, Refusal> {
        self.ask_in_full(Request::Hold(hold, *action), call)
    }

    /// [`BudgetEngine::try_reserve`](crate::BudgetEngine::try_reserve) on this tenant.
    #[inline]
    pub fn try_reserve(&self, amount_microcents: i64) -> (BudgetReservation, Option<u64>) {
        self.ledger.try_reserve(self.address(), amount_microcents)
    }

    /// [`BudgetEngine::hold`](crate::BudgetEngine::hold) on this tenant.
    ///
    /// # Errors
    /// The refusals of [`try_reserve`](Self::try_reserve).
    pub fn hold(&self, amount_microcents: i64) -> Result<Hold, BudgetReservation> {
        match self.try_reserve(amount_microcents) {
            (_, Some(id)) => Ok(Hold::new(self.clone(), id, amount_microcents)),
            (refused, None) => Err(refused),
        }
    }

    /// [`BudgetEngine::commit`](crate::BudgetEngine::commit) of a hold of this tenant; another
    /// tenant's hold is a missing one here.
    #[inline]
    pub fn commit(&self, reservation_id: u64, actual_microcents: i64) -> BudgetSettlement {
        self.ledger.commit(self.address(), reservation_id, actual_microcents)
    }

    /// [`BudgetEngine::release`](crate::BudgetEngine::release) of a hold of this tenant; another
    /// tenant's hold is a missing one here.
    #[inline]
    pub fn release(&self, reservation_id: u64) -> BudgetSettlement {
        self.ledger.release(self.address(), reservation_id)
    }
}
