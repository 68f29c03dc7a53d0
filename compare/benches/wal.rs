//! Writing the log against the published crate and against bare loops:
//! `cargo bench --manifest-path compare/Cargo.toml --bench wal [PART]... [room]`; with `room`, our durable appends have
//! 1 MiB of it made ahead.

use std::{
    fs::File,
    hint::black_box,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use calybris_compare::ceiling::{self, Work};
use calybris_compare::families::Family;
use calybris_compare::groups::Groups;
use calybris_compare::{medians, report, timed};
use calybris_wal::{AuditedRecord, WalOptions, WalWriter, async_wal::AsyncWalWriter};
use published::wal::{AuditedRecord as TheirRecord, WalWriter as TheirWriter};

const ROUNDS: usize = 5;

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let parts: [(&str, fn()); 5] = [
        ("append", appends),
        ("durable-one", durable_one),
        ("durable-many", durable_many),
        ("durable-async", durable_async),
        ("durable-ceiling", durable_ceiling),
    ];
    for (name, part) in parts {
        if wanted.iter().all(|it| it == "room") || wanted.iter().any(|it| it == name) {
            part();
        }
    }
}

/// With room, if it was asked for.
fn with_room(options: WalOptions) -> WalOptions {
    if std::env::args().any(|argument| argument == "room") {
        options.room_bytes(1 << 20)
    } else {
        options
    }
}

/// Three ways to one entry. The published crate has one type of decision, which it replays at every append; ours
/// replays it in the last row alone.
fn appends() {
    for (models, entries) in [(22, 40_000), (1_024, 4_000), (16_384, 400)] {
        let family = Family::alike(models, entries);
        let (ours, theirs) = (&family.ours(), &family.theirs());
        let inputs = &family.inputs;
        let decided: Vec<_> = inputs.iter().map(|input| ours.decide(*input)).collect();
        let peers: Vec<_> =
            family.peer_inputs().into_iter().map(|q| (q, theirs.prescribe(q))).collect();
        for (buffered, buffer) in [("", 0), (", 64 KiB", 64 << 10)] {
            let row = |what: &str, mine: &dyn Fn(&Ours), other: &dyn Fn(&mut Theirs)| {
                let (mine, other) =
                    medians(ROUNDS, || append_ours(buffer, mine), || append_theirs(other));
                report(&format!("{what}, {models} models{buffered}"), entries, mine, other);
            };
            row(
                "decide and append",
                &|log| {
                    for input in inputs {
                        black_box(log.append_decided(&ours.decide(*input), ()).unwrap());
                    }
                },
                &|log| {
                    for (input, _) in &peers {
                        let decision = theirs.prescribe(*input);
                        black_box(log.append_audited(theirs, *input, decision, ()).unwrap());
                    }
                },
            );
            row(
                "append what is decided",
                &|log| {
                    for decided in &decided {
                        black_box(log.append_decided(decided, ()).unwrap());
                    }
                },
                &|log| {
                    for (input, decision) in &peers {
                        black_box(log.append_audited(theirs, *input, *decision, ()).unwrap());
                    }
                },
            );
            row(
                "verify and append",
                &|log| {
                    for it in &decided {
                        let (input, decision) = (*it.input(), *it.decision());
                        let entry = log.append_verified_audited(ours, input, decision, ());
                        black_box(entry.unwrap());
                    }
                },
                &|log| {
                    for (input, decision) in &peers {
                        let entry = log.append_verified_audited(theirs, *input, *decision, ());
                        black_box(entry.unwrap());
                    }
                },
            );
        }
    }
}

type Ours = WalWriter<AuditedRecord<()>>;
type Theirs = TheirWriter<TheirRecord<()>>;

fn append_ours(buffer: usize, append: &dyn Fn(&Ours)) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let options = WalOptions::new().buffer_bytes(buffer);
    let log = Ours::open_with(&directory.path().join("log"), &options).unwrap();
    timed(|| {
        append(&log);
        log.flush().unwrap();
    })
}

fn append_theirs(append: &dyn Fn(&mut Theirs)) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let mut log = Theirs::open(&directory.path().join("log")).unwrap();
    timed(|| {
        append(&mut log);
        log.flush().unwrap();
    })
}

const PAYLOAD: usize = 1_100;

fn durable_one() {
    let entries = 300;
    let payload = "x".repeat(PAYLOAD);
    let (mine, bare) = medians(
        ROUNDS,
        || {
            let directory = tempfile::tempdir().unwrap();
            let log = WalWriter::<&str>::open_with(
                &directory.path().join("log"),
                &with_room(WalOptions::new()),
            )
            .unwrap();
            timed(|| {
                (0..entries).for_each(|_| _ = black_box(log.append_durable(&payload).unwrap()))
            })
        },
        || bare_loop(&vec![PAYLOAD + 190; entries as usize]),
    );
    report("durable append, one caller, against a bare loop", entries, mine, bare);
}

/// Writes and syncs groups of so many bytes each.
fn bare_loop(groups: &[usize]) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let mut file = File::create(directory.path().join("log")).unwrap();
    let most = vec![b'x'; groups.iter().copied().max().unwrap_or(0)];
    timed(|| {
        for bytes in groups {
            file.write_all(&most[..*bytes]).unwrap();
            file.sync_data().unwrap();
        }
    })
}

/// How `groups` were spread over the appends.
fn report_groups(name: &str, entries: u64, mine: Duration, bare: Duration, groups: &[usize]) {
    report(name, entries, mine, bare);
    let groups = groups.len() as u64;
    println!("  in {groups} groups, {} appends each on average", (entries + groups / 2) / groups);
}

const CALLERS: u64 = 64;

fn durable_many() {
    let each = 100;
    let (entries, payload) = (CALLERS * each, "x".repeat(PAYLOAD));
    let (mine, other) = medians(
        3,
        || {
            let directory = tempfile::tempdir().unwrap();
            let log = WalWriter::<&str>::open_with(
                &directory.path().join("log"),
                &with_room(WalOptions::new()),
            )
            .unwrap();
            callers(each, || _ = black_box(log.append_durable(&payload).unwrap()))
        },
        || {
            let directory = tempfile::tempdir().unwrap();
            let log = TheirWriter::<&str>::open(&directory.path().join("log")).unwrap();
            let log = Mutex::new(log);
            // A tenth of the work: it is one sync an entry.
            10 * callers(each / 10, || {
                let mut log = log.lock().unwrap();
                log.append(&payload).unwrap();
                log.flush_and_sync().unwrap();
            })
        },
    );
    report("durable append, 64 threads, against the published crate", entries, mine, other);
    let groups = Groups::default();
    let (mine, bare) = medians(
        ROUNDS,
        || {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("log");
            let log = WalWriter::<&str>::open_with(&path, &with_room(groups.options())).unwrap();
            callers(each, || _ = black_box(log.append_durable(&payload).unwrap()))
        },
        || bare_loop(&groups.seen()),
    );
    let name = "  against a bare loop of the same groups";
    report_groups(name, entries, mine, bare, &groups.seen());
}

fn callers(each: u64, append: impl Fn() + Sync) -> Duration {
    timed(|| {
        std::thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(|| (0..each).for_each(|_| append()));
            }
        })
    })
}

fn durable_async() {
    let each = 100;
    let (entries, payload) = (CALLERS * each, "x".repeat(PAYLOAD));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let (mine, other) = medians(
        3,
        || runtime.block_on(our_async(&payload, each, &with_room(WalOptions::new()))),
        || runtime.block_on(their_async(&payload, each / 10)) * 10,
    );
    report("durable append, 64 tasks, against the published crate", entries, mine, other);
    let groups = Groups::default();
    let (mine, bare) = medians(
        ROUNDS,
        || runtime.block_on(our_async(&payload, each, &with_room(groups.options()))),
        || bare_loop(&groups.seen()),
    );
    let name = "  against a bare loop of the same groups";
    report_groups(name, entries, mine, bare, &groups.seen());
}

async fn our_async(payload: &str, each: u64, options: &WalOptions) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = Arc::new(AsyncWalWriter::<String>::open_with(&path, options).await.unwrap());
    let start = Instant::now();
    let tasks: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (log, payload) = (log.clone(), payload.to_owned());
            tokio::spawn(async move {
                for _ in 0..each {
                    log.append_durable(payload.clone()).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    start.elapsed()
}

async fn their_async(payload: &str, each: u64) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let path: &Path = &directory.path().join("log");
    let log = published::async_wal::AsyncWalWriter::<String>::open_with_sync(path, true).await;
    // Its append takes the writer mutably.
    let log = Arc::new(tokio::sync::Mutex::new(log.unwrap()));
    let start = Instant::now();
    let tasks: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (log, payload) = (log.clone(), payload.to_owned());
            tokio::spawn(async move {
                for _ in 0..each {
                    log.lock().await.append(payload.clone()).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    start.elapsed()
}

/// Callers with no log at all.
fn durable_ceiling() {
    let (callers, each, line_bytes) = (CALLERS as usize, 100, PAYLOAD + 190);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for (hashed, what) in [(false, "no log"), (true, "a chain alone")] {
        let work = Work { callers, each, line_bytes, hashed };
        let row = |kind: &str, run: &dyn Fn(&Path) -> Duration| {
            let (mine, bare) = medians(
                ROUNDS,
                || {
                    let directory = tempfile::tempdir().unwrap();
                    run(&directory.path().join("log"))
                },
                || bare_loop(&vec![callers * line_bytes; each]),
            );
            let name = format!("64 {kind}, {what}, against a bare loop");
            report(&name, CALLERS * each as u64, mine, bare);
        };
        row("threads", &|path| ceiling::threads(work, path));
        row("tasks", &|path| runtime.block_on(ceiling::tasks(work, path)));
    }
}
