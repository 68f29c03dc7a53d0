//! The format: worked logs, an independent verifier, and every tampering of a closed log.

use std::fs;
use std::process::Command;

use crate::common::{KEY, fault, lines, log_of, request, unhex, vectors};
use calybris_kernel::KernelInput;
use calybris_wal::{
    AuditedRecord, EntryFault, MAX_ENTRY_BYTES, WalAnchor, WalError, WalOptions, WalWriter,
    read_verified_wal, read_verified_wal_keyed, replay_audited_wal, replay_audited_wal_keyed,
    verify_wal, verify_wal_against_anchor, verify_wal_keyed, verify_wal_keyed_against_anchor,
};
use serde_json::value::RawValue;

#[test]
fn worked_logs_are_written_and_read_byte_for_byte() {
    let worked = vectors().log;
    let key = unhex(&worked.key_hex);
    for (key, expected) in [(None, worked.lines), (Some(&key), worked.keyed_lines)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let log = match key {
            None => WalWriter::<Box<RawValue>>::open(&path).unwrap(),
            Some(key) => WalWriter::<Box<RawValue>>::open_keyed(&path, key).unwrap(),
        };
        for payload in &worked.payloads {
            log.append(RawValue::from_string(payload.clone()).unwrap()).unwrap();
        }
        log.flush_and_sync().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), expected.join("\n") + "\n");
        let read = match key {
            None => read_verified_wal::<Box<RawValue>>(&path),
            Some(key) => read_verified_wal_keyed::<Box<RawValue>>(&path, key),
        };
        let payloads: Vec<_> = read.unwrap().iter().map(|entry| entry.data.to_string()).collect();
        assert_eq!(payloads, worked.payloads);
    }
}

#[test]
fn the_worked_audited_log_replays_and_is_written_again_byte_for_byte() {
    let worked = vectors().audited_log;
    let snapshot = worked.policy.snapshot();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let whole = worked.lines.join("\n") + "\n";
    fs::write(&path, &whole).unwrap();
    let verdicts = replay_audited_wal(&path, &snapshot).unwrap();
    assert_eq!(verdicts.len(), worked.lines.len());
    replay_audited_wal_keyed::<Box<RawValue>>(&path, &snapshot, None).unwrap();

    let again = directory.path().join("again");
    let log = WalWriter::<AuditedRecord<Box<RawValue>>>::open(&again).unwrap();
    for entry in read_verified_wal::<AuditedRecord<Box<RawValue>>>(&path).unwrap() {
        let AuditedRecord { input, decision, metadata, .. } = entry.data;
        log.append_verified_audited(&snapshot, input, decision, metadata).unwrap();
    }
    log.flush().unwrap();
    assert_eq!(fs::read_to_string(&again).unwrap(), whole);
}

#[test]
fn an_independent_verifier_agrees() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/chain.py");
    let (_directory, path) = log_of(40);
    let (sequence, hash) = verify_wal(&path).unwrap();
    let Ok(output) = Command::new("python3").arg(script).arg(&path).output() else {
        eprintln!("python3 is not installed: not compared");
        return;
    };
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), format!("ok {sequence} {hash}"));
    let log = WalWriter::<u64>::open_keyed(&path.with_extension("keyed"), &KEY).unwrap();
    (0..10).for_each(|number| assert!(log.append(number).is_ok()));
    let mut command = Command::new("python3");
    command.arg(script).arg(path.with_extension("keyed")).arg("42".repeat(32));
    let output = command.output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim(),
        format!("ok 10 {}", log.last_hash())
    );
}

#[test]
fn a_line_changed_removed_duplicated_swapped_or_repeated_is_named() {
    let (_directory, path) = log_of(5);
    let good = lines(&path);
    let check = |changed: Vec<String>, due: u64, matches: fn(&EntryFault) -> bool| {
        fs::write(&path, changed.join("\n") + "\n").unwrap();
        for error in [
            verify_wal(&path).unwrap_err(),
            read_verified_wal::<u64>(&path).unwrap_err(),
            WalWriter::<u64>::open(&path).unwrap_err(),
        ] {
            let (sequence, fault) = fault(error);
            assert!(sequence == due && matches(&fault), "{due}: {sequence} {fault}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), changed.join("\n") + "\n", "left alone");
    };
    let with = |edit: fn(&mut Vec<String>)| {
        let mut lines = good.clone();
        edit(&mut lines);
        lines
    };
    check(with(|l| l[2] = l[2].replace("3000", "3001")), 3, |f| {
        matches!(f, EntryFault::EntryHash { expected: Some(_), .. })
    });
    check(with(|l| l[0] = l[0].replace("genesis", &"0".repeat(64))), 1, |f| {
        matches!(f, EntryFault::PreviousHash { .. })
    });
    check(with(|l| drop(l.remove(1))), 2, |f| {
        matches!(f, EntryFault::Sequence { found: 3, expected: 2 })
    });
    check(with(|l| drop(l.remove(0))), 1, |f| matches!(f, EntryFault::Sequence { .. }));
    check(with(|l| l.insert(3, l[2].clone())), 4, |f| {
        matches!(f, EntryFault::Sequence { found: 3, expected: 4 })
    });
    check(with(|l| l.swap(1, 2)), 2, |f| matches!(f, EntryFault::Sequence { found: 3, .. }));
    check(with(|l| l[3] = l[3].replace("{\"seq", "{\"data\":1,\"seq")), 4, |f| {
        matches!(f, EntryFault::Malformed { expected: "each member once", .. })
    });
    check(with(|l| l[4] = l[4].replace(",\"data\"", ",\"note\":1,\"data\"")), 5, |f| {
        matches!(f, EntryFault::Malformed { .. })
    });
    check(with(|l| l[1] = l[1][..40].into()), 2, |f| matches!(f, EntryFault::Malformed { .. }));
    check(with(|l| l[1] = "\0".into()), 2, |f| matches!(f, EntryFault::Malformed { .. }));
}

#[test]
fn blank_lines_order_and_whitespace_are_read_and_counted() {
    let (_directory, path) = log_of(3);
    let mut changed = lines(&path);
    changed[1] = format!(" \r\n\n\t{} \r", changed[1].replace(',', " , ").replace(':', ": "));
    fs::write(&path, changed.join("\n") + "\n").unwrap();
    assert_eq!(verify_wal(&path).unwrap().0, 3);
    changed[2] = changed[2].replace("3000", "1");
    fs::write(&path, changed.join("\n") + "\n").unwrap();
    let error = verify_wal(&path).unwrap_err();
    let text = error.to_string();
    let WalError::Entry { place, .. } = error else { panic!("{text}") };
    assert_eq!((place.line, place.sequence), (5, 3));
    let offset = changed[..2].iter().map(|line| line.len() as u64 + 1).sum::<u64>();
    assert_eq!(place.offset, offset);
    assert!(text.contains(&format!("line 5 (byte {offset}, sequence 3): entry_hash ")), "{text}");
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn keys_do_not_mix_and_a_keyed_log_does_not_help_a_forger() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    WalWriter::<u64>::open_keyed(&path, &KEY).unwrap().append(1).unwrap();
    assert_eq!(verify_wal_keyed(&path, &KEY).unwrap().0, 1);
    for error in [
        verify_wal(&path).unwrap_err(),
        verify_wal_keyed(&path, &[0x43; 32]).unwrap_err(),
        WalWriter::<u64>::open(&path).unwrap_err(),
        WalWriter::<u64>::open_keyed(&path, &[0x43; 32]).unwrap_err(),
    ] {
        assert!(matches!(fault(error), (1, EntryFault::EntryHash { .. })));
    }
    let error = verify_wal_keyed(&path, &[0x43; 32]).unwrap_err();
    assert!(matches!(fault(error), (1, EntryFault::EntryHash { expected: None, .. })));
    let (_other, unkeyed) = log_of(1);
    assert!(verify_wal_keyed(&unkeyed, &KEY).is_err());
    assert!(matches!(verify_wal_keyed(&path, &KEY[..31]), Err(WalError::Key(_))));
    assert!(matches!(WalWriter::<u64>::open_keyed(&path, b""), Err(WalError::Key(_))));
}

#[test]
fn an_anchor_shows_a_suffix_cut_off_and_another_log() {
    let (_directory, path) = log_of(5);
    let anchor = {
        let log = WalWriter::<u64>::open(&path).unwrap();
        let anchor = log.anchor();
        log.append(6).unwrap();
        anchor
    };
    assert_eq!(verify_wal_against_anchor(&path, &anchor).unwrap().0, 6);
    assert_eq!(verify_wal_against_anchor(&path, &WalAnchor::EMPTY).unwrap().0, 6);
    let keyed = WalAnchor { keyed: true, ..anchor };
    let error = verify_wal_against_anchor(&path, &keyed).unwrap_err();
    assert!(matches!(error, WalError::AnchorKey { keyed: false, .. }), "{error}");
    assert!(verify_wal_keyed_against_anchor(&path, &KEY, &anchor).is_err());
    let whole = lines(&path);
    fs::write(&path, whole[..4].join("\n") + "\n").unwrap();
    verify_wal(&path).unwrap();
    let error = verify_wal_against_anchor(&path, &anchor).unwrap_err();
    assert!(matches!(error, WalError::BelowAnchor { found: 4, expected: 5, .. }), "{error}");
    let other = WalAnchor { sequence: 4, ..anchor };
    let error = verify_wal_against_anchor(&path, &other).unwrap_err();
    assert!(matches!(fault(error), (4, EntryFault::Anchor { .. })));
}

#[test]
fn an_anchor_at_the_last_entry_counts_beside_the_head_file() {
    let directory = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| directory.path().join(name));
    let anchor = {
        let log = WalWriter::<&str>::open(&one).unwrap();
        log.append_durable("one").unwrap();
        log.anchor()
    };
    WalWriter::<&str>::open(&other).unwrap().append_durable("other").unwrap();
    let options = WalOptions::new().anchor(anchor);
    WalWriter::<&str>::open_with(&one, &options).unwrap();
    let error = WalWriter::<&str>::open_with(&other, &options).unwrap_err();
    assert!(matches!(fault(error), (1, EntryFault::Anchor { .. })));
}

#[test]
fn an_entry_of_16_mib_is_written_and_read_and_one_byte_more_is_neither() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = WalWriter::<String>::open(&path).unwrap();
    let first = log.append(String::new()).unwrap();
    let around = fs::metadata(&path).unwrap().len() - 1 - 7 + 64;
    let most = usize::try_from(MAX_ENTRY_BYTES - around).unwrap();
    match log.append("x".repeat(most + 1)) {
        Err(WalError::EntryTooLarge { found, limit }) => {
            assert_eq!((found, limit), (MAX_ENTRY_BYTES + 1, MAX_ENTRY_BYTES));
        }
        other => panic!("{:?}", other.map(|entry| entry.sequence)),
    }
    let second = log.append("x".repeat(most)).unwrap();
    assert_eq!((second.sequence, second.previous_hash), (2, first.entry_hash));
    assert_eq!(read_verified_wal::<String>(&path).unwrap()[1].data.len(), most);
    drop(log);

    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len() - 3;
    bytes.insert(end, b'x');
    fs::write(&path, bytes).unwrap();
    let (sequence, fault) = fault(verify_wal(&path).unwrap_err());
    assert!(matches!(fault, EntryFault::TooLong { limit: MAX_ENTRY_BYTES, .. }), "{fault}");
    assert_eq!(sequence, 2);
}

#[test]
fn a_decision_just_made_is_logged_as_a_verified_one_is() {
    let snapshot = vectors().audited_log.policy.snapshot();
    let directory = tempfile::tempdir().unwrap();
    let path = |name| directory.path().join(name);
    let requests = (0..4).map(|risk| KernelInput { risk_bps: risk * 3_300, ..request() });
    let verified = WalWriter::<AuditedRecord<u64>>::open(&path("verified")).unwrap();
    let sealed = WalWriter::<AuditedRecord<u64>>::open(&path("decided")).unwrap();
    for (input, number) in requests.zip(0..) {
        let decided = snapshot.decide(input);
        let decision = *decided.decision();
        let entry = verified.append_verified_audited(&snapshot, input, decision, number).unwrap();
        if number % 2 == 0 {
            assert_eq!(sealed.append_decided(&decided, number).unwrap(), entry);
        } else {
            assert_eq!(sealed.append_decided_durable(&decided, number).unwrap(), entry);
            assert_eq!(sealed.durable_sequence(), entry.sequence);
        }
    }
    sealed.flush().unwrap();
    assert_eq!(fs::read(path("decided")).unwrap(), fs::read(path("verified")).unwrap());
    assert_eq!(replay_audited_wal(&path("decided"), &snapshot).unwrap().len(), 4);
}

#[test]
fn a_decision_that_does_not_replay_is_not_written() {
    let worked = vectors().audited_log;
    let snapshot = worked.policy.snapshot();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = WalWriter::<AuditedRecord<()>>::open(&path).unwrap();
    let input = request();
    let mut decision = snapshot.prescribe(input);
    log.append_verified_audited(&snapshot, input, decision, ()).unwrap();
    let before = fs::read(&path).unwrap();
    decision.policy_epoch ^= 1;
    let refused = log.append_verified_audited(&snapshot, input, decision, ());
    assert!(matches!(refused, Err(WalError::Unverified(_))));
    assert_eq!((fs::read(&path).unwrap(), log.sequence()), (before, 1));
    // The other append says truthfully that it does not replay, and the replay refuses it.
    assert!(!log.append_audited(&snapshot, input, decision, ()).unwrap().data.audit.replay_valid);
    assert_eq!(fault(replay_audited_wal(&path, &snapshot).unwrap_err()).0, 2);
}
