//! Answers: what an operation did, or which scope refused it and by which numbers.

use serde::{Deserialize, Serialize};

use crate::account::Balances;

/// What an operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The hold it made, changed or ended.
    pub hold: Option<u64>,
    /// What it moved: set aside, spent, given back or granted.
    pub amount_microcents: i64,
    /// The tenant afterwards.
    pub balances: Balances,
}

/// A hold given back because its deadline had come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpiredHold {
    /// Its id.
    pub hold: u64,
    /// Whose it was.
    pub tenant: String,
    /// What was given back.
    pub amount_microcents: i64,
    /// The deadline.
    pub deadline: u64,
}

/// What [`BudgetEngine::apply`](crate::BudgetEngine::apply) did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Applied {
    /// An operation on a tenant or a hold.
    Receipt(Receipt),
    /// [`LedgerOperation::Expire`](crate::LedgerOperation::Expire): by deadline, then by id.
    Expired(Vec<ExpiredHold>),
}

/// An operation that changed nothing, who refused it, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(deny_unknown_fields)]
#[error("{}{reason}", of_scope(scope, reason))]
pub struct Refusal {
    /// The tenant whose rule it was: the one asked, or an ancestor. Empty when the hold is unknown.
    pub scope: String,
    /// Which rule.
    pub reason: RefusalReason,
}

/// An unknown hold is nobody's.
fn of_scope(scope: &str, reason: &RefusalReason) -> String {
    match reason {
        RefusalReason::MissingHold { .. } if scope.is_empty() => String::new(),
        _ => format!("{scope:?}: "),
    }
}

/// The rule that refused, with the numbers it compared. Amounts in microcents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum RefusalReason {
    /// There is no tenant of that name.
    #[error("there is no such tenant")]
    MissingTenant,
    /// The tenant exists under another parent.
    #[error("the tenant exists under another parent")]
    OtherParent,
    /// The chain of parents would be too long.
    #[error("a tenant {limit} levels deep cannot have children")]
    TooDeep {
        /// The most levels, the root included.
        limit: u64,
    },
    /// The ledger holds no more tenants.
    #[error("the ledger is full at {limit} tenants, present and past")]
    TooManyTenants {
        /// The most.
        limit: u64,
    },
    /// Never made, or settled already.
    #[error("hold {hold} is not open")]
    MissingHold {
        /// Its id.
        hold: u64,
    },
    /// Outside what the operation takes.
    #[error("{asked} is outside {minimum} to {maximum}")]
    InvalidAmount {
        /// The amount asked.
        asked: i64,
        /// The least it takes.
        minimum: i64,
        /// The most it takes.
        maximum: i64,
    },
    /// A deadline that has passed already.
    #[error("deadline {deadline} is not later than now, {now}")]
    PastDeadline {
        /// The deadline asked.
        deadline: u64,
        /// The time of the ledger.
        now: u64,
    },
    /// Less remains.
    #[error("{asked} asked, {remaining} remain")]
    Insufficient {
        /// What remains.
        remaining: i64,
        /// What was asked.
        asked: i64,
    },
    /// The cap on what may be set aside at once.
    #[error("{asked} asked, {reserved} of at most {limit} are set aside")]
    ExposureLimit {
        /// What is set aside.
        reserved: i64,
        /// The cap.
        limit: i64,
        /// What was asked.
        asked: i64,
    },
    /// The limit of a window.
    #[error("{asked} asked, {used} of at most {limit} are used in {window}")]
    WindowLimit {
        /// Which window.
        window: crate::window::Window,
        /// What is used in it.
        used: i64,
        /// The limit.
        limit: i64,
        /// What was asked.
        asked: i64,
    },
    /// More spent than the hold and what remains. The hold stays open.
    #[error("{asked} to spend on a hold of {held}, {remaining} remain beside it")]
    Overrun {
        /// The hold.
        held: i64,
        /// What remains beside it.
        remaining: i64,
        /// What was to be spent.
        asked: i64,
    },
    /// More debt than the policy allows. The hold stays open.
    #[error("{asked} of new debt asked, {overdraft} of at most {limit} are owed")]
    OverdraftLimit {
        /// What is owed.
        overdraft: i64,
        /// The cap.
        limit: i64,
        /// The debt the operation would add.
        asked: i64,
    },
    /// The sum would not fit in an `i64`.
    #[error("{current} + {asked} does not fit")]
    Overflow {
        /// The amount that would grow.
        current: i64,
        /// By how much.
        asked: i64,
    },
    /// Frozen.
    #[error("the tenant is frozen")]
    Frozen,
    /// Closed.
    #[error("the tenant is closed")]
    Closed,
    /// A tenant with open holds, its own or its children's, cannot be closed.
    #[error("{reserved} are still set aside")]
    OpenHolds {
        /// How much is set aside.
        reserved: i64,
    },
    /// The key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyConflict,
    /// An empty or overlong key.
    #[error("an idempotency key has 1 to {limit} bytes, not {length}")]
    InvalidKey {
        /// Its length in bytes.
        length: u64,
        /// The most.
        limit: u64,
    },
    /// The tenant keeps as many keys as it may within their retention.
    #[error("{limit} idempotency keys are kept already")]
    TooManyKeys {
        /// The most.
        limit: u64,
    },
    /// As many windows as a tenant may have.
    #[error("a tenant has at most {limit} windows")]
    TooManyWindows {
        /// The most.
        limit: u64,
    },
    /// A window without length.
    #[error("a window must be longer than 0")]
    EmptyWindow,
    /// Every id of the tenant's blocks has been given, and every spare block of the ledger.
    #[error("the tenant's hold ids are used up, and so are all {limit} blocks to go on with")]
    NoHoldIds {
        /// The blocks of a ledger.
        limit: u64,
    },
}

/// A refusal inside the ledger: the scope by its place on the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Barrier {
    /// 0 is the tenant asked, 1 its parent, and so on.
    pub(crate) level: u8,
    pub(crate) reason: RefusalReason,
}

impl From<RefusalReason> for Barrier {
    fn from(reason: RefusalReason) -> Self {
        Self { level: 0, reason }
    }
}
