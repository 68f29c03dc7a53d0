//! libFuzzer's way into `calybris_fuzz::chain_hash`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| calybris_fuzz::chain_hash(bytes));
