//! What a fault leaves behind: the old snapshot, whole.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use calybris_budget::{BudgetEngine, BudgetSnapshot};
use calybris_wal::storage::{Change, Files, Storage as _, Watched};
use calybris_wal::{WalOptions, WalWriter};

use crate::checkpoint::{load_snapshot_from, save_snapshot_to};
use crate::*;

fn ledger(tenants: usize) -> BudgetEngine {
    let engine = BudgetEngine::new();
    for (tenant, granted) in (0..tenants).zip(1_000..) {
        engine.ensure_tenant(&format!("tenant-{tenant:06}"), granted);
    }
    engine
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Real files, of which the `n`-th call that changes anything fails; a failing write leaves half of it.
fn failing_at(call: u32) -> Watched {
    let calls_left = AtomicU32::new(call);
    Watched::new(Files, move |_, change| {
        if calls_left.fetch_sub(1, Ordering::Relaxed) != 1 {
            return Ok(());
        }
        if let Change::Write { file, bytes, offset } = change {
            file.write_at(&bytes[..bytes.len() / 2], offset).unwrap();
        }
        Err(io::Error::from(io::ErrorKind::StorageFull))
    })
}

#[test]
fn a_fault_at_any_step_leaves_a_whole_snapshot() {
    let (old, new) = (ledger(3).snapshot(), ledger(5).snapshot());
    let mut outcomes = Vec::new();
    for call in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.json");
        save_snapshot(&old, &path).unwrap();
        let saved = save_snapshot_to(&failing_at(call), &new, &path);
        let found = load_snapshot(&path).unwrap();
        assert_eq!(names(folder.path()), ["ledger.json"], "step {call}");
        match saved {
            Ok(()) => {
                assert_eq!(found, new);
                break;
            }
            Err(PersistError::Io { operation, path: at, source }) => {
                assert_eq!(source.kind(), io::ErrorKind::StorageFull);
                assert!(at.starts_with(folder.path()));
                // The folder is synced after the rename: only then may the new one show already.
                assert_eq!(found, if outcomes.len() == 5 { new.clone() } else { old.clone() });
                outcomes.push(operation);
            }
            Err(other) => panic!("{other}"),
        }
        // What failed does not stand in the way of the next attempt.
        save_snapshot(&new, &path).unwrap();
        assert_eq!(load_snapshot(&path).unwrap(), new);
    }
    assert_eq!(outcomes, ["open", "empty", "write", "sync", "rename to", "sync"]);
}

#[test]
fn what_is_no_whole_snapshot_is_refused_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.json");
    save_snapshot(&ledger(2).snapshot(), &path).unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    let engine = ledger(1);
    let before = engine.balances("tenant-000000");
    let body = whole.trim_end().len();
    let torn = (0..body).map(|length| whole[..length].to_owned());
    let wrong = [
        whole.replace("\"tenants\"", "\"tenant\""),
        whole.replace("\"version\":", "\"version\":1,\"version\":"),
        format!("{whole}{{}}"),
        whole.replacen("1000", "1001", 1),
        whole.replacen("1000", "-1000", 1),
    ];
    for text in torn.chain(wrong) {
        fs::write(&path, &text).unwrap();
        let error = restore(&engine, &path).unwrap_err();
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
        assert!(
            matches!(error, PersistError::Json { .. } | PersistError::NotConserved { .. }),
            "{error:?}"
        );
        assert_eq!(engine.balances("tenant-000000"), before);
    }
    let absent = load_snapshot(&folder.path().join("absent.json")).unwrap_err();
    assert!(absent.to_string().starts_with("cannot open "), "{absent}");
}

#[test]
fn a_ledger_of_120_000_tenants_survives_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.json");
    let engine = ledger(120_000);
    checkpoint_with_wal(&engine, &path, 42).unwrap();
    let restarted = BudgetEngine::new();
    let snapshot = restore(&restarted, &path).unwrap();
    assert_eq!((snapshot.tenants.len(), snapshot.wal_high_watermark), (120_000, Some(42)));
    let tenants = |engine: &BudgetEngine| engine.snapshot().tenants;
    assert_eq!(tenants(&restarted), tenants(&engine));
    assert!(restarted.snapshot().version > snapshot.version, "versions rise across restarts");
}

#[test]
fn a_second_writer_of_the_same_snapshot_is_turned_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.json");
    let first = Files.open_write(&files::beside(&path)).unwrap();
    assert!(first.try_lock().unwrap());
    let error = save_snapshot(&ledger(1).snapshot(), &path).unwrap_err();
    assert!(matches!(error, PersistError::Busy { .. }), "{error}");
    drop(first);
    save_snapshot(&ledger(1).snapshot(), &path).unwrap();
}

#[test]
fn a_file_left_beside_by_a_crash_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.json");
    fs::write(files::beside(&path), "x".repeat(100_000)).unwrap();
    save_snapshot(&ledger(1).snapshot(), &path).unwrap();
    assert_eq!(load_snapshot_from(&Files, &path).unwrap().tenants.len(), 1);
    assert_eq!(names(folder.path()), ["ledger.json"]);
}

#[test]
fn what_a_snapshot_of_amounts_would_lose_is_refused_by_name() {
    use calybris_budget::{Call, OverrunPolicy, TenantAction, Window};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.json");
    let policy = OverrunPolicy::Overdraft { cap_microcents: 1 };
    let window = Window::Fixed { length: 1 };
    let at = Call::default();
    let cases = [
        ("the status", TenantAction::Freeze, at),
        ("the overrun policy", TenantAction::SetOverrunPolicy { policy }, at),
        ("the windows", TenantAction::SetWindow { window, limit_microcents: Some(9) }, at),
        ("the idempotency keys", TenantAction::TopUp { amount_microcents: 1 }, at.with_key("k")),
    ];
    let refused = |engine: &BudgetEngine, lost: &str| {
        let error = checkpoint(engine, &path).unwrap_err();
        let named = matches!(&error, PersistError::MoreThanAmounts { what, .. } if *what == lost);
        assert!(named && !path.exists(), "{lost}: {error}");
    };
    for (lost, action, call) in cases {
        let engine = ledger(1);
        engine.perform("tenant-000000", &action, call).unwrap();
        refused(&engine, lost);
    }
    let engine = ledger(1);
    engine.open_tenant("child", Some("tenant-000000"), 0, at).unwrap();
    refused(&engine, "the parent");
    let engine = ledger(1);
    let (_, hold) = engine.try_reserve("tenant-000000", 1);
    let owing = TenantAction::SetOverrunPolicy { policy: OverrunPolicy::Freeze };
    engine.perform("tenant-000000", &owing, at).unwrap();
    engine.commit(hold.unwrap(), i64::MAX / 2);
    engine.perform("tenant-000000", &TenantAction::Thaw, at).unwrap();
    refused(&engine, "the debt");
}

/// A caller goes into debt and pays it, over and over: no snapshot has the spending without the debt.
#[test]
fn what_is_saved_is_of_the_instant_that_was_asked_about() {
    use calybris_budget::{Call, OverrunPolicy, TenantAction};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.json");
    let engine = BudgetEngine::new();
    engine.ensure_tenant("desk", 10);
    let set = |policy| {
        let action = TenantAction::SetOverrunPolicy { policy };
        engine.perform("desk", &action, Call::default()).unwrap();
    };
    let is_over = AtomicBool::new(false);
    let spend = || {
        while !is_over.load(Ordering::Relaxed) {
            set(OverrunPolicy::Overdraft { cap_microcents: 5 });
            let (_, hold) = engine.try_reserve("desk", 10);
            engine.commit(hold.unwrap(), 15);
            set(OverrunPolicy::Refuse);
            engine.top_up_tenant("desk", 15);
        }
    };
    thread::scope(|scope| {
        scope.spawn(spend);
        let saved = (0..400).filter(|_| checkpoint(&engine, &path).is_ok());
        let found = saved.filter_map(|_| load_snapshot(&path).ok());
        let committed: Vec<_> = found.map(|found| found.tenants[0].committed_microcents).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(!committed.is_empty(), "never found between two rounds");
        assert!(committed.iter().all(|committed| committed % 15 == 0), "{committed:?}");
    });
}

#[test]
fn nothing_that_could_not_be_restored_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.json");
    let engine = ledger(1);
    let (_, hold) = engine.try_reserve("tenant-000000", 10);
    let error = checkpoint(&engine, &path).unwrap_err();
    assert!(matches!(error, PersistError::OpenHolds { count: 1, .. }), "{error}");
    assert!(!path.exists());
    engine.release(hold.unwrap());
    checkpoint(&engine, &path).unwrap();
    engine.set_max_reserved_microcents("tenant-000000", 5);
    checkpoint(&engine, &path).unwrap();
    let foreign = BudgetSnapshot { version: 7, ..engine.snapshot() };
    save_snapshot(&foreign, &path).unwrap();
    let error = restore(&engine, &path).unwrap_err();
    assert!(matches!(error, PersistError::Restore { .. }), "{error}");
}

#[test]
fn a_plan_counts_what_the_snapshot_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger_file, wal) = (folder.path().join("ledger.json"), folder.path().join("log"));
    let key = [7; 32];
    let log = WalWriter::open_keyed(&wal, &key).unwrap();
    for entry in 0..5 {
        log.append(entry).unwrap();
    }
    log.flush_and_sync().unwrap();
    let plan = || recovery_plan_keyed(&ledger_file, &wal, &key);
    for (watermark, expected) in [(0, 5), (3, 2), (5, 0)] {
        checkpoint_with_wal(&ledger(1), &ledger_file, watermark).unwrap();
        let plan = plan().unwrap();
        assert_eq!((plan.total_wal_entries, plan.entries_to_replay), (5, expected));
        assert_eq!(plan.wal_high_watermark, watermark);
    }
    checkpoint(&ledger(1), &ledger_file).unwrap();
    assert_eq!(plan().unwrap().entries_to_replay, 5, "a snapshot without a position");
    checkpoint_with_wal(&ledger(1), &ledger_file, 6).unwrap();
    let error = plan().unwrap_err();
    let expected = "includes log entries up to 6, ";
    assert!(error.to_string().contains(expected), "{error}");
    assert!(matches!(recovery_plan(&ledger_file, &wal), Err(PersistError::Wal(_))), "unkeyed");
}

#[test]
fn a_plan_is_refused_when_entries_it_needs_were_retired() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger_file, wal) = (folder.path().join("ledger.json"), folder.path().join("log"));
    let log = WalWriter::open_with(&wal, &WalOptions::new().segment_bytes(500)).unwrap();
    for entry in 0..6 {
        log.append(format!("{entry:500}")).unwrap();
    }
    let retired = log.retire_before(4).unwrap().unwrap().sequence;
    assert_eq!(retired, 3);
    let plan = |watermark| {
        checkpoint_with_wal(&ledger(1), &ledger_file, watermark).unwrap();
        recovery_plan(&ledger_file, &wal)
    };
    assert_eq!(plan(3).unwrap().entries_to_replay, 3, "4, 5 and 6");
    let error = plan(2).unwrap_err();
    let expected = "includes log entries up to 2, ";
    assert!(error.to_string().contains(expected), "{error}");
    assert!(error.to_string().ends_with("log begins after entry 3"), "{error}");
    checkpoint(&ledger(1), &ledger_file).unwrap();
    let error = recovery_plan(&ledger_file, &wal).unwrap_err();
    let named =
        matches!(error, PersistError::LogBeginsAfterSnapshot { watermark: 0, retired: 3, .. });
    assert!(named, "{error}");
}
