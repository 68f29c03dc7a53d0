//! libFuzzer's way into `calybris_fuzz::ledger_state`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| calybris_fuzz::ledger_state(bytes));
