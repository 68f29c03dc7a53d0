//! Kill it: a child does random operations from several threads and is killed at a random moment, again and again
//! in the same folder. After each kill everything it was told is there, once, with the answer it was told.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use calybris_budget::{BudgetEngine, LedgerOperation};
use calybris_persist::{Answer, DurableLedger, DurableOptions, LedgerRecord};
use calybris_wal::read_verified_wal;

use crate::workload::{Caller, bytes, opening};

/// Tells the child which folder; without it the child's test does nothing.
const FOLDER: &str = "CALYBRIS_KILL_FOLDER";
const SEED: &str = "CALYBRIS_KILL_SEED";
/// Set when the child retires the beginning of the log after every checkpoint.
const RETIRE: &str = "CALYBRIS_KILL_RETIRE";
const CALLERS: u64 = 6;
const LOG: &str = "log";
/// Where the test keeps what the ledger retires.
const KEPT: &str = "kept";

#[test]
fn a_killed_ledger_has_everything_it_acknowledged_once() {
    kill_again_and_again(12, false);
}

#[test]
fn a_killed_ledger_that_retires_its_log_has_everything_too() {
    kill_again_and_again(12, true);
}

/// `cargo test -p calybris-persist --release --test kill -- --ignored`
#[test]
#[ignore = "minutes"]
fn hundreds_of_kills() {
    kill_again_and_again(400, false);
}

/// As above.
#[test]
#[ignore = "minutes"]
fn hundreds_of_kills_with_retirement() {
    kill_again_and_again(400, true);
}

/// The child: runs until it is killed.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let (folder, retires) = (Path::new(&folder), std::env::var_os(RETIRE).is_some());
    let ledger = open(folder);
    for operation in opening() {
        tell(&operation, &ledger.apply(&operation).unwrap());
    }
    thread::scope(|scope| {
        for number in 0..CALLERS {
            let ledger = &ledger;
            scope.spawn(move || {
                let mut caller = Caller::new(format!("{seed}-{number}"), seed * 100 + number);
                loop {
                    let operation = caller.next();
                    let answer = ledger.apply(&operation).unwrap();
                    tell(&operation, &answer);
                    caller.hear(&answer);
                }
            });
        }
        loop {
            thread::sleep(Duration::from_millis(15));
            ledger.checkpoint().unwrap();
            if retires {
                keep_segments(folder);
                ledger.retire().unwrap();
            }
        }
    });
}

/// With segments of some dozens of entries.
fn open(folder: &Path) -> DurableLedger {
    DurableLedger::open_with(folder, DurableOptions::new().segment_bytes(8 << 10)).unwrap()
}

/// Gives every segment a second name, so that the test can read what was retired.
fn keep_segments(folder: &Path) {
    let kept = folder.join(KEPT);
    fs::create_dir_all(&kept).unwrap();
    for segment in segments(&folder.join(LOG)) {
        match fs::hard_link(&segment, kept.join(segment.file_name().unwrap())) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => panic!("{error}"),
            _ => {}
        }
    }
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let Ok(names) = fs::read_dir(directory) else { return Vec::new() };
    let paths = names.map(|name| name.unwrap().path());
    paths.filter(|path| path.extension() == Some("log".as_ref())).collect()
}

/// The log from its first entry, retired segments included, as one file.
fn whole_log(folder: &Path) -> PathBuf {
    let all = segments(&folder.join(KEPT)).into_iter().chain(segments(&folder.join(LOG)));
    let by_name: BTreeMap<_, _> =
        all.map(|path| (path.file_name().unwrap().to_owned(), path)).collect();
    let whole = folder.join("whole");
    fs::write(
        &whole,
        by_name.values().flat_map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(),
    )
    .unwrap();
    whole
}

/// Says what was acknowledged, in one write.
fn tell(operation: &LedgerOperation, answer: &Answer) {
    if let Some(key) = key_of(operation) {
        let answer = serde_json::to_string(answer).unwrap();
        let line = format!("\n{key}\t{answer}\t\n");
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}

fn kill_again_and_again(rounds: u64, retires: bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(rounds);
    let mut told = BTreeMap::new();
    let (mut from_checkpoint, mut before_anything, mut retired) = (0, 0, 0);
    for seed in 1..=rounds {
        let heard =
            run_and_kill(folder.path(), seed, retires, Duration::from_millis(random.u64(5..160)));
        before_anything += u64::from(heard.is_empty());
        told.extend(heard);
        let ledger = open(folder.path());
        retired = ledger.report().log.after;
        ledger.prove_conservation().unwrap();
        from_checkpoint += u64::from(ledger.report().checkpoint_sequence > 0);
        let found = bytes(&ledger.state().unwrap());
        drop(ledger);
        check(folder.path(), &told, &found);
    }
    println!(
        "{rounds} kills, {} answers, {from_checkpoint} from a checkpoint, {retired} entries retired",
        told.len()
    );
    assert_eq!(retired > 0, retires, "{retired}");
    assert!(told.len() as u64 > rounds * 20, "the child got to work: {} answers", told.len());
    assert!(from_checkpoint > rounds / 3, "{from_checkpoint} recoveries from a checkpoint");
    assert!(before_anything < rounds, "{before_anything}");
}

/// Every answer the child gave before it was killed, by key.
fn run_and_kill(folder: &Path, seed: u64, retires: bool, after: Duration) -> Vec<(String, String)> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    if retires {
        command.env(RETIRE, "1");
    }
    let mut child = command
        .args(["--exact", "kill::child", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = thread::spawn(move || {
        let complete = |line: String| {
            let mut parts = line.split('\t');
            let (key, answer) = (parts.next()?, parts.next()?);
            (parts.next() == Some("")).then(|| (key.to_owned(), answer.to_owned()))
        };
        output.lines().map_while(Result::ok).filter_map(complete).collect()
    });
    thread::sleep(after);
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    reader.join().unwrap()
}

/// Replays the whole log from its first entry into a ledger in memory, comparing answers on the way.
fn check(folder: &Path, told: &BTreeMap<String, String>, found: &str) {
    let log = read_verified_wal::<LedgerRecord>(&whole_log(folder)).unwrap();
    let engine = BudgetEngine::new();
    let mut answers: BTreeMap<String, (u32, String)> = BTreeMap::new();
    for entry in log {
        let LedgerRecord::Operation { operation, .. } = entry.data else { continue };
        let answer = serde_json::to_string(&engine.apply(&operation)).unwrap();
        if let Some(key) = key_of(&operation) {
            answers.entry(key.to_owned()).or_insert((0, answer)).0 += 1;
        }
    }
    assert_eq!(bytes(&engine.state()), found, "recovery is a replay of the log");
    for (key, answer) in told {
        let (times, logged) = answers.get(key).unwrap_or_else(|| panic!("{key} is lost"));
        assert_eq!(logged, answer, "{key}");
        // Each child opens the tenants again, which is one request asked many times.
        assert!(*times == 1 || key.starts_with("open-"), "{key} is there {times} times");
    }
}

/// The operation's key, if it has one.
fn key_of(operation: &LedgerOperation) -> Option<&str> {
    match operation {
        LedgerOperation::Open { key, .. }
        | LedgerOperation::Tenant { key, .. }
        | LedgerOperation::Hold { key, .. } => key.as_deref(),
        _ => None,
    }
}
