//! Races that no schedule of threads is likely to make, made on purpose.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, TryLockError, mpsc};
use std::thread;
use std::time::Duration;

use calybris_budget::{LedgerOperation, TenantAction};
use calybris_wal::storage::Memory;

use super::checkpoints::load;
use super::{DurableLedger, DurableOptions};

fn ledger() -> DurableLedger {
    let options = DurableOptions::new().storage(Arc::new(Memory::default()));
    let ledger = DurableLedger::open_with(Path::new("ledger"), options).unwrap();
    let (tenant, key) = ("desk".to_owned(), None);
    let open = LedgerOperation::Open { tenant, parent: None, initial_microcents: 10, now: 0, key };
    ledger.apply(&open).unwrap().unwrap();
    ledger
}

fn top_up() -> LedgerOperation {
    let action = TenantAction::TopUp { amount_microcents: 1 };
    LedgerOperation::Tenant { tenant: "desk".to_owned(), action, now: 0, key: None }
}

/// Somebody's operation takes effect between the call of a read and its look at the ledger.
#[test]
fn a_read_waits_for_what_took_effect_while_it_was_on_its_way() {
    let ledger = ledger();
    let seen = ledger.read(|engine| {
        drop(ledger.submit(&top_up()).unwrap());
        engine.balances("desk").unwrap().remaining_microcents
    });
    assert_eq!(seen.unwrap(), 11);
    assert_eq!(ledger.log.durable_sequence(), ledger.log.sequence(), "it was shown");
}

/// A checkpoint that is kept from the cut keeps operations away until then: one that got between would be in the state
/// and not before the anchor. That the anchor is taken at the cut, and not after the order is given up, is for the
/// compiler to see, it is what the order guards; and that it is not the log's instead, for the next test.
#[test]
fn nothing_takes_effect_between_the_order_and_the_cut_of_a_checkpoint() {
    let ledger = ledger();
    let (cut, others) = (mpsc::channel::<()>(), mpsc::channel::<()>());
    thread::scope(|scope| {
        let ledger = &ledger;
        let (at_cut, go_on) = (cut.0, others.1);
        // One cut at a time: the checkpoint waits for this one.
        scope.spawn(move || {
            ledger.engine.state_at(|| {
                at_cut.send(()).unwrap();
                go_on.recv().unwrap();
            })
        });
        cut.1.recv().unwrap();
        let checkpoint = scope.spawn(|| ledger.checkpoint().unwrap());
        let is_held = || matches!(ledger.order.try_lock(), Err(TryLockError::WouldBlock));
        let held_again_later = || {
            thread::sleep(Duration::from_millis(20));
            is_held()
        };
        let seen_held = |_| {
            thread::sleep(Duration::from_millis(1));
            is_held() && held_again_later()
        };
        let is_kept = (0..500).any(seen_held);
        others.0.send(()).unwrap();
        assert!(is_kept, "operations go on while the state is not cut yet");
        let saved = checkpoint.join().unwrap();
        assert_eq!(saved.sequence, 2);
    });
}

/// Operations go on while the state is copied. Every entry but the first and those of the checkpoints is one of them,
/// so that the state tells which entry it is after.
#[test]
fn a_checkpoint_is_after_the_entry_it_names_while_others_work() {
    let ledger = ledger();
    for number in 0..300 {
        let (tenant, key) = (format!("t{number}"), None);
        let initial_microcents = 1;
        let open = LedgerOperation::Open { tenant, parent: None, initial_microcents, now: 0, key };
        drop(ledger.submit(&open).unwrap());
    }
    let is_over = AtomicBool::new(false);
    let saved: Vec<_> = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                drop(ledger.submit(&top_up()).unwrap());
            }
        });
        let checkpoint = |_| {
            let saved = ledger.checkpoint().ok()?;
            let (storage, next) = (&*ledger.options.storage, saved.sequence + 1);
            let state = load(storage, &ledger.directory, next, &mut Vec::new()).ok()??.engine;
            Some((saved.sequence, state.balances("desk")?.remaining_microcents - 10))
        };
        let saved = (0..5).map(checkpoint).collect();
        is_over.store(true, Ordering::Relaxed);
        saved
    });
    let mut granted = 0;
    for (earlier, saved) in (0..).zip(saved) {
        let sequence;
        (sequence, granted) = saved.unwrap();
        assert_eq!(sequence, 302 + u64::try_from(granted).unwrap() + earlier);
    }
    assert!(granted > 10, "somebody works meanwhile: {granted}");
}

/// A snapshot takes as long as the ledger is large; a checkpoint that comes meanwhile waits for it, and operations for
/// neither.
#[test]
fn a_checkpoint_that_waits_for_a_snapshot_keeps_nobody_away() {
    let ledger = ledger();
    let (cut, others) = (mpsc::channel::<()>(), mpsc::channel::<()>());
    thread::scope(|scope| {
        let ledger = &ledger;
        let (at_cut, go_on) = (cut.0, others.1);
        scope.spawn(move || {
            ledger.cut(|engine| {
                engine.state_at(|| {
                    at_cut.send(()).unwrap();
                    go_on.recv().unwrap();
                })
            })
        });
        cut.1.recv().unwrap();
        let started = mpsc::channel();
        let checkpoint = scope.spawn(move || {
            started.0.send(()).unwrap();
            ledger.checkpoint().unwrap()
        });
        started.1.recv().unwrap();
        thread::sleep(Duration::from_millis(50));
        let is_free = ledger.order.try_lock().is_ok();
        others.0.send(()).unwrap();
        assert!(is_free, "operations wait for somebody's snapshot");
        assert_eq!(checkpoint.join().unwrap().sequence, 2);
    });
}
