//! What can be asked of a ledger, as values: the typed calls take them, and a log can keep them.

use serde::{Deserialize, Serialize};

use crate::window::Window;

/// Something a tenant can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TenantAction {
    /// Set exactly this much aside.
    Reserve {
        /// More than 0.
        amount_microcents: i64,
        /// From this caller time on, [`expire`](crate::BudgetEngine::expire) gives the hold back. `u64::MAX` is
        /// none, as `None` is.
        deadline: Option<u64>,
    },
    /// Set as much aside as every scope allows, but no more than `amount_microcents` and no less
    /// than `at_least_microcents`.
    ReserveUpTo {
        /// At least `at_least_microcents`.
        amount_microcents: i64,
        /// More than 0.
        at_least_microcents: i64,
        /// As for `Reserve`.
        deadline: Option<u64>,
    },
    /// Grant more. Pays an overdraft back first.
    TopUp {
        /// More than 0.
        amount_microcents: i64,
    },
    /// Cap what may be set aside at once; 0 removes the cap. Open holds stay.
    SetMaxReserved {
        /// At least 0.
        cap_microcents: i64,
    },
    /// Decide what happens when a commit asks for more than the hold and what remains.
    SetOverrunPolicy {
        /// From now on.
        policy: OverrunPolicy,
    },
    /// Limit what may be set aside in a window of caller time. What a commit takes beyond its hold counts too,
    /// but is not refused for it: it is spent already.
    SetWindow {
        /// Replaces the limit of the same window. Starts with the open holds counted in.
        window: Window,
        /// At least 0; `None` removes it.
        limit_microcents: Option<i64>,
    },
    /// Refuse new and larger holds, here and below, until thawed. Open holds can be settled.
    Freeze,
    /// End a freeze.
    Thaw,
    /// Refuse everything that is not reading, here and below, for ever. Needs that nothing is held.
    Close,
}

/// Something that can be done with an open hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum HoldAction {
    /// Spend this much, give the rest back, and end the hold. More than the hold comes out of what
    /// remains, or is for the [`OverrunPolicy`].
    Commit {
        /// At least 0.
        actual_microcents: i64,
    },
    /// Spend the hold whole and end it: for when the real amount will never be known.
    CommitHeld,
    /// Spend a part and keep the rest of the hold open. The last part ends it.
    CommitPart {
        /// More than 0, no more than the hold.
        amount_microcents: i64,
    },
    /// Give the hold back and end it.
    Release,
    /// Add to the hold, under the rules of a new one. What is given back of the hold later is no longer counted
    /// in the window it was made in; growth counted in a later one stays counted there.
    Grow {
        /// More than 0.
        amount_microcents: i64,
    },
    /// Move the deadline; `None` removes it.
    Extend {
        /// Later than now. `u64::MAX` is none.
        deadline: Option<u64>,
    },
}

/// What a commit does when it asks for more than the hold and what remains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OverrunPolicy {
    /// It is refused and the hold stays open.
    #[default]
    Refuse,
    /// It takes what remains and records the debt, up to a cap on the debt.
    Overdraft {
        /// At least 0.
        cap_microcents: i64,
    },
    /// It takes what remains, records the debt, and freezes the tenant.
    Freeze,
}

/// When a call is made, and the key that makes it safe to repeat.
///
/// Time is the caller's: any unit, as long as it is the same one everywhere (the defaults of
/// [`Limits`](crate::Limits) assume milliseconds). A ledger's time never runs back: an earlier `now`
/// counts as the latest that the tenant or an ancestor has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call<'k> {
    pub(crate) now: u64,
    pub(crate) key: Option<&'k str>,
}

impl<'k> Call<'k> {
    /// A call at a caller time.
    #[must_use]
    pub fn at(now: u64) -> Self {
        Self { now, key: None }
    }

    /// Makes the call idempotent: within the retention of [`Limits`](crate::Limits), the same tenant,
    /// key and request get the first answer again and change nothing, and the same tenant and key
    /// with another request are refused. 1 to 255 bytes.
    #[must_use]
    pub fn with_key(self, key: &'k str) -> Self {
        Self { key: Some(key), ..self }
    }

    /// The caller time.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The idempotency key.
    #[must_use]
    pub fn key(&self) -> Option<&'k str> {
        self.key
    }
}

/// Any operation that changes a ledger, with everything it depends on.
///
/// The JSON form is stable. A ledger is a function of its operations: applied to equal states in the
/// same order, they give equal answers and equal states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LedgerOperation {
    /// Create a tenant, or leave the one of that name as it is.
    Open {
        /// Its name.
        tenant: String,
        /// The tenant it belongs to.
        parent: Option<String>,
        /// What it starts with; at least 0.
        initial_microcents: i64,
        /// Caller time.
        now: u64,
        /// Idempotency key.
        key: Option<String>,
    },
    /// Something a tenant is asked to do.
    Tenant {
        /// Its name.
        tenant: String,
        /// What.
        action: TenantAction,
        /// Caller time.
        now: u64,
        /// Idempotency key.
        key: Option<String>,
    },
    /// Something done with an open hold.
    Hold {
        /// Its id.
        hold: u64,
        /// What.
        action: HoldAction,
        /// Caller time.
        now: u64,
        /// Idempotency key.
        key: Option<String>,
    },
    /// Give back every hold whose deadline has come. Repeating it changes nothing.
    Expire {
        /// Caller time.
        now: u64,
    },
}

impl LedgerOperation {
    /// The caller time of the operation.
    #[must_use]
    pub fn now(&self) -> u64 {
        match self {
            Self::Open { now, .. }
            | Self::Tenant { now, .. }
            | Self::Hold { now, .. }
            | Self::Expire { now } => *now,
        }
    }
}
