//! libFuzzer's way into `calybris_fuzz::audit_bundle`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| calybris_fuzz::audit_bundle(bytes));
