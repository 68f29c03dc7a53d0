//! libFuzzer's way into `calybris_fuzz::budget_snapshot`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| calybris_fuzz::budget_snapshot(bytes));
