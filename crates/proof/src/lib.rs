//! Crate documentation is the README.
#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod audit;
pub mod chain;
#[cfg(feature = "sign")]
pub mod checkpoint;
pub mod envelope;
mod error;
mod evidence;
mod json;
pub mod merkle;
#[cfg(feature = "sign")]
pub mod note;
pub mod outcome;
#[cfg(feature = "sign")]
pub mod receipt;
#[cfg(feature = "sign")]
pub mod signature;
pub mod state;
pub mod verify;

pub use audit::{AuditBundle, AuditedRecord, RecordVerdict};
pub use envelope::{ProofEnvelope, ProofEnvelopeBuilder};
pub use error::EvidenceError;
pub use evidence::Evidence;

#[cfg(test)]
mod tests;
