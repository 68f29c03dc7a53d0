//! A real process with many writers, killed without warning, again and again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use calybris_wal::{WalOptions, WalWriter, read_verified_wal};

const CHILD_LOG: &str = "CALYBRIS_TEST_LOG_TO_FILL";
/// More on demand; each costs some milliseconds of real syncs.
const KILLS: &str = "CALYBRIS_TEST_KILLS";
const WRITERS: u64 = 64;

/// Appends durably from many threads for ever, and says after each acknowledgement which entry it was.
fn fill(path: &std::path::Path) -> ! {
    let log = WalWriter::<(u64, u64)>::open_with(path, &options(path)).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let log = &log;
            scope.spawn(move || {
                for number in 0.. {
                    let entry = log.append_durable((writer, number)).unwrap();
                    let line = format!("{} {}\n", entry.sequence, entry.entry_hash);
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
    std::process::exit(1)
}

/// A log that is named so is written in segments, a few groups in each.
fn options(path: &std::path::Path) -> WalOptions {
    match path.ends_with("segments") {
        true => WalOptions::new().segment_bytes(64 << 10).room_bytes(16 << 10),
        false => WalOptions::new(),
    }
}

#[test]
fn everything_acknowledged_is_there_after_kill_9() {
    let segments = kill("killed::everything_acknowledged_is_there_after_kill_9", "log");
    assert_eq!(segments, 1);
}

#[test]
fn everything_acknowledged_is_there_after_kill_9_between_segments() {
    let test = "killed::everything_acknowledged_is_there_after_kill_9_between_segments";
    let segments = kill(test, "segments");
    assert!(segments > 2, "{segments} segments: it was never killed near a rotation");
}

/// Kills the child that `test` becomes, checks the log each time, and says how many files it has.
fn kill(test: &str, log: &str) -> u64 {
    if let Some(path) = std::env::var_os(CHILD_LOG) {
        fill(path.as_ref());
    }
    let kills: u64 = std::env::var(KILLS).map_or(8, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(log);
    let mut acknowledged = Vec::new();
    let mut segments = 0;
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD_LOG, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let (mut lines, mut line) = (Vec::new(), String::new());
            while output.read_line(&mut line).unwrap_or(0) > 0 && line.ends_with('\n') {
                lines.push(std::mem::take(&mut line));
            }
            lines
        });
        std::thread::sleep(Duration::from_millis(60 + kill * 7 % 50));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in reader.join().unwrap() {
            let mut words = line.split_whitespace();
            let (Some(sequence), Some(hash)) = (words.next(), words.next()) else { continue };
            // The test harness of the child prints lines of its own.
            if let Ok(sequence) = sequence.parse::<usize>() {
                acknowledged.push((sequence, hash.to_owned()));
            }
        }
        let log = WalWriter::<(u64, u64)>::open_with(&path, &options(&path)).unwrap();
        segments = log.report().segments;
        drop(log);
        let entries = read_verified_wal::<(u64, u64)>(&path).unwrap();
        for (sequence, hash) in &acknowledged {
            assert_eq!(entries.get(sequence - 1).unwrap().entry_hash, *hash);
        }
    }
    assert!(acknowledged.len() as u64 > kills, "the child was killed before it did anything");
    let count = acknowledged.len();
    eprintln!("{kills} kills, {count} acknowledged entries in {segments} files, none lost");
    segments
}
