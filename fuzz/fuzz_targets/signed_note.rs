//! libFuzzer's way into `calybris_fuzz::signed_note`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| calybris_fuzz::signed_note(bytes));
