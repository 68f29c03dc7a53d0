//! What it means that a log cannot be read to its end.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use calybris_core::proof::chain::{ChainHash, ChainKey, WalAnchor, link_hash};
use calybris_core::wal::{EntryFault, MAX_ENTRY_BYTES, Tail, WalError, inspect};
use serde_json::value::RawValue;

use super::Log;
use crate::exit::{Exit, Failure};

/// How many entries are looked at to tell a wrong key from a changed entry.
const LOOKED_AT: usize = 8;

/// The first file of a folder of segments.
pub(super) fn first_segment(folder: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(folder).ok()?.filter_map(|file| Some(file.ok()?.path()));
    files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).min()
}

impl Log {
    /// Whether a folder has the head file or the record of retirement of a log.
    pub(super) fn has_record(&self) -> bool {
        ["head", "retired"].iter().any(|name| self.path.join(name).exists())
    }

    /// A failure to read; tells what the head file says from what the entries say, and two harmless causes from
    /// tampering: a last line that was only half written, and a key that is not the log's.
    pub(crate) fn explained(&self, error: WalError, durable: Option<&WalAnchor>) -> Box<Failure> {
        match (&error, durable) {
            (WalError::BelowAnchor { found, expected, .. }, Some(_)) => {
                return Failure::new(
                    Exit::Incomplete,
                    "the log ends before the head file beside it",
                )
                .at(&self.path, *found)
                .between(format_args!("at least {expected} entries"), found)
                .meaning("Entries that were acknowledged as durable are missing: the end of the log was cut off.");
            }
            (WalError::Entry { place, fault }, Some(head)) if place.sequence == head.sequence => {
                if let EntryFault::Anchor { found, expected } = **fault {
                    return Failure::new(
                        Exit::Tampered,
                        "the entry is not the one in the head file beside the log",
                    )
                    .placed(place)
                    .between(expected, found)
                    .meaning(
                        "The log was rewritten after its entries were acknowledged, or replaced.",
                    );
                }
            }
            (WalError::RetirementRecord { .. }, _) if self.is_of_another_key() => {
                return Failure::new(Exit::CannotTell, error).meaning(self.key_meaning());
            }
            _ => {}
        }
        let mut failure = Box::<Failure>::from(error);
        let Some(place) = failure.place.as_ref().filter(|place| place.byte.is_some()) else {
            return failure;
        };
        let tail = inspect(&self.path, &self.options()).map(|report| report.tail);
        if matches!(tail, Ok(Tail::Torn | Tail::Nul)) {
            let acknowledged = durable.is_some_and(|head| place.sequence <= head.sequence);
            failure.verdict = Exit::Incomplete;
            failure.meaning = if acknowledged {
                "The last line is cut off, and the head file beside the log says that it was acknowledged as durable: this is more than a crash takes."
            } else {
                "The last line was only half written, as by a crash. Everything before it is intact; `calybris repair` shows what recovery does."
            };
        } else if place.sequence == 1 && self.is_of_another_key() {
            failure.verdict = Exit::CannotTell;
            failure.meaning = self.key_meaning();
        }
        failure
    }

    fn key_meaning(&self) -> &'static str {
        match self.key {
            None => {
                "No entry looked at has the hash it claims. The log is keyed: give its key with --key-file. (Or every entry was changed.)"
            }
            Some(_) => {
                "No entry looked at has the hash it claims: this is not the log's key, or the log has none. (Or every entry was changed.)"
            }
        }
    }

    /// Whether of two entries or more none has the hash of its own payload after the hash it names: one
    /// changed entry would leave the links of the others whole.
    fn is_of_another_key(&self) -> bool {
        let first = first_segment(&self.path).unwrap_or_else(|| self.path.clone());
        let Ok(lines) = first_lines(&first, LOOKED_AT) else { return false };
        let key = self.key.as_deref().and_then(|key| ChainKey::new(key).ok());
        let entries: Vec<RawLine<'_>> =
            lines.iter().map_while(|line| serde_json::from_slice(line).ok()).collect();
        let holds = |entry: &RawLine<'_>| {
            let computed =
                link_hash(&entry.previous_hash, entry.data.get().as_bytes(), key.as_ref());
            computed.ct_eq(&entry.entry_hash)
        };
        entries.len() > 1 && !entries.iter().any(holds)
    }
}

/// The first lines of a file, each with its newline if it has one.
fn first_lines(path: &Path, count: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut reader = BufReader::new(fs::File::open(path)?);
    let mut lines = Vec::new();
    while lines.len() < count {
        let mut line = Vec::new();
        if reader.by_ref().take(MAX_ENTRY_BYTES + 1).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if !line.trim_ascii().is_empty() {
            lines.push(line);
        }
    }
    Ok(lines)
}

/// The number of the line that starts at a byte of a file.
pub(crate) fn line_at(path: &Path, byte: u64) -> io::Result<u64> {
    let mut reader = BufReader::new(fs::File::open(path)?.take(byte));
    let mut newlines = 0;
    loop {
        let block = reader.fill_buf()?;
        let length = block.len();
        if length == 0 {
            return Ok(newlines + 1);
        }
        newlines += block.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        reader.consume(length);
    }
}

#[derive(serde::Deserialize)]
struct RawLine<'a> {
    previous_hash: ChainHash,
    entry_hash: ChainHash,
    #[serde(borrow)]
    data: &'a RawValue,
}
