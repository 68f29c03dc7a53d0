//! The answers of the calls by name and by reservation id.

use crate::{
    keys::Answer,
    refusal::{Receipt, Refusal, RefusalReason},
};

/// The answer to a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetReservation {
    /// The amount is set aside.
    Reserved {
        /// What the tenant can still reserve.
        remaining_microcents: i64,
    },
    /// Less than that remains, for the tenant or one of its ancestors.
    Insufficient {
        /// What remains there.
        remaining_microcents: i64,
        /// What was asked for.
        required_microcents: i64,
    },
    /// No such tenant.
    MissingTenant,
    /// More than the cap would be set aside at once.
    ExposureLimitExceeded {
        /// What is set aside now.
        current_reserved_microcents: i64,
        /// The cap.
        max_reserved_microcents: i64,
    },
    /// The amount is zero or negative.
    InvalidAmount,
    /// The result does not fit.
    Overflow {
        /// The amount that would grow.
        current_microcents: i64,
        /// By how much.
        added_microcents: i64,
    },
}

/// The answer to a commit or a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetSettlement {
    /// The hold is spent and gone.
    Committed {
        /// What the tenant can still reserve.
        remaining_microcents: i64,
        /// What was spent.
        actual_microcents: i64,
    },
    /// The hold is given back and gone.
    Released {
        /// What the tenant can still reserve.
        remaining_microcents: i64,
        /// What came back.
        returned_microcents: i64,
    },
    /// More was spent than the hold and what remains. The hold stays open.
    Overrun {
        /// What remains beside the hold, where that is the limit; 0 where it is the cap on a debt
        /// ([`OverrunPolicy::Overdraft`](crate::OverrunPolicy::Overdraft)), whatever remains.
        remaining_microcents: i64,
    },
    /// A negative amount. The hold stays open.
    InvalidAmount,
    /// No such hold: never made, or settled already.
    MissingReservation,
    /// The result does not fit. The hold stays open.
    Overflow {
        /// The amount that would grow.
        current_microcents: i64,
        /// By how much.
        added_microcents: i64,
    },
}

/// The answer to a top-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopUpResult {
    /// The grant has grown.
    ToppedUp {
        /// By this.
        added_microcents: i64,
        /// Everything ever granted.
        new_initial_microcents: i64,
        /// What the tenant can reserve now.
        remaining_microcents: i64,
    },
    /// No such tenant.
    MissingTenant,
    /// The amount is zero or negative.
    InvalidAmount,
    /// Everything ever granted would not fit in an `i64`.
    Overflow,
}

/// What a caller can get wrong about a tenant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// An amount below zero.
    #[error("{field} of tenant {tenant_id:?} is {value}; it must be at least 0")]
    NegativeAmount {
        /// Whose.
        tenant_id: String,
        /// Which amount.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// No such tenant.
    #[error("there is no tenant {tenant_id:?}")]
    MissingTenant {
        /// The name asked for.
        tenant_id: String,
    },
    /// Tenants, present and past, beyond what one ledger holds.
    #[error("tenant {tenant_id:?} does not fit: the ledger is full")]
    TooManyTenants {
        /// The one too many.
        tenant_id: String,
    },
}

// These answers are older than some of the rules. A tenant that is frozen, or at the limit of a window, is
// reported as at the limit of its exposure; a closed one as missing.

impl BudgetError {
    pub(crate) fn new(tenant_id: &str, field: &'static str, reason: RefusalReason) -> Self {
        let tenant_id = tenant_id.to_owned();
        match reason {
            RefusalReason::InvalidAmount { asked: value, .. } => {
                Self::NegativeAmount { tenant_id, field, value }
            }
            RefusalReason::TooManyTenants { .. } => Self::TooManyTenants { tenant_id },
            _ => Self::MissingTenant { tenant_id },
        }
    }
}

impl BudgetReservation {
    #[inline]
    pub(crate) fn of(answer: Answer) -> (Self, Option<u64>) {
        match answer {
            Ok(Receipt { hold, balances, .. }) => {
                (Self::Reserved { remaining_microcents: balances.remaining_microcents }, hold)
            }
            Err(barrier) => (barrier.reason.into(), None),
        }
    }
}

impl BudgetSettlement {
    #[inline]
    pub(crate) fn committed(answer: Answer) -> Self {
        answer.map_or_else(
            |barrier| barrier.reason.into(),
            |receipt| Self::Committed {
                remaining_microcents: receipt.balances.remaining_microcents,
                actual_microcents: receipt.amount_microcents,
            },
        )
    }

    #[inline]
    pub(crate) fn released(answer: Answer) -> Self {
        answer.map_or_else(
            |barrier| barrier.reason.into(),
            |receipt| Self::Released {
                remaining_microcents: receipt.balances.remaining_microcents,
                returned_microcents: receipt.amount_microcents,
            },
        )
    }
}

impl TopUpResult {
    pub(crate) fn of(answer: Result<Receipt, Refusal>) -> Self {
        answer.map_or_else(
            |refusal| refusal.reason.into(),
            |receipt| Self::ToppedUp {
                added_microcents: receipt.amount_microcents,
                new_initial_microcents: receipt.balances.initial_microcents,
                remaining_microcents: receipt.balances.remaining_microcents,
            },
        )
    }
}

impl From<RefusalReason> for BudgetReservation {
    fn from(reason: RefusalReason) -> Self {
        match reason {
            RefusalReason::InvalidAmount { .. } => Self::InvalidAmount,
            RefusalReason::Insufficient { remaining, asked } => {
                Self::Insufficient { remaining_microcents: remaining, required_microcents: asked }
            }
            RefusalReason::ExposureLimit { reserved, limit, .. }
            | RefusalReason::WindowLimit { used: reserved, limit, .. } => {
                Self::ExposureLimitExceeded {
                    current_reserved_microcents: reserved,
                    max_reserved_microcents: limit,
                }
            }
            RefusalReason::Frozen => Self::ExposureLimitExceeded {
                current_reserved_microcents: 0,
                max_reserved_microcents: 0,
            },
            RefusalReason::Overflow { current, asked } => {
                Self::Overflow { current_microcents: current, added_microcents: asked }
            }
            // No amount, but what comes after the last id does not fit either.
            RefusalReason::NoHoldIds { .. } => {
                Self::Overflow { current_microcents: i64::MAX, added_microcents: 1 }
            }
            _ => Self::MissingTenant,
        }
    }
}

impl From<RefusalReason> for BudgetSettlement {
    fn from(reason: RefusalReason) -> Self {
        match reason {
            RefusalReason::InvalidAmount { .. } => Self::InvalidAmount,
            RefusalReason::Overrun { remaining, .. } => {
                Self::Overrun { remaining_microcents: remaining }
            }
            // Which has no number for what remains.
            RefusalReason::OverdraftLimit { .. } => Self::Overrun { remaining_microcents: 0 },
            RefusalReason::Overflow { current, asked } => {
                Self::Overflow { current_microcents: current, added_microcents: asked }
            }
            _ => Self::MissingReservation,
        }
    }
}

impl From<RefusalReason> for TopUpResult {
    fn from(reason: RefusalReason) -> Self {
        match reason {
            RefusalReason::InvalidAmount { .. } => Self::InvalidAmount,
            RefusalReason::Overflow { .. } => Self::Overflow,
            _ => Self::MissingTenant,
        }
    }
}
