//! A hold as a value: settled once, or given back when it goes out of scope.

use crate::{outcome::BudgetSettlement, tenant::Tenant};

/// An amount set aside. Dropping it gives the amount back; [`keep`](Self::keep) leaves it open, to
/// be settled later by its id.
///
/// ```
/// use calybris_budget::{BudgetEngine, BudgetSettlement};
///
/// let engine = BudgetEngine::new();
/// engine.ensure_tenant("desk-1", 100);
/// let desk = engine.tenant("desk-1").ok_or("opened above")?;
///
/// let abandoned = desk.hold(30).map_err(|_| "refused")?;
/// drop(abandoned);
/// assert_eq!(engine.remaining_microcents("desk-1"), Some(100));
///
/// let id = desk.hold(30).map_err(|_| "refused")?.keep();
/// assert_eq!(engine.remaining_microcents("desk-1"), Some(70));
/// assert!(matches!(engine.commit(id, 30), BudgetSettlement::Committed { .. }));
/// # Ok::<(), &str>(())
/// ```
#[must_use = "a hold that is dropped is given back at once"]
#[derive(Debug)]
pub struct Hold {
    tenant: Tenant,
    id: u64,
    amount_microcents: i64,
    /// Cleared once somebody else is responsible for the hold, or nobody has to be.
    release_on_drop: bool,
}

#[expect(clippy::must_use_candidate, reason = "the balances after it are there for who wants them")]
impl Hold {
    pub(crate) fn new(tenant: Tenant, id: u64, amount_microcents: i64) -> Self {
        Self { tenant, id, amount_microcents, release_on_drop: true }
    }

    /// The id that [`BudgetEngine::commit`](crate::BudgetEngine::commit) takes.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What was set aside.
    #[must_use]
    pub fn amount_microcents(&self) -> i64 {
        self.amount_microcents
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Spends `actual_microcents` and gives the rest back.
    ///
    /// ```
    /// # use calybris_budget::BudgetEngine;
    /// # let engine = BudgetEngine::new();
    /// engine.ensure_tenant("desk-1", 100);
    /// let hold = engine.hold("desk-1", 30).map_err(|_| "refused")?;
    /// let (hold, _overrun) = hold.commit(101).err().ok_or("more than there is")?;
    /// assert_eq!(engine.reserved_microcents("desk-1"), 30, "nothing was given back");
    /// assert!(hold.commit(100).is_ok());
    /// # Ok::<(), &str>(())
    /// ```
    ///
    /// # Errors
    /// The hold, still open, and why: an overrun or an invalid amount. What was spent elsewhere stays set
    /// aside until the caller has decided.
    pub fn commit(
        mut self,
        actual_microcents: i64,
    ) -> Result<BudgetSettlement, (Self, BudgetSettlement)> {
        match self.tenant.commit(self.id, actual_microcents) {
            settled @ (BudgetSettlement::Committed { .. }
            | BudgetSettlement::MissingReservation) => {
                self.release_on_drop = false;
                Ok(settled)
            }
            refused => Err((self, refused)),
        }
    }

    /// Gives the amount back.
    pub fn release(mut self) -> BudgetSettlement {
        self.release_on_drop = false;
        self.tenant.release(self.id)
    }

    /// Leaves the hold open and gives its id.
    #[must_use = "the id is the only way to settle the hold"]
    pub fn keep(mut self) -> u64 {
        self.release_on_drop = false;
        self.id
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.release_on_drop {
            let _settled_by_id_meanwhile = self.tenant.release(self.id);
        }
    }
}
