//! Crate documentation is the README.
#![doc = include_str!("../README.md")]

pub mod builder;
pub mod config;
pub mod policy_document;
pub mod prices;

pub use calybris_kernel as kernel;
