//! The bodies of the fuzz targets: functions of the bytes to try, which panic when a promise is
//! broken. libFuzzer calls them from `fuzz_targets/`, and `tests/replay.rs` calls them on stable
//! with the seeds in `corpus/` and random edits of them. All go by the name of the function.

mod folder;
mod json;
mod kernel;
mod log;
mod text;

pub use folder::ledger_folder;
pub use json::{
    anchor, audit_bundle, audited_record, budget_snapshot, ledger_operations, ledger_state,
    policy_document, price_list, proof_envelope, receipt, signed_policy,
};
pub use kernel::kernel;
pub use log::{log, log_payload};
pub use text::{chain_hash, decimal_price, hex_digest, signed_note, verifier_key};
