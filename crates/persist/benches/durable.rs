//! Throughput of the durable ledger as ratios of two things measured in this run on this disk, and on the same disk made
//! slower: every sync, of the ledger and of the loops it is held against, then takes a stated time more, as on a volume
//! behind a network.
//!
//! `cargo bench -p calybris-persist --features async --bench durable [EXTRA_MICROSECONDS]... [room]`, all of them without
//! any; with `room`, the ledger's log has 1 MiB of it made ahead.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark that cannot run says so and stops"
)]

use std::fs::File;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use calybris_budget::{LedgerOperation, TenantAction};
use calybris_persist::{DurableLedger, DurableOptions};
use calybris_wal::storage::{Change, Files, Watched};

const CALLERS: usize = 64;
const ROUND: Duration = Duration::from_millis(350);
const ROUNDS: usize = 5;
/// Of one operation's line in the log.
const RECORD_BYTES: usize = 530;

/// Real files whose syncs take longer, and are counted.
fn slow(extra: Duration, syncs: &Arc<AtomicU64>) -> Watched {
    let syncs = Arc::clone(syncs);
    Watched::new(Files, move |_, change| {
        if matches!(change, Change::Sync) {
            syncs.fetch_add(1, Ordering::Relaxed);
            thread::sleep(extra);
        }
        Ok(())
    })
}

fn reserve(caller: usize) -> LedgerOperation {
    let action = TenantAction::Reserve { amount_microcents: 1, deadline: None };
    LedgerOperation::Tenant { tenant: format!("tenant-{caller}"), action, now: 0, key: None }
}

/// Operations per second, in whole numbers.
fn rate(count: u64, elapsed: Duration) -> u64 {
    u64::try_from(u128::from(count) * 1_000_000_000 / elapsed.as_nanos().max(1)).unwrap()
}

/// A loop that writes as many bytes as a record has and syncs them, by `fsync` or by `fdatasync`.
fn bare(folder: &Path, extra: Duration, sync: impl Fn(&File) -> io::Result<()>) -> u64 {
    let mut file = File::create(folder.join("bare")).unwrap();
    let line = [b'x'; RECORD_BYTES];
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < ROUND {
        file.write_all(&line).unwrap();
        sync(&file).unwrap();
        thread::sleep(extra);
        count += 1;
    }
    rate(count, start.elapsed())
}

/// A ledger with one tenant a caller, what its callers do, and operations per second and per sync, times 10.
fn measure(folder: &Path, extra: Duration, callers: usize, run: impl FnOnce(&Run)) -> [u64; 2] {
    let directory = folder.join("ledger");
    let syncs = Arc::default();
    let room_bytes = if std::env::args().any(|it| it == "room") { 1 << 20 } else { 0 };
    let options =
        DurableOptions::new().storage(Arc::new(slow(extra, &syncs))).room_bytes(room_bytes);
    let ledger = Arc::new(DurableLedger::open_with(&directory, options).unwrap());
    let opening = (0..callers).map(|caller| {
        let (tenant, initial_microcents) = (format!("tenant-{caller}"), i64::MAX / 128);
        let open =
            LedgerOperation::Open { tenant, parent: None, initial_microcents, now: 0, key: None };
        ledger.submit(&open).unwrap()
    });
    opening.collect::<Vec<_>>().into_iter().for_each(|it| drop(it.wait().unwrap().unwrap()));
    let whole = Run { ledger, callers, stop: Arc::default(), count: Arc::default() };
    syncs.store(0, Ordering::Relaxed);
    let start = Instant::now();
    run(&whole);
    let (count, elapsed) = (whole.count.load(Ordering::Relaxed), start.elapsed());
    let per_sync = 10 * count / syncs.load(Ordering::Relaxed).max(1);
    drop(whole);
    let segments = std::fs::read_dir(directory.join("log")).unwrap();
    let lines = segments.map(|it| it.unwrap()).filter(|it| {
        let name = it.file_name();
        !name.to_string_lossy().contains("head")
    });
    let bytes: u64 = lines.map(|it| it.metadata().unwrap().len()).sum();
    let record = usize::try_from(bytes / (count + callers as u64)).unwrap();
    assert!(record.abs_diff(RECORD_BYTES) < 40, "a record has {record} bytes, not {RECORD_BYTES}");
    std::fs::remove_dir_all(directory).unwrap();
    [rate(count, elapsed), per_sync]
}

#[derive(Clone)]
struct Run {
    ledger: Arc<DurableLedger>,
    callers: usize,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
}

fn threads(run: &Run) {
    thread::scope(|scope| {
        for caller in 0..run.callers {
            scope.spawn(move || {
                let operation = reserve(caller);
                while !run.stop.load(Ordering::Relaxed) {
                    run.ledger.apply(&operation).unwrap().unwrap();
                    run.count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        thread::sleep(ROUND);
        run.stop.store(true, Ordering::Relaxed);
    });
}

/// On a runtime of two threads.
fn tasks(run: &Run) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let spawn = |caller| {
        let run = run.clone();
        runtime.spawn(async move {
            let operation = reserve(caller);
            while !run.stop.load(Ordering::Relaxed) {
                run.ledger.apply_async(&operation).await.unwrap().unwrap();
                run.count.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let tasks: Vec<_> = (0..run.callers).map(spawn).collect();
    thread::sleep(ROUND);
    run.stop.store(true, Ordering::Relaxed);
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
}

fn median(mut rates: Vec<u64>) -> u64 {
    rates.sort_unstable();
    rates.get(rates.len() / 2).copied().unwrap_or_else(|| panic!("no round"))
}

fn hundredths(of: u64, base: u64) -> String {
    let ratio = of * 100 / base.max(1);
    format!("{}.{:02}x", ratio / 100, ratio % 100)
}

fn table(folder: &Path, extra: Duration) {
    let many = format!("durable ledger, {CALLERS}");
    let names = [
        "write + fsync, one after the other",
        "write + fdatasync, one after the other",
        "durable ledger, 1 caller",
        &format!("{many} threads"),
        &format!("{many} tasks"),
    ];
    let mut rates: [Vec<u64>; 5] = Default::default();
    let mut groups: [Vec<u64>; 5] = Default::default();
    // Interleaved, so that a busy moment of the disk touches all of them.
    for _ in 0..ROUNDS {
        let round = [
            [bare(folder, extra, File::sync_all), 10],
            [bare(folder, extra, File::sync_data), 10],
            measure(folder, extra, 1, threads),
            measure(folder, extra, CALLERS, threads),
            measure(folder, extra, CALLERS, tasks),
        ];
        for ([rate, group], (rates, groups)) in
            round.into_iter().zip(rates.iter_mut().zip(&mut groups))
        {
            rates.push(rate);
            groups.push(group);
        }
    }
    let (rates, groups) = (rates.map(median), groups.map(median));
    println!("\nsyncs take {} us more", extra.as_micros());
    println!("{:<38} {:>8} {:>8} {:>9} {:>8}", "", "a second", "a sync", "fsync", "fdatasync");
    for ((name, rate), group) in names.into_iter().zip(rates).zip(groups) {
        let [fsync, fdatasync] = [rates[0], rates[1]].map(|base| hundredths(rate, base));
        let group = format!("{}.{}", group / 10, group % 10);
        println!("{name:<38} {rate:>8} {group:>8} {fsync:>9} {fdatasync:>8}");
    }
}

fn main() {
    let asked: Vec<u64> = std::env::args().skip(1).filter_map(|it| it.parse().ok()).collect();
    let all = [0, 500, 1_000, 3_000];
    let folder = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
    for extra in if asked.is_empty() { &all[..] } else { &asked } {
        table(folder.path(), Duration::from_micros(*extra));
    }
}
