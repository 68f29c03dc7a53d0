//! The log, read back by a second reader that shares nothing with the first but SHA-256.

use std::path::Path;
use std::sync::Arc;

use calybris_wal::storage::Memory;
use calybris_wal::{WalError, WalOptions, WalWriter};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// Any bytes as a log. Opened, it has the head that the second reader finds, and an entry appended to
/// it makes a longer log of the same beginning; refused, it is left as it was.
pub fn log(bytes: &[u8]) {
    let (memory, opened) = open(bytes);
    match opened {
        Ok(writer) => {
            let (sequence, head) = second_reader(bytes).expect("a log that was accepted");
            assert_eq!((writer.sequence(), &*writer.last_hash()), (sequence, head.as_str()));
            writer.append(7).expect("memory does not fail");
            writer.flush().expect("memory does not fail");
            let longer = memory.read(LOG.as_ref()).expect("the log");
            assert!(longer.starts_with(bytes));
            let (more, head) = second_reader(&longer).expect("a longer log");
            assert_eq!((sequence + 1, &*writer.last_hash()), (more, head.as_str()));
        }
        Err(_) => assert_eq!(memory.read(LOG.as_ref()).as_deref(), Some(bytes)),
    }
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
        if line.trim_matches([' ', '\t', '\r']).is_empty() {
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

fn link(previous: &str, payload: &[u8]) -> String {
    let digest = Sha256::new_with_prefix(previous).chain_update(payload).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
