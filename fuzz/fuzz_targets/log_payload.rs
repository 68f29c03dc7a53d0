//! libFuzzer's way into `calybris_fuzz::log_payload`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| calybris_fuzz::log_payload(bytes));
