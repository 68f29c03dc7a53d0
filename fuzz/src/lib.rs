//! The bodies of the fuzz targets: one function `run(&[u8])` each, which panics when a promise is
//! broken. libFuzzer calls them from `fuzz_targets/`, and `tests/replay.rs` calls them on stable
//! with the seeds in `corpus/` and random edits of them. All three go by the name of the module.

pub mod hex_digest;
pub mod request_json;
