//! Room ahead of the entries.

use std::path::Path;
use std::sync::Arc;

use calybris_wal::storage::{Memory, Storage as _};
use calybris_wal::{Verdict, WalOptions, WalWriter, verify_wal};

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
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for _ in 0..20 {
                let acknowledged = log.append_durable("y".repeat(900)).unwrap().sequence;
                let (read, _) = verify_wal(&path).unwrap();
                assert!(read >= acknowledged, "read up to {read} of {acknowledged}");
            }
        });
        while !reader.is_finished() {
            log.append_durable("x".repeat(900)).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    });
}
