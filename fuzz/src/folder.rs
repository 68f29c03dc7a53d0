//! The folder of a durable ledger: damaged in any way, it opens as the ledger was, or is refused and left alone.

mod damage;
mod victim;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use calybris_budget::{LedgerOperation, TenantAction};
use calybris_persist::{DurableLedger, DurableOptions, PersistError};
use calybris_proof::chain::WalAnchor;
use calybris_wal::storage::{Memory, Storage as _};

use damage::Input;
use victim::Victim;

const BOOKS: &str = "books";
const LOG: &str = "books/log";
const SEGMENT_BYTES: u64 = 2_000;
const KEY: [u8; 32] = [7; 32];

/// What every file holds.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The first byte chooses the ledger and whether its head was kept elsewhere; every eight that follow
/// damage a file of its folder. Opened, it is a moment of that ledger's past, no earlier than what is
/// left in the folder vouches for, and it goes on from there. Refused, every file is as it was.
pub fn ledger_folder(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let [choice] = input.take();
    let victim = Victim::get(choice & 1 != 0, choice & 2 != 0);
    let anchor = (choice & 4 != 0).then_some(victim.head);
    let mut files = victim.folder().clone();
    while let Some(edit) = input.edit() {
        edit.apply(&mut files, &victim.generations);
    }
    let memory = Memory::default();
    files.iter().for_each(|(path, held)| memory.write(path, held));
    let open =
        || DurableLedger::open_with(Path::new(BOOKS), options(&memory, victim.keyed, anchor));
    match open() {
        Ok(ledger) => {
            check_opened(victim, &files, &ledger, anchor);
            check_cut(victim, &files, &memory, &ledger, anchor);
            let head = ledger.anchor();
            drop(ledger);
            let again = open().expect("it was opened, and nobody changed it");
            assert_eq!(again.anchor(), head);
            check_goes_on(again, open);
        }
        Err(error) => {
            check_refusal(&error);
            assert!(is_as_it_was(&files, &memory), "touched: {error}");
            let again = open().expect_err("nobody changed it");
            assert_eq!(again.to_string(), error.to_string());
        }
    }
}

fn options(memory: &Memory, keyed: bool, anchor: Option<WalAnchor>) -> DurableOptions {
    let mut options =
        DurableOptions::new().segment_bytes(SEGMENT_BYTES).storage(Arc::new(memory.clone()));
    if keyed {
        options = options.key(&KEY);
    }
    match anchor {
        Some(head) => options.anchor(head),
        None => options,
    }
}

/// The state is that of the ledger after the entry it ends with, and nothing that somebody vouches for
/// comes later: the anchor, a head in the head file, the name of a checkpoint.
fn check_opened(victim: &Victim, files: &Files, ledger: &DurableLedger, anchor: Option<WalAnchor>) {
    let found = ledger.anchor();
    let state = victim.state_after(found).unwrap_or_else(|| panic!("invented: {found:?}"));
    assert_eq!(victim::text(ledger), *state, "{}", ledger.report());
    assert!(ledger.prove_conservation().is_ok());
    for vouched in victim.vouched(files).chain(anchor.map(|head| head.sequence)) {
        assert!(vouched <= found.sequence, "{vouched} is missing: {}", ledger.report());
    }
    if let Some(head) = anchor {
        assert!(victim.is_of(found, head), "another ledger than the anchor's: {found:?}");
    }
}

/// Where no head is known, what was cut holds no entry: somebody may wait for its answer.
fn check_cut(
    victim: &Victim,
    files: &Files,
    memory: &Memory,
    ledger: &DurableLedger,
    anchor: Option<WalAnchor>,
) {
    let Some(kept) = &ledger.report().log.kept_tail else { return };
    let tail = memory.read(kept).expect("the tail is kept");
    if anchor.is_none() && victim.heads(files).next().is_none() {
        let lines = tail.split_inclusive(|byte| *byte == b'\n');
        lines.for_each(|line| assert!(!victim.is_entry(line), "an entry was cut: {tail:?}"));
    }
}

/// It takes operations, saves its state and is found as it was left.
fn check_goes_on(ledger: DurableLedger, open: impl Fn() -> Result<DurableLedger, PersistError>) {
    let action = TenantAction::TopUp { amount_microcents: 1 };
    let (tenant, now) = ("desk".to_owned(), 900);
    let operation = LedgerOperation::Tenant { tenant, action, now, key: Some("after".to_owned()) };
    let answer = ledger.apply(&operation).expect("memory does not fail");
    ledger.checkpoint().expect("memory does not fail");
    match ledger.retire() {
        Ok(_) | Err(PersistError::Unrestorable { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    let state = victim::text(&ledger);
    drop(ledger);
    let ledger = open().expect("a ledger that went on");
    assert_eq!(victim::text(&ledger), state);
    assert_eq!(ledger.apply(&operation).expect("memory does not fail"), answer, "asked again");
}

/// One line that names a file.
fn check_refusal(error: &PersistError) {
    let text = error.to_string();
    assert!(text.contains(&format!("{BOOKS}/")) && !text.contains('\n'), "{text}");
}

/// The lock of a log, which holds nothing, is made where it is missing.
fn is_as_it_was(files: &Files, memory: &Memory) -> bool {
    let (lock, mut now) = (Path::new(LOG).join("lock"), contents(memory));
    let is_new = !files.contains_key(&lock) && files.keys().any(|path| path.starts_with(LOG));
    if is_new && now.get(&lock).is_some_and(Vec::is_empty) {
        now.remove(&lock);
    }
    now == *files
}

fn contents(memory: &Memory) -> Files {
    let list = |folder| memory.list(Path::new(folder)).expect("memory does not fail");
    let paths = list(BOOKS).into_iter().chain(list(LOG));
    paths.map(|path| (path.clone(), memory.read(&path).expect("a file listed"))).collect()
}
