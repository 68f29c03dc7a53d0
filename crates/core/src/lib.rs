//! Crate documentation is the README.
#![doc = include_str!("../README.md")]
