//! The writer: one at a time, shared by threads, refusing after a failure, never on a half line.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use crate::common::{lines, log_of};
use calybris_wal::storage::Memory;
use calybris_wal::{WalError, WalOptions, WalWriter, read_verified_wal, verify_wal};
use serde_json::value::RawValue;

#[test]
fn a_second_writer_in_this_process_is_refused_until_the_first_is_gone() {
    let (_directory, path) = log_of(1);
    let first = WalWriter::<u64>::open(&path).unwrap();
    let error = WalWriter::<u64>::open(&path).unwrap_err();
    assert!(matches!(&error, WalError::Locked { path: locked } if *locked == path), "{error}");
    first.append(2).unwrap();
    drop(first);
    assert_eq!(WalWriter::<u64>::open(&path).unwrap().sequence(), 2);
}

const CHILD_LOG: &str = "CALYBRIS_TEST_LOG_TO_OPEN";

#[test]
fn a_second_writer_in_another_process_is_refused() {
    if let Some(path) = std::env::var_os(CHILD_LOG) {
        let refused = matches!(WalWriter::<u64>::open(path.as_ref()), Err(WalError::Locked { .. }));
        std::process::exit(if refused { 23 } else { 0 });
    }
    let (_directory, path) = log_of(1);
    let open_elsewhere = || {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "writer::a_second_writer_in_another_process_is_refused"]);
        // Nothing the lock could depend on is left in the environment.
        child.env_clear().env(CHILD_LOG, &path).output().unwrap().status.code()
    };
    let writer = WalWriter::<u64>::open(&path).unwrap();
    assert_eq!(open_elsewhere(), Some(23));
    drop(writer);
    assert_eq!(open_elsewhere(), Some(0));
}

#[test]
fn a_last_line_without_newline_is_ended_before_the_next_entry() {
    let (_directory, path) = log_of(3);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.trim_end()).unwrap();
    assert_eq!(verify_wal(&path).unwrap().0, 3);
    let log = WalWriter::<u64>::open(&path).unwrap();
    log.append(4_000).unwrap();
    drop(log);
    assert_eq!(lines(&path).len(), 4);
    assert_eq!(verify_wal(&path).unwrap().0, 4);
}

#[test]
fn buffered_entries_reach_the_file_when_flushed_full_or_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log =
        WalWriter::<String>::open_with(&path, &WalOptions::new().buffer_bytes(1_000)).unwrap();
    log.append("a".into()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    log.flush().unwrap();
    assert_eq!(lines(&path).len(), 1);
    log.append("b".into()).unwrap();
    log.append("c".repeat(1_000)).unwrap();
    assert_eq!(lines(&path).len(), 3);
    log.append("d".into()).unwrap();
    drop(log);
    assert_eq!(verify_wal(&path).unwrap().0, 4);
}

#[test]
fn threads_share_a_writer_and_their_entries_are_chained_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = WalWriter::<(u64, u64)>::open(&path).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let log = &log;
            scope.spawn(move || {
                for number in 0..50 {
                    let entry = log.append_durable((thread, number)).unwrap();
                    assert!(log.durable_sequence() >= entry.sequence);
                }
            });
        }
    });
    let entries = read_verified_wal::<(u64, u64)>(&path).unwrap();
    for thread in 0..8 {
        let numbers = entries.iter().filter(|entry| entry.data.0 == thread);
        assert!(numbers.map(|entry| entry.data.1).eq(0..50));
    }
    assert_eq!(log.durable_sequence(), 400);
}

#[test]
fn a_payload_that_spans_lines_is_refused_and_the_log_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = WalWriter::<Box<RawValue>>::open(&path).unwrap();
    let spread = RawValue::from_string("{\n}".into()).unwrap();
    assert!(matches!(log.append(spread), Err(WalError::Unwritable { .. })));
    log.append(RawValue::from_string("{}".into()).unwrap()).unwrap();
    assert_eq!(verify_wal(&path).unwrap().0, 1);
}

#[test]
fn a_log_moved_removed_replaced_or_cut_under_the_writer_is_noticed() {
    type Act = fn(&std::path::Path);
    let acts: [Act; 4] = [
        |path| fs::rename(path, path.with_extension("moved")).unwrap(),
        |path| fs::remove_file(path).unwrap(),
        |path| {
            let copy = fs::read(path).unwrap();
            fs::remove_file(path).unwrap();
            fs::write(path, copy).unwrap();
        },
        |path| fs::write(path, "").unwrap(),
    ];
    for act in acts {
        let (_directory, path) = log_of(2);
        let log = WalWriter::<u64>::open(&path).unwrap();
        log.append(3).unwrap();
        act(&path);
        assert!(matches!(log.append(4), Err(WalError::Displaced { .. })));
        assert!(matches!(log.append(5), Err(WalError::Poisoned { .. })));
        assert!(matches!(log.enqueue(&6), Err(WalError::Poisoned { .. })));
        assert!(matches!(log.sync(), Err(WalError::Poisoned { .. })));
        assert!(matches!(log.retire_before(2), Err(WalError::Poisoned { .. })));
    }
}

#[test]
fn a_log_in_memory_behaves_like_one_in_a_file() {
    let memory = Memory::default();
    let options = WalOptions::new().storage(Arc::new(memory.clone())).sync_on_append(true);
    let path = std::path::Path::new("log");
    let log = WalWriter::<u64>::open_with(path, &options).unwrap();
    log.append(1_000).unwrap();
    assert!(matches!(WalWriter::<u64>::open_with(path, &options), Err(WalError::Locked { .. })));
    drop(log);
    let (_directory, file) = log_of(1);
    assert_eq!(memory.read(path).unwrap(), fs::read(file).unwrap());
    assert_eq!(WalWriter::<u64>::open_with(path, &options).unwrap().sequence(), 1);
}

/// `mount` needs privileges; elsewhere the failing storage of the fault tests stands for a full disk.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_leaves_an_openable_log_and_a_refusing_writer() {
    let directory = tempfile::tempdir().unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(directory.path());
    if !mount.output().is_ok_and(|output| output.status.success()) {
        eprintln!("no right to mount: not tried");
        return;
    }
    let path = directory.path().join("log");
    let log = WalWriter::<String>::open(&path).unwrap();
    let mut written = 0;
    let error = loop {
        match log.append("x".repeat(1_500)) {
            Ok(entry) => written = entry.sequence,
            Err(error) => break error,
        }
    };
    let again = log.append("y".into());
    drop(log);
    let verified = verify_wal(&path).map(|(sequence, _)| sequence);
    let reopened = WalWriter::<String>::open(&path).map(|log| log.sequence());
    assert!(Command::new("umount").arg(directory.path()).status().unwrap().success());
    assert!(matches!(error, WalError::Io { operation: "write", .. }), "{error}");
    assert!(matches!(again, Err(WalError::Poisoned { .. })));
    assert!(written > 10);
    assert_eq!((verified.unwrap(), reopened.unwrap()), (written, written));
}
