//! Crate documentation is the README.
// Its example decides with the owned policy.
#![cfg_attr(feature = "alloc", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "alloc")]
extern crate alloc;
// The tests share files with the integration tests, which know the crate by its name.
#[cfg(test)]
extern crate self as calybris_kernel;

mod arithmetic;
mod decide;
#[cfg(feature = "alloc")]
mod decided;
mod decision;
pub mod digest;
mod error;
#[cfg(feature = "alloc")]
mod explain;
#[cfg(feature = "alloc")]
mod fast;
mod gate;
mod model;
mod policy;
mod request;
#[cfg(feature = "alloc")]
mod snapshot;
pub mod verify;

pub use arithmetic::UtilityTerms;
#[cfg(feature = "alloc")]
pub use decided::Decided;
pub use decision::{DecisionTrace, KernelAction, KernelDecision, KernelReason, RejectionHistogram};
pub use error::{InputError, PolicyError};
#[cfg(feature = "alloc")]
pub use explain::{CandidateExplanation, CandidateVerdict, Explanation};
pub use gate::Gate;
pub use model::KernelModel;
pub use policy::{Policy, PolicyParams};
pub use request::KernelInput;
#[cfg(feature = "alloc")]
pub use snapshot::PolicySnapshot;

/// An `allowed_provider_mask` that admits every provider.
pub const ALL_PROVIDERS: u64 = u64::MAX;
/// A `region_mask` that serves every region.
pub const ALL_REGIONS: u64 = u64::MAX;
/// The highest provider id: providers are bits of a 64-bit mask.
pub const MAX_PROVIDER_ID: u16 = 63;
/// 100 % in basis points; the bound of every quality, risk and confidence of a validated policy or request.
pub const MAX_BPS: u16 = 10_000;
/// Basis points in one whole, as a scale of the utility formula.
pub const BASIS_POINTS: u64 = 10_000;
/// The bound of `risk_penalty_multiplier_bps`: five times the value at risk.
pub const MAX_RISK_PENALTY_MULTIPLIER_BPS: u16 = 50_000;
/// The most models a validated policy may hold; index 65,535 marks a rejection.
pub const MAX_CATALOG_MODELS: usize = 65_535;
/// Token prices are per this many tokens.
pub const TOKENS_PER_PRICE: u64 = 1_000_000;
