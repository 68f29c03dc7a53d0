//! Reading a long log against the published crate and against bare hashing:
//! `cargo bench --manifest-path compare/Cargo.toml --bench wal_read [ROW]...`, `ENTRIES=N` for another length.
//!
//! The rows are `verify`, `hash`, `replay`, `open` and `memory`, all of them when none is named.

use std::{
    hint::black_box,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use calybris_compare::families::Family;
use calybris_compare::{medians, report, timed};
use calybris_wal::{AuditedRecord, WalOptions, WalWriter, replay_audited_wal, verify_wal};
use published::wal::{AuditedRecord as TheirRecord, WalWriter as TheirWriter};
use sha2::{Digest as _, Sha256};

const ENTRIES: u64 = 1_000_000;
const MODELS: u32 = 22;
const ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if let [side, path] = &*arguments
        && let Some((_, replay)) = SIDES.iter().find(|(name, _)| name == side)
    {
        return print_memory_of(*replay, path.as_ref());
    }
    let rows: [(&str, Row); 5] = [
        ("verify", verify),
        ("hash", hash),
        ("replay", replay),
        ("open", open),
        ("memory", memory),
    ];
    let log = Log::new();
    for (name, row) in rows {
        if arguments.is_empty() || arguments.iter().any(|it| it == name) {
            row(&log);
        }
    }
}

type Row = fn(&Log);

/// A log of audited decisions, gone with its folder.
struct Log {
    path: PathBuf,
    entries: u64,
    _directory: tempfile::TempDir,
}

impl Log {
    fn new() -> Self {
        let entries = std::env::var("ENTRIES").map_or(ENTRIES, |text| text.parse().unwrap());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let Family { models, inputs } = Family::alike(MODELS, entries);
        let policy = Family { models, inputs: Vec::new() }.ours();
        let options = WalOptions::new().buffer_bytes(1 << 20);
        let log = WalWriter::<AuditedRecord<()>>::open_with(&path, &options).unwrap();
        for input in inputs {
            log.append_decided(&policy.decide(input), ()).unwrap();
        }
        drop(log);
        let bytes = std::fs::metadata(&path).unwrap().len();
        println!("{entries} audited entries, {MODELS} models, {bytes} bytes");
        Self { path, entries, _directory: directory }
    }

    fn report(&self, what: &str, (ours, other): (Duration, Duration)) {
        report(what, self.entries, ours, other);
    }
}

fn verify_ours(log: &Log) -> Duration {
    timed(|| _ = black_box(verify_wal(&log.path).unwrap()))
}

fn verify(log: &Log) {
    let other = || timed(|| drop(black_box(published::wal::verify_wal(&log.path).unwrap())));
    let times = medians(ROUNDS, || verify_ours(log), other);
    log.report("verify against the published crate", times);
}

fn hash(log: &Log) {
    let bytes = std::fs::read(&log.path).unwrap();
    let other = || timed(|| _ = black_box(Sha256::digest(&bytes)));
    let times = medians(ROUNDS, || verify_ours(log), other);
    log.report("verify against hashing the same bytes on one core", times);
}

fn replay(log: &Log) {
    let family = Family::alike(MODELS, 0);
    let (ours, theirs) = (family.ours(), family.theirs());
    let times = medians(
        ROUNDS,
        || timed(|| replay_ours(&log.path, &ours)),
        || timed(|| replay_theirs(&log.path, &theirs)),
    );
    log.report("replay", times);
}

fn replay_ours(path: &Path, policy: &calybris_kernel::PolicySnapshot) {
    drop(black_box(replay_audited_wal(path, policy).unwrap()));
}

fn replay_theirs(path: &Path, policy: &published::kernel::PolicySnapshot) {
    drop(black_box(published::wal::replay_audited_wal(path, policy).unwrap()));
}

fn open(log: &Log) {
    let times = medians(
        ROUNDS,
        || timed(|| drop(WalWriter::<()>::open(&log.path).unwrap())),
        || timed(|| drop(TheirWriter::<TheirRecord<()>>::open(&log.path).unwrap())),
    );
    log.report("open to append", times);
}

/// What replays a log of that path.
type Replay = fn(&Path, &Family);

const SIDES: [(&str, Replay); 2] = [
    ("ours", |path, family| replay_ours(path, &family.ours())),
    ("theirs", |path, family| replay_theirs(path, &family.theirs())),
];

/// Each replay in a process of its own, whose peak is that of nothing else.
fn memory(log: &Log) {
    for (side, _) in SIDES {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let out = child.arg(side).arg(&log.path).output().unwrap();
        let peak = String::from_utf8(out.stdout).unwrap();
        println!("peak memory of a process that replays, {side:<17} {}", peak.trim());
    }
}

fn print_memory_of(replay: Replay, path: &Path) {
    replay(path, &Family::alike(MODELS, 0));
    // Linux alone tells.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    println!("{}", peak.map_or("not known here", str::trim));
}
