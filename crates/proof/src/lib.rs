//! Crate documentation is the README.
#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod audit;
pub mod chain;
mod constant;
pub mod envelope;
mod evidence;
pub mod verify;

pub use audit::{AuditBundle, AuditedRecord, RecordVerdict};
pub use envelope::{ProofEnvelope, ProofEnvelopeBuilder};
pub use evidence::Evidence;

#[cfg(test)]
mod tests;
