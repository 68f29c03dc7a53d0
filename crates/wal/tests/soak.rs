//! A log at work for as long as asked, `cargo xtask soak --minutes N`: writers, rotation, retention and a reader
//! in another process, with the memory of both processes watched. Every test run does a few seconds of it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use calybris_wal::{WalError, WalOptions, WalWriter, verify_wal_with, visit_wal_with};

const WRITERS: u64 = 8;
const SEGMENT_BYTES: u64 = 1 << 20;
const KEPT_ENTRIES: u64 = 20_000;
/// What the processes may grow by between the second and the last quarter of the time.
const GROWTH_KIB: u64 = 8 << 10;
const SLICE: Duration = Duration::from_secs(4);

fn main() {
    let argument = |name: &str| {
        let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
        arguments.next()
    };
    if let Some(path) = argument("--read") {
        return read(path.as_ref());
    }
    let minutes = argument("--minutes").map(|text| text.parse::<u64>().unwrap());
    soak(minutes.map_or(SLICE, |minutes| Duration::from_secs(60 * minutes)));
}

fn options() -> WalOptions {
    WalOptions::new().key(&[7; 32]).segment_bytes(SEGMENT_BYTES).room_bytes(SEGMENT_BYTES / 4)
}

/// Resident memory of this process, 0 where the system does not say.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Verifies and visits the log again and again until its input ends; a line for each time.
fn read(path: &Path) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::stdin().read(&mut [0]);
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            let mut next = None;
            let visited = visit_wal_with::<(u64, String), _>(path, &options(), |entry| {
                assert!(next.is_none_or(|next| next == entry.sequence));
                next = Some(entry.sequence + 1);
            });
            let verified = verify_wal_with(path, &options(), None).map(drop);
            let mut retired = 0;
            for outcome in [visited, verified] {
                match outcome {
                    Ok(()) => {}
                    Err(WalError::Retired { .. }) => retired += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            println!("{retired} {}", resident_kib());
        }
    });
}

/// The largest sample of the second quarter of the time, and of the last.
fn before_and_after(samples: &[u64]) -> (u64, u64) {
    let quarter = samples.len() / 4;
    let largest = |start: usize| samples.iter().skip(start).take(quarter).max().copied().unwrap();
    (largest(quarter), largest(samples.len() - quarter))
}

fn soak(time: Duration) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = WalWriter::<(u64, String)>::open_with(&path, &options()).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("--read")
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let start = Instant::now();
    let kept = if time > SLICE { KEPT_ENTRIES } else { KEPT_ENTRIES / 20 };
    let running = || start.elapsed() < time;
    let (samples, retired, reads) = std::thread::scope(|scope| {
        let reads = scope.spawn(|| {
            let numbers = |line: String| {
                let mut words = line.split(' ').map(|word| word.parse::<u64>().unwrap());
                (words.next().unwrap(), words.next().unwrap())
            };
            output.lines().map(|line| numbers(line.unwrap())).collect::<Vec<_>>()
        });
        for writer in 0..WRITERS {
            let log = &log;
            scope.spawn(move || {
                while running() {
                    log.append_durable((writer, "x".repeat(1_000))).unwrap();
                }
            });
        }
        let (mut samples, mut retired) = (Vec::new(), 0);
        while running() {
            std::thread::sleep(Duration::from_millis(100));
            let before = log.sequence().saturating_sub(kept);
            let done = log.retire_before(before).unwrap();
            retired += done.map_or(0, |done| done.segments);
            samples.push(resident_kib());
        }
        drop(child.stdin.take());
        (samples, retired, reads.join().unwrap())
    });
    assert!(child.wait().unwrap().success(), "the reader refused the log");
    let (entries, head) = (log.sequence(), log.last_hash());
    drop(log);
    let rest = verify_wal_with(&path, &options(), None).unwrap();
    assert_eq!((rest.sequence, rest.last_hash), (entries, head));
    let (writer, reader) = (
        before_and_after(&samples),
        before_and_after(&reads.iter().map(|read| read.1).collect::<Vec<_>>()),
    );
    let met: u64 = reads.iter().map(|read| read.0).sum();
    let summary = format!(
        "soak: {} s, {entries} durable entries, {retired} segments retired and {} left, {} reads in another process, {met} of \
         them ended by a retirement; resident KiB in the second and last quarter: writer {} and {}, reader {} and {}",
        time.as_secs(),
        rest.segments,
        2 * reads.len(),
        writer.0,
        writer.1,
        reader.0,
        reader.1,
    );
    println!("{summary}");
    assert!(retired > 0 && reads.len() > 3, "too little happened");
    for (before, after) in [writer, reader] {
        assert!(after <= before + GROWTH_KIB, "memory grows");
    }
    println!("1 passed, 0 failed");
}
