//! Group commit under every interleaving of its synchronising steps, up to two preemptions (or as many as
//! `LOOM_MAX_PREEMPTIONS` says):
//! `RUSTFLAGS="--cfg loom" cargo test --release -p calybris-wal --test wal_loom --target-dir target/loom`.
//!
//! An acknowledgement is held against what the disk had synced by then. A wake-up that is lost leaves a
//! thread waiting for ever, which the model checker reports as a deadlock.

#![cfg_attr(
    loom,
    expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says no by panicking")
)]

#[cfg(all(test, loom))]
#[path = "loom/mod.rs"]
mod models;
