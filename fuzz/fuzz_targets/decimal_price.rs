//! libFuzzer's way into `calybris_fuzz::decimal_price`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| calybris_fuzz::decimal_price(bytes));
