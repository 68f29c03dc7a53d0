//! Every row of the table, by the table and on a real log.

use std::sync::Arc;

use super::*;
use crate::storage::{Memory, Storage as _};
use crate::{WalOptions, WalWriter};

const TAILS: [Tail; 6] =
    [Tail::Clean, Tail::Unterminated, Tail::Torn, Tail::Nul, Tail::Hole, Tail::Damaged];
const TRUSTS: [Trust; 4] = [Trust::Unknown, Trust::Covered, Trust::Missing, Trust::Forked];

/// The table of the format document, row by row.
#[test]
fn the_table_is_the_documented_one() {
    let document = include_str!("../../../../docs/format/log-recovery.md");
    let rows: Vec<Vec<&str>> = document
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect()
        })
        .collect();
    assert_eq!(rows.len(), TAILS.len() * TRUSTS.len());
    for (tail, trust) in TAILS.into_iter().flat_map(|tail| TRUSTS.map(|trust| (tail, trust))) {
        let named =
            |row: &&Vec<&str>| row[0] == format!("{tail:?}") && row[1] == format!("{trust:?}");
        let row = rows.iter().find(named).unwrap();
        assert_eq!(row[2], format!("{:?}", verdict(tail, trust)), "{tail:?} {trust:?}");
    }
}

/// Five synced entries, then three that are only written; with how many bytes each of the two has.
fn log() -> (Memory, WalOptions, usize, usize) {
    let memory = Memory::default();
    let options = WalOptions::new().storage(Arc::new(memory.clone()));
    let log = WalWriter::<String>::open_with(Path::new("log"), &options).unwrap();
    for number in 0..8 {
        log.append(format!("{number} {}", "x".repeat(400))).unwrap();
        if number == 4 {
            log.sync().unwrap();
        }
    }
    let synced = memory.read(Path::new("log")).unwrap();
    let durable =
        synced.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(4).unwrap().0 + 1;
    (memory, options, durable, synced.len())
}

/// Changes what is after (or, to make a loss, before) the durable head so that it ends as `tail` says.
fn spoil(bytes: &mut Vec<u8>, tail: Tail, durable: usize, missing: bool) {
    let at = if missing { durable - 200 } else { durable + 200 };
    match tail {
        Tail::Clean => {
            bytes.truncate(if missing { line_start(bytes, durable - 2) } else { durable });
        }
        Tail::Unterminated => {
            let end = if missing { line_start(bytes, durable - 2) } else { bytes.len() };
            bytes.truncate(end - 1);
        }
        Tail::Torn => bytes.truncate(at),
        Tail::Nul => bytes[at..].fill(0),
        Tail::Hole => {
            let start = at;
            let end = start.next_multiple_of(512);
            assert!(end < bytes.len());
            bytes[start..end].fill(0);
        }
        Tail::Damaged => bytes[at] ^= 1,
    }
}

fn line_start(bytes: &[u8], within: usize) -> usize {
    bytes[..within].iter().rposition(|byte| *byte == b'\n').unwrap() + 1
}

#[test]
fn every_row_is_what_opening_does() {
    let path = Path::new("log");
    let mut seen = 0;
    for (tail, trust) in TAILS.into_iter().flat_map(|tail| TRUSTS.map(|trust| (tail, trust))) {
        let (memory, options, durable, _) = log();
        let mut bytes = memory.read(path).unwrap();
        let mut options = options;
        match trust {
            Trust::Unknown => memory.remove(Path::new("log.head")).unwrap(),
            Trust::Forked => {
                let other =
                    calybris_proof::chain::WalAnchor::new(2, [9; 32].into(), false).unwrap();
                options = options.anchor(other);
            }
            Trust::Covered | Trust::Missing => {}
        }
        spoil(&mut bytes, tail, durable, trust == Trust::Missing);
        memory.write(path, &bytes);

        let report = inspect(path, &options).unwrap();
        assert_eq!(report.trust, trust, "{tail:?}: {report}");
        // A fork ends the scan where it is.
        if trust != Trust::Forked {
            assert_eq!(report.tail, tail, "{trust:?}: {report}");
        }
        let expected = verdict(tail, trust);
        assert_eq!(report.verdict, expected, "{tail:?} {trust:?}");
        assert!(!report.to_string().ends_with('\n') && report.to_string().lines().count() >= 5);

        let opened = WalWriter::<String>::open_with(path, &options);
        let after = memory.read(path).unwrap();
        let kept: Vec<_> = memory
            .list(Path::new(""))
            .unwrap()
            .into_iter()
            .filter(|path| path.to_string_lossy().contains(".torn-"))
            .collect();
        match expected {
            Verdict::Refuse => {
                let error = opened.as_ref().unwrap_err();
                assert_eq!(
                    error.sequence(),
                    Some(report.sequence + 1),
                    "{tail:?} {trust:?}: {error}"
                );
                assert!(error.to_string().contains("log line "), "{error}");
                assert_eq!(after, bytes, "refused and touched");
                assert!(kept.is_empty());
            }
            Verdict::Open => assert_eq!(after, bytes),
            Verdict::EndLine => assert_eq!(after, [&bytes[..], b"\n"].concat()),
            Verdict::CutTail => {
                let end = usize::try_from(report.bytes).unwrap();
                assert_eq!(after, bytes[..end]);
                assert_eq!(memory.read(&kept[0]).unwrap(), bytes[end..]);
                assert_eq!(opened.as_ref().unwrap().report().kept_tail.as_deref(), Some(&*kept[0]));
            }
        }
        if expected != Verdict::Refuse {
            let log = WalWriter::<String>::open_with(path, &options);
            assert!(matches!(log, Err(WalError::Locked { .. })), "the first is still open");
            drop(opened);
            let log = WalWriter::<String>::open_with(path, &options).unwrap();
            assert_eq!(log.report().verdict, Verdict::Open, "recovery is complete");
            assert!(log.sequence() >= 5 || trust == Trust::Unknown);
            log.append_durable("next".into()).unwrap();
        }
        seen += 1;
    }
    assert_eq!(seen, 24);
}

#[test]
fn a_missing_entry_is_named_with_its_place_and_what_is_there_instead() {
    let (memory, options, durable, _) = log();
    let mut bytes = memory.read(Path::new("log")).unwrap();
    spoil(&mut bytes, Tail::Torn, durable, true);
    memory.write(Path::new("log"), &bytes);
    let error = WalWriter::<String>::open_with(Path::new("log"), &options).unwrap_err();
    let offset = line_start(&bytes, bytes.len());
    let text = error.to_string();
    assert!(text.starts_with(&format!(
        "log line 5 (byte {offset}, sequence 5): the log ends here, entries up to 5 were acknowledged; "
    )), "{text}");
}

#[test]
fn a_keyed_log_does_not_believe_a_head_file_of_another_key() {
    let memory = Memory::default();
    let options = WalOptions::new().storage(Arc::new(memory.clone())).key(&[1; 32]);
    let path = Path::new("log");
    WalWriter::<u32>::open_with(path, &options).unwrap().append_durable(1).unwrap();
    let head = memory.read(Path::new("log.head")).unwrap();
    assert_eq!(inspect(path, &options).unwrap().durable_sequence, Some(1));
    let forged = String::from_utf8(head).unwrap().replace("\"sequence\":1", "\"sequence\":9");
    memory.write(Path::new("log.head"), forged.as_bytes());
    let older = inspect(path, &options).unwrap();
    assert_eq!((older.durable_sequence, older.verdict), (Some(0), Verdict::Open));
}
