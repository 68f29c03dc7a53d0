//! libFuzzer's way into `calybris_fuzz::price_list`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| calybris_fuzz::price_list(bytes));
