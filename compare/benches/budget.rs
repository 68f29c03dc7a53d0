//! The ledger against the published crate: `cargo bench --manifest-path compare/Cargo.toml --bench budget`.

use std::{
    hint::black_box,
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use calybris_budget::BudgetEngine;
use calybris_compare::{families::Words, medians, report, timed};
use published::budget::BudgetEngine as Published;

const PLENTY: i64 = i64::MAX / 4;
const ROUNDS: usize = 11;

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let parts: [(&str, fn()); 6] = [
        ("one", one_thread),
        ("two", two_threads),
        ("million", million_tenants),
        ("holds", open_holds),
        ("snapshot", snapshots),
        ("stall", stalls),
    ];
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|it| it == name) {
            part();
        }
    }
}

fn engines(tenants: &[String]) -> (BudgetEngine, Published) {
    let (ours, theirs) = (BudgetEngine::new(), Published::new());
    for tenant in tenants {
        ours.ensure_tenant(tenant, PLENTY);
        theirs.ensure_tenant(tenant, PLENTY);
    }
    (ours, theirs)
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("tenant-{i:07}")).collect()
}

fn one_thread() {
    const OPERATIONS: u64 = 200_000;
    let (ours, theirs) = engines(&names(8));
    let name = "tenant-0000003";
    let by_name = || {
        timed(|| {
            for _ in 0..OPERATIONS {
                let (_, id) = ours.try_reserve(black_box(name), 10);
                black_box(ours.commit(id.unwrap(), 7));
            }
        })
    };
    let handle = ours.tenant(name).unwrap();
    let by_handle = || {
        timed(|| {
            for _ in 0..OPERATIONS {
                let (_, id) = handle.try_reserve(black_box(10));
                black_box(handle.commit(id.unwrap(), 7));
            }
        })
    };
    let published = || {
        timed(|| {
            for _ in 0..OPERATIONS {
                let (_, id) = theirs.try_reserve(black_box(name), 10);
                black_box(theirs.commit(id.unwrap(), 7));
            }
        })
    };
    let (a, b) = medians(ROUNDS, by_name, published);
    report("reserve + commit, 1 thread, by name", OPERATIONS, a, b);
    let (a, b) = medians(ROUNDS, by_handle, published);
    report("reserve + commit, 1 thread, by handle", OPERATIONS, a, b);
}

/// Both threads start together and each does all `operations`; the time until both are done.
fn on_threads(threads: usize, operations: u64, work: &(dyn Fn(usize) + Sync)) -> Duration {
    let start = Barrier::new(threads + 1);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    for _ in 0..operations {
                        work(worker);
                    }
                })
            })
            .collect();
        start.wait();
        let begun = Instant::now();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        begun.elapsed()
    })
}

fn two_threads() {
    const OPERATIONS: u64 = 1_000_000;
    let (ours, theirs) = engines(&names(8));
    let handles = ["tenant-0000001", "tenant-0000002"].map(|name| ours.tenant(name).unwrap());
    let distinct = |worker: usize| {
        let (_, id) = handles[worker].try_reserve(10);
        black_box(handles[worker].commit(id.unwrap(), 7));
    };
    let same = |_: usize| {
        let (_, id) = handles[0].try_reserve(10);
        black_box(handles[0].commit(id.unwrap(), 7));
    };
    let published = |worker: usize| {
        let name = ["tenant-0000001", "tenant-0000002"][worker];
        let (_, id) = theirs.try_reserve(name, 10);
        black_box(theirs.commit(id.unwrap(), 7));
    };
    let published_same = |_: usize| {
        let (_, Some(id)) = theirs.try_reserve("tenant-0000001", 10) else { return };
        black_box(theirs.commit(id, 7));
    };
    let run = |threads, work: &(dyn Fn(usize) + Sync)| on_threads(threads, OPERATIONS, work);
    let scaling = |what: &str, work: &(dyn Fn(usize) + Sync)| {
        let (one, two) = medians(ROUNDS, || run(1, work), || run(2, work));
        let ratio = 2.0 * one.as_secs_f64() / two.as_secs_f64();
        println!("{what:<58} {ratio:>7.2}x   the total throughput of 1 thread");
    };
    scaling("2 threads on distinct tenants, by handle", &distinct);
    scaling("2 threads on one tenant, by handle", &same);
    print_waits_header("reserve + commit, 2,000,000 of them", "");
    print_waits("2 threads on one tenant", "", &waits_of_two(&same));
    print_waits("2 threads on distinct tenants (control)", "", &waits_of_two(&distinct));
    let (a, b) = medians(ROUNDS, || run(2, &distinct), || run(2, &published));
    report("reserve + commit, 2 threads, distinct tenants", 2 * OPERATIONS, a, b);
    let (a, b) = medians(ROUNDS, || run(2, &same), || run(2, &published_same));
    report("reserve + commit, 2 threads, one tenant", 2 * OPERATIONS, a, b);
}

/// How long each operation takes when two threads do nothing else.
fn waits_of_two(work: &(dyn Fn(usize) + Sync)) -> Vec<Duration> {
    const OPERATIONS: u64 = 1_000_000;
    let waits = std::sync::Mutex::new(Vec::new());
    let timed_by = |worker: usize| {
        let mine = (0..OPERATIONS).map(|_| timed(|| work(worker))).collect::<Vec<_>>();
        waits.lock().unwrap().extend(mine);
    };
    on_threads(2, 1, &timed_by);
    let mut waits = waits.into_inner().unwrap();
    waits.sort();
    waits
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

fn million_tenants() {
    const OPERATIONS: u64 = 200_000;
    let names = names(1_000_000);
    let before = resident_bytes();
    let ours = BudgetEngine::new();
    names.iter().for_each(|name| ours.ensure_tenant(name, PLENTY));
    let idle = resident_bytes() - before;
    println!(
        "{:<58} {:>7} bytes a tenant, its name included",
        "1,000,000 tenants",
        idle / 1_000_000
    );
    let theirs = Published::new();
    names.iter().for_each(|name| theirs.ensure_tenant(name, PLENTY));
    let on_ours = |name: &str| {
        let (_, id) = ours.try_reserve(name, 10);
        black_box(ours.commit(id.unwrap(), 7));
    };
    let on_theirs = |name: &str| {
        let (_, id) = theirs.try_reserve(name, 10);
        black_box(theirs.commit(id.unwrap(), 7));
    };
    // Every tenant has been asked before, on both sides.
    names.iter().for_each(|name| on_ours(name));
    names.iter().for_each(|name| on_theirs(name));
    let (mut mine, mut other) = (Words(1), Words(1));
    let (a, b) = medians(
        ROUNDS,
        || on_random_names(OPERATIONS, &mut mine, on_ours),
        || on_random_names(OPERATIONS, &mut other, on_theirs),
    );
    report("reserve + commit, 1,000,000 tenants, by name", OPERATIONS, a, b);
    what_memory_allows(OPERATIONS, b);
}

/// What of the published side's time are the steps of a reserve + commit that fetch something from memory,
/// and nothing else: a bound for any ledger that has to take them. Tables of several sizes, since what stays in
/// a cache beside the tenants that pass through it is the machine's to say.
fn what_memory_allows(operations: u64, theirs: Duration) {
    let memory = Memory::new();
    let row = |what: &str, table: usize, steps: Steps| {
        let mut times: Vec<_> =
            (0..ROUNDS).map(|_| memory.visit(table, steps, operations)).collect();
        times.sort();
        report(what, operations, times[ROUNDS / 2], theirs);
    };
    for (size, entries) in [("8 MiB", 1 << 21), ("4 MiB", 1 << 20), ("2 MiB", 1 << 19)] {
        row(&format!("memory alone: a table of names of {size}"), entries, Steps::Table);
        row("  and the tenant it leads to, one line", entries, Steps::OneLine);
        row("  and its second line, locked twice", entries, Steps::Locked);
    }
    row("memory alone: the tenant, locked twice, no table", 1, Steps::Locked);
}

/// How far [`Memory::visit`] goes, each step with those before it.
#[derive(Clone, Copy)]
enum Steps {
    Table,
    OneLine,
    Locked,
}

/// A table of names and tenants of two cache lines each, as large as the ledger's.
struct Memory {
    names: Vec<u32>,
    tenants: Vec<[AtomicU64; 16]>,
}

impl Memory {
    const TENANTS: u64 = 1_000_000;

    fn new() -> Self {
        let mut words = Words(3);
        let names = (0..1 << 21).map(|_| words.below(Self::TENANTS) as u32).collect();
        // Not all zeros, which would be one page shared by all.
        let tenant = |_| std::array::from_fn(|i| AtomicU64::new(i as u64));
        Self { names, tenants: (0..Self::TENANTS).map(tenant).collect() }
    }

    /// Visits places of the first `table` names, a power of two, or, of a table of one, any tenant. An operation begins
    /// when the one before has its tenant, as after taking a lock.
    fn visit(&self, table: usize, steps: Steps, operations: u64) -> Duration {
        let mut words = Words(4);
        let places: Vec<usize> = (0..operations).map(|_| words.below(1 << 32) as usize).collect();
        let nothing = black_box(0);
        timed(|| {
            let mut carried = 0;
            for place in places {
                let place = place ^ carried;
                let tenant = match table {
                    1 => place % Self::TENANTS as usize,
                    _ => self.names[place & (table - 1)] as usize,
                };
                let found = match steps {
                    Steps::Table => tenant as u64,
                    Steps::OneLine => self.tenants[tenant][0].load(Ordering::Acquire),
                    Steps::Locked => locked_twice(&self.tenants[tenant]),
                };
                carried = found as usize & nothing;
            }
        })
    }
}

/// What a reserve + commit does to a tenant's two lines.
fn locked_twice(tenant: &[AtomicU64; 16]) -> u64 {
    let name = tenant[12].load(Ordering::Acquire);
    let mut found = 0;
    for _ in 0..2 {
        found = tenant[0].swap(name, Ordering::AcqRel);
        tenant[0].store(found, Ordering::Release);
    }
    found
}

/// Asks tenants drawn at random of a million. A service has just read the name it asks for, so
/// names are written to a small buffer, a batch at a time and outside of what is timed.
fn on_random_names(operations: u64, words: &mut Words, work: impl Fn(&str)) -> Duration {
    use std::fmt::Write as _;
    let mut batch = vec![String::new(); 200];
    (0..operations / batch.len() as u64)
        .map(|_| {
            for name in &mut batch {
                name.clear();
                write!(name, "tenant-{:07}", words.below(1_000_000)).unwrap();
            }
            timed(|| batch.iter().for_each(|name| work(name)))
        })
        .sum()
}

fn open_holds() {
    const OPERATIONS: u64 = 200_000;
    let (empty, full) = (BudgetEngine::new(), BudgetEngine::new());
    for engine in [&empty, &full] {
        engine.ensure_tenant("desk", PLENTY);
    }
    let (none, many) = (empty.tenant("desk").unwrap(), full.tenant("desk").unwrap());
    for _ in 0..4_000_000 {
        many.try_reserve(1);
    }
    let run = |tenant: &calybris_budget::Tenant| {
        timed(|| {
            for _ in 0..OPERATIONS {
                let (_, id) = tenant.try_reserve(black_box(10));
                black_box(tenant.commit(id.unwrap(), 7));
            }
        })
    };
    let (a, b) = medians(ROUNDS, || run(&many), || run(&none));
    let ratio = a.as_secs_f64() / b.as_secs_f64();
    println!(
        "{:<58} {ratio:>7.2}x   the time with none",
        "reserve + commit beside 4,000,000 open holds"
    );
}

fn snapshots() {
    let (ours, theirs) = engines(&names(100_000));
    let (a, b) = medians(
        ROUNDS,
        || timed(|| drop(black_box(ours.snapshot()))),
        || timed(|| drop(black_box(theirs.snapshot()))),
    );
    report("snapshot of 100,000 tenants (per tenant)", 100_000, a, b);
}

/// What another thread does without end.
type Beside<'a> = &'a (dyn Fn() + Sync);
/// What is timed meanwhile.
type Timed<'a> = &'a dyn Fn(usize);

/// How long operations take while another thread takes snapshots without end, and, for what the
/// scheduler does to any two threads, while it merely works as long. An operation can wait for a
/// snapshot at one lock alone, its tenant's, while that tenant is read.
fn stalls() {
    let names = names(100_000);
    let (ours, theirs) = engines(&names);
    let names = &names;
    let on_ours = |turn: usize| {
        let (_, id) = ours.try_reserve(&names[turn * 7_919 % names.len()], 10);
        black_box(ours.commit(id.unwrap(), 7));
    };
    let on_theirs = |turn: usize| {
        if let (_, Some(id)) = theirs.try_reserve(&names[turn * 7_919 % names.len()], 10) {
            black_box(theirs.commit(id, 7));
        }
    };
    let other = BudgetEngine::new();
    names.iter().for_each(|name| other.ensure_tenant(name, PLENTY));
    print_waits_header("reserve + commit, beside snapshots of 100,000 tenants", "snapshots");
    let rows: [(&str, Beside<'_>, Timed<'_>); 4] = [
        ("ours, of this ledger", &|| drop(black_box(ours.snapshot())), &on_ours),
        ("ours, of another ledger (control)", &|| drop(black_box(other.snapshot())), &on_ours),
        ("published, of this ledger", &|| drop(black_box(theirs.snapshot())), &on_theirs),
        (
            "published, of another ledger (control)",
            &|| drop(black_box(other.snapshot())),
            &on_theirs,
        ),
    ];
    for (who, snapshot, operation) in rows {
        let (taken, waits) = waits(snapshot, operation);
        print_waits(who, &taken.to_string(), &waits);
    }
}

fn print_waits_header(what: &str, count: &str) {
    println!(
        "{:<58} {count:>9} {:>6} {:>8} {:>8} {:>9} {:>8}",
        format!("{what} (us)"),
        "p50",
        "p99",
        "p99.9",
        "longest",
        "> 100 us"
    );
}

/// A row for waits in ascending order.
fn print_waits(who: &str, count: &str, waits: &[Duration]) {
    let us = |wait: Duration| wait.as_nanos() as f64 / 1e3;
    let at = |share: f64| us(waits[((waits.len() - 1) as f64 * share) as usize]);
    let long = waits.iter().filter(|wait| us(**wait) > 100.0).count();
    println!(
        "{who:<58} {count:>9} {:>6.2} {:>8.2} {:>8.1} {:>9.1} {long:>8}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

fn waits(snapshot: &(dyn Fn() + Sync), operation: &dyn Fn(usize)) -> (u64, Vec<Duration>) {
    let (done, taken) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                snapshot();
                taken.fetch_add(1, Ordering::Relaxed);
            }
        });
        let begun = Instant::now();
        let mut waits = Vec::with_capacity(8_000_000);
        let mut turn = 0;
        while begun.elapsed() < Duration::from_secs(3) && waits.len() < waits.capacity() {
            waits.push(timed(|| operation(turn)));
            turn += 1;
        }
        done.store(true, Ordering::Relaxed);
        waits.sort();
        (taken.load(Ordering::Relaxed), waits)
    })
}
