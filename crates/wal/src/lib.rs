//! Crate documentation is the README.
#![doc = include_str!("../README.md")]

mod archive;
#[cfg(feature = "async")]
pub mod async_wal;
mod chain;
mod entry;
mod error;
mod fold;
mod group;
mod head_file;
mod json;
mod line;
mod lines;
#[cfg_attr(not(feature = "observability"), path = "observe/silent.rs")]
mod observe;
mod open;
mod options;
mod output;
mod payload;
mod primitive;
mod reader;
mod recovery;
mod replay;
mod retire;
mod retired;
mod scan;
mod segments;
pub mod storage;
mod tail;
mod visit;
mod walk;
mod writer;

pub use calybris_proof::audit::AuditedRecord;
pub use calybris_proof::chain::WalAnchor;
pub use entry::WalEntry;
pub use error::{EntryFault, Place, WalError};
pub use fold::{VerifiedEntry, fold_wal_with};
pub use line::MAX_ENTRY_BYTES;
pub use open::WalOpening;
pub use options::WalOptions;
pub use reader::{
    VerifiedWal, read_verified_wal, read_verified_wal_keyed, read_wal, verify_wal,
    verify_wal_against_anchor, verify_wal_keyed, verify_wal_keyed_against_anchor, verify_wal_with,
    visit_verified_wal, visit_verified_wal_keyed,
};
pub use recovery::{Tail, Trust, Verdict, WalReport, durable_head, inspect, inspect_with_progress};
pub use replay::{
    WalReplayVerdict, replay_audited_wal, replay_audited_wal_keyed, replay_audited_wal_with,
    replay_audited_wal_with_resolver,
};
pub use retire::Retirement;
pub use scan::Progress;
pub use visit::{find_wal_with, visit_wal_with};
pub use writer::{Ticket, WalWriter};
