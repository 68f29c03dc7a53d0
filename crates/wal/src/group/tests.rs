//! How long a leader waits for those who are missing, and who is counted as one of them.

use std::time::Duration;

use super::{Goal, Last};
use crate::WalWriter;

fn patience(callers: u64, group: u64) -> Duration {
    Last { callers, time: Duration::from_millis(64) }.patience(group)
}

#[test]
fn one_caller_alone_waits_for_nobody() {
    // The second of a pair is 0 if the caller's entry was flushed before it is synced.
    for (callers, group) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 1_000)] {
        assert_eq!(patience(callers, group), Duration::ZERO, "{group} after {callers}");
    }
}

#[test]
fn a_leader_waits_in_proportion_to_how_many_are_missing() {
    for (callers, group, millis) in [(64, 0, 32), (64, 1, 31), (64, 32, 16), (64, 62, 1)] {
        assert_eq!(patience(callers, group), Duration::from_millis(millis), "{group} of {callers}");
    }
    // With all of them back and more, there may still be one more to come.
    for (callers, group) in [(64, 63), (64, 64), (64, 1_000), (2, 2)] {
        assert_eq!(patience(callers, group), Duration::from_millis(1), "{group} of {callers}");
    }
}

#[test]
fn no_number_is_too_large() {
    let last = Last { callers: u64::MAX, time: Duration::MAX };
    assert!(last.patience(0) <= last.time);
    assert_eq!(Last { time: Duration::ZERO, ..last }.patience(1), Duration::ZERO);
}

#[test]
fn a_caller_with_many_entries_is_one_caller() {
    let directory = tempfile::tempdir().unwrap();
    let log = WalWriter::<u32>::open(&directory.path().join("log")).unwrap();
    (0..9).for_each(|_| _ = log.group.chain(b"1").unwrap());
    log.group.reach(Goal::Durable(9)).unwrap();
    assert_eq!(log.group.progress.woken(), 1);
}
