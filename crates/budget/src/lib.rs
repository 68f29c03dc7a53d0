//! Crate documentation is the README.
#![doc = include_str!("../README.md")]

mod account;
mod arena;
mod cut;
mod due;
mod engine;
pub mod finance;
mod hold;
mod holds;
mod keys;
mod ledger;
mod names;
mod operation;
mod outcome;
mod primitive;
mod refusal;
mod rules;
mod snapshot;
mod state;
mod store;
mod tenant;
mod views;
mod window;

pub use account::{Balances, TenantStatus};
pub use engine::BudgetEngine;
pub use hold::Hold;
pub use keys::Limits;
pub use operation::{Call, HoldAction, LedgerOperation, OverrunPolicy, TenantAction};
pub use outcome::{BudgetError, BudgetReservation, BudgetSettlement, TopUpResult};
pub use refusal::{Applied, ExpiredHold, Receipt, Refusal, RefusalReason};
pub use snapshot::{
    BudgetSnapshot, ConservationStatus, MAX_SNAPSHOT_VERSION, RestoreError, SNAPSHOT_VERSION_TAG,
    TenantLedger, conservation_status_for_snapshot,
};
pub use state::{
    AnswerState, ChargeState, HoldState, KeyState, LEDGER_STATE_DIGEST_TAG, LEDGER_STATE_SCHEMA,
    LedgerState, RequestState, StateError, TenantState, WindowState,
};
pub use store::MAX_DEPTH;
pub use tenant::Tenant;
pub use window::Window;
