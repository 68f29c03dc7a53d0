//! The fold against the sequential reader, over several chunks and segments, on whole and damaged logs.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::storage::Memory;
use crate::{WalWriter, visit_wal_with};

const LOG: &str = "log";
const ENTRIES: usize = 900;

/// A log of a few chunks, with entries of very different lengths.
fn log(options: WalOptions) -> (Memory, WalOptions) {
    let memory = Memory::default();
    let options = options.storage(Arc::new(memory.clone()));
    let log = WalWriter::open_with(Path::new(LOG), &options.clone().buffer_bytes(100_000)).unwrap();
    for number in 0..ENTRIES {
        log.append("x".repeat(number * 7_919 % 8_000)).unwrap();
    }
    log.flush_and_sync().unwrap();
    (memory, options)
}

/// Sequence, hashes and payload of an entry.
type Seen = (u64, ChainHash, ChainHash, String);

/// What the fold gave, in its order, and how it ended.
fn folded(options: &WalOptions) -> (Vec<Seen>, Result<VerifiedWal, WalError>) {
    let mut seen: Vec<Seen> = Vec::new();
    let entry = |part: &mut Vec<Seen>, entry: &VerifiedEntry<'_>| {
        let data = String::from_utf8(entry.data.to_vec()).unwrap();
        part.push((entry.sequence, *entry.previous_hash, *entry.entry_hash, data));
    };
    let end = fold_wal_with(Path::new(LOG), options, entry, |part| seen.extend(part), None);
    (seen, end)
}

fn in_order(options: &WalOptions) -> (Vec<Seen>, Result<(), WalError>) {
    let mut seen = Vec::new();
    let end = visit_wal_with::<Box<serde_json::value::RawValue>, _>(Path::new(LOG), options, |e| {
        seen.push((e.sequence, e.previous_hash, e.entry_hash, e.data.get().to_owned()));
    });
    (seen, end)
}

#[test]
fn the_parts_put_together_are_the_log() {
    for options in [
        WalOptions::new(),
        WalOptions::new().segment_bytes(700_000),
        WalOptions::new().key(&[7; 32]),
    ] {
        let (_, options) = log(options);
        let (seen, end) = folded(&options);
        assert_eq!((seen.len(), end.unwrap().sequence), (ENTRIES, ENTRIES as u64));
        assert!(seen == in_order(&options).0);
    }
}

#[test]
fn every_entry_is_where_it_is_said_to_be() {
    let (memory, options) = log(WalOptions::new().segment_bytes(700_000));
    let check = |count: &mut usize, entry: &VerifiedEntry<'_>| {
        let file = memory.read(entry.path).unwrap();
        let line = &file[usize::try_from(entry.offset).unwrap()..];
        assert!(line.starts_with(format!("{{\"sequence\":{},", entry.sequence).as_bytes()));
        *count += 1;
    };
    let mut total = 0;
    fold_wal_with(Path::new(LOG), &options, check, |count: usize| total += count, None).unwrap();
    assert_eq!(total, ENTRIES);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Wherever a byte is changed, the fold has given what the sequential reader gives before it fails.
    #[test]
    fn a_break_ends_the_fold_where_it_ends_the_reader(at: proptest::sample::Index) {
        let (memory, options) = log(WalOptions::new());
        let mut file = memory.read(Path::new(LOG)).unwrap();
        let index = at.index(file.len());
        file[index] = if file[index] == b'7' { b'6' } else { b'7' };
        memory.write(Path::new(LOG), &file);
        let ((seen, end), (expected, reader)) = (folded(&options), in_order(&options));
        prop_assert!(seen == expected, "{} and {}", seen.len(), expected.len());
        prop_assert_eq!(end.unwrap_err().to_string(), reader.unwrap_err().to_string());
    }
}
