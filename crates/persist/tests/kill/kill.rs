//! Kill it: a child does random operations from several threads and is killed at a random moment, again and again
//! in the same folder. After each kill everything it was told is there, once, with the answer it was told.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use calybris_budget::{BudgetEngine, LedgerOperation};
use calybris_persist::{Answer, DurableLedger, LedgerRecord};
use calybris_wal::read_verified_wal;

use crate::workload::{Caller, bytes, opening};

/// Tells the child which folder; without it the child's test does nothing.
const FOLDER: &str = "CALYBRIS_KILL_FOLDER";
const SEED: &str = "CALYBRIS_KILL_SEED";
const CALLERS: u64 = 6;

#[test]
fn a_killed_ledger_has_everything_it_acknowledged_once() {
    kill_again_and_again(12);
}

/// `cargo test -p calybris-persist --release --test kill -- --ignored`
#[test]
#[ignore = "minutes"]
fn hundreds_of_kills() {
    kill_again_and_again(400);
}

/// The child: runs until it is killed.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let ledger = DurableLedger::open(Path::new(&folder)).unwrap();
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
        }
    });
}

/// Says what was acknowledged, in one write.
fn tell(operation: &LedgerOperation, answer: &Answer) {
    if let Some(key) = key_of(operation) {
        let answer = serde_json::to_string(answer).unwrap();
        let line = format!("\n{key}\t{answer}\t\n");
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}

fn kill_again_and_again(rounds: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(rounds);
    let mut told = BTreeMap::new();
    let (mut from_checkpoint, mut before_anything) = (0, 0);
    for seed in 1..=rounds {
        let heard = run_and_kill(folder.path(), seed, Duration::from_millis(random.u64(5..160)));
        before_anything += u64::from(heard.is_empty());
        told.extend(heard);
        let ledger = DurableLedger::open(folder.path()).unwrap();
        ledger.prove_conservation().unwrap();
        from_checkpoint += u64::from(ledger.report().checkpoint_sequence > 0);
        let found = bytes(&ledger.state().unwrap());
        drop(ledger);
        check(folder.path(), &told, &found);
    }
    println!("{rounds} kills, {} answers, {from_checkpoint} from a checkpoint", told.len());
    assert!(told.len() as u64 > rounds * 20, "the child got to work: {} answers", told.len());
    assert!(from_checkpoint > rounds / 3, "{from_checkpoint} recoveries from a checkpoint");
    assert!(before_anything < rounds, "{before_anything}");
}

/// Every answer the child gave before it was killed, by key.
fn run_and_kill(folder: &Path, seed: u64, after: Duration) -> Vec<(String, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
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
    let log = read_verified_wal::<LedgerRecord>(&folder.join("log")).unwrap();
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
