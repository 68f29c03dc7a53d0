//! A directory that somebody meddled with, by mistake or on purpose: refused, and nothing removed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use calybris_wal::storage::{Change, Files, Memory, Storage as _, Watched};
use calybris_wal::{
    EntryFault, Ticket, WalAnchor, WalError, WalOptions, WalWriter, find_wal_with, verify_wal_with,
    visit_wal_with,
};

use crate::common::{KEY, fault};

const LOG: &str = "dir/log";

type Trace = Arc<Mutex<Vec<String>>>;

/// Storage that keeps a trace of what changes names.
fn traced(memory: &Memory) -> (Watched, Trace) {
    let trace = Trace::default();
    let noted = Arc::clone(&trace);
    let storage = Watched::new(memory.clone(), move |path, change| {
        let what = match change {
            Change::Open => "open",
            Change::Rename(_) => "rename",
            Change::Remove => "remove",
            Change::CreateDirectory => "create",
            Change::SyncDirectory => "sync",
            _ => return Ok(()),
        };
        noted.lock().unwrap().push(format!("{what} {}", path.display()));
        Ok(())
    });
    (storage, trace)
}

fn path(log: &str, first: u64) -> PathBuf {
    Path::new(log).join(format!("{first:020}.log"))
}

fn payload(log: &str, number: u64) -> String {
    format!("{log} {number} {}", "x".repeat(80))
}

/// A log with two entries in each segment.
fn log_of(log: &str, entries: u64, options: &WalOptions) -> WalWriter<String> {
    let writer = WalWriter::open_with(Path::new(log), options).unwrap();
    (1..=entries).for_each(|number| drop(writer.append_durable(payload(log, number)).unwrap()));
    writer
}

fn options(memory: &Memory) -> WalOptions {
    WalOptions::new().storage(Arc::new(memory.clone())).segment_bytes(600)
}

fn contents(memory: &Memory, folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = memory.list(Path::new(folder)).unwrap();
    paths.into_iter().map(|path| (path.clone(), memory.read(&path).unwrap())).collect()
}

fn refused(options: &WalOptions) -> WalError {
    WalWriter::<String>::open_with(Path::new(LOG), options).map(drop).unwrap_err()
}

#[test]
fn a_directory_without_segments_is_refused_with_what_was_looked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let what = "no name of 20 digits and .log, such as 00000000000000000001.log";
    let expected = format!("cannot find a segment in {}: {what}", path.display());
    let inspected = calybris_wal::inspect(path, &calybris_wal::WalOptions::new()).unwrap_err();
    let verified = calybris_wal::verify_wal(path).unwrap_err();
    assert_eq!([inspected.to_string(), verified.to_string()], [expected.clone(), expected]);
}

#[test]
fn the_record_of_another_log_removes_nothing() {
    for (key, entries) in [(None, 4), (None, 8), (Some(&KEY), 7), (Some(&KEY), 8)] {
        let memory = Memory::default();
        let mut options = options(&memory);
        if let Some(key) = key {
            options = options.key(key);
        }
        drop(log_of(LOG, entries, &options));
        log_of("other", 10, &options).retire_before(9).unwrap().unwrap();
        let record = memory.read(Path::new("other/retired")).unwrap();
        memory.write(&Path::new(LOG).join("retired"), &record);
        let (before, head) = (contents(&memory, LOG), Path::new(LOG).join("head"));
        let own_head = memory.read(&head).unwrap();
        for other_head in [&own_head, &memory.read(Path::new("other/head")).unwrap()] {
            memory.write(&head, other_head);
            let reading = verify_wal_with(Path::new(LOG), &options, None).unwrap_err();
            for error in [refused(&options), reading] {
                assert_eq!(fault(error), (9, EntryFault::SegmentMissing));
            }
        }
        memory.write(&head, &own_head);
        assert_eq!(contents(&memory, LOG), before, "nothing was touched");
        // Without the record it is the log that it was.
        memory.remove(&Path::new(LOG).join("retired")).unwrap();
        let log = WalWriter::<String>::open_with(Path::new(LOG), &options).unwrap();
        assert_eq!(log.sequence(), entries);
    }
}

#[test]
fn a_log_whose_segments_are_all_gone_is_refused_without_beginning_another() {
    let memory = Memory::default();
    drop(log_of(LOG, 4, &options(&memory)));
    [1, 3].iter().for_each(|first| memory.remove(&path(LOG, *first)).unwrap());
    let before = contents(&memory, LOG);
    assert!(matches!(refused(&options(&memory)), WalError::AcknowledgedMissing { durable: 4, .. }));
    assert_eq!(contents(&memory, LOG), before);
}

#[test]
fn a_file_that_is_named_after_no_entry_is_somebody_elses() {
    let memory = Memory::default();
    drop(log_of(LOG, 4, &options(&memory)));
    for name in [0.to_string(), "+1".into(), u128::MAX.to_string()] {
        let foreign = Path::new(LOG).join(format!("{name:0>20}.log"));
        memory.write(&foreign, b"somebody else's");
        drop(WalWriter::<String>::open_with(Path::new(LOG), &options(&memory)).unwrap());
        assert_eq!(memory.read(&foreign).unwrap(), b"somebody else's");
    }
}

#[test]
fn a_segment_is_not_written_to_as_a_log_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let options = WalOptions::new().segment_bytes(600);
    let writer = WalWriter::<u64>::open_with(&log, &options).unwrap();
    writer.append_durable(1).unwrap();
    let segment = path(log.to_str().unwrap(), 1);
    let error = WalWriter::<u64>::open(&segment).map(drop).unwrap_err();
    assert!(matches!(error, WalError::OneSegment { .. }), "{error}");
    writer.append_durable(2).unwrap();
    // A copy elsewhere is a log like any other.
    let copy = path(folder.path().to_str().unwrap(), 1);
    std::fs::copy(&segment, &copy).unwrap();
    assert_eq!(WalWriter::<u64>::open(&copy).unwrap().sequence(), 2);
}

#[test]
fn a_reader_of_entries_minds_the_anchor() {
    let memory = Memory::default();
    let options = options(&memory);
    let log = log_of(LOG, 4, &options);
    let visit = |anchor| {
        let options = options.clone().anchor(anchor);
        visit_wal_with::<String, _>(Path::new(LOG), &options, drop)
    };
    visit(log.anchor()).unwrap();
    let forged = WalAnchor::new(2, [9; 32].into(), false).unwrap();
    assert!(matches!(fault(visit(forged).unwrap_err()), (2, EntryFault::Anchor { .. })));
    let later = WalAnchor::new(5, [9; 32].into(), false).unwrap();
    assert!(matches!(
        visit(later).unwrap_err(),
        WalError::BelowAnchor { found: 4, expected: 5, .. }
    ));
    let found = find_wal_with::<String, _>(Path::new(LOG), &options.anchor(later), |_| true);
    assert!(matches!(found, Err(WalError::BelowAnchor { .. })));
}

#[test]
fn the_ticket_of_another_log_is_refused_not_waited_for() {
    let memory = Memory::default();
    let log = log_of(LOG, 1, &options(&memory));
    let foreign = Ticket { sequence: 2, entry_hash: log.last_hash() };
    let error = log.wait_durable(foreign).unwrap_err();
    assert!(matches!(error, WalError::ForeignTicket { sequence: 2, head: 1, .. }), "{error}");
    let ticket = log.enqueue(&"two".into()).unwrap();
    log.wait_durable(ticket).unwrap();
    log.wait_durable(foreign).unwrap();
}

/// What a real folder can hold in the place of a file.
#[cfg(unix)]
#[test]
fn directories_and_links_in_the_place_of_files_are_refused_or_followed() {
    for name in ["lock", "head", "retired", "00000000000000000003.log", "00000000000000000001.log"]
    {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let options = WalOptions::new().segment_bytes(600).storage(Arc::new(Files));
        let writer = WalWriter::<String>::open_with(&log, &options).unwrap();
        (1..=4).for_each(|number| drop(writer.append_durable(payload(LOG, number)).unwrap()));
        drop(writer);
        let file = log.join(name);
        let elsewhere = folder.path().join("elsewhere");
        let was_there = std::fs::rename(&file, &elsewhere).is_ok();
        std::fs::create_dir(&file).unwrap();
        let error = WalWriter::<String>::open_with(&log, &options).map(drop).unwrap_err();
        assert!(matches!(error, WalError::Io { .. }), "{name}: {error}");
        std::fs::remove_dir(&file).unwrap();
        if was_there {
            std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        }
        let writer = WalWriter::<String>::open_with(&log, &options).unwrap();
        assert_eq!(writer.append_durable(payload(LOG, 5)).unwrap().sequence, 5, "{name}");
    }
}

#[test]
fn a_retirement_makes_names_durable_in_the_order_they_rely_on_each_other() {
    let memory = Memory::default();
    let (storage, trace) = traced(&memory);
    let log = log_of("log", 4, &options(&memory).storage(Arc::new(storage)));
    trace.lock().unwrap().clear();
    log.retire_before(3).unwrap().unwrap();
    let first = path("log", 1);
    // Before the record counts, the segment that follows is durable; before anything goes, the record is.
    let expected = [
        "sync log",
        "open log/retired.new",
        "rename log/retired",
        "sync log",
        &format!("remove {}", first.display()),
        "sync log",
    ];
    assert_eq!(*trace.lock().unwrap(), expected);
}

#[cfg(feature = "archive")]
mod archive {
    //! An archive that is not what it should be.

    use super::*;

    #[test]
    fn what_another_log_archived_is_not_replaced() {
        let memory = Memory::default();
        let options = options(&memory).archive(Path::new("archive"));
        log_of("other", 4, &options).retire_before(3).unwrap().unwrap();
        let (archived, log) = (contents(&memory, "archive"), log_of(LOG, 4, &options));
        let before = contents(&memory, LOG);
        let error = log.retire_before(3).unwrap_err();
        assert!(matches!(fault(error), (1, EntryFault::Archive { .. })));
        assert_eq!((contents(&memory, "archive"), contents(&memory, LOG)), (archived, before));
    }

    #[test]
    fn what_changes_between_verifying_and_archiving_is_not_retired() {
        let memory = Memory::default();
        let meddled = memory.clone();
        let storage = Watched::new(memory.clone(), move |path, change| {
            if matches!(change, Change::Open) && path.ends_with("00000000000000000001.log.gz.new") {
                let segment = super::path("log", 1);
                let mut bytes = meddled.read(&segment).unwrap();
                let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
                bytes.truncate(end + 1);
                meddled.write(&segment, &bytes);
            }
            Ok(())
        });
        let options = options(&memory).storage(Arc::new(storage));
        let log = log_of("log", 4, &options.archive(Path::new("archive")));
        let error = log.retire_before(3).unwrap_err();
        assert!(matches!(fault(error), (_, EntryFault::Archive { .. })));
        assert!(memory.read(Path::new("log/retired")).is_none());
    }

    #[test]
    fn the_folders_own_name_is_durable_before_the_record() {
        let memory = Memory::default();
        let (storage, trace) = traced(&memory);
        let options = options(&memory).storage(Arc::new(storage));
        let log = log_of("log", 4, &options.archive(Path::new("deep/new/archive")));
        trace.lock().unwrap().clear();
        log.retire_before(3).unwrap().unwrap();
        let trace = trace.lock().unwrap();
        let expected = ["create deep/new/archive", "sync deep/new", "sync deep", "sync ."];
        assert_eq!(trace[..4], expected);
        let renamed = format!("rename {}.gz", super::path("deep/new/archive", 1).display());
        let of = |what: &str| trace.iter().position(|step| step == what).unwrap();
        assert!(of(&renamed) < of("sync deep/new/archive"));
        assert!(of("sync deep/new/archive") < of("rename log/retired"));
    }
}
