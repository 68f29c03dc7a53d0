//! What a restart finds: everything, or a reason why not.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use calybris_budget::{BudgetEngine, LedgerOperation, Limits};
use calybris_persist::{DurableLedger, DurableOptions, LedgerRecord, PersistError};
use calybris_wal::{Tail, WalWriter, read_verified_wal};

use crate::workload::{Caller, bytes, opening};

const SEGMENT: &str = "log/00000000000000000001.log";
const HEAD: &str = "log/head";

fn run(ledger: &DurableLedger, caller: &mut Caller, count: usize, done: &mut Vec<LedgerOperation>) {
    for _ in 0..count {
        let operation = caller.next();
        let answer = ledger.apply(&operation).unwrap();
        caller.hear(&answer);
        done.push(operation);
    }
}

fn opened(folder: &Path, done: &mut Vec<LedgerOperation>) -> DurableLedger {
    let ledger = DurableLedger::open(folder).unwrap();
    for operation in opening() {
        ledger.apply(&operation).unwrap().unwrap();
        done.push(operation);
    }
    ledger
}

/// The same operations on a ledger in memory.
fn in_memory(operations: &[LedgerOperation]) -> BudgetEngine {
    let engine = BudgetEngine::new();
    for operation in operations {
        let _answer = engine.apply(operation);
    }
    engine
}

fn checkpoints(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    found.sort();
    found
}

#[test]
fn every_restart_finds_the_same_state_byte_for_byte() {
    for seed in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let (mut done, mut caller) = (Vec::new(), Caller::new("c", seed));
        let mut ledger = opened(folder.path(), &mut done);
        for round in 0..6_u64 {
            run(&ledger, &mut caller, 60, &mut done);
            if (seed + round) % 3 == 0 {
                ledger.checkpoint().unwrap();
                run(&ledger, &mut caller, 7, &mut done);
            }
            let before = ledger.state().unwrap();
            drop(ledger);
            ledger = DurableLedger::open(folder.path()).unwrap();
            assert_eq!(
                bytes(&ledger.state().unwrap()),
                bytes(&before),
                "seed {seed} round {round}"
            );
            let holds: usize = before.tenants.iter().map(|tenant| tenant.holds.len()).sum();
            assert_eq!(ledger.report().open_holds.len(), holds);
        }
        assert_eq!(
            bytes(&ledger.state().unwrap()),
            bytes(&in_memory(&done).state()),
            "seed {seed}"
        );
        ledger.prove_conservation().unwrap();
    }
}

#[test]
fn the_log_is_the_serial_order_of_callers_in_parallel() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = opened(folder.path(), &mut Vec::new());
    thread::scope(|scope| {
        for number in 0..8 {
            let ledger = &ledger;
            scope.spawn(move || {
                let mut caller = Caller::new(format!("caller-{number}"), number);
                run(ledger, &mut caller, 150, &mut Vec::new());
            });
        }
        // Under load, and with holds open.
        for _ in 0..5 {
            thread::yield_now();
            ledger.checkpoint().unwrap();
        }
    });
    let before = bytes(&ledger.state().unwrap());
    drop(ledger);
    assert_eq!(checkpoints(folder.path()).len(), 2, "the newest and one to fall back on");
    let log = read_verified_wal::<LedgerRecord>(&folder.path().join("log")).unwrap();
    let serial: Vec<_> = log
        .into_iter()
        .filter_map(|entry| match entry.data {
            LedgerRecord::Operation { operation, .. } => Some(operation),
            _ => None,
        })
        .collect();
    assert_eq!(serial.len(), 8 * 150 + opening().count());
    assert_eq!(bytes(&in_memory(&serial).state()), before);
    assert_eq!(bytes(&DurableLedger::open(folder.path()).unwrap().state().unwrap()), before);
}

#[test]
fn a_checkpoint_that_is_not_whole_falls_back_to_the_one_before_and_then_to_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (mut done, mut caller) = (Vec::new(), Caller::new("c", 7));
    let ledger = opened(folder.path(), &mut done);
    let mut sequences = vec![0];
    for _ in 0..2 {
        run(&ledger, &mut caller, 40, &mut done);
        sequences.insert(0, ledger.checkpoint().unwrap().sequence);
    }
    run(&ledger, &mut caller, 40, &mut done);
    let before = bytes(&ledger.state().unwrap());
    drop(ledger);
    for (rejected, expected) in sequences.into_iter().enumerate() {
        let ledger = DurableLedger::open(folder.path()).unwrap();
        assert_eq!(bytes(&ledger.state().unwrap()), before);
        assert_eq!(ledger.report().checkpoint_sequence, expected);
        assert_eq!(ledger.report().rejected_checkpoints.len(), rejected);
        drop(ledger);
        // The next one down is torn, or one digit of it is another.
        if let Some(newest) = checkpoints(folder.path()).into_iter().rev().nth(rejected) {
            let text = fs::read_to_string(&newest).unwrap();
            let broken = match rejected {
                0 => text[..text.len() / 2].to_owned(),
                _ => text.replacen("\"clock\":", "\"clock\":1", 1),
            };
            assert_ne!(broken, text);
            fs::write(&newest, broken).unwrap();
        }
    }
}

#[test]
fn log_and_checkpoint_that_do_not_belong_together_are_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let (mut done, mut caller) = (Vec::new(), Caller::new("c", 7));
    let ledger = opened(folder.path(), &mut done);
    run(&ledger, &mut caller, 20, &mut done);
    ledger.checkpoint().unwrap();
    drop(ledger);
    let log = folder.path().join(SEGMENT);
    let whole = fs::read_to_string(&log).unwrap();
    let kept = |entries: usize| whole.split_inclusive('\n').take(entries).collect::<String>();
    let other = {
        let folder = tempfile::tempdir().unwrap();
        let (mut done, mut caller) = (Vec::new(), Caller::new("c", 8));
        let ledger = opened(folder.path(), &mut done);
        run(&ledger, &mut caller, 30, &mut done);
        drop(ledger);
        fs::read_to_string(folder.path().join(SEGMENT)).unwrap()
    };
    let refused = |text: &str| {
        // A writer keeps more than the log; a forger or a bad backup brings the log alone.
        let _ = fs::remove_file(folder.path().join(HEAD));
        fs::write(&log, text).unwrap();
        let error = DurableLedger::open(folder.path()).unwrap_err();
        assert_eq!(fs::read_to_string(&log).unwrap(), text, "{error}");
        error
    };
    let error = refused(&kept(10));
    assert!(matches!(error, PersistError::LogBehindSnapshot { found: 10, .. }), "{error}");
    let error = refused(&other);
    assert!(matches!(error, PersistError::Forked { sequence: 27, .. }), "{error}");
    refused(&whole.replacen("operation", "operatiom", 1));

    // A checkpoint altered consistently, its own digest included: the log's record of it tells.
    let newest = checkpoints(folder.path()).pop().unwrap();
    let mut file: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&newest).unwrap()).unwrap();
    let mut state: calybris_budget::LedgerState =
        serde_json::from_value(file["state"].clone()).unwrap();
    state.tenants[0].max_reserved_microcents += 1;
    file["state_digest_hex"] = calybris_kernel::digest::digest_to_hex(&state.digest()).into();
    file["state"] = serde_json::to_value(&state).unwrap();
    fs::write(&newest, serde_json::to_string(&file).unwrap()).unwrap();
    let error = refused(&whole);
    assert!(matches!(error, PersistError::Divergent { sequence: 28, .. }), "{error}");
}

#[test]
fn a_record_cut_short_by_a_crash_is_moved_away_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let (mut done, mut caller) = (Vec::new(), Caller::new("c", 5));
    let ledger = opened(folder.path(), &mut done);
    run(&ledger, &mut caller, 20, &mut done);
    let before = bytes(&ledger.state().unwrap());
    drop(ledger);
    let log = folder.path().join(SEGMENT);
    let whole = fs::read_to_string(&log).unwrap();
    fs::write(&log, format!("{whole}{{\"sequence\":28,\"prev")).unwrap();
    let ledger = DurableLedger::open(folder.path()).unwrap();
    assert_eq!(bytes(&ledger.state().unwrap()), before);
    let report = &ledger.report().log;
    assert_eq!((report.sequence, report.cut_bytes, report.tail), (27, 20, Tail::Torn));
    run(&ledger, &mut caller, 1, &mut done);
    drop(ledger);
    assert!(fs::read_to_string(&log).unwrap().starts_with(&whole));
    assert_eq!(DurableLedger::open(folder.path()).unwrap().report().log.tail, Tail::Clean);
}

#[test]
fn the_first_entry_says_how_long_keys_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { key_retention: 5, max_keys_per_tenant: 3 };
    let options = || DurableOptions::new().limits(limits);
    drop(DurableLedger::open_with(folder.path(), options()).unwrap());
    let ledger = DurableLedger::open(folder.path()).unwrap();
    assert_eq!(ledger.state().unwrap().limits, limits, "as it was made, not as it was opened");
    drop(ledger);

    let foreign = tempfile::tempdir().unwrap();
    let log = WalWriter::open(&foreign.path().join("ledger.log")).unwrap();
    log.append_durable("something else").unwrap();
    drop(log);
    assert!(DurableLedger::open(foreign.path()).is_err());
}

#[test]
fn an_operation_that_is_too_large_does_not_happen() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = opened(folder.path(), &mut Vec::new());
    let before = (bytes(&ledger.state().unwrap()), ledger.anchor());
    let error = ledger
        .apply(&LedgerOperation::Open {
            tenant: "x".repeat(70_000),
            parent: None,
            initial_microcents: 1,
            now: 0,
            key: None,
        })
        .unwrap_err();
    assert!(matches!(error, PersistError::OperationTooLarge { limit: 65_536, .. }), "{error}");
    assert_eq!((bytes(&ledger.state().unwrap()), ledger.anchor()), before);
}

#[test]
fn a_checkpoint_that_the_log_does_not_know_of_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut done, mut caller) = (Vec::new(), Caller::new("c", 7));
    let ledger = opened(folder.path(), &mut done);
    run(&ledger, &mut caller, 20, &mut done);
    let log = folder.path().join(SEGMENT);
    let before = (bytes(&ledger.state().unwrap()), fs::read_to_string(&log).unwrap());
    ledger.checkpoint().unwrap();
    drop(ledger);
    // As if the crash had come before the record; and then somebody is generous.
    fs::write(&log, &before.1).unwrap();
    fs::remove_file(folder.path().join(HEAD)).unwrap();
    let checkpoint = checkpoints(folder.path()).pop().unwrap();
    let mut file: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&checkpoint).unwrap()).unwrap();
    let mut state: calybris_budget::LedgerState =
        serde_json::from_value(file["state"].clone()).unwrap();
    state.tenants[0].initial_microcents += 1_000;
    state.tenants[0].remaining_microcents += 1_000;
    file["state_digest_hex"] = calybris_kernel::digest::digest_to_hex(&state.digest()).into();
    file["state"] = serde_json::to_value(&state).unwrap();
    fs::write(&checkpoint, serde_json::to_string(&file).unwrap()).unwrap();
    let ledger = DurableLedger::open(folder.path()).unwrap();
    assert_eq!(bytes(&ledger.state().unwrap()), before.0);
    let rejected = &ledger.report().rejected_checkpoints;
    assert_eq!(rejected[0].reason, "the log has no record of it");
    println!("{}", ledger.report());
}
