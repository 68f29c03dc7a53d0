//! The fault programme on a closed log: whatever happens to its bytes, nothing is invented and nothing that
//! was acknowledged disappears without a refusal.

use std::path::Path;
use std::sync::Arc;

use calybris_wal::storage::Memory;
use calybris_wal::{Verdict, WalError, WalOptions, WalWriter, inspect, visit_wal_with};

const LOG: &str = "log";
const DURABLE: usize = 3;
const WRITTEN: usize = 5;

/// A log of which some entries are acknowledged and some are not, as it is found after the process ended.
struct Subject {
    options: WalOptions,
    bytes: Vec<u8>,
    head_file: Vec<u8>,
    payloads: Vec<String>,
}

impl Subject {
    fn new(key: Option<&[u8]>, payload_bytes: usize) -> Self {
        let memory = Memory::default();
        let mut options = WalOptions::new().storage(Arc::new(memory.clone()));
        if let Some(key) = key {
            options = options.key(key);
        }
        let log = WalWriter::<String>::open_with(Path::new(LOG), &options).unwrap();
        let payload = |number| format!("{number} @ {}", "y".repeat(payload_bytes));
        let payloads: Vec<_> = (0..WRITTEN).map(payload).collect();
        for (index, payload) in payloads.iter().enumerate() {
            log.append(payload.clone()).unwrap();
            if index + 1 == DURABLE {
                log.sync().unwrap();
            }
        }
        drop(log);
        let read = |name: &str| memory.read(Path::new(name)).unwrap();
        let (bytes, head_file) = (read(LOG), read("log.head"));
        Self { options, bytes, head_file, payloads }
    }

    /// Opens a log of these bytes and says how many entries were recovered, none if it was refused.
    fn open(&self, bytes: &[u8], with_head_file: bool) -> Option<usize> {
        let memory = Memory::default();
        memory.write(Path::new(LOG), bytes);
        if with_head_file {
            memory.write(Path::new("log.head"), &self.head_file);
        }
        let options = self.options.clone().storage(Arc::new(memory.clone()));
        let foretold = inspect(Path::new(LOG), &options).unwrap();
        match WalWriter::<String>::open_with(Path::new(LOG), &options) {
            Err(WalError::Entry { .. } | WalError::AcknowledgedMissing { .. }) => {
                assert_eq!(foretold.verdict, Verdict::Refuse);
                assert_eq!(memory.read(Path::new(LOG)).unwrap(), bytes, "refused and touched");
                None
            }
            Err(other) => panic!("{other}"),
            Ok(log) => {
                assert_ne!(foretold.verdict, Verdict::Refuse);
                assert_eq!(log.report().verdict, foretold.verdict);
                drop(log);
                let mut found = Vec::new();
                visit_wal_with::<String, _>(Path::new(LOG), &options, |e| found.push(e.data))
                    .unwrap();
                assert!(self.payloads.starts_with(&found), "an entry that was not written");
                Some(found.len())
            }
        }
    }

    /// With the head file, acknowledged entries are there or the log is refused.
    fn check(&self, bytes: &[u8], what: &str) -> Option<usize> {
        let recovered = self.open(bytes, true);
        assert!(recovered.is_none_or(|found| found >= DURABLE), "{what}: {recovered:?}");
        recovered
    }
}

fn subjects(payload_bytes: usize) -> [Subject; 2] {
    [Subject::new(None, payload_bytes), Subject::new(Some(&[7; 32]), payload_bytes)]
}

#[test]
fn every_prefix() {
    for subject in subjects(60) {
        let ends: Vec<_> = subject.bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').collect();
        for length in 0..=subject.bytes.len() {
            let prefix = &subject.bytes[..length];
            // A line is whole with or without its newline.
            let whole = ends.iter().filter(|(end, _)| *end <= length).count();
            let expected = (whole >= DURABLE).then_some(whole);
            assert_eq!(subject.check(prefix, "prefix"), expected, "{length}");
            // Without the head file a loss looks like an entry never written, and nothing is invented.
            assert_eq!(subject.open(prefix, false), Some(whole), "{length}");
        }
    }
}

#[test]
fn every_single_bit() {
    for subject in subjects(20) {
        for (at, bit) in (0..subject.bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut bytes = subject.bytes.clone();
            bytes[at] ^= 1 << bit;
            let recovered = subject.check(&bytes, "bit");
            // No crash flips a bit: refused wherever it is, unless the log means the same.
            let benign = recovered == Some(WRITTEN);
            assert!(recovered.is_none() || benign, "byte {at} bit {bit}: {recovered:?}");
            let blind = subject.open(&bytes, false);
            assert!(blind.is_none() || benign, "byte {at} bit {bit}: {blind:?}");
        }
    }
}

#[test]
fn blocks_zeroed_duplicated_swapped_or_stale() {
    for (subject, block) in
        subjects(1_500).iter().flat_map(|s| [512, 4_096].map(|block| (s, block)))
    {
        let blocks = subject.bytes.len() / block;
        let earlier = Subject::new(Some(&[9; 32]), 1_500).bytes;
        let range = |index: usize| index * block..(index + 1) * block;
        for (a, b) in (0..blocks).flat_map(|a| (0..blocks).map(move |b| (a, b))) {
            let original = |index| subject.bytes[range(index)].to_vec();
            let mut duplicated = subject.bytes.clone();
            duplicated[range(a)].copy_from_slice(&original(b));
            subject.check(&duplicated, "duplicated");
            let mut swapped = duplicated;
            swapped[range(b)].copy_from_slice(&original(a));
            subject.check(&swapped, "swapped");
            subject.open(&swapped, false);
        }
        for index in 0..blocks {
            let mut zeroed = subject.bytes.clone();
            zeroed[range(index)].fill(0);
            subject.check(&zeroed, "zeroed");
            subject.open(&zeroed, false);
            // What an earlier log of the same layout had there.
            let mut stale = subject.bytes.clone();
            stale[range(index)].copy_from_slice(&earlier[range(index)]);
            subject.check(&stale, "stale");
        }
    }
}

#[test]
fn a_head_file_damaged_anywhere_never_loses_an_entry() {
    let mut subject = Subject::new(None, 20);
    for (at, bit) in (0..subject.head_file.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        subject.head_file[at] ^= 1 << bit;
        assert_eq!(subject.open(&subject.bytes, true), Some(WRITTEN), "byte {at} bit {bit}");
        subject.head_file[at] ^= 1 << bit;
    }
}
