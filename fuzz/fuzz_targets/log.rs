//! libFuzzer's way into `calybris_fuzz::log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| calybris_fuzz::log(bytes));
