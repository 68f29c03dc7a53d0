//! The beginning of the log goes, and nothing else does: a restart finds the same ledger from a checkpoint, or refuses.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use calybris_budget::{BudgetEngine, LedgerOperation};
use calybris_persist::{DurableLedger, DurableOptions, LedgerRecord, PersistError};
use calybris_wal::storage::{Memory, Storage};
use calybris_wal::{WalError, WalOptions, WalWriter, visit_wal_with};

use crate::disk::{Disk, Fault};
use crate::work::{open_tenants, work};
use crate::workload::{Caller, bytes, opening};

const LEDGER: &str = "ledger";
const LOG: &str = "ledger/log";
/// A handful of entries.
const SEGMENT_BYTES: u64 = 2_000;

fn open(storage: Arc<dyn Storage>) -> Result<DurableLedger, PersistError> {
    let options = DurableOptions::new().segment_bytes(SEGMENT_BYTES).storage(storage);
    DurableLedger::open_with(Path::new(LEDGER), options)
}

fn in_memory(memory: &Memory) -> Result<DurableLedger, PersistError> {
    open(Arc::new(memory.clone()))
}

fn with_two_checkpoints() -> (Memory, DurableLedger, Caller) {
    let memory = Memory::default();
    let ledger = in_memory(&memory).unwrap();
    open_tenants(&ledger);
    let mut caller = Caller::new("c", 5);
    for _ in 0..2 {
        work(&ledger, &mut caller, 20);
        ledger.checkpoint().unwrap();
    }
    (memory, ledger, caller)
}

/// A ledger with two checkpoints whose beginning was retired, its state, and the last entry that went.
fn retired() -> (Memory, String, u64) {
    let (memory, ledger, mut caller) = with_two_checkpoints();
    let retired = ledger.retire().unwrap().unwrap();
    work(&ledger, &mut caller, 20);
    let state = bytes(&ledger.state().unwrap());
    drop(ledger);
    (memory, state, retired.sequence)
}

fn checkpoints(memory: &Memory) -> Vec<PathBuf> {
    let mut files = memory.list(Path::new(LEDGER)).unwrap();
    files.retain(|path| path.extension() == Some("json".as_ref()));
    files
}

fn tear(memory: &Memory, path: &Path) {
    let held = memory.read(path).unwrap();
    memory.write(path, &held[..held.len() / 2]);
}

fn records(memory: &Memory) -> Vec<(u64, LedgerRecord)> {
    let options = WalOptions::new().storage(Arc::new(memory.clone()));
    let mut found = Vec::new();
    visit_wal_with(Path::new(LOG), &options, |entry| found.push((entry.sequence, entry.data)))
        .unwrap();
    found
}

#[test]
fn what_was_retired_is_recorded_and_a_restart_goes_on_from_either_checkpoint() {
    let (memory, state, last) = retired();
    let records = records(&memory);
    assert_eq!(records[0].0, last + 1, "the beginning is gone");
    let recorded = records.iter().filter_map(|(at, record)| match record {
        LedgerRecord::Retired { sequence, checkpoint, .. } => Some((*at, *sequence, *checkpoint)),
        _ => None,
    });
    let [(at, sequence, checkpoint)] = recorded.collect::<Vec<_>>()[..] else { panic!() };
    assert_eq!(sequence, last);
    assert!(last < checkpoint && checkpoint < at);

    let [older, newest] = <[PathBuf; 2]>::try_from(checkpoints(&memory)).unwrap();
    let ledger = in_memory(&memory).unwrap();
    assert_eq!(bytes(&ledger.state().unwrap()), state);
    assert_eq!(ledger.report().log.after, last);
    drop(ledger);
    tear(&memory, &newest);
    let ledger = in_memory(&memory).unwrap();
    assert_eq!(bytes(&ledger.state().unwrap()), state);
    assert_eq!(ledger.report().checkpoint_sequence, checkpoint, "the older one");
    drop(ledger);
    tear(&memory, &older);
    let error = in_memory(&memory).unwrap_err();
    let refused = |error: &PersistError, passed_over| matches!(error, PersistError::BeginningRetired { retired, rejected, .. } if *retired == last && *rejected == passed_over);
    assert!(refused(&error, 2), "{error}");
    memory.remove(&older).unwrap();
    memory.remove(&newest).unwrap();
    let error = in_memory(&memory).unwrap_err();
    assert!(refused(&error, 0), "{error}");
}

#[test]
fn a_checkpoint_from_before_what_was_retired_is_no_beginning() {
    let memory = Memory::default();
    let ledger = in_memory(&memory).unwrap();
    let mut caller = Caller::new("c", 5);
    open_tenants(&ledger);
    let mut saved = Vec::new();
    for _ in 0..4 {
        let path = ledger.checkpoint().unwrap().path;
        saved.push((memory.read(&path).unwrap(), path));
        work(&ledger, &mut caller, 3);
    }
    work(&ledger, &mut caller, 10);
    ledger.checkpoint().unwrap();
    let last = ledger.retire().unwrap().unwrap().sequence;
    drop(ledger);
    // The last one was made after an entry that is there still; all others come back from a backup alone.
    checkpoints(&memory).iter().for_each(|path| memory.remove(path).unwrap());
    for (held, path) in &saved[..3] {
        memory.write(path, held);
    }
    let error = in_memory(&memory).unwrap_err();
    assert!(
        matches!(error, PersistError::BeginningRetired { retired, rejected: 3, .. } if retired == last),
        "{error}"
    );
}

#[test]
fn a_beginning_that_the_ledger_did_not_retire_is_missing() {
    let (memory, ledger, _) = with_two_checkpoints();
    drop(ledger);
    let options = WalOptions::new().storage(Arc::new(memory.clone()));
    let log = WalWriter::<LedgerRecord>::open_with(Path::new(LOG), &options).unwrap();
    let gone = log.retire_before(20).unwrap().unwrap().sequence;
    drop(log);
    let error = in_memory(&memory).unwrap_err();
    assert!(
        matches!(error, PersistError::Divergent { sequence, .. } if sequence == gone + 1),
        "{error}"
    );
    let first = memory.list(Path::new(LOG)).unwrap().remove(0);
    memory.remove(&first).unwrap();
    let error = in_memory(&memory).unwrap_err();
    assert!(matches!(error, PersistError::Wal(_)), "{error}");
}

#[test]
fn nothing_is_retired_without_two_checkpoints_that_can_be_restored() {
    let memory = Memory::default();
    let ledger = in_memory(&memory).unwrap();
    open_tenants(&ledger);
    let mut caller = Caller::new("c", 5);
    assert!(ledger.retire().unwrap().is_none(), "no checkpoint");
    work(&ledger, &mut caller, 20);
    ledger.checkpoint().unwrap();
    assert!(ledger.retire().unwrap().is_none(), "one checkpoint");
    work(&ledger, &mut caller, 20);
    ledger.checkpoint().unwrap();
    let before = ledger.anchor();
    for path in checkpoints(&memory) {
        let held = memory.read(&path).unwrap();
        for broken in [&held[..held.len() / 2], b""] {
            memory.write(&path, broken);
            let error = ledger.retire().unwrap_err();
            assert!(
                matches!(&error, PersistError::Unrestorable { path: at, .. } if *at == path),
                "{error}"
            );
        }
        memory.write(&path, &held);
    }
    assert_eq!(ledger.anchor(), before, "nothing was recorded");
    assert_eq!(records(&memory)[0].0, 1, "nothing is gone");
    ledger.retire().unwrap().unwrap();
    assert!(ledger.retire().unwrap().is_none(), "twice");
}

#[test]
fn a_restart_knows_both_checkpoints() {
    let (memory, ledger, _) = with_two_checkpoints();
    let state = bytes(&ledger.state().unwrap());
    drop(ledger);
    let [older, newest] = <[PathBuf; 2]>::try_from(checkpoints(&memory)).unwrap();
    let whole = memory.read(&older).unwrap();
    // One that was altered with all its own digests is found when it is read back.
    let of_another = String::from_utf8(whole.clone()).unwrap();
    let (before, hash) = of_another.split_once("\"last_hash\":\"").unwrap();
    let flipped = if hash.starts_with('0') { '1' } else { '0' };
    let of_another = format!("{before}\"last_hash\":\"{flipped}{}", &hash[1..]);
    let ledger = in_memory(&memory).unwrap();
    for broken in [&whole[..whole.len() / 2], of_another.as_bytes()] {
        memory.write(&older, broken);
        let error = ledger.retire().unwrap_err();
        assert!(
            matches!(&error, PersistError::Unrestorable { path, .. } if *path == older),
            "{error}"
        );
    }
    memory.write(&older, &whole);
    let retired = ledger.retire().unwrap().expect("no other checkpoint is needed");
    drop(ledger);
    memory.remove(&newest).unwrap();
    let ledger = in_memory(&memory).unwrap();
    assert_eq!(ledger.report().log.after, retired.sequence);
    assert_eq!(bytes(&ledger.state().unwrap()), state, "from the older one");
}

#[test]
fn retirements_race_checkpoints_and_callers() {
    let memory = Memory::default();
    let ledger = in_memory(&memory).unwrap();
    open_tenants(&ledger);
    let gone: u64 = thread::scope(|scope| {
        for number in 0..3 {
            let ledger = &ledger;
            scope.spawn(move || {
                work(ledger, &mut Caller::new(format!("c{number}"), number), 150);
            });
        }
        scope.spawn(|| {
            for _ in 0..25 {
                match ledger.checkpoint() {
                    Ok(_) | Err(PersistError::Busy { .. }) => thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            }
        });
        let mut gone = 0;
        for _ in 0..60 {
            match ledger.retire() {
                Ok(retired) => gone += retired.map_or(0, |it| it.segments),
                Err(PersistError::Busy { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            thread::yield_now();
        }
        gone
    });
    let mut caller = Caller::new("last", 9);
    let mut more = 0;
    for _ in 0..2 {
        work(&ledger, &mut caller, 20);
        ledger.checkpoint().unwrap();
        more += ledger.retire().unwrap().map_or(0, |it| it.segments);
    }
    assert!(gone + more > 10, "{gone} {more}");
    let state = bytes(&ledger.state().unwrap());
    drop(ledger);
    assert_eq!(bytes(&in_memory(&memory).unwrap().state().unwrap()), state);
}

/// What a caller was told, and what it asked last.
#[derive(Default)]
struct Model {
    engine: BudgetEngine,
    asked: Option<LedgerOperation>,
}

impl Model {
    fn ask(
        &mut self,
        ledger: &DurableLedger,
        operation: LedgerOperation,
        caller: &mut Caller,
    ) -> Result<(), PersistError> {
        self.asked = Some(operation.clone());
        let answer = ledger.apply(&operation)?;
        assert_eq!(answer, self.engine.apply(&operation));
        caller.hear(&answer);
        self.asked = None;
        Ok(())
    }

    fn run(&mut self, ledger: &DurableLedger, seed: u64) -> Result<u64, PersistError> {
        let mut caller = Caller::new(format!("c{seed}"), seed);
        let mut segments = 0;
        for operation in opening() {
            self.ask(ledger, operation, &mut caller)?;
        }
        for number in 0..24 {
            let operation = caller.next();
            self.ask(ledger, operation, &mut caller)?;
            if number % 6 == 5 {
                ledger.checkpoint()?;
                segments += ledger.retire()?.map_or(0, |retired| retired.segments);
            }
        }
        Ok(segments)
    }

    /// Whether a ledger is what was told, and at most what was asked last.
    fn agrees(&self, ledger: &DurableLedger) -> bool {
        let found = bytes(&ledger.state().unwrap());
        if found == bytes(&self.engine.state()) {
            return true;
        }
        if let Some(operation) = &self.asked {
            let _answer = self.engine.apply(operation);
        }
        found == bytes(&self.engine.state())
    }
}

fn at_every_call(fault: Fault, crash: bool) {
    let mut completed = 0;
    let mut gone = 0;
    for n in 1.. {
        let disk = Disk::default();
        let mut model = Model::default();
        disk.fail(n, fault, io::ErrorKind::Other);
        let ledger = open(Arc::new(disk.clone()));
        let worked = ledger.as_ref().map(|ledger| model.run(ledger, 3));
        let context = format!("call {n}, {fault:?}, crash {crash}, {worked:?}");
        if matches!(worked, Ok(Ok(_))) {
            completed += 1;
        }
        if crash {
            disk.fail(1, Fault::FromThere, io::ErrorKind::Other);
            drop(ledger);
            disk.heal();
            disk.crash();
        } else {
            drop(ledger);
            disk.heal();
        }
        let ledger =
            open(Arc::new(disk.clone())).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(model.agrees(&ledger), "{context}");
        model.asked = None;
        // And goes on, retiring.
        gone += model.run(&ledger, n + 100).unwrap_or_else(|error| panic!("{context}: {error}"));
        drop(ledger);
        assert!(model.agrees(&open(Arc::new(disk)).unwrap()), "{context}, later");
        if completed == 12 {
            assert!(n > 200 && gone > n, "{n} calls, {gone} segments");
            break;
        }
    }
}

#[test]
fn a_fault_at_any_call() {
    thread::scope(|scope| {
        for (fault, crash) in [Fault::Once, Fault::FromThere].into_iter().flat_map(with_and_without)
        {
            scope.spawn(move || at_every_call(fault, crash));
        }
    });
}

/// An error and a full disk; with a crash after it, an error that the machine did not survive and a machine that
/// goes down.
fn with_and_without(fault: Fault) -> [(Fault, bool); 2] {
    [(fault, false), (fault, true)]
}

#[test]
fn an_anchor_from_before_what_was_retired_cannot_be_checked() {
    let (memory, ..) = retired();
    let early = {
        let memory = Memory::default();
        let ledger = in_memory(&memory).unwrap();
        ledger.apply(&opening().next().unwrap()).unwrap().unwrap();
        ledger.anchor()
    };
    let options = DurableOptions::new().storage(Arc::new(memory)).anchor(early);
    let error = DurableLedger::open_with(Path::new(LEDGER), options).unwrap_err();
    assert!(matches!(error, PersistError::Wal(WalError::AnchorRetired { .. })), "{error}");
}

#[cfg(feature = "archive")]
#[test]
fn what_was_retired_into_an_archive_can_be_replayed_from_the_first_entry() {
    let memory = Memory::default();
    let archive = Path::new("archive");
    let archiving = || {
        let options = DurableOptions::new().segment_bytes(SEGMENT_BYTES).archive(archive);
        DurableLedger::open_with(Path::new(LEDGER), options.storage(Arc::new(memory.clone())))
            .unwrap()
    };
    let mut ledger = archiving();
    open_tenants(&ledger);
    let mut caller = Caller::new("c", 5);
    for _ in 0..3 {
        for _ in 0..2 {
            work(&ledger, &mut caller, 20);
            ledger.checkpoint().unwrap();
        }
        ledger.retire().unwrap().unwrap();
        drop(ledger);
        ledger = archiving();
    }
    let state = bytes(&ledger.state().unwrap());
    drop(ledger);
    let options = WalOptions::new().storage(Arc::new(memory.clone())).archive(archive);
    let (_, replayed) = crate::every_operation::replay(Path::new(LOG), &options);
    assert_eq!(bytes(&replayed.state()), state);
    assert_eq!(bytes(&in_memory(&memory).unwrap().state().unwrap()), state, "nor is it needed");
}
