//! Crate documentation is the README.
#![doc = include_str!("../README.md")]

mod account;
mod arena;
mod cut;
mod engine;
pub mod finance;
mod hold;
mod holds;
mod ledger;
mod names;
mod outcome;
mod primitive;
mod snapshot;
mod store;
mod tenant;

pub use account::Balances;
pub use engine::BudgetEngine;
pub use hold::Hold;
pub use outcome::{BudgetError, BudgetReservation, BudgetSettlement, TopUpResult};
pub use snapshot::{
    BudgetSnapshot, ConservationStatus, MAX_SNAPSHOT_VERSION, RestoreError, SNAPSHOT_VERSION_TAG,
    TenantLedger, conservation_status_for_snapshot,
};
pub use store::MAX_DEPTH;
pub use tenant::Tenant;
