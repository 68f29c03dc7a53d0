//! Crash schedules against a simulated disk: `cargo xtask simulate --schedules N --seed S`.
//!
//! Every schedule follows from its seed; a failure names it, and `--seed SEED --schedules 1` repeats it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod disk;
mod every_operation;
mod kept_tail;
mod random;
mod schedule;

use std::sync::atomic::{AtomicU64, Ordering};

/// The slice that every test run does.
const SCHEDULES: u64 = 4_000;

fn main() {
    let number = |name: &str| {
        let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
        arguments.next().map(|text| text.parse::<u64>().unwrap())
    };
    let (first, count) =
        (number("--seed").unwrap_or(1), number("--schedules").unwrap_or(SCHEDULES));
    every_operation::run();
    kept_tail::run();
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut total = schedule::Outcome::default();
    std::thread::scope(|scope| {
        let work = || {
            let mut sum = schedule::Outcome::default();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return sum;
                }
                let seed = first.wrapping_add(index);
                let outcome = std::panic::catch_unwind(|| schedule::run(seed));
                let outcome = outcome.unwrap_or_else(|_| {
                    eprintln!("seed {seed} failed");
                    std::process::exit(1);
                });
                sum.crashes += outcome.crashes;
                sum.errors += outcome.errors;
                sum.tails_cut += outcome.tails_cut;
                sum.retirements += outcome.retirements;
                sum.entries_recovered += outcome.entries_recovered;
                sum.entries_lost_unacknowledged += outcome.entries_lost_unacknowledged;
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let sum = worker.join().unwrap();
            total.crashes += sum.crashes;
            total.errors += sum.errors;
            total.tails_cut += sum.tails_cut;
            total.retirements += sum.retirements;
            total.entries_recovered += sum.entries_recovered;
            total.entries_lost_unacknowledged += sum.entries_lost_unacknowledged;
        }
    });
    println!("{count} schedules from seed {first}: {total:?}");
    // A simulation that never crashes, fails, cuts or loses anything tests nothing.
    assert!(
        count < 1_000
            || ([total.crashes, total.errors, total.tails_cut, total.retirements]
                .iter()
                .all(|seen| *seen > count / 20))
    );
    println!("{count} passed, 0 failed");
}
