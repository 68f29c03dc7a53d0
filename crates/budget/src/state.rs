//! The whole state of a ledger, as a value: what a checkpoint keeps, and what replaying a log must
//! arrive at again, byte for byte.

mod build;
mod digest;
mod read;

use serde::{Deserialize, Serialize};

use crate::{
    account::TenantStatus,
    keys::Limits,
    operation::{HoldAction, OverrunPolicy, TenantAction},
    refusal::{Receipt, Refusal},
    store::MAX_NUMBER,
    window::Window,
};

/// The schema of [`LedgerState`].
pub const LEDGER_STATE_SCHEMA: &str = "calybris.ledger.v2";
/// Opens the layout of [`LedgerState::digest`].
pub const LEDGER_STATE_DIGEST_TAG: &[u8] = b"calyldg2\0";

/// Everything a ledger knows, in one canonical form: equal ledgers have equal states, and equal
/// states have equal compact JSON. The format is `docs/format/ledger-v2.md`.
///
/// ```
/// use calybris_budget::{BudgetEngine, Call, HoldAction, TenantAction};
///
/// let engine = BudgetEngine::new();
/// engine.ensure_tenant("desk-1", 100);
/// let (_, id) = engine.try_reserve("desk-1", 60);
///
/// let state = engine.state();
/// let restarted = BudgetEngine::from_state(&state)?;
/// assert_eq!(restarted.state(), state);
/// assert_eq!(restarted.reserved_microcents("desk-1"), 60, "the hold is open again");
/// restarted.commit(id.unwrap_or(0), 50);
/// assert_ne!(restarted.state().digest(), state.digest());
///
/// let mut altered = state;
/// altered.tenants[0].remaining_microcents += 1;
/// assert!(BudgetEngine::from_state(&altered).is_err());
/// # Ok::<(), calybris_budget::StateError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerState {
    /// [`LEDGER_STATE_SCHEMA`].
    pub schema_version: String,
    /// How long and how many idempotency keys are kept.
    pub limits: Limits,
    /// The number of the next tenant.
    pub next_number: u64,
    /// The next spare block of hold ids.
    pub next_spare: u64,
    /// By the bytes of their ids.
    pub tenants: Vec<TenantState>,
}

/// One tenant. Amounts in microcents, times in the caller's unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantState {
    /// The name the tenant was opened with.
    pub tenant_id: String,
    /// The tenant it belongs to.
    pub parent_id: Option<String>,
    /// Tenants are numbered as they are opened. Gives a tenant its first block of hold ids.
    pub number: u64,
    /// Whether it takes new holds.
    pub status: TenantStatus,
    /// Everything ever granted.
    pub initial_microcents: i64,
    /// What can still be reserved.
    pub remaining_microcents: i64,
    /// Open holds, those of the tenants below included.
    pub reserved_microcents: i64,
    /// What was spent, by the tenants below too.
    pub committed_microcents: i64,
    /// What was spent beyond everything granted.
    pub overdraft_microcents: i64,
    /// The part of `committed + overdraft` that the tenants below spent.
    pub children_spent_microcents: i64,
    /// The cap on `reserved`; 0 is none.
    pub max_reserved_microcents: i64,
    /// What a commit over the hold and what remains does.
    pub overrun_policy: OverrunPolicy,
    /// The latest time seen.
    pub clock: u64,
    /// The next hold id; a multiple of the block size (4,194,304) asks for a spare block.
    pub next_hold: u64,
    /// By kind and length.
    pub windows: Vec<WindowState>,
    /// Open holds of the tenant itself, by id.
    pub holds: Vec<HoldState>,
    /// Idempotency keys and what they stand for, by the bytes of the key.
    pub keys: Vec<KeyState>,
}

/// A limit on a window of time and what counts towards it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowState {
    /// Which window.
    pub window: Window,
    /// The limit.
    pub limit_microcents: i64,
    /// By slot; none is 0.
    pub charges: Vec<ChargeState>,
}

/// What counts in one slot of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChargeState {
    /// Time divided by the length of a slot.
    pub slot: u64,
    /// The amount.
    pub amount_microcents: i64,
}

/// An open hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldState {
    /// Its id.
    pub hold: u64,
    /// What is still set aside.
    pub amount_microcents: i64,
    /// When it was made.
    pub began: u64,
    /// From when on it is given back.
    pub deadline: Option<u64>,
}

/// An idempotency key, what it was used for and what the answer was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyState {
    /// The key.
    pub key: String,
    /// When it was used.
    pub at: u64,
    /// What for.
    pub request: RequestState,
    /// The answer.
    pub answer: AnswerState,
}

/// A request without tenant, time and key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RequestState {
    /// To create a tenant.
    Open {
        /// Under which parent.
        parent_id: Option<String>,
        /// With how much.
        initial_microcents: i64,
    },
    /// To a tenant.
    Tenant(TenantAction),
    /// About a hold.
    Hold {
        /// Its id.
        hold: u64,
        /// What.
        action: HoldAction,
    },
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AnswerState {
    /// It was done.
    Receipt(Receipt),
    /// It was not.
    Refusal(Refusal),
}

/// Why a state is none that a ledger can be in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another schema.
    #[error("schema {found:?} is not {LEDGER_STATE_SCHEMA:?}")]
    Schema {
        /// What it says.
        found: String,
    },
    /// An amount that can never be negative is.
    #[error("tenant {tenant_id:?} has a negative {field}: {value}")]
    NegativeAmount {
        /// Whose.
        tenant_id: String,
        /// The member.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// A setting, or a number of them, that a ledger refuses.
    #[error("tenant {tenant_id:?}: {what} is {found}, outside {minimum} to {maximum}")]
    Setting {
        /// Whose.
        tenant_id: String,
        /// Which setting.
        what: &'static str,
        /// What the state says.
        found: u64,
        /// The least.
        minimum: u64,
        /// The most.
        maximum: u64,
    },
    /// Two amounts that have to be equal are not.
    #[error("tenant {tenant_id:?}: {what} is {found}, not {expected} microcents")]
    Unequal {
        /// Whose.
        tenant_id: String,
        /// Which amount.
        what: &'static str,
        /// What the parts add up to.
        expected: i128,
        /// What the state says.
        found: i128,
    },
    /// A parent that is not there, was opened later, or is too many levels down.
    #[error(
        "tenant {tenant_id:?} has no parent {parent_id:?} that was opened before it, \
         within the levels of a ledger"
    )]
    Parent {
        /// Whose.
        tenant_id: String,
        /// The parent named.
        parent_id: String,
    },
    /// A hold id that was not given out, or not to this tenant.
    #[error("tenant {tenant_id:?} cannot have been given hold id {hold}")]
    HoldId {
        /// Whose.
        tenant_id: String,
        /// The id.
        hold: u64,
    },
    /// Tenants have the numbers before the next one, without gaps.
    #[error("tenant {tenant_id:?} has number {found}, where {expected} is expected")]
    Number {
        /// Whose, by number.
        tenant_id: String,
        /// The number that comes here.
        expected: u64,
        /// What the state says.
        found: u64,
    },
    /// Spare blocks are given in order, from the first number of a tenant on.
    #[error("next_spare is {found}, where {expected} is expected")]
    NextSpare {
        /// After the last one that a tenant has.
        expected: u64,
        /// What the state says.
        found: u64,
    },
    /// So many hold ids have been given out that there are none to go on with.
    #[error("{member} {value} leaves no hold ids: it is above {MAX_NUMBER}")]
    NoHoldIds {
        /// The member.
        member: &'static str,
        /// Its value.
        value: u64,
    },
    /// A ledger holds fewer tenants.
    #[error("{tenants} tenants are more than a ledger holds")]
    TooManyTenants {
        /// How many.
        tenants: usize,
    },
    /// Something is not in the one form that a ledger writes: out of order, twice, or of no effect.
    #[error("tenant {tenant_id:?} is not in canonical form")]
    NotCanonical {
        /// The first one.
        tenant_id: String,
    },
}
