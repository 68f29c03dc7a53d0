//! Crate documentation is the README.
#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod chain;
mod constant;

#[cfg(test)]
mod tests;
