//! libFuzzer's way into `calybris_fuzz::policy_document`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| calybris_fuzz::policy_document(bytes));
