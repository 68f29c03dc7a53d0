//! Retiring segments: what goes, what stays, what readers meanwhile see, and the archive.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use calybris_wal::storage::{Memory, Storage as _};
use calybris_wal::{
    EntryFault, VerifiedWal, WalAnchor, WalError, WalOptions, WalWriter, read_wal, verify_wal,
    verify_wal_with, visit_wal_with,
};

use crate::common::{KEY, fault};

const LOG: &str = "log";

/// Ten entries, two in a segment, and the log that is still open.
fn log_of_segments(key: Option<&[u8]>) -> (Memory, WalOptions, WalWriter<String>) {
    let memory = Memory::default();
    let mut options = WalOptions::new().storage(Arc::new(memory.clone())).segment_bytes(600);
    if let Some(key) = key {
        options = options.key(key);
    }
    let log = WalWriter::open_with(Path::new(LOG), &options).unwrap();
    (1..=10).for_each(|number| assert!(log.append(payload(number)).is_ok()));
    assert_eq!(segments(&memory, LOG), [1, 3, 5, 7, 9]);
    (memory, options, log)
}

fn payload(number: u64) -> String {
    format!("{number} {}", "x".repeat(80))
}

fn path(folder: &str, first: u64, suffix: &str) -> PathBuf {
    Path::new(folder).join(format!("{first:020}.log{suffix}"))
}

fn segments(memory: &Memory, folder: &str) -> Vec<u64> {
    let names = memory.list(Path::new(folder)).unwrap();
    names
        .iter()
        .filter_map(|path| path.file_name()?.to_str()?.split('.').next()?.parse().ok())
        .collect()
}

fn verify(options: &WalOptions) -> Result<VerifiedWal, WalError> {
    verify_wal_with(Path::new(LOG), options, None)
}

fn payloads(options: &WalOptions) -> Vec<String> {
    let mut found = Vec::new();
    visit_wal_with(Path::new(LOG), options, |entry| found.push(entry.data)).unwrap();
    found
}

#[test]
fn whole_sealed_segments_go_and_the_rest_continues_their_head() {
    for key in [None, Some(&KEY[..])] {
        let (memory, options, log) = log_of_segments(key);
        assert_eq!(log.retire_before(2).unwrap(), None, "entry 2 is in the first segment");
        let before = verify(&options).unwrap();
        let plan = log.retirable_before(6).unwrap().unwrap();
        assert_eq!(verify(&options).unwrap(), before, "a plan touches nothing");
        let done = log.retire_before(6).unwrap().unwrap();
        assert_eq!(done, plan);
        assert_eq!((done.after, done.sequence, done.segments), (0, 4, 2));
        let rest = verify(&options).unwrap();
        assert_eq!((rest.after, rest.after_hash), (4, done.last_hash));
        assert_eq!((rest.sequence, rest.bytes), (10, before.bytes - done.bytes));
        assert!(rest.to_string().contains("continues head 4 "), "{rest}");
        assert_eq!(payloads(&options), (5..=10).map(payload).collect::<Vec<_>>());

        // Never the active one, whatever is asked for.
        let all = log.retire_before(u64::MAX).unwrap().unwrap();
        assert_eq!((all.after, all.sequence), (4, 8));
        assert_eq!((log.retire_before(u64::MAX).unwrap(), segments(&memory, LOG)), (None, vec![9]));
        log.append_durable(payload(11)).unwrap();
        drop(log);
        let log = WalWriter::<String>::open_with(Path::new(LOG), &options).unwrap();
        assert_eq!((log.report().after, log.sequence()), (8, 11));
        assert!(log.report().to_string().contains("retired  up to entry 8"), "{}", log.report());
    }
}

#[test]
fn one_file_has_nothing_to_retire() {
    let options = WalOptions::new().storage(Arc::new(Memory::default()));
    let log = WalWriter::<u64>::open_with(Path::new(LOG), &options).unwrap();
    log.append(1).unwrap();
    assert_eq!(log.retire_before(u64::MAX).unwrap(), None);
}

#[test]
fn what_does_not_verify_is_not_retired() {
    let (memory, options, log) = log_of_segments(None);
    let mut damaged = memory.read(&path(LOG, 3, "")).unwrap();
    *damaged.last_mut().unwrap() = b' ';
    memory.write(&path(LOG, 3, ""), &damaged);
    let error = log.retire_before(9).unwrap_err();
    assert!(matches!(fault(error), (5, EntryFault::Unsealed)));
    damaged.truncate(10);
    memory.write(&path(LOG, 3, ""), &damaged);
    assert_eq!(log.retire_before(9).unwrap_err().sequence(), Some(3));
    assert_eq!(segments(&memory, LOG), [1, 3, 5, 7, 9]);
    // What comes before the damage may go; the writer is none the worse.
    assert_eq!(log.retire_before(3).unwrap().unwrap().sequence, 2);
    log.append_durable(payload(11)).unwrap();
    assert_eq!(verify(&options).unwrap_err().sequence(), Some(3));
}

#[test]
fn anchors_and_heads_are_checked_as_far_as_what_is_left_can_tell() {
    let (_memory, options, log) = log_of_segments(Some(&KEY));
    let mut heads = Vec::new();
    visit_wal_with::<String, _>(Path::new(LOG), &options, |entry| {
        heads.push(WalAnchor::new(entry.sequence, entry.entry_hash, true).unwrap());
    })
    .unwrap();
    log.retire_before(6).unwrap();
    for head in &heads {
        let anchored = options.clone().anchor(*head);
        match verify(&anchored) {
            Err(WalError::AnchorRetired { retired: 4, expected, .. }) => assert!(expected < 4),
            other => assert!(other.is_ok() && head.sequence >= 4, "{other:?}"),
        }
        let after = verify(&options.clone().after(*head));
        assert_eq!(after.is_ok(), head.sequence == 4, "{after:?}");
    }
    let forged = WalAnchor::new(4, [9; 32].into(), true).unwrap();
    for options in [options.clone().anchor(forged), options.clone().after(forged)] {
        assert!(matches!(fault(verify(&options).unwrap_err()), (5, EntryFault::Anchor { .. })));
    }
}

#[test]
fn a_record_of_another_key_is_refused_and_an_unverified_reader_needs_none() {
    let (memory, options, log) = log_of_segments(Some(&KEY));
    log.retire_before(6).unwrap();
    drop(log);
    let other = options.clone().key(&[9; 32]);
    for error in [
        verify(&other).unwrap_err(),
        WalWriter::<String>::open_with(Path::new(LOG), &other).map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, WalError::RetirementRecord { .. }), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    for name in memory.list(Path::new(LOG)).unwrap() {
        std::fs::write(folder.path().join(name.file_name().unwrap()), memory.read(&name).unwrap())
            .unwrap();
    }
    assert_eq!(read_wal::<String>(folder.path()).unwrap().len(), 6);
    assert!(verify_wal(folder.path()).is_err());
}

#[test]
fn a_segment_retired_while_it_is_read_is_named_unless_it_was_open() {
    let (_memory, options, log) = log_of_segments(None);
    let mut seen = 0;
    let error = visit_wal_with::<String, _>(Path::new(LOG), &options, |entry| {
        seen = entry.sequence;
        if entry.sequence == 1 {
            log.retire_before(8).unwrap();
        }
    })
    .unwrap_err();
    // The open segment was read to its end; the next one was gone.
    assert_eq!(seen, 2);
    match error {
        WalError::Retired { path: gone, sequence } => {
            assert_eq!((gone, sequence), (path(LOG, 3, ""), 6));
        }
        other => panic!("{other}"),
    }
    assert_eq!(verify(&options).unwrap().after, 6);
}

#[test]
fn readers_beside_a_writer_that_rotates_and_retires_see_a_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LOG);
    let options = WalOptions::new().segment_bytes(2_000);
    let log = WalWriter::<u64>::open_with(&path, &options).unwrap();
    let (done, entries) = (AtomicBool::new(false), 3_000);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut reads, mut retired, mut last) = (0, 0, (0, 0));
            while !done.load(Ordering::Relaxed) || reads == 0 {
                let (mut first, mut next) = (None, None);
                let read = visit_wal_with::<u64, _>(&path, &options, |entry| {
                    first = first.or(Some(entry.sequence));
                    assert!(next.is_none_or(|next| next == entry.sequence));
                    assert_eq!(entry.data, entry.sequence * 7);
                    next = Some(entry.sequence + 1);
                });
                match read {
                    Ok(()) => {
                        let now = (first.unwrap_or(0), next.unwrap_or(0));
                        assert!(last.0 <= now.0 && last.1 <= now.1, "{last:?} {now:?}");
                        last = now;
                    }
                    Err(WalError::Retired { .. }) => retired += 1,
                    Err(other) => panic!("{other}"),
                }
                match verify_wal_with(&path, &options, None) {
                    Ok(_) | Err(WalError::Retired { .. }) => reads += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            (reads, retired)
        });
        for number in 1..=entries {
            log.append(number * 7).unwrap();
            if number % 100 == 0 {
                log.retire_before(number - 50).unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
        let (reads, retired) = reader.join().unwrap();
        eprintln!("{reads} reads beside {entries} appends, {retired} met a retirement");
    });
    let rest = verify_wal(&path).unwrap();
    assert_eq!(rest, (entries, log.last_hash()));
}

#[cfg(feature = "archive")]
mod archive {
    //! What was retired, compressed and still verifiable.

    use super::*;

    const ARCHIVE: &str = "archive";

    #[test]
    fn archive_and_rest_are_the_whole_log_and_each_is_verified_alone() {
        for key in [None, Some(&KEY[..])] {
            let (memory, plain, log) = log_of_segments(key);
            drop(log);
            let whole = verify(&plain).unwrap();
            let options = plain.clone().archive(Path::new(ARCHIVE));
            assert_eq!(verify(&options).unwrap(), whole, "nothing is archived yet");
            let log = WalWriter::<String>::open_with(Path::new(LOG), &options).unwrap();
            let first = log.retire_before(4).unwrap().unwrap();
            let second = log.retire_before(9).unwrap().unwrap();
            assert_eq!(
                (segments(&memory, ARCHIVE), segments(&memory, LOG)),
                (vec![1, 3, 5, 7], vec![9])
            );
            let mut total = 0;
            let counted = verify_wal_with(
                Path::new(LOG),
                &options,
                Some(&mut |at| {
                    total = at.total_bytes;
                    assert!(at.bytes <= at.total_bytes);
                }),
            );
            assert_eq!((counted.unwrap(), total), (whole, whole.bytes));
            assert_eq!(payloads(&options), (1..=10).map(payload).collect::<Vec<_>>());
            assert_eq!(verify(&plain).unwrap().after, 8);

            let archived = verify_wal_with(Path::new(ARCHIVE), &plain, None).unwrap();
            assert_eq!((archived.after, archived.sequence), (0, 8));
            assert_eq!(archived.last_hash, second.last_hash);
            let head = WalAnchor::new(2, first.last_hash, key.is_some()).unwrap();
            let alone = plain.clone().after(head);
            let verified = verify_wal_with(&path(ARCHIVE, 3, ".gz"), &alone, None).unwrap();
            assert_eq!((verified.after, verified.sequence), (2, 4));
            assert!(verify_wal_with(&path(ARCHIVE, 5, ".gz"), &alone, None).is_err());
            // An archive is for reading.
            for archived in [ARCHIVE.into(), path(ARCHIVE, 1, ".gz")] {
                let error = WalWriter::<String>::open_with(&archived, &plain).map(drop);
                assert!(matches!(
                    error,
                    Err(WalError::Archived { .. } | WalError::NotADirectory { .. })
                ));
            }
        }
    }

    #[test]
    fn an_archive_changed_anywhere_is_refused_or_says_the_same() {
        let (memory, plain, log) = log_of_segments(None);
        drop(log);
        let options = plain.archive(Path::new(ARCHIVE));
        let log = WalWriter::<String>::open_with(Path::new(LOG), &options).unwrap();
        log.retire_before(9).unwrap();
        let whole = verify(&options).unwrap();
        let target = path(ARCHIVE, 3, ".gz");
        let good = memory.read(&target).unwrap();
        let (mut refused, mut places) = (0, 0);
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            *bytes.get_mut(bit / 8).unwrap() ^= 1 << (bit % 8);
            memory.write(&target, &bytes);
            match verify(&options) {
                Ok(verified) => assert_eq!(verified, whole),
                Err(WalError::Entry { place, .. }) => {
                    places += u64::from(place.path == target);
                    refused += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
        // Header fields that mean nothing to the contents (time, flags, system) may differ.
        assert!(refused > good.len() * 7 && places > 0, "{refused} of {}", good.len() * 8);
        for cut in 0..good.len() {
            memory.write(&target, &good[..cut]);
            assert!(verify(&options).is_err(), "cut at {cut}");
        }
        memory.write(&target, &[&good[..], b"x"].concat());
        let error = verify(&options).unwrap_err();
        assert!(matches!(fault(error), (_, EntryFault::Archive { .. })));
        memory.remove(&target).unwrap();
        assert!(matches!(
            fault(verify(&options).unwrap_err()),
            (3, EntryFault::SegmentName { .. })
        ));
    }

    /// The exit code and the output of the verifier in Python, which was written from the formats alone.
    fn python(arguments: &[&Path]) -> Option<(i32, String)> {
        let script =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/verifier/calybris_verifier.py");
        let output =
            std::process::Command::new("python3").args([script, "log"]).args(arguments).output();
        let output = output.ok()?;
        Some((output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap()))
    }

    #[test]
    fn an_independent_verifier_agrees_on_directory_and_archive() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (path, archive, key) = (at("log"), at("archive"), at("key"));
        std::fs::write(&key, "42".repeat(32)).unwrap();
        let options = WalOptions::new().key(&KEY).segment_bytes(600).archive(&archive);
        let log = WalWriter::<String>::open_with(&path, &options).unwrap();
        (1..=10).for_each(|number| assert!(log.append(payload(number)).is_ok()));
        log.retire_before(6).unwrap();
        let with_key = [&*path, "--key-file".as_ref(), &*key];
        let Some(found) = python(&with_key) else {
            eprintln!("python3 is not installed: not compared");
            return;
        };
        let head = log.last_hash();
        let expected = |entries: &str| {
            (0, format!("verified: {entries}, 0 audited, 0 replayed, head {head}\n"))
        };
        assert_eq!(found, expected("6 entries after 4 retired ones"));
        let whole = [&with_key[..], &["--archive".as_ref(), &*archive]].concat();
        assert_eq!(python(&whole).unwrap(), expected("10 entries"));

        let spoil = |path: &Path, edit: &dyn Fn(&mut Vec<u8>), code: i32| {
            let good = std::fs::read(path).unwrap();
            let mut bytes = good.clone();
            edit(&mut bytes);
            std::fs::write(path, bytes).unwrap();
            let (found, text) = python(&whole).unwrap();
            assert_eq!(found, code, "{}: {text}", path.display());
            assert!(
                verify_wal_with(&path.parent().unwrap().with_file_name("log"), &options, None)
                    .is_err()
            );
            std::fs::write(path, good).unwrap();
        };
        let segment = |first: u64| path.join(format!("{first:020}.log"));
        spoil(&segment(7), &|bytes| bytes.truncate(bytes.len() - 1), 1);
        spoil(&segment(7), &|bytes| bytes.iter_mut().for_each(|byte| *byte = b' '), 1);
        spoil(&segment(9), &|bytes| bytes.truncate(bytes.len() - 5), 3);
        spoil(&path.join("retired"), &|bytes| *bytes.get_mut(60).unwrap() ^= 1, 1);
        spoil(&archive.join(format!("{:020}.log.gz", 3)), &|bytes| bytes.truncate(100), 1);
    }
}
