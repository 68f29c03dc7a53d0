//! Opening changes nothing until there is nothing left to refuse, and reads the log once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use calybris_budget::LedgerState;
use calybris_kernel::digest::digest_to_hex;
use calybris_persist::{DurableLedger, DurableOptions, PersistError};
use calybris_proof::chain::WalAnchor;
use calybris_wal::storage::{Memory, Storage as _};
use calybris_wal::{Verdict, WalError};
use serde_json::Value;

use crate::disk::Disk;
use crate::work::{open_tenants, work};
use crate::workload::{Caller, bytes};

const LEDGER: &str = "ledger";
const LOG: &str = "ledger/log";
const SEGMENT_BYTES: u64 = 8_000;

fn in_memory(memory: &Memory) -> DurableOptions {
    DurableOptions::new().segment_bytes(SEGMENT_BYTES).storage(Arc::new(memory.clone()))
}

/// Every file there is, and what it holds.
fn files(memory: &Memory) -> Vec<(PathBuf, Vec<u8>)> {
    let all = [LEDGER, LOG].into_iter().flat_map(|it| memory.list(Path::new(it)).unwrap());
    all.map(|path| (path.clone(), memory.read(&path).unwrap())).collect()
}

fn checkpoints(memory: &Memory) -> Vec<PathBuf> {
    let mut all = memory.list(Path::new(LEDGER)).unwrap();
    all.retain(|path| path.extension() == Some("json".as_ref()));
    all
}

/// A ledger with two checkpoints, whose beginning was retired if asked for, killed in the middle of a write.
fn killed(seed: u64, retire: bool) -> (Memory, String) {
    let memory = Memory::default();
    let ledger = DurableLedger::open_with(Path::new(LEDGER), in_memory(&memory)).unwrap();
    let mut caller = Caller::new("c", seed);
    open_tenants(&ledger);
    for _ in 0..2 {
        work(&ledger, &mut caller, 40);
        ledger.checkpoint().unwrap();
    }
    if retire {
        ledger.retire().unwrap().unwrap();
    }
    work(&ledger, &mut caller, 10);
    let (state, next) = (bytes(&ledger.state().unwrap()), ledger.anchor().sequence + 1);
    drop(ledger);
    let last = segments(&memory).pop().unwrap();
    let mut log = memory.read(&last).unwrap();
    log.extend(format!("{{\"sequence\":{next},\"prev").bytes());
    memory.write(&last, &log);
    (memory, state)
}

fn segments(memory: &Memory) -> Vec<PathBuf> {
    let mut all = memory.list(Path::new(LOG)).unwrap();
    all.retain(|path| path.extension() == Some("log".as_ref()));
    all
}

/// The newest checkpoint with a richer tenant and a digest that fits.
fn enrich(memory: &Memory) {
    let newest = checkpoints(memory).pop().unwrap();
    let mut file: Value = serde_json::from_slice(&memory.read(&newest).unwrap()).unwrap();
    let mut state: LedgerState = serde_json::from_value(file["state"].clone()).unwrap();
    state.tenants[0].initial_microcents += 1_000;
    state.tenants[0].remaining_microcents += 1_000;
    file["state_digest_hex"] = digest_to_hex(&state.digest()).into();
    file["state"] = serde_json::to_value(&state).unwrap();
    memory.write(&newest, file.to_string().as_bytes());
}

fn of_another_ledger(memory: &Memory) {
    let (other, _) = killed(99, false);
    let newest = checkpoints(memory).pop().unwrap();
    memory.write(&newest, &other.read(&checkpoints(&other).pop().unwrap()).unwrap());
}

fn named_after_a_later_entry(memory: &Memory) {
    memory.write(&Path::new(LEDGER).join(format!("checkpoint-{:020}.json", 1_000)), b"");
}

fn without_checkpoints(memory: &Memory) {
    checkpoints(memory).iter().for_each(|path| memory.remove(path).unwrap());
}

fn with_another_log(memory: &Memory) {
    memory.write(&Path::new(LEDGER).join("ledger.log"), b"");
}

fn as_it_is(_: &Memory) {}

type Refused = (bool, fn(&Memory), Option<u64>, fn(&PersistError) -> bool);

#[test]
fn what_is_refused_keeps_the_tail_that_a_crash_left() {
    let reasons: [Refused; 6] = [
        (false, enrich, None, |error| matches!(error, PersistError::Divergent { .. })),
        (false, of_another_ledger, None, |error| matches!(error, PersistError::Forked { .. })),
        (false, named_after_a_later_entry, None, |error| {
            matches!(error, PersistError::LogBehindSnapshot { .. })
        }),
        (true, without_checkpoints, None, |error| {
            matches!(error, PersistError::BeginningRetired { .. })
        }),
        (false, with_another_log, None, |error| matches!(error, PersistError::TwoLogs { .. })),
        (false, as_it_is, Some(1_000), |error| {
            matches!(error, PersistError::Wal(WalError::AcknowledgedMissing { .. }))
        }),
    ];
    for (retire, make, anchor, as_expected) in reasons {
        let (memory, state) = killed(7, retire);
        let whole = files(&memory);
        make(&memory);
        let before = files(&memory);
        let mut options = in_memory(&memory);
        if let Some(sequence) = anchor {
            options = options.anchor(WalAnchor::new(sequence, [7; 32].into(), false).unwrap());
        }
        let error = DurableLedger::open_with(Path::new(LEDGER), options).unwrap_err();
        assert!(as_expected(&error), "{error}");
        assert!(files(&memory) == before, "touched: {error}");
        // And once the reason is gone, the tail goes too.
        for (path, _) in before {
            memory.remove(&path).unwrap();
        }
        for (path, held) in whole {
            memory.write(&path, &held);
        }
        let ledger = DurableLedger::open_with(Path::new(LEDGER), in_memory(&memory)).unwrap();
        assert_eq!(bytes(&ledger.state().unwrap()), state, "{error}");
        assert_eq!(ledger.report().log.verdict, Verdict::CutTail, "{error}");
    }
}

#[test]
fn where_something_is_missing_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let head = WalAnchor::new(3, [7; 32].into(), false).unwrap();
    let anchored = || DurableLedger::open_with(&ledger, DurableOptions::new().anchor(head));
    let error = anchored().unwrap_err();
    let missing =
        matches!(error, PersistError::Wal(WalError::BelowAnchor { found: 0, expected: 3, .. }));
    assert!(missing, "{error}");
    assert!(!ledger.exists(), "no folder");
    fs::create_dir(&ledger).unwrap();
    anchored().unwrap_err();
    let checkpoint = ledger.join(format!("checkpoint-{:020}.json", 3));
    fs::write(&checkpoint, "").unwrap();
    let error = DurableLedger::open(&ledger).unwrap_err();
    assert!(matches!(error, PersistError::LogBehindSnapshot { found: 0, .. }), "{error}");
    let left: Vec<_> = fs::read_dir(&ledger).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(left, [checkpoint], "no log");
}

/// As a machine leaves a file whose length arrived and whose blocks did not, only longer.
#[test]
fn a_checkpoint_of_a_terabyte_of_nothing_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = DurableLedger::open(folder.path()).unwrap();
    open_tenants(&ledger);
    let older = ledger.checkpoint().unwrap().sequence;
    let newest = ledger.checkpoint().unwrap().path;
    drop(ledger);
    fs::OpenOptions::new().write(true).open(newest).unwrap().set_len(1 << 40).unwrap();
    let ledger = DurableLedger::open(folder.path()).unwrap();
    let report = ledger.report();
    assert_eq!((report.checkpoint_sequence, report.rejected_checkpoints.len()), (older, 1));
}

#[test]
fn the_log_is_read_once() {
    let disk = Disk::default();
    let open = || {
        let options = DurableOptions::new().segment_bytes(200_000).storage(Arc::new(disk.clone()));
        DurableLedger::open_with(Path::new(LEDGER), options).unwrap()
    };
    let ledger = open();
    let mut caller = Caller::new("c", 5);
    open_tenants(&ledger);
    work(&ledger, &mut caller, 1_500);
    ledger.checkpoint().unwrap();
    work(&ledger, &mut caller, 500);
    drop(ledger);
    let has = |name: &str| disk.bytes(|path| path.extension() == Some(name.as_ref()));
    let (log, checkpoint, before) = (has("log"), has("json"), disk.bytes_read());
    drop(open());
    let read = disk.bytes_read() - before;
    assert!(log > 800_000 && checkpoint > 10_000, "{log} {checkpoint}");
    // And two or three kilobytes of the head file and the end of the log.
    assert!(read < log + checkpoint + 8_000, "{read} bytes of {log} and {checkpoint}");
}
