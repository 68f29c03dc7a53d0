//! Every row of the directory's table, on a real log, and reading beside a writer.

use std::sync::Arc;

use calybris_proof::chain::{ChainHash, link_hash};

use super::*;
use crate::storage::Memory;
use crate::{Verdict, VerifiedWal, WalWriter, inspect, retired, verify_wal_with, visit_wal_with};

const LOG: &str = "dir/log";
const ENTRIES: u64 = 8;

/// Eight durable entries, two in a segment.
struct Subject {
    memory: Memory,
    options: WalOptions,
    /// Of every entry, from the empty log on.
    heads: Vec<Head>,
}

impl Subject {
    fn new(key: Option<&[u8]>) -> Self {
        let memory = Memory::default();
        let mut options = WalOptions::new().storage(Arc::new(memory.clone())).segment_bytes(600);
        if let Some(key) = key {
            options = options.key(key);
        }
        let log = WalWriter::<String>::open_with(Path::new(LOG), &options).unwrap();
        let mut heads = vec![Head::EMPTY];
        for number in 1..=ENTRIES {
            let entry = log.append_durable(payload(number)).unwrap();
            heads.push(Head { sequence: entry.sequence, hash: entry.entry_hash });
        }
        let subject = Self { memory, options, heads };
        assert_eq!(subject.segments(), [1, 3, 5, 7].map(path));
        subject
    }

    fn segments(&self) -> Vec<PathBuf> {
        let all = self.memory.list(Path::new(LOG)).unwrap();
        all.into_iter().filter(|path| Segment::named(path.clone()).is_some()).collect()
    }

    fn key(&self) -> Option<ChainKey> {
        self.options.key.as_deref().map(|key| ChainKey::new(key).unwrap())
    }

    fn remove(&self, first: u64) {
        self.memory.remove(&path(first)).unwrap();
    }

    fn edit(&self, first: u64, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.memory.read(&path(first)).unwrap();
        edit(&mut bytes);
        self.memory.write(&path(first), &bytes);
    }

    fn retire(&self, head: Head) {
        retired::write(Path::new(LOG), &self.memory, head, self.key().as_ref()).unwrap();
    }

    fn open(&self) -> Result<WalWriter<String>, WalError> {
        WalWriter::open_with(Path::new(LOG), &self.options)
    }

    fn verify(&self) -> Result<VerifiedWal, WalError> {
        verify_wal_with(Path::new(LOG), &self.options, None)
    }

    fn payloads(&self) -> Result<Vec<String>, WalError> {
        let mut found = Vec::new();
        visit_wal_with(Path::new(LOG), &self.options, |entry| found.push(entry.data))?;
        Ok(found)
    }

    /// Every file but the lock.
    fn contents(&self) -> Vec<(PathBuf, Option<Vec<u8>>)> {
        let mut paths = self.memory.list(Path::new(LOG)).unwrap();
        paths.retain(|path| !path.ends_with(LOCK));
        paths.into_iter().map(|path| (path.clone(), self.memory.read(&path))).collect()
    }
}

fn path(first: u64) -> PathBuf {
    Path::new(LOG).join(name(first))
}

fn payload(number: u64) -> String {
    format!("{number} {}", "x".repeat(80))
}

fn cut_last_line(bytes: &mut Vec<u8>) {
    let end = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
    bytes.truncate(end + 1);
}

/// Makes the directory what a row says; what is refused is refused at the sequence returned.
fn make(row: &str, subject: &Subject) -> u64 {
    match row {
        "NoSegment" => {
            [1, 3, 5, 7].into_iter().for_each(|first| subject.remove(first));
            subject.memory.remove(&Path::new(LOG).join(HEAD)).unwrap();
        }
        "EmptyLast" => subject.memory.write(&path(9), b""),
        "TornLast" => subject.memory.write(&path(9), b"{\"sequence\":9,\"prev"),
        "TornSealed" => {
            subject.edit(3, |bytes| bytes.truncate(bytes.len() - 20));
            return 4;
        }
        "UnterminatedSealed" => {
            subject.edit(3, |bytes| bytes.truncate(bytes.len() - 1));
            return 5;
        }
        "ShortSealed" => {
            subject.edit(3, cut_last_line);
            return 4;
        }
        "DamagedSealed" => {
            subject.edit(3, |bytes| bytes[300] ^= 1);
            return 4;
        }
        "ForeignSegment" => {
            let mut line = Vec::new();
            let (hash, data) = (ChainHash::from([9; 32]), b"\"forged\"");
            let own = link_hash(&hash, data, subject.key().as_ref());
            crate::line::write(&mut line, 5, &hash, &own, data);
            subject.memory.write(&path(5), &line);
            return 5;
        }
        "RenamedSegment" => {
            subject.memory.rename(&path(7), &path(5)).unwrap();
            return 5;
        }
        "FirstMissing" => {
            subject.remove(1);
            return 1;
        }
        "MiddleMissing" => {
            subject.remove(5);
            return 5;
        }
        "LastMissing" => {
            subject.remove(7);
            return 7;
        }
        "LastMissingUnknown" => {
            subject.remove(7);
            subject.memory.remove(&Path::new(LOG).join(HEAD)).unwrap();
        }
        "RetiredDeleted" => {
            subject.remove(1);
            return 1;
        }
        other => return make_retired(other, subject),
    }
    0
}

/// The same for what a retirement leaves.
fn make_retired(row: &str, subject: &Subject) -> u64 {
    let retired_head = subject.heads[2];
    match row {
        "Retired" => {
            subject.retire(retired_head);
            subject.remove(1);
        }
        "RetiredLeftover" => subject.retire(retired_head),
        "RetiredUnfinished" => {
            subject.memory.write(&Path::new(LOG).join("retired.new"), b"{\"schema");
        }
        "RetiredTooFar" => {
            subject.retire(subject.heads[3]);
            return 4;
        }
        "RetiredAll" => {
            subject.retire(Head { sequence: 8, hash: [9; 32].into() });
            return 9;
        }
        "RetiredForged" => {
            subject.retire(Head { sequence: 2, hash: [9; 32].into() });
            return 3;
        }
        "RetiredDamaged" => {
            subject.retire(retired_head);
            let path = Path::new(LOG).join("retired");
            let text = String::from_utf8(subject.memory.read(&path).unwrap()).unwrap();
            subject
                .memory
                .write(&path, text.replace("\"sequence\":2", "\"sequence\":4").as_bytes());
        }
        "HeadFileBehind" => {
            let head = Path::new(LOG).join(HEAD);
            let before = Subject::new(subject.options.key.as_deref());
            let early =
                WalOptions { storage: Arc::new(before.memory.clone()), ..subject.options.clone() };
            [1, 3, 5, 7].into_iter().for_each(|first| before.remove(first));
            before.memory.remove(&head).unwrap();
            WalWriter::<String>::open_with(Path::new(LOG), &early).unwrap();
            subject.memory.write(&head, &before.memory.read(&head).unwrap());
            subject.retire(retired_head);
        }
        other => panic!("no such row: {other}"),
    }
    0
}

#[test]
fn every_row_is_what_opening_and_reading_a_directory_do() {
    let document = include_str!("../../../../docs/format/log-segments-v1.md");
    let rows: Vec<Vec<&str>> = document
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains("| `"))
        .map(|line| {
            line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect()
        })
        .filter(|row: &Vec<&str>| ["Open", "CutTail", "Refuse"].contains(&row[1]))
        .collect();
    assert_eq!(rows.len(), 22);
    for (row, key) in
        rows.iter().flat_map(|row| [None, Some(&[7_u8; 32][..])].map(|key| (row, key)))
    {
        let subject = Subject::new(key);
        let sequence = make(row[0], &subject);
        let before = subject.contents();
        if row[1] == "Refuse" {
            let foretold = inspect(Path::new(LOG), &subject.options);
            let error = subject.open().unwrap_err();
            match foretold {
                Ok(report) => {
                    assert_eq!(report.verdict, Verdict::Refuse, "{row:?}");
                    assert_eq!((error.sequence(), report.sequence + 1), (Some(sequence), sequence));
                    assert!(error.to_string().contains("dir/log/000"), "{error}");
                }
                Err(early) => assert_eq!(early.to_string(), error.to_string()),
            }
            // A loss at the end shows against the head file only.
            if row[0] != "LastMissing" {
                let reading = subject.verify().unwrap_err();
                assert_eq!(reading.to_string(), error.to_string(), "{row:?}");
                assert_eq!(subject.payloads().unwrap_err().to_string(), error.to_string());
            }
            assert_eq!(subject.contents(), before, "{row:?} refused and touched");
            continue;
        }
        let log = subject.open().unwrap_or_else(|error| panic!("{row:?}: {error}"));
        assert_eq!(format!("{:?}", log.report().verdict), row[1], "{row:?}");
        let (sequence, last) = (log.sequence(), log.last_hash());
        assert_eq!(last, subject.heads[usize::try_from(sequence).unwrap()].hash);
        let entry = log.append_durable("next".into()).unwrap();
        assert_eq!((entry.sequence, entry.previous_hash), (sequence + 1, last));
        let after = log.report().after;
        assert_eq!(
            after,
            if row[0].contains("Retired") && row[0] != "RetiredUnfinished"
                || row[0] == "HeadFileBehind"
            {
                2
            } else {
                0
            }
        );
        drop(log);
        let verified = subject.verify().unwrap();
        assert_eq!((verified.after, verified.sequence), (after, sequence + 1));
        assert_eq!(verified.after_hash, subject.heads[usize::try_from(after).unwrap()].hash);
        let mut expected: Vec<_> = (after + 1..=sequence).map(payload).collect();
        expected.push("next".into());
        assert_eq!(subject.payloads().unwrap(), expected);
        assert!(
            subject.segments().into_iter().all(|path| Segment::named(path).unwrap().first > after)
        );
        assert_eq!(subject.open().unwrap().report().verdict, Verdict::Open, "recovery is complete");
    }
}

#[test]
fn the_segments_put_together_are_the_log_as_one_file() {
    let subject = Subject::new(None);
    let whole: Vec<u8> =
        subject.segments().iter().flat_map(|path| subject.memory.read(path).unwrap()).collect();
    let one = Path::new("one");
    subject.memory.write(one, &whole);
    let options = WalOptions { segment_bytes: None, ..subject.options.clone() };
    let verified = verify_wal_with(one, &options, None).unwrap();
    assert_eq!(VerifiedWal { segments: 4, ..verified }, subject.verify().unwrap());
    let log = WalWriter::<String>::open_with(Path::new("again"), &options).unwrap();
    (1..=ENTRIES).for_each(|number| assert!(log.append(payload(number)).is_ok()));
    assert_eq!(subject.memory.read(Path::new("again")).unwrap(), whole);
}

#[test]
fn a_segment_alone_is_verified_after_the_head_it_continues() {
    let subject = Subject::new(None);
    let after = |at: usize| {
        let head = subject.heads[at];
        let anchor =
            calybris_proof::chain::WalAnchor::new(head.sequence, head.hash, false).unwrap();
        subject.options.clone().after(anchor)
    };
    let verified = verify_wal_with(&path(5), &after(4), None).unwrap();
    assert_eq!((verified.after, verified.sequence), (4, 6));
    assert!(verified.to_string().contains("continues head 4 "), "{verified}");
    for wrong in [
        verify_wal_with(&path(5), &after(2), None),
        verify_wal_with(&path(5), &subject.options, None),
    ] {
        assert!(matches!(wrong, Err(WalError::Entry { .. })));
    }
    let keyed = subject.options.clone().key(&[7; 32]);
    let keyed = WalOptions { after: after(4).after, ..keyed };
    assert!(matches!(verify_wal_with(&path(5), &keyed, None), Err(WalError::AnchorKey { .. })));
}

#[test]
fn one_writer_a_directory_and_no_directory_over_a_file() {
    let subject = Subject::new(None);
    let log = subject.open().unwrap();
    match subject.open() {
        Err(WalError::Locked { path }) => assert_eq!(path, Path::new(LOG)),
        other => panic!("{other:?}"),
    }
    // Whoever takes the lock away is noticed before the next segment begins.
    subject.memory.remove(&Path::new(LOG).join(LOCK)).unwrap();
    assert!(matches!(log.append_durable(payload(9)), Err(WalError::Displaced { .. })));
    drop(log);
    assert_eq!(subject.open().unwrap().sequence(), 8);
    subject.memory.write(Path::new("file"), b"");
    let error = WalWriter::<String>::open_with(Path::new("file"), &subject.options).unwrap_err();
    assert!(matches!(error, WalError::NotADirectory { .. }), "{error}");
}

#[test]
fn a_line_that_is_being_written_is_not_counted_and_one_left_torn_is_refused() {
    let subject = Subject::new(None);
    let whole = subject.memory.read(&path(7)).unwrap();
    let writing = whole.len() - 10;
    subject.memory.write(&path(7), &whole[..writing]);
    // Nobody goes on: the line is as a crash left it.
    assert_eq!(subject.verify().unwrap_err().sequence(), Some(8));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| subject.verify().unwrap().sequence);
        for length in writing..whole.len() {
            std::thread::sleep(Duration::from_millis(3));
            subject.memory.write(&path(7), &whole[..length]);
        }
        assert_eq!(reader.join().unwrap(), 7);
    });
    subject.memory.write(&path(7), &whole);
    assert_eq!(subject.verify().unwrap().sequence, 8);
}

#[test]
fn progress_runs_over_all_segments() {
    let subject = Subject::new(None);
    let mut seen = Vec::new();
    let verified =
        verify_wal_with(Path::new(LOG), &subject.options, Some(&mut |at| seen.push(at))).unwrap();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|at| at.total_bytes == verified.bytes));
    assert!(seen.windows(2).all(|pair| pair[0].bytes < pair[1].bytes));
    assert_eq!((seen[3].bytes, seen[3].sequence), (verified.bytes, 8));
}
