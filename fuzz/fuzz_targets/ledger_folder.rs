//! libFuzzer's way into `calybris_fuzz::ledger_folder`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| calybris_fuzz::ledger_folder(bytes));
