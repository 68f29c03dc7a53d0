//! Ratios between two ways of doing the same work, measured in turns in one process.

pub mod ceiling;
pub mod families;
pub mod groups;

use std::time::{Duration, Instant};

/// Runs both in turns, `rounds` times, and gives the median time of each.
pub fn medians(
    rounds: usize,
    mut one: impl FnMut() -> Duration,
    mut other: impl FnMut() -> Duration,
) -> (Duration, Duration) {
    let mut times: (Vec<_>, Vec<_>) = (0..rounds).map(|_| (one(), other())).unzip();
    times.0.sort();
    times.1.sort();
    (times.0[rounds / 2], times.1[rounds / 2])
}

/// How long `work` takes.
pub fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// One line of the report: what, how many times faster `ours` is, and both times per operation.
pub fn report(what: &str, operations: u64, ours: Duration, theirs: Duration) {
    let per = |time: Duration| time.as_nanos() as f64 / operations as f64;
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    println!("{what:<58} {ratio:>7.1}x   {:>10.1} ns against {:>10.1} ns", per(ours), per(theirs));
}
