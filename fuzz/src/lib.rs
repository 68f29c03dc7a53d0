//! The bodies of the fuzz targets: functions of the bytes to try, which panic when a promise is
//! broken. libFuzzer calls them from `fuzz_targets/`, and `tests/replay.rs` calls them on stable
//! with the seeds in `corpus/` and random edits of them. All go by the name of the function.

mod json;
mod kernel;
mod text;

pub use json::{anchor, audit_bundle, audited_record, policy_document, price_list, proof_envelope};
pub use kernel::kernel;
pub use text::{chain_hash, decimal_price, hex_digest};
