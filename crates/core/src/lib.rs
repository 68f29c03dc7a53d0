//! Crate documentation is the README.
#![doc = include_str!("../README.md")]

pub mod builder;
pub mod config;
#[cfg(feature = "observability")]
pub mod instrument;
pub mod policy_document;
pub mod prices;

pub use calybris_kernel as kernel;
pub use calybris_kernel::digest;
pub use calybris_proof as proof;

/// Replaying a decision, and what a replay gives: a verdict, a bundle, a certificate.
pub mod verify {
    pub use calybris_kernel::verify::{VerifyResult, verify_borrowed, verify_decision};
    pub use calybris_proof::audit::AuditBundle;
    pub use calybris_proof::verify::*;
}
