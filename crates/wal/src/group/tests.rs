//! How long a leader waits for those who are missing.

use std::time::Duration;

use super::Last;

fn patience(entries: u64, group: u64) -> Duration {
    Last { entries, time: Duration::from_millis(64) }.patience(group)
}

#[test]
fn one_caller_alone_waits_for_nobody() {
    // The second of a pair is 0 if the caller's entry was flushed before it is synced.
    for (entries, group) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        assert_eq!(patience(entries, group), Duration::ZERO, "{group} after {entries}");
    }
}

#[test]
fn a_leader_waits_in_proportion_to_how_many_are_missing() {
    for (entries, group, millis) in [(64, 0, 32), (64, 1, 31), (64, 32, 16), (64, 62, 1)] {
        assert_eq!(patience(entries, group), Duration::from_millis(millis), "{group} of {entries}");
    }
    // With all of them back and more, or nobody to compare with, there may still be one more to come.
    for (entries, group) in [(64, 63), (64, 64), (64, 1_000), (1, 2), (0, 2), (2, 2)] {
        assert_eq!(patience(entries, group), Duration::from_millis(1), "{group} of {entries}");
    }
}

#[test]
fn no_number_is_too_large() {
    let last = Last { entries: u64::MAX, time: Duration::MAX };
    assert!(last.patience(0) <= last.time);
    assert_eq!(Last { time: Duration::ZERO, ..last }.patience(1), Duration::ZERO);
}
