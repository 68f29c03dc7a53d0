//! libFuzzer's way into `calybris_fuzz::request_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| calybris_fuzz::request_json::run(bytes));
