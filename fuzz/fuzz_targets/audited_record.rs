//! libFuzzer's way into `calybris_fuzz::audited_record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| calybris_fuzz::audited_record(bytes));
