//! The log, read back by a second reader that shares nothing with the first but SHA-256.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use calybris_wal::storage::{Memory, Storage as _};
use calybris_wal::{WalError, WalOptions, WalWriter};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// Any bytes as a log. Opened, it has the head that the second reader finds in what is left of it, and
/// an entry appended makes a longer log of the same beginning. Only a tail that holds no entry may have
/// been cut, and it is kept beside unless it is blank; refused, the log is left as it was.
pub fn log(bytes: &[u8]) {
    let (memory, opened) = open(bytes);
    let Ok(writer) = opened else {
        return assert_eq!(memory.read(LOG.as_ref()).as_deref(), Some(bytes));
    };
    let left = memory.read(LOG.as_ref()).expect("the log");
    let (sequence, head) = second_reader(&left).expect("a log that was accepted");
    assert_eq!((writer.sequence(), &*writer.last_hash()), (sequence, head.as_str()));
    match bytes.strip_prefix(left.as_slice()) {
        Some(tail) if tail.split(|byte| *byte == b'\n').all(is_blank) => {}
        Some(tail) => check_cut(&memory, &left, tail, sequence),
        None => assert_eq!(left, [bytes, b"\n"].concat()),
    }
    writer.append(7).expect("memory does not fail");
    writer.flush().expect("memory does not fail");
    let longer = memory.read(LOG.as_ref()).expect("the log");
    assert!(longer.starts_with(&left));
    let (more, head) = second_reader(&longer).expect("a longer log");
    assert_eq!((sequence + 1, &*writer.last_hash()), (more, head.as_str()));
}

/// The tail that was cut is in a file beside the log, and does not start with the next entry.
fn check_cut(memory: &Memory, left: &[u8], tail: &[u8], sequence: u64) {
    let beside = memory.list(Path::new("")).expect("memory does not fail");
    let kept = |path: &PathBuf| memory.read(path).as_deref() == Some(tail);
    assert!(beside.iter().any(kept), "the tail is gone; there are {beside:?}");
    let line = tail.split(|byte| *byte == b'\n').find(|line| !is_blank(line)).unwrap_or_default();
    let with_line = second_reader(&[left, line].concat());
    assert!(with_line.is_none_or(|(more, _)| more == sequence), "an entry was cut");
}

/// Any bytes as the payload of an entry with the right hash: accepted just if they are one JSON value
/// on one line without space around it.
pub fn log_payload(bytes: &[u8]) {
    let value = serde_json::from_slice::<&RawValue>(bytes).ok();
    let is_payload =
        value.is_some_and(|value| value.get().as_bytes() == bytes) && !bytes.contains(&b'\n');
    let hash = link("genesis", bytes);
    let head = format!(r#"{{"sequence":1,"previous_hash":"genesis","entry_hash":"{hash}","data":"#);
    let (_, opened) = open(&[head.as_bytes(), bytes, b"}\n"].concat());
    match opened {
        // Nothing before the payload's end was an entry, so all of it may have been cut as a tail.
        Ok(writer) if writer.sequence() == 0 => assert!(!is_payload),
        Ok(writer) => assert!(is_payload && *writer.last_hash() == *hash),
        Err(error) => assert!(!is_payload, "{error}"),
    }
}

const LOG: &str = "log";

/// A log in memory, opened to append.
fn open(bytes: &[u8]) -> (Memory, Result<WalWriter<u32>, WalError>) {
    let memory = Memory::default();
    memory.write(LOG.as_ref(), bytes);
    let options = WalOptions::new().storage(Arc::new(memory.clone()));
    let opened = WalWriter::open_with(Path::new(LOG), &options);
    (memory, opened)
}

/// The members of a line, in any order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<'a> {
    sequence: u64,
    previous_hash: String,
    entry_hash: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The sequence and hash of the last entry, if the bytes are a log.
fn second_reader(bytes: &[u8]) -> Option<(u64, String)> {
    let mut head = (0, "genesis".to_owned());
    for line in std::str::from_utf8(bytes).ok()?.split('\n') {
        if is_blank(line.as_bytes()) {
            continue;
        }
        let entry: Entry<'_> = serde_json::from_str(line).ok()?;
        let hash = link(&head.1, entry.data.get().as_bytes());
        let follows = entry.sequence == head.0 + 1 && entry.previous_hash == head.1;
        if !follows || entry.entry_hash != hash {
            return None;
        }
        head = (entry.sequence, hash);
    }
    Some(head)
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| b" \t\r".contains(byte))
}

fn link(previous: &str, payload: &[u8]) -> String {
    let digest = Sha256::new_with_prefix(previous).chain_update(payload).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
