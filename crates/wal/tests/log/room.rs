//! Room ahead of the entries.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use calybris_wal::storage::{Change, Memory, Storage as _, Watched};
use calybris_wal::{Verdict, WalOptions, WalWriter, verify_wal, verify_wal_with, visit_wal_with};

const LOG: &str = "log";

/// Bytes of room after the entries of a log that is being written.
fn room(memory: &Memory) -> usize {
    let bytes = memory.read(Path::new(LOG)).unwrap();
    bytes.len() - (bytes.trim_ascii_end().len() + 1)
}

/// What a log holds when the process that writes it is killed now.
fn survivors(memory: &Memory) -> Vec<String> {
    let (copy, mut found) = (Memory::default(), Vec::new());
    for name in memory.list(Path::new("")).unwrap() {
        copy.write(&name, &memory.read(&name).unwrap());
    }
    let options = WalOptions::new().storage(Arc::new(copy));
    drop(WalWriter::<String>::open_with(Path::new(LOG), &options).unwrap());
    visit_wal_with(Path::new(LOG), &options, |entry| found.push(entry.data)).unwrap();
    found
}

/// Room ahead of the entries is there while a log is written, and at no other time.
#[test]
fn room_is_cut_off_before_the_next_segment_and_when_a_log_is_closed_or_opened() {
    let (memory, path) = (Memory::default(), Path::new("log"));
    let options = WalOptions::new().storage(Arc::new(memory.clone()));
    let room = options.clone().segment_bytes(2_000).room_bytes(700);
    let is_cut = |file: &Path| {
        let bytes = memory.read(file).unwrap();
        bytes.trim_ascii_end().len() + 1 == bytes.len()
    };
    let log = WalWriter::<String>::open_with(path, &room).unwrap();
    for number in 0..20 {
        log.append_durable(format!("{number:200}")).unwrap();
    }
    let files = memory.list(path).unwrap();
    let mut segments: Vec<_> = files.into_iter().filter(|it| it.extension().is_some()).collect();
    let last = segments.pop().unwrap();
    assert!(segments.len() > 2 && segments.iter().all(|sealed| is_cut(sealed)));
    assert!(!is_cut(&last), "room for the next entries");
    let left = memory.read(&last).unwrap();
    drop(log);
    assert!(is_cut(&last));
    // As it is found when the process did not get to close it.
    memory.write(&last, &left);
    let log = WalWriter::<String>::open_with(path, &room.room_bytes(0)).unwrap();
    assert_eq!((log.report().verdict, log.report().cut_bytes), (Verdict::Open, 0));
    assert!(is_cut(&last));
    log.append_durable("goes on".into()).unwrap();
    assert!(is_cut(&last));
}

/// Whoever reads beside the writer sees whole lines, and all that was acknowledged before.
#[test]
fn a_reader_beside_a_writer_with_room_sees_everything_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let (path, options) = (directory.path().join("log"), WalOptions::new().room_bytes(64 << 10));
    let log = WalWriter::<String>::open_with(&path, &options).unwrap();
    log.append_durable("x".repeat(900)).unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for _ in 0..20 {
                let acknowledged = log.append_durable("y".repeat(900)).unwrap().sequence;
                let (read, _) = verify_wal(&path).unwrap();
                assert!(read >= acknowledged, "read up to {read} of {acknowledged}");
            }
        });
        while !reader.is_finished() {
            log.append_durable("x".repeat(900)).unwrap();
            thread::sleep(Duration::from_millis(2));
        }
    });
}

/// A disk that has space for the entries and none for room.
#[test]
fn a_disk_that_takes_no_room_takes_every_entry() {
    let (memory, tried) = (Memory::default(), Arc::new(AtomicU32::new(0)));
    let count = Arc::clone(&tried);
    let full = Watched::new(memory.clone(), move |_, change| match change {
        Change::Write { file, bytes, offset } if bytes.starts_with(b"\n") => {
            count.fetch_add(1, Ordering::Relaxed);
            file.write_at(&bytes[..bytes.len() / 2], offset)?;
            Err(io::ErrorKind::StorageFull.into())
        }
        _ => Ok(()),
    });
    let options = WalOptions::new().storage(Arc::new(full)).room_bytes(4_096);
    let log = WalWriter::<String>::open_with(Path::new(LOG), &options).unwrap();
    let mut written = Vec::new();
    for number in 1..=5 {
        written.push(format!("{number:200}"));
        let appended = log.append_durable(written.last().unwrap().clone()).unwrap();
        assert_eq!((appended.sequence, log.durable_sequence()), (number, number));
        assert_eq!((room(&memory), survivors(&memory)), (0, written.clone()));
    }
    assert_eq!(tried.load(Ordering::Relaxed), 1, "asked for again");
}

/// Groups with less room ahead than they need go over its end, and the next sync makes room after them.
#[test]
fn a_group_longer_than_the_room_before_it_is_whole_and_room_follows_it() {
    let memory = Memory::default();
    let options = WalOptions::new().storage(Arc::new(memory.clone())).room_bytes(1_000);
    let log = WalWriter::<String>::open_with(Path::new(LOG), &options).unwrap();
    let mut written = Vec::new();
    // What is written beyond the room is more than the room, as much as, or less.
    for (bytes, left) in [(100, 1_000), (3_000, 0), (100, 1_000), (1_100, 0), (300, 1_000)] {
        written.push("x".repeat(bytes));
        log.append_durable(written.last().unwrap().clone()).unwrap();
        assert_eq!((room(&memory), survivors(&memory)), (left, written.clone()), "{bytes}");
    }
    // Several entries in one sync.
    for bytes in [400, 400, 400] {
        written.push("y".repeat(bytes));
        log.append(written.last().unwrap().clone()).unwrap();
        assert_eq!(survivors(&memory), written);
    }
    log.sync().unwrap();
    assert_eq!((room(&memory), survivors(&memory)), (0, written.clone()));
    drop(log);
    assert_eq!((room(&memory), survivors(&memory)), (0, written));
}

/// A reader waits for a line that is being written over room, and for nothing else.
#[test]
fn a_reader_waits_for_half_a_line_before_room_and_not_for_room() {
    let (memory, path) = (Memory::default(), Path::new(LOG));
    let options = WalOptions::new().storage(Arc::new(memory.clone())).room_bytes(4_096);
    let read = || verify_wal_with(path, &options, None).map(|log| log.sequence);
    let at_most = |longest: Duration, expected: u64| {
        let mut reads = (0..20).map(|_| {
            let start = Instant::now();
            assert_eq!(read().unwrap(), expected);
            start.elapsed()
        });
        assert!(reads.any(|it| it < longest), "every read waits");
    };
    let log = WalWriter::<String>::open_with(path, &options).unwrap();
    at_most(Duration::from_millis(20), 0);
    log.append_durable("first".into()).unwrap();
    let before = memory.read(path).unwrap();
    at_most(Duration::from_millis(20), 1);
    log.append_durable("{\"a\":{}}".repeat(9)).unwrap();
    let whole = memory.read(path).unwrap();
    let (start, end) = (before.trim_ascii_end().len() + 1, whole.trim_ascii_end().len());
    for written in start + 1..end {
        let half = [&whole[..written], &before[written..]].concat();
        memory.write(path, &half);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(2));
                memory.write(path, &whole);
            });
            assert!((1..=2).contains(&read().unwrap()), "{written} bytes of {end}");
        });
    }
}
