//! The log through its public surface.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[cfg(feature = "async")]
mod async_log;
mod chain;
mod common;
mod faults;
mod hostile;
mod killed;
mod replay;
mod retire;
mod room;
mod writer;
