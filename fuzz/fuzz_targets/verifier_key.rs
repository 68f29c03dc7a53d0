//! libFuzzer's way into `calybris_fuzz::verifier_key`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| calybris_fuzz::verifier_key(bytes));
