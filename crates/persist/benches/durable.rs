//! Throughput of the durable ledger as ratios of two things measured in this run on this disk.
//!
//! `cargo bench -p calybris-persist --bench durable`
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark that cannot run says so and stops"
)]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use calybris_budget::{LedgerOperation, TenantAction};
use calybris_persist::DurableLedger;

const CALLERS: usize = 64;
const ROUND: Duration = Duration::from_millis(700);
const ROUNDS: usize = 7;

fn reserve(caller: usize) -> LedgerOperation {
    let action = TenantAction::Reserve { amount_microcents: 1, deadline: None };
    LedgerOperation::Tenant { tenant: format!("tenant-{caller}"), action, now: 0, key: None }
}

/// Operations per second, in whole numbers.
fn rate(count: u64, elapsed: Duration) -> u64 {
    u64::try_from(u128::from(count) * 1_000_000_000 / elapsed.as_nanos().max(1)).unwrap()
}

/// A loop that writes as many bytes as a record has and syncs them, by `fsync` or by `fdatasync`.
fn bare(folder: &Path, sync: impl Fn(&File) -> std::io::Result<()>) -> u64 {
    let mut file = File::create(folder.join("bare")).unwrap();
    let line = [b'x'; 320];
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < ROUND {
        file.write_all(&line).unwrap();
        sync(&file).unwrap();
        count += 1;
    }
    rate(count, start.elapsed())
}

fn with_callers(folder: &Path, callers: usize) -> u64 {
    let directory = folder.join("ledger");
    let ledger = DurableLedger::open(&directory).unwrap();
    for caller in 0..callers {
        let (tenant, initial_microcents) = (format!("tenant-{caller}"), i64::MAX / 128);
        let open =
            LedgerOperation::Open { tenant, parent: None, initial_microcents, now: 0, key: None };
        ledger.apply(&open).unwrap().unwrap();
    }
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    thread::scope(|scope| {
        for caller in 0..callers {
            let (ledger, stop, count, operation) = (&ledger, &stop, &count, reserve(caller));
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    ledger.apply(&operation).unwrap().unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        thread::sleep(ROUND);
        stop.store(true, Ordering::Relaxed);
    });
    let rate = rate(count.into_inner(), start.elapsed());
    drop(ledger);
    std::fs::remove_dir_all(directory).unwrap();
    rate
}

fn median(mut rates: Vec<u64>) -> u64 {
    rates.sort_unstable();
    rates.get(rates.len() / 2).copied().unwrap_or_else(|| panic!("no round"))
}

fn hundredths(of: u64, base: u64) -> String {
    let ratio = of * 100 / base.max(1);
    format!("{}.{:02}x", ratio / 100, ratio % 100)
}

fn main() {
    let folder = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
    let (mut fsyncs, mut bares) = (Vec::new(), Vec::new());
    let (mut ones, mut many) = (Vec::new(), Vec::new());
    // Interleaved, so that a busy moment of the disk touches all of them.
    for _ in 0..ROUNDS {
        fsyncs.push(bare(folder.path(), File::sync_all));
        bares.push(bare(folder.path(), File::sync_data));
        ones.push(with_callers(folder.path(), 1));
        many.push(with_callers(folder.path(), CALLERS));
    }
    let [fsync, bare, one, many] = [fsyncs, bares, ones, many].map(median);
    let line = |what: &str, rate: u64| {
        let ratios = [fsync, bare].map(|base| hundredths(rate, base));
        println!("{what:<36} {rate:>8} a second {:>8} {:>8}", ratios[0], ratios[1]);
    };
    println!("{:<56} {:>8} {:>8}", "", "fsync", "fdatasync");
    line("write + fsync, one after the other", fsync);
    line("write + fdatasync, one after the other", bare);
    line("durable ledger, 1 caller", one);
    line(&format!("durable ledger, {CALLERS} callers"), many);
}
