//! One fixed piece of work with rotations and a retirement, every fault at every operation of it, and a crash
//! at every operation of the opening that follows.

use std::path::Path;
use std::sync::Arc;

use calybris_wal::{WalError, WalOptions, WalWriter, visit_wal_with};

use crate::disk::{Disk, Fault};

const LOG: &str = "dir/log";

/// What happens after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// The process goes on as far as it can.
    GoOn,
    /// It ends.
    Stop,
    /// The machine goes down with it.
    Restart,
}

/// What the work came to before it failed.
#[derive(Default)]
struct Seen {
    acknowledged: u64,
    retired: u64,
}

/// # Panics
/// When a fault loses what was acknowledged, brings back what was retired, or makes the log unopenable.
pub(crate) fn run() {
    let after = [
        (Fault::Crash, After::Restart),
        (Fault::Error, After::GoOn),
        (Fault::Error, After::Stop),
        (Fault::Error, After::Restart),
        (Fault::Full, After::GoOn),
        (Fault::Full, After::Stop),
    ];
    for (fault, after) in after {
        for room_bytes in [0, 400] {
            at_each(fault, after, room_bytes);
        }
    }
}

fn at_each(fault: Fault, after: After, room_bytes: u64) {
    let (mut operation, mut failed, mut crashes) = (0, true, 0);
    while failed {
        operation += 1;
        let mut opening = 0;
        let mut crashed = true;
        while crashed {
            opening += 1;
            (failed, crashed) = fail(operation, fault, after, opening, room_bytes);
            crashes += u64::from(crashed);
        }
    }
    println!(
        "{fault:?} at each of {} operations with {room_bytes} bytes of room, then {after:?}, and {crashes} crashes \
         while opening",
        operation - 1
    );
    assert!(operation > 60, "the work is smaller than it was meant to be");
}

/// Does the work with a fault at one operation, and a crash at one of the opening after it; false where the
/// one or the other ended before that.
fn fail(operation: u64, fault: Fault, after: After, opening: u64, room_bytes: u64) -> (bool, bool) {
    let disk = Disk::new(operation * 100 + opening);
    let options = WalOptions::new().storage(Arc::new(disk.clone())).key(&[7; 32]);
    let options = options.segment_bytes(700).room_bytes(room_bytes);
    #[cfg(feature = "archive")]
    let options = options.archive(Path::new("archive"));
    disk.plan(operation, fault);
    let mut seen = Seen::default();
    let _ = work(&options, &mut seen, after == After::GoOn);
    let failed = disk.operations() >= operation;
    if after == After::Restart {
        disk.restart();
    }
    disk.forget_plan();
    disk.plan(disk.operations() + opening, Fault::Crash);
    let _ = WalWriter::<u64>::open_with(Path::new(LOG), &options);
    let crashed = disk.has_crashed();
    if crashed {
        disk.restart();
    }
    disk.forget_plan();
    check(&options, &seen, &format!("{fault:?} at operation {operation}, crash at {opening}"));
    (failed, crashed)
}

/// Three rotations, a retirement of two segments, another rotation. A retirement that fails need not end it.
fn work(options: &WalOptions, seen: &mut Seen, goes_on: bool) -> Result<(), WalError> {
    let log = WalWriter::<u64>::open_with(Path::new(LOG), options)?;
    for number in 1..=12 {
        seen.acknowledged = log.append_durable(number)?.sequence;
    }
    match log.retire_before(9) {
        Ok(done) => seen.retired = done.map_or(0, |done| done.sequence),
        Err(error) if !goes_on => return Err(error),
        Err(_) => {}
    }
    for number in 13..=18 {
        seen.acknowledged = log.append_durable(number)?.sequence;
    }
    Ok(())
}

fn check(options: &WalOptions, seen: &Seen, what: &str) {
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
