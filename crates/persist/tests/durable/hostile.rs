//! What somebody with access to the folder can do: exchange, forge and remove files. Either nothing comes of it or the
//! ledger is refused; what is never given is a balance that was not so.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use calybris_budget::{Applied, LedgerOperation, LedgerState, Limits};
use calybris_kernel::digest::{HexDigest, digest_to_hex};
use calybris_persist::{
    Answer, DurableLedger, DurableOptions, LEDGER_RECORD_SCHEMA, LedgerRecord, Outcome,
    PersistError,
};
use calybris_proof::chain::WalAnchor;
use calybris_wal::storage::{Memory, Storage as _};
use calybris_wal::{WalEntry, WalError, WalOptions, WalWriter, visit_wal_with};
use serde_json::Value;

use crate::work::{open_tenants, work};
use crate::workload::{Caller, bytes};

const LEDGER: &str = "ledger";
const LOG: &str = "ledger/log";
const SEGMENT: &str = "ledger/log/00000000000000000001.log";
const HEAD: &str = "ledger/log/head";

fn stored_in(memory: &Memory) -> DurableOptions {
    DurableOptions::new().storage(Arc::new(memory.clone()))
}

fn open(memory: &Memory) -> Result<DurableLedger, PersistError> {
    DurableLedger::open_with(Path::new(LEDGER), stored_in(memory))
}

/// A copy of everything, to try something on.
fn copy(memory: &Memory) -> Memory {
    let copy = Memory::default();
    for directory in [LEDGER, LOG] {
        for path in memory.list(Path::new(directory)).unwrap() {
            copy.write(&path, &memory.read(&path).unwrap());
        }
    }
    copy
}

/// All but the head file, which says again what opening has made durable.
fn contents(memory: &Memory) -> Vec<(PathBuf, String)> {
    let mut paths = memory.list(Path::new(LEDGER)).unwrap();
    paths.extend(memory.list(Path::new(LOG)).unwrap());
    paths.retain(|path| path != Path::new(HEAD));
    let text = |path: &Path| String::from_utf8(memory.read(path).unwrap()).unwrap();
    paths.into_iter().map(|path| (path.clone(), text(&path))).collect()
}

/// A ledger with two checkpoints and entries around them.
struct Victim {
    memory: Memory,
    state: String,
    older: u64,
    newest: u64,
    head: WalAnchor,
}

fn victim(options: impl Fn(&Memory) -> DurableOptions, seed: u64) -> Victim {
    let memory = Memory::default();
    let ledger = DurableLedger::open_with(Path::new(LEDGER), options(&memory)).unwrap();
    open_tenants(&ledger);
    let mut caller = Caller::new("c", seed);
    work(&ledger, &mut caller, 20);
    let older = ledger.checkpoint().unwrap().sequence;
    work(&ledger, &mut caller, 20);
    let newest = ledger.checkpoint().unwrap().sequence;
    work(&ledger, &mut caller, 20);
    let (state, head) = (bytes(&ledger.state().unwrap()), ledger.anchor());
    drop(ledger);
    Victim { memory, state, older, newest, head }
}

fn named(sequence: u64) -> PathBuf {
    PathBuf::from(format!("{LEDGER}/checkpoint-{sequence:020}.json"))
}

fn json(memory: &Memory, sequence: u64) -> Value {
    serde_json::from_slice(&memory.read(&named(sequence)).unwrap()).unwrap()
}

fn put(memory: &Memory, sequence: u64, file: &Value) {
    memory.write(&named(sequence), file.to_string().as_bytes());
}

/// Grants the first tenant more, with a digest that fits.
fn enrich(file: &mut Value) {
    let mut state: LedgerState = serde_json::from_value(file["state"].clone()).unwrap();
    state.tenants[0].initial_microcents += 1_000;
    state.tenants[0].remaining_microcents += 1_000;
    file["state_digest_hex"] = digest_to_hex(&state.digest()).into();
    file["state"] = serde_json::to_value(&state).unwrap();
}

fn hash_of(memory: &Memory, sequence: u64) -> Value {
    let mut found = Value::from("genesis");
    let options = WalOptions::new().storage(Arc::new(memory.clone()));
    let visit = |entry: WalEntry<Value>| {
        if entry.sequence == sequence {
            found = entry.entry_hash.to_string().into();
        }
    };
    visit_wal_with(Path::new(LOG), &options, visit).unwrap();
    found
}

/// What is to come of it.
enum Expected {
    /// The ledger as it was, from the checkpoint after this entry, having passed over so many files.
    AsItWas(u64, usize),
    Refused(fn(&PersistError) -> bool),
}

use Expected::{AsItWas, Refused};

type Attack<'a> = (&'a str, Box<dyn Fn(&Memory) + 'a>, Expected);

fn edit(newest: u64, change: fn(&mut Value)) -> Box<dyn Fn(&Memory)> {
    Box::new(move |memory| {
        let mut file = json(memory, newest);
        change(&mut file);
        put(memory, newest, &file);
    })
}

/// What is in the newest file, changed.
fn edited<'a>(newest: u64, older: u64) -> Vec<Attack<'a>> {
    let garbage =
        |bytes: Vec<u8>| Box::new(move |memory: &Memory| memory.write(&named(newest), &bytes));
    vec![
        (
            "the state of the older one in the newest",
            Box::new(move |memory| {
                let (mut file, source) = (json(memory, newest), json(memory, older));
                file["state"] = source["state"].clone();
                file["state_digest_hex"] = source["state_digest_hex"].clone();
                put(memory, newest, &file);
            }),
            Refused(|error| matches!(error, PersistError::Divergent { .. })),
        ),
        (
            "richer, with a digest that fits",
            edit(newest, enrich),
            Refused(|error| matches!(error, PersistError::Divergent { .. })),
        ),
        (
            "richer, with the old digest",
            edit(newest, |file| {
                let digest = file["state_digest_hex"].clone();
                enrich(file);
                file["state_digest_hex"] = digest;
            }),
            AsItWas(older, 1),
        ),
        (
            "said to be of a keyed log",
            edit(newest, |file| file["anchor"]["keyed"] = true.into()),
            Refused(|error| matches!(error, PersistError::Forked { .. })),
        ),
        (
            "of another schema",
            edit(newest, |file| file["schema_version"] = "calybris.ledger-checkpoint.v2".into()),
            AsItWas(older, 1),
        ),
        (
            "with a member more",
            edit(newest, |file| file["note"] = "hello".into()),
            AsItWas(older, 1),
        ),
        ("empty", garbage(Vec::new()), AsItWas(older, 1)),
        ("nothing but brackets", garbage(b"[".repeat(100_000)), AsItWas(older, 1)),
    ]
}

/// Whose the files are, and what they are called.
fn exchanged<'a>(newest: u64, older: u64, other: &'a Memory) -> Vec<Attack<'a>> {
    let copied =
        |from: u64, to: u64| Box::new(move |memory: &Memory| put(memory, to, &json(memory, from)));
    let moved = |to: u64, richer: bool, alone: bool| {
        Box::new(move |memory: &Memory| {
            let mut file = json(memory, newest);
            file["anchor"]["sequence"] = to.into();
            file["anchor"]["last_hash"] = hash_of(memory, to);
            if richer {
                enrich(&mut file);
            }
            if alone {
                memory.remove(&named(newest)).unwrap();
                memory.remove(&named(older)).unwrap();
            }
            put(memory, to, &file);
        })
    };
    let empty =
        |sequence: u64| Box::new(move |memory: &Memory| memory.write(&named(sequence), b""));
    vec![
        ("the older one under the name of the newest", copied(older, newest), AsItWas(older, 1)),
        ("after an entry between", moved(older + 7, false, false), AsItWas(newest, 0)),
        ("after a later entry", moved(newest + 9, false, false), AsItWas(newest, 1)),
        ("after a later entry, richer", moved(newest + 9, true, false), AsItWas(newest, 1)),
        ("after a later entry, the good ones gone", moved(newest + 9, true, true), AsItWas(0, 1)),
        ("after no entry at all", moved(0, true, true), AsItWas(0, 1)),
        (
            "of another ledger",
            Box::new(move |memory| put(memory, newest, &json(other, newest))),
            Refused(|error| matches!(error, PersistError::Forked { .. })),
        ),
        (
            "named after an entry that is not there, whatever it holds",
            empty(1_000),
            Refused(|error| {
                matches!(error, PersistError::LogBehindSnapshot { watermark: 1_000, .. })
            }),
        ),
        (
            "named after the last entry there can be",
            empty(u64::MAX),
            Refused(|error| matches!(error, PersistError::LogBehindSnapshot { .. })),
        ),
        (
            "names that are none",
            Box::new(move |memory| {
                let good = memory.read(&named(newest)).unwrap();
                for name in ["checkpoint-1.json", "checkpoint-99999999999999999999.json", "x.json"]
                {
                    memory.write(&Path::new(LEDGER).join(name), &good);
                }
            }),
            AsItWas(newest, 0),
        ),
    ]
}

#[test]
fn checkpoints_that_are_exchanged_or_forged_change_nothing_or_are_refused() {
    let victim = victim(stored_in, 3);
    let other = self::victim(stored_in, 4);
    let (older, newest) = (victim.older, victim.newest);
    assert_eq!(other.newest, newest);
    let attacks = edited(newest, older).into_iter().chain(exchanged(newest, older, &other.memory));
    for (attack, make, expected) in attacks {
        let memory = copy(&victim.memory);
        make(&memory);
        let before = contents(&memory);
        match (open(&memory), expected) {
            (Ok(ledger), AsItWas(from, passed_over)) => {
                let report = ledger.report();
                assert_eq!(report.checkpoint_sequence, from, "{attack}: {report}");
                assert_eq!(report.rejected_checkpoints.len(), passed_over, "{attack}: {report}");
                assert_eq!(bytes(&ledger.state().unwrap()), victim.state, "{attack}");
            }
            (Err(error), Refused(as_expected)) => {
                assert!(as_expected(&error), "{attack}: {error}");
                assert!(contents(&memory) == before, "{attack}: touched");
            }
            (found, _) => panic!("{attack}: {:?}", found.map(|ledger| ledger.report().to_string())),
        }
    }
}

#[test]
fn a_checkpoint_of_the_unkeyed_twin_is_no_checkpoint_of_a_keyed_log() {
    let keyed_options = |memory: &Memory| stored_in(memory).key(&[7; 32]);
    let (keyed, unkeyed) = (victim(keyed_options, 3), victim(stored_in, 3));
    assert_eq!(keyed.state, unkeyed.state);
    put(&keyed.memory, keyed.newest, &json(&unkeyed.memory, unkeyed.newest));
    let open = |memory| DurableLedger::open_with(Path::new(LEDGER), keyed_options(memory));
    let error = open(&keyed.memory).unwrap_err();
    assert!(matches!(error, PersistError::Forked { .. }), "{error}");
    // With the hash of the keyed log, and the flag left alone.
    let mut file = json(&unkeyed.memory, unkeyed.newest);
    let good = self::victim(keyed_options, 3);
    file["anchor"]["last_hash"] = json(&good.memory, good.newest)["anchor"]["last_hash"].clone();
    put(&keyed.memory, keyed.newest, &file);
    let error = open(&keyed.memory).unwrap_err();
    assert!(matches!(error, PersistError::Forked { .. }), "{error}");
}

#[test]
fn a_log_that_is_gone_or_shorter_than_the_name_of_a_checkpoint_is_never_begun_anew() {
    let victim = victim(stored_in, 3);
    for torn in [false, true] {
        for kept_lines in [0, 1, 10] {
            let memory = copy(&victim.memory);
            let log = memory.read(Path::new(SEGMENT)).unwrap();
            let lines = log.split_inclusive(|byte| *byte == b'\n').take(kept_lines);
            memory.write(Path::new(SEGMENT), &lines.flatten().copied().collect::<Vec<_>>());
            memory.remove(Path::new(HEAD)).unwrap();
            if torn {
                for sequence in [victim.older, victim.newest] {
                    let file = memory.read(&named(sequence)).unwrap();
                    memory.write(&named(sequence), &file[..file.len() / 2]);
                }
            }
            let before = memory.read(Path::new(SEGMENT)).unwrap();
            let error = open(&memory).unwrap_err();
            assert!(matches!(error, PersistError::LogBehindSnapshot { .. }), "{error}");
            assert_eq!(memory.read(Path::new(SEGMENT)).unwrap(), before, "nothing was begun");
        }
    }
}

#[test]
fn an_end_that_was_cut_off_cleanly_shows_against_an_anchor() {
    let victim = victim(stored_in, 3);
    let anchored = |memory: &Memory| {
        let options = stored_in(memory).anchor(victim.head);
        DurableLedger::open_with(Path::new(LEDGER), options)
    };
    let ledger = anchored(&victim.memory).unwrap();
    assert_eq!(bytes(&ledger.state().unwrap()), victim.state);
    work(&ledger, &mut Caller::new("d", 1), 5);
    drop(ledger);
    drop(anchored(&victim.memory).unwrap()); // longer is fine

    let memory = copy(&victim.memory);
    let log = memory.read(Path::new(SEGMENT)).unwrap();
    let lines: Vec<_> = log.split_inclusive(|byte| *byte == b'\n').collect();
    let kept = usize::try_from(victim.head.sequence - 3).unwrap();
    memory.write(Path::new(SEGMENT), &lines[..kept].concat());
    memory.remove(Path::new(HEAD)).unwrap();
    let before = contents(&memory);
    let error = anchored(&memory).unwrap_err();
    let missing = |error: &PersistError| {
        matches!(error, PersistError::Wal(WalError::AcknowledgedMissing { .. }))
    };
    assert!(missing(&error), "{error}");
    assert!(contents(&memory) == before, "touched");
    assert!(open(&copy(&memory)).is_ok(), "nothing in the folder shows it");

    let error = anchored(&Memory::default()).unwrap_err();
    let none = matches!(error, PersistError::Wal(WalError::BelowAnchor { found: 0, .. }));
    assert!(none, "an empty folder is no ledger that was: {error}");
    let error = anchored(&self::victim(stored_in, 4).memory).unwrap_err();
    assert!(matches!(error, PersistError::Wal(WalError::Entry { .. })), "another's: {error}");
}

/// Writes a log whose chain holds, and says how opening a ledger on it ends.
fn opened_on(records: &[LedgerRecord]) -> Result<DurableLedger, PersistError> {
    let memory = Memory::default();
    let options = WalOptions::new().storage(Arc::new(memory.clone())).segment_bytes(1 << 20);
    let log = WalWriter::<LedgerRecord>::open_with(Path::new(LOG), &options).unwrap();
    for record in records {
        log.append(record.clone()).unwrap();
    }
    drop(log);
    open(&memory)
}

#[test]
fn a_log_that_no_ledger_writes_is_refused_at_the_entry() {
    let limits = Limits::default();
    let begin = LedgerRecord::Begin { schema_version: LEDGER_RECORD_SCHEMA.to_owned(), limits };
    let of_v2 = LedgerRecord::Begin { schema_version: "calybris.ledger-log.v2".into(), limits };
    let state_digest_hex = HexDigest::new(&[7; 32]);
    let checkpoint = |sequence| LedgerRecord::Checkpoint { sequence, state_digest_hex };
    let expire = LedgerOperation::Expire { now: 1 };
    let answer = |holds| -> Outcome { Outcome::of(&(Ok(Applied::Expired(holds)) as Answer)) };
    let operation =
        LedgerRecord::Operation { operation: expire.clone(), outcome: answer(Vec::new()) };
    let refused = LedgerRecord::Operation {
        operation: expire,
        outcome: Outcome::Expired { holds: 1, digest_hex: state_digest_hex },
    };

    assert!(opened_on(&[begin.clone(), operation.clone(), checkpoint(2)]).is_ok());
    let logs: [(u64, &[LedgerRecord]); 9] = [
        (1, &[of_v2]),
        (1, std::slice::from_ref(&operation)),
        (1, &[checkpoint(0)]),
        (1, &[operation.clone(), begin.clone()]),
        (2, &[begin.clone(), begin.clone()]),
        (3, &[begin.clone(), operation.clone(), begin.clone(), operation.clone()]),
        (2, &[begin.clone(), refused]),
        (2, &[begin.clone(), checkpoint(2)]),
        (3, &[begin.clone(), operation.clone(), checkpoint(u64::MAX)]),
    ];
    for (at, records) in logs {
        match opened_on(records) {
            Err(PersistError::Divergent { sequence, .. }) => {
                assert_eq!(sequence, at, "{records:?}");
            }
            found => panic!("{records:?}: {found:?}"),
        }
    }
}

#[test]
fn a_record_of_a_checkpoint_that_is_gone_is_no_harm() {
    let victim = victim(stored_in, 3);
    for sequence in [victim.newest, victim.older] {
        victim.memory.remove(&named(sequence)).unwrap();
        let ledger = open(&victim.memory).unwrap();
        assert_eq!(bytes(&ledger.state().unwrap()), victim.state);
        assert!(ledger.report().rejected_checkpoints.is_empty());
    }
}

#[test]
fn checkpoints_that_race_each_other_and_callers_are_taken_or_busy() {
    let memory = Memory::default();
    let ledger = open(&memory).unwrap();
    open_tenants(&ledger);
    let checkpoint = || match ledger.checkpoint() {
        Ok(saved) => Some(saved.sequence),
        Err(PersistError::Busy { .. }) => None,
        Err(error) => panic!("{error}"),
    };
    let mut saved: Vec<u64> = thread::scope(|scope| {
        let callers: Vec<_> = (0..3)
            .map(|number| {
                let ledger = &ledger;
                scope.spawn(move || {
                    work(ledger, &mut Caller::new(format!("c{number}"), number), 150);
                })
            })
            .collect();
        let racing = || scope.spawn(|| (0..25).filter_map(|_| checkpoint()).collect::<Vec<_>>());
        let racers: Vec<_> = (0..3).map(|_| racing()).collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        racers.into_iter().flat_map(|racer| racer.join().unwrap()).collect()
    });
    let state = bytes(&ledger.state().unwrap());
    drop(ledger);
    saved.sort_unstable();
    let (distinct, last) = (saved.len(), *saved.last().unwrap());
    saved.dedup();
    assert_eq!(saved.len(), distinct, "each is of its own moment");
    let kept = memory.list(Path::new(LEDGER)).unwrap();
    let kept = kept.iter().filter(|path| path.extension() == Some("json".as_ref()));
    assert_eq!(kept.count(), 2.min(distinct));
    let ledger = open(&memory).unwrap();
    assert_eq!(ledger.report().checkpoint_sequence, last);
    assert_eq!(bytes(&ledger.state().unwrap()), state);
}

#[test]
fn what_a_crash_left_of_a_checkpoint_is_cleared_away_by_the_next() {
    let victim = victim(stored_in, 3);
    let left = Path::new("ledger/checkpoint-00000000000000000030.json.tmp");
    let foreign = Path::new("ledger/notes.json.tmp");
    victim.memory.write(left, b"{\"schema_ver");
    victim.memory.write(foreign, b"mine");
    open(&victim.memory).unwrap().checkpoint().unwrap();
    assert_eq!(victim.memory.read(left), None);
    assert!(victim.memory.read(foreign).is_some(), "not ours");
}

#[test]
fn a_ledger_is_open_once_by_whatever_name() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = DurableLedger::open(&folder.path().join("ledger")).unwrap();
    let locked = |path: &Path| match DurableLedger::open(path) {
        Err(PersistError::Wal(WalError::Locked { .. })) => (),
        found => panic!("{found:?}"),
    };
    locked(&folder.path().join("ledger"));
    locked(&folder.path().join("ledger/../ledger"));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path().join("ledger"), folder.path().join("name"))
            .unwrap();
        locked(&folder.path().join("name"));
    }
    drop(ledger);
    DurableLedger::open(&folder.path().join("ledger")).unwrap();
}

#[test]
fn a_ledger_made_with_one_file_goes_on_as_it_is_and_never_has_two_logs() {
    let memory = Memory::default();
    let one_file = Path::new("ledger/ledger.log");
    memory.write(one_file, b"");
    let ledger = open(&memory).unwrap();
    open_tenants(&ledger);
    let checkpoint = ledger.checkpoint().unwrap().path;
    assert_eq!(ledger.report().log.path, one_file);
    let state = bytes(&ledger.state().unwrap());
    drop(ledger);
    assert_eq!(bytes(&open(&memory).unwrap().state().unwrap()), state);
    memory.write(Path::new(SEGMENT), b"");
    let error = open(&memory).unwrap_err();
    assert!(matches!(error, PersistError::TwoLogs { .. }), "{error}");
    memory.remove(Path::new(SEGMENT)).unwrap();
    memory.remove(one_file).unwrap();
    let with_head = copy(&memory);
    with_head.remove(&checkpoint).unwrap();
    let error = open(&with_head).unwrap_err();
    let missing = matches!(error, PersistError::Wal(WalError::AcknowledgedMissing { .. }));
    assert!(missing, "not begun anew: {error}");
    assert!(with_head.list(Path::new(LOG)).unwrap().is_empty(), "nothing was begun");
    memory.remove(Path::new("ledger/ledger.log.head")).unwrap();
    let error = open(&memory).unwrap_err();
    assert!(matches!(error, PersistError::LogBehindSnapshot { .. }), "not begun anew: {error}");
}
