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
        Self::with_room(key, payload_bytes, 0)
    }

    /// As it is found when a process with so much room ended before it closed the log.
    fn with_room(key: Option<&[u8]>, payload_bytes: usize, room_bytes: u64) -> Self {
        let memory = Memory::default();
        let mut options =
            WalOptions::new().storage(Arc::new(memory.clone())).room_bytes(room_bytes);
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
            // No crash flips a bit: refused wherever it is, unless the log means the same or its last line, which was
            // not acknowledged, looks as if it had been cut short before its newline.
            let benign = recovered == Some(WRITTEN);
            let short = recovered == Some(WRITTEN - 1) && at + 8 > bytes.len();
            assert!(recovered.is_none() || benign || short, "byte {at} bit {bit}: {recovered:?}");
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
            for unwritten in *b"\0\n" {
                zeroed[range(index)].fill(unwritten);
                subject.check(&zeroed, "never written");
                subject.open(&zeroed, false);
            }
            // What an earlier log of the same layout had there.
            let mut stale = subject.bytes.clone();
            stale[range(index)].copy_from_slice(&earlier[range(index)]);
            subject.check(&stale, "stale");
        }
    }
}

/// Room for more entries than the two that were written and not synced.
fn with_room(payload_bytes: usize, room_bytes: u64) -> [Subject; 2] {
    [None, Some(&[7; 32][..])].map(|key| Subject::with_room(key, payload_bytes, room_bytes))
}

fn is_room(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == b'\n')
}

#[test]
fn every_prefix_and_every_bit_of_a_log_with_room() {
    for subject in with_room(20, 1_000) {
        let entries = subject.bytes.trim_ascii_end().len();
        assert!(subject.bytes.len() > entries + 512, "there is no room left");
        assert_eq!(subject.check(&subject.bytes, "whole"), Some(WRITTEN));
        assert_eq!(subject.open(&subject.bytes, false), Some(WRITTEN));
        for length in 0..=subject.bytes.len() {
            let recovered = subject.check(&subject.bytes[..length], "prefix");
            assert!(recovered.is_some() || length < entries, "{length}");
            subject.open(&subject.bytes[..length], false);
        }
        for (at, bit) in (0..subject.bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut bytes = subject.bytes.clone();
            bytes[at] ^= 1 << bit;
            let recovered = subject.check(&bytes, "bit");
            let cut = recovered.is_some_and(|found| found < WRITTEN);
            // A line that was not synced and ends at a sector's end, or whose last bytes do not hold before room, looks as
            // if the rest of it had not been written.
            let as_if = at % 512 == 511 || (entries - 8..entries).contains(&at);
            assert!(!cut || as_if, "byte {at} bit {bit}: {recovered:?}");
        }
    }
}

#[test]
fn any_sectors_that_were_not_written_leave_room_and_are_never_refused() {
    for subject in with_room(500, 2_400) {
        let durable = line_end(&subject.bytes, DURABLE);
        let sectors = durable / 512..subject.bytes.trim_ascii_end().len().div_ceil(512);
        assert!(sectors.len() > 3);
        for lost in 0_u32..1 << sectors.len() {
            for torn in [0, 1, 200, 511] {
                let mut bytes = subject.bytes.clone();
                for sector in
                    sectors.clone().filter(|sector| lost >> (sector - sectors.start) & 1 == 1)
                {
                    let start = (sector * 512 + torn).max(durable);
                    bytes[start..(sector + 1) * 512].fill(b'\n');
                }
                let recovered = subject.check(&bytes, "lost sectors");
                assert!(recovered.is_some(), "sectors {lost:b} after {torn} bytes");
                // Without a head file nobody knows what was acknowledged.
                let blind = subject.open(&bytes, false);
                assert!(blind.is_none_or(|found| is_room(&bytes[line_end(&bytes, found)..])));
            }
        }
    }
}

/// Where the line of an entry ends.
fn line_end(bytes: &[u8], entries: usize) -> usize {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at + 1).nth(entries - 1).unwrap()
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
