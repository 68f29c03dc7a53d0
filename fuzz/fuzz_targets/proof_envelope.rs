//! libFuzzer's way into `calybris_fuzz::proof_envelope`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| calybris_fuzz::proof_envelope(bytes));
