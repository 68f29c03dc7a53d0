//! A disk that fails at any step: what was acknowledged is found, once; what was not is whole or absent.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use calybris_budget::LedgerOperation;
use calybris_persist::{Answer, DurableLedger, DurableOptions, Outcome, PersistError};
use calybris_wal::WalOptions;

use crate::disk::{Disk, Fault};
use crate::every_operation::replay;
use crate::workload::{Caller, bytes, opening};

const LEDGER: &str = "ledger";

type Acknowledged = Vec<(LedgerOperation, Answer)>;

fn open(disk: &Disk) -> Result<DurableLedger, PersistError> {
    let options = DurableOptions::new().storage(Arc::new(disk.clone()));
    DurableLedger::open_with(Path::new(LEDGER), options)
}

/// What a caller does, with checkpoints in between; notes what was acknowledged.
fn work(ledger: &DurableLedger, acknowledged: &mut Acknowledged) -> Result<(), PersistError> {
    let mut caller = Caller::new(format!("c{}", acknowledged.len()), 3);
    for operation in opening() {
        let answer = ledger.apply(&operation)?;
        acknowledged.push((operation, answer));
    }
    for number in 0..20 {
        let operation = caller.next();
        let answer = ledger.apply(&operation)?;
        caller.hear(&answer);
        acknowledged.push((operation, answer));
        if number % 6 == 5 {
            // Nobody waits for this one; the checkpoint includes it and may not get ahead of it.
            let operation = caller.next();
            let pending = ledger.submit(&operation)?;
            let saved = ledger.checkpoint();
            acknowledged.push((operation, pending.wait()?));
            saved?;
        }
    }
    Ok(())
}

/// After the log has failed nothing is done and nothing is told; after anything else the ledger goes on.
fn check_after(ledger: &DurableLedger, error: &PersistError, acknowledged: &mut Acknowledged) {
    let (mut operations, sequence) = (opening(), ledger.anchor().sequence);
    let operation = operations.next().unwrap();
    match error {
        PersistError::Wal(_) => {
            let refused = [
                ledger.apply(&operation).unwrap_err(),
                ledger.checkpoint().unwrap_err(),
                ledger.balances("org").unwrap_err(),
                ledger.state().unwrap_err(),
                ledger.prove_conservation().unwrap_err(),
            ];
            for error in refused {
                assert!(matches!(error, PersistError::Poisoned { .. }), "{error}");
            }
            assert_eq!(ledger.anchor().sequence, sequence, "nothing was chained");
        }
        PersistError::Io { .. } => {
            let answer = ledger.apply(&operation).unwrap();
            acknowledged.push((operation, answer));
            ledger.checkpoint().unwrap();
        }
        error => panic!("{error}"),
    }
}

/// The next process finds exactly what was acknowledged, and at most the operations that were under way.
fn check_found(disk: &Disk, acknowledged: &Acknowledged, context: &str) {
    let ledger = open(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    ledger.prove_conservation().unwrap();
    let found = bytes(&ledger.state().unwrap());
    let options = WalOptions::new().storage(Arc::new(disk.clone()));
    let (logged, engine) = replay(&Path::new(LEDGER).join("log"), &options);
    assert_eq!(bytes(&engine.state()), found, "{context}");
    for ((operation, answer), logged) in acknowledged.iter().zip(&logged) {
        assert_eq!((operation, &Outcome::of(answer)), (&logged.0, &logged.1), "{context}");
    }
    let surplus = logged.len().checked_sub(acknowledged.len());
    assert!(matches!(surplus, Some(0..=1)), "{context}: {surplus:?}");
    // And goes on.
    work(&ledger, &mut Acknowledged::new()).unwrap();
}

/// Runs into the `n`-th call; false if the work was done before it came to that.
fn run(n: u64, fault: Fault, kind: io::ErrorKind, crash: bool) -> bool {
    let disk = Disk::default();
    let mut acknowledged = Acknowledged::new();
    disk.fail(n, fault, kind);
    let ledger = open(&disk);
    let outcome = ledger.as_ref().map(|ledger| work(ledger, &mut acknowledged));
    let context = format!("call {n}, {fault:?}, {kind:?}, crash {crash}, {outcome:?}");
    let failed = if fault == Fault::Once { disk.heal() } else { true };
    if let (Ok(ledger), Ok(Err(error)), Fault::Once) = (&ledger, &outcome, fault) {
        check_after(ledger, error, &mut acknowledged);
    }
    let done = matches!(outcome, Ok(Ok(())));
    if crash {
        // What the dying process still writes does not arrive.
        disk.fail(1, Fault::FromThere, kind);
        drop(ledger);
        disk.heal();
        disk.crash();
    } else {
        drop(ledger);
        disk.heal();
    }
    check_found(&disk, &acknowledged, &context);
    failed && !done
}

fn at_every_call(fault: Fault, kind: io::ErrorKind, crash: bool) {
    // A call whose failure nobody has to hear of does not end the work: it takes a few in a row to be past the end.
    let (mut calls, mut unnoticed) = (0, 0);
    for n in 1.. {
        calls += 1;
        unnoticed = if run(n, fault, kind, crash) { 0 } else { unnoticed + 1 };
        if unnoticed == 12 {
            break;
        }
    }
    assert!(calls > 100, "{calls}");
}

#[test]
fn a_full_disk_at_any_call() {
    at_every_call(Fault::FromThere, io::ErrorKind::StorageFull, false);
}

#[test]
fn an_input_output_error_at_any_call() {
    at_every_call(Fault::Once, io::ErrorKind::Other, false);
}

#[test]
fn an_error_at_any_call_and_then_the_machine_goes_down() {
    at_every_call(Fault::Once, io::ErrorKind::Other, true);
}

#[test]
fn a_machine_that_goes_down_at_any_call() {
    at_every_call(Fault::FromThere, io::ErrorKind::Other, true);
}

/// A storage that panics at the `n`-th call: the panic reaches the caller, who may catch it, and from then on the
/// ledger goes on or refuses, but neither hangs nor says what is not so.
#[test]
fn a_storage_that_panics_at_any_call() {
    let (mut checkpointed_after, mut poisoned) = (0, 0);
    for n in 1.. {
        let disk = Disk::default();
        let mut acknowledged = Acknowledged::new();
        disk.fail(n, Fault::Panic, io::ErrorKind::Other);
        let ledger = catch_unwind(|| open(&disk));
        if let Ok(ledger) = ledger {
            let ledger = ledger.unwrap();
            let worked = catch_unwind(AssertUnwindSafe(|| work(&ledger, &mut acknowledged)));
            if let Ok(done) = worked {
                done.unwrap();
                disk.heal();
                break;
            }
            match ledger.checkpoint() {
                Ok(_) => checkpointed_after += 1,
                Err(PersistError::Wal(_) | PersistError::Poisoned { .. }) => poisoned += 1,
                Err(error) => panic!("call {n}: {error}"),
            }
        }
        disk.heal();
        disk.crash();
        check_found(&disk, &acknowledged, &format!("panic at call {n}"));
    }
    assert!(checkpointed_after > 10 && poisoned > 50, "{checkpointed_after} {poisoned}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let disk = Disk::default();
    disk.fail(1, Fault::FromThere, io::ErrorKind::ReadOnlyFilesystem);
    let error = open(&disk).unwrap_err();
    let text = error.to_string();
    assert_eq!(text, "cannot create ledger/log: read-only filesystem or storage medium");
    disk.heal();
    drop(open(&disk).unwrap());
    disk.fail(1, Fault::FromThere, io::ErrorKind::PermissionDenied);
    let error = open(&disk).unwrap_err();
    assert_eq!(error.to_string(), "cannot open ledger/log/lock: permission denied");
}

#[test]
fn a_read_shows_what_is_durable_or_fails() {
    let disk = Disk::default();
    let ledger = open(&disk).unwrap();
    for operation in opening() {
        drop(ledger.submit(&operation).unwrap());
    }
    disk.fail(1, Fault::FromThere, io::ErrorKind::Other);
    let first = ledger.balances("org").expect_err("it is in memory, and cannot become durable");
    let again = ledger.balances("org").unwrap_err();
    assert!(matches!(again, PersistError::Poisoned { .. }), "{again}");
    let refuses = "ledger refuses everything until it is opened again";
    assert_eq!(again.to_string(), format!("{refuses}: {first}"), "whoever hears it hears why");
    drop(ledger);
    disk.heal();
    disk.crash();
    let ledger = open(&disk).unwrap();
    assert_eq!(ledger.balances("org").unwrap(), None);
    for operation in opening() {
        drop(ledger.submit(&operation).unwrap());
    }
    assert_eq!(ledger.balances("org").unwrap().unwrap().remaining_microcents, 1_000_000);
    disk.crash();
    drop(ledger);
    assert!(open(&disk).unwrap().balances("org").unwrap().is_some(), "it was shown, so it stays");
}

/// An anchor is kept elsewhere, and whatever lacks its entry is refused: no crash may take that entry.
#[test]
fn an_anchor_is_of_what_is_durable() {
    let disk = Disk::default();
    let ledger = open(&disk).unwrap();
    let mut operations = opening();
    let mut next = || operations.next().unwrap();
    ledger.apply(&next()).unwrap().unwrap();
    let acknowledged = ledger.anchor();
    drop(ledger.submit(&next()).unwrap());
    assert_eq!(ledger.anchor(), acknowledged, "nobody waited for the second");
    disk.fail(1, Fault::FromThere, io::ErrorKind::Other);
    ledger.apply(&next()).unwrap_err();
    assert_eq!(ledger.anchor(), acknowledged);
    drop(ledger);
    disk.heal();
    disk.crash();
    let options = DurableOptions::new().storage(Arc::new(disk.clone())).anchor(acknowledged);
    let ledger = DurableLedger::open_with(Path::new(LEDGER), options).unwrap();
    ledger.apply(&opening().nth(1).unwrap()).unwrap().unwrap();
    assert_eq!(ledger.anchor().sequence, acknowledged.sequence + 1);
}

/// A storage that panics tells the log, and not the ledger: the next operation is in memory before it is found out.
#[test]
fn an_operation_that_cannot_be_chained_ends_the_ledger() {
    let disk = Disk::default();
    let ledger = open(&disk).unwrap();
    let mut operations = opening();
    let mut next = || ledger.apply(&operations.next().unwrap());
    disk.fail(1, Fault::Panic, io::ErrorKind::Other);
    assert!(catch_unwind(AssertUnwindSafe(&mut next)).is_err());
    let (found_out, refused) = (next().unwrap_err(), next().unwrap_err());
    assert!(matches!(found_out, PersistError::Wal(_)), "{found_out}");
    assert!(matches!(refused, PersistError::Poisoned { .. }), "{refused}");
}

#[test]
fn a_checkpoint_that_was_reported_is_what_a_restart_goes_on_from() {
    let disk = Disk::default();
    let ledger = open(&disk).unwrap();
    for operation in opening() {
        ledger.apply(&operation).unwrap().unwrap();
    }
    let saved = ledger.checkpoint().unwrap();
    disk.fail(1, Fault::FromThere, io::ErrorKind::Other);
    drop(ledger);
    disk.heal();
    disk.crash();
    let ledger = open(&disk).unwrap();
    let report = ledger.report();
    assert_eq!((report.checkpoint_sequence, report.operations_replayed), (saved.sequence, 0));
}

/// A folder as a killed machine leaves it: with two checkpoints, and what nobody waited for after them torn.
fn killed() -> (Disk, String) {
    let disk = Disk::default();
    let ledger = open(&disk).unwrap();
    let mut acknowledged = Acknowledged::new();
    work(&ledger, &mut acknowledged).unwrap();
    let state = bytes(&ledger.state().unwrap());
    drop(ledger.submit(&opening().next().unwrap()).unwrap());
    disk.fail(1, Fault::FromThere, io::ErrorKind::Other);
    drop(ledger);
    disk.heal();
    (disk, state)
}

/// What a crash left is repaired however often that is cut short.
#[test]
fn a_fault_at_any_call_of_a_recovery() {
    let (killed, state) = killed();
    for (fault, crash) in [
        (Fault::Once, false),
        (Fault::Once, true),
        (Fault::FromThere, false),
        (Fault::FromThere, true),
    ] {
        let mut refused = 0;
        for n in 1.. {
            let disk = killed.copy();
            disk.fail(n, fault, io::ErrorKind::Other);
            let opened = open(&disk);
            let context =
                format!("call {n}, {fault:?}, crash {crash}, {:?}", opened.as_ref().err());
            refused += u32::from(opened.is_err());
            let reached = if fault == Fault::Once { disk.heal() } else { opened.is_err() };
            if crash {
                disk.fail(1, Fault::FromThere, io::ErrorKind::Other);
            }
            drop(opened);
            disk.heal();
            if crash {
                disk.crash();
            }
            let ledger = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(bytes(&ledger.state().unwrap()), state, "{context}");
            ledger.checkpoint().unwrap();
            drop(ledger);
            assert_eq!(bytes(&open(&disk).unwrap().state().unwrap()), state, "{context}");
            if !reached {
                break;
            }
        }
        assert!(refused >= 8, "{refused}");
    }
}
