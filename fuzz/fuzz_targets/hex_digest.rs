//! libFuzzer's way into `calybris_fuzz::hex_digest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| calybris_fuzz::hex_digest(bytes));
