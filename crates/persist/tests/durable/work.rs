//! A ledger at work: its tenants opened, and operations done on it.

use calybris_persist::DurableLedger;

use crate::workload::{Caller, opening};

/// Opens the tenants of a ledger that has none.
pub(crate) fn open_tenants(ledger: &DurableLedger) {
    for operation in opening() {
        ledger.apply(&operation).unwrap().unwrap();
    }
}

/// Lets a caller do so many operations.
pub(crate) fn work(ledger: &DurableLedger, caller: &mut Caller, count: usize) {
    for _ in 0..count {
        let answer = ledger.apply(&caller.next()).unwrap();
        caller.hear(&answer);
    }
}
