//! Crate documentation is the README.
#![cfg_attr(feature = "wal", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "wal"),
    doc = "Kernel, budget and proof; the README's example needs the feature `wal`."
)]

pub mod builder;
pub mod config;
#[cfg(feature = "observability")]
pub mod instrument;
pub mod policy_document;
pub mod prices;

pub use calybris_budget as budget;
pub use calybris_budget::finance;
pub use calybris_kernel as kernel;
pub use calybris_kernel::digest;
#[cfg(feature = "wal")]
pub use calybris_persist as persistence;
pub use calybris_proof as proof;
#[cfg(feature = "wal")]
pub use calybris_wal as wal;
#[cfg(feature = "async")]
pub use calybris_wal::async_wal;

/// Replaying a decision, and what a replay gives: a verdict, a bundle, a certificate.
pub mod verify {
    pub use calybris_kernel::verify::{VerifyResult, verify_borrowed, verify_decision};
    pub use calybris_proof::audit::AuditBundle;
    pub use calybris_proof::verify::*;
}

/// The example of the repository's README, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
