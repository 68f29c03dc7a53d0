//! The durable ledger under `kill -9`.
//!
//! A binary of its own: a process that is being forked holds copies of its parent's open files for a moment, the
//! locks of other tests' logs among them.

#[cfg(test)]
mod kill;
#[cfg(test)]
#[path = "../durable/workload.rs"]
mod workload;
