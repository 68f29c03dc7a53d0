//! The answers of the calls by name and by reservation id.

use crate::account::{Balances, Barrier};

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
        /// What remains beside the hold.
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

impl BudgetReservation {
    #[inline]
    pub(crate) fn answer(reserved: Result<(u64, Balances), Barrier>) -> (Self, Option<u64>) {
        match reserved {
            Ok((id, after)) => {
                (Self::Reserved { remaining_microcents: after.remaining_microcents }, Some(id))
            }
            Err(barrier) => (barrier.into(), None),
        }
    }
}

impl BudgetSettlement {
    #[inline]
    pub(crate) fn committed(result: Result<Balances, Barrier>, actual_microcents: i64) -> Self {
        result.map_or_else(Self::from, |after| Self::Committed {
            remaining_microcents: after.remaining_microcents,
            actual_microcents,
        })
    }

    #[inline]
    pub(crate) fn released(result: Result<(i64, Balances), Barrier>) -> Self {
        result.map_or_else(Self::from, |(returned_microcents, after)| Self::Released {
            remaining_microcents: after.remaining_microcents,
            returned_microcents,
        })
    }
}

impl From<Barrier> for BudgetReservation {
    fn from(barrier: Barrier) -> Self {
        match barrier {
            Barrier::MissingTenant | Barrier::MissingHold => Self::MissingTenant,
            Barrier::InvalidAmount => Self::InvalidAmount,
            Barrier::Insufficient { remaining, required } => Self::Insufficient {
                remaining_microcents: remaining,
                required_microcents: required,
            },
            Barrier::Overrun { remaining } => {
                Self::Insufficient { remaining_microcents: remaining, required_microcents: 0 }
            }
            Barrier::Exposure { reserved, cap } => Self::ExposureLimitExceeded {
                current_reserved_microcents: reserved,
                max_reserved_microcents: cap,
            },
            Barrier::Overflow { current, added } => {
                Self::Overflow { current_microcents: current, added_microcents: added }
            }
        }
    }
}

impl From<Barrier> for BudgetSettlement {
    fn from(barrier: Barrier) -> Self {
        match barrier {
            Barrier::MissingTenant | Barrier::MissingHold => Self::MissingReservation,
            Barrier::InvalidAmount => Self::InvalidAmount,
            Barrier::Overrun { remaining } | Barrier::Insufficient { remaining, .. } => {
                Self::Overrun { remaining_microcents: remaining }
            }
            Barrier::Exposure { reserved, cap } => {
                Self::Overflow { current_microcents: reserved, added_microcents: cap }
            }
            Barrier::Overflow { current, added } => {
                Self::Overflow { current_microcents: current, added_microcents: added }
            }
        }
    }
}

impl From<Barrier> for TopUpResult {
    fn from(barrier: Barrier) -> Self {
        match barrier {
            Barrier::InvalidAmount => Self::InvalidAmount,
            Barrier::Overflow { .. } => Self::Overflow,
            _ => Self::MissingTenant,
        }
    }
}
