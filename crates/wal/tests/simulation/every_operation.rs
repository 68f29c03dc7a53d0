//! One fixed piece of work with rotations and a retirement, and every fault at every operation of it.

use std::path::Path;
use std::sync::Arc;

use calybris_wal::{WalError, WalOptions, WalWriter, visit_wal_with};

use crate::disk::{Disk, Fault};

const LOG: &str = "dir/log";

/// What the work came to before it failed.
#[derive(Default)]
struct Seen {
    acknowledged: u64,
    retired: u64,
}

/// # Panics
/// When a fault loses what was acknowledged, brings back what was retired, or makes the log unopenable.
pub(crate) fn run() {
    for (fault, restarts) in
        [(Fault::Crash, true), (Fault::Error, false), (Fault::Error, true), (Fault::Full, false)]
    {
        let (mut operation, mut failed) = (0, true);
        while failed {
            operation += 1;
            failed = fail(operation, fault, restarts);
        }
        println!("{fault:?} at each of {} operations, restarted: {restarts}", operation - 1);
        assert!(operation > 60, "the work is smaller than it was meant to be");
    }
}

/// Does the work with a fault at one operation; false if it ended before that.
fn fail(operation: u64, fault: Fault, restarts: bool) -> bool {
    let disk = Disk::new(operation);
    let options =
        WalOptions::new().storage(Arc::new(disk.clone())).key(&[7; 32]).segment_bytes(700);
    #[cfg(feature = "archive")]
    let options = options.archive(Path::new("archive"));
    disk.plan(operation, fault);
    let mut seen = Seen::default();
    let _ = work(&options, &mut seen);
    let failed = disk.operations() >= operation;
    if restarts {
        disk.restart();
    }
    disk.forget_plan();
    check(&options, &seen, operation, fault);
    failed
}

/// Three rotations, a retirement of two segments, another rotation. A retirement that fails does not end it.
fn work(options: &WalOptions, seen: &mut Seen) -> Result<(), WalError> {
    let log = WalWriter::<u64>::open_with(Path::new(LOG), options)?;
    for number in 1..=12 {
        seen.acknowledged = log.append_durable(number)?.sequence;
    }
    if let Ok(Some(done)) = log.retire_before(9) {
        seen.retired = done.sequence;
    }
    for number in 13..=18 {
        seen.acknowledged = log.append_durable(number)?.sequence;
    }
    Ok(())
}

fn check(options: &WalOptions, seen: &Seen, operation: u64, fault: Fault) {
    let what = format!("{fault:?} at operation {operation}");
    let log = WalWriter::<u64>::open_with(Path::new(LOG), options)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let (after, sequence) = (log.report().after, log.sequence());
    assert!(seen.acknowledged <= sequence && seen.retired <= after, "{what}: {after} {sequence}");
    assert!(after == 0 || seen.acknowledged > after, "{what}: retired more than was asked for");
    log.append_durable(sequence + 1).unwrap_or_else(|error| panic!("{what}: {error}"));
    let more = log.retire_before(sequence).unwrap_or_else(|error| panic!("{what}: {error}"));
    let after = more.map_or(after, |done| done.sequence);
    drop(log);
    let mut found = Vec::new();
    visit_wal_with::<u64, _>(Path::new(LOG), options, |entry| found.push(entry.data))
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let first = if cfg!(feature = "archive") { 1 } else { after + 1 };
    assert!(found.iter().copied().eq(first..=sequence + 1), "{what}: {found:?}");
}
