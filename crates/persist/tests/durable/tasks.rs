//! Tasks of tokio on a durable ledger: acknowledged means durable, dropped means nothing, a failure is heard by all.

use std::future::Future as _;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Waker};

use calybris_budget::{Call, HoldAction, TenantAction};
use calybris_persist::{DurableLedger, DurableOptions, PersistError};
use calybris_wal::WalOptions;

use crate::disk::{Disk, Fault};
use crate::every_operation::replay;
use crate::workload::{Caller, bytes, opening};

const TOP_UP: TenantAction = TenantAction::TopUp { amount_microcents: 1 };
const TASKS: u64 = 16;
const EACH: i64 = 10;

fn open(disk: &Disk) -> Arc<DurableLedger> {
    let options = DurableOptions::new().storage(Arc::new(disk.clone()));
    Arc::new(DurableLedger::open_with(Path::new("ledger"), options).unwrap())
}

/// The machine goes down with nothing more written, and comes up again.
fn crash(disk: &Disk, ledger: Arc<DurableLedger>) -> Arc<DurableLedger> {
    disk.fail(1, Fault::FromThere, io::ErrorKind::Other);
    drop(ledger);
    disk.heal();
    disk.crash();
    open(disk)
}

fn topped_up(ledger: &DurableLedger, tenant: &str) -> i64 {
    ledger.balances(tenant).unwrap().map_or(0, |it| it.remaining_microcents)
}

/// What each task was told before it was done or refused.
async fn top_up(ledger: &Arc<DurableLedger>) -> Vec<(String, i64, Result<(), PersistError>)> {
    let task = |number: u64| {
        let (ledger, tenant) = (Arc::clone(ledger), format!("t{number}"));
        tokio::spawn(async move {
            let opened = ledger.open_tenant_async(&tenant, None, 0, Call::default()).await;
            let (mut done, mut outcome) = (0, opened.map(|answer| assert!(answer.is_ok())));
            while outcome.is_ok() && done < EACH {
                let answer = ledger.perform_async(&tenant, &TOP_UP, Call::default()).await;
                outcome = answer.map(|answer| assert!(answer.is_ok()));
                done += i64::from(outcome.is_ok());
            }
            (tenant, done, outcome)
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(task).collect();
    let mut told = Vec::new();
    for task in tasks {
        told.push(task.await.unwrap());
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_tasks_were_told_outlives_a_crash() {
    let disk = Disk::default();
    let ledger = open(&disk);
    let threads = Arc::clone(&ledger);
    let thread = std::thread::spawn(move || {
        threads.open_tenant("thread", None, 5, Call::default()).unwrap().unwrap();
    });
    let told = top_up(&ledger).await;
    thread.join().unwrap();
    let reserve = TenantAction::Reserve { amount_microcents: 2, deadline: None };
    let held = ledger.perform_async("thread", &reserve, Call::default()).await.unwrap().unwrap();
    let hold = held.hold.unwrap();
    let settled = ledger.settle_async(hold, &HoldAction::CommitHeld, Call::default()).await;
    assert_eq!(settled.unwrap().unwrap().amount_microcents, 2);
    let ledger = crash(&disk, ledger);
    for (tenant, done, outcome) in told {
        outcome.unwrap();
        assert_eq!((topped_up(&ledger, &tenant), done), (10, EACH), "{tenant}");
    }
    assert_eq!(topped_up(&ledger, "thread"), 3);
}

#[tokio::test]
async fn a_dropped_future_takes_nothing_back() {
    let disk = Disk::default();
    let ledger = open(&disk);
    ledger.open_tenant("desk", None, 0, Call::default()).unwrap().unwrap();
    drop(ledger.perform_async("desk", &TOP_UP, Call::default()));
    assert_eq!(topped_up(&ledger, "desk"), 0, "never polled, never done");
    {
        let mut polled = std::pin::pin!(ledger.perform_async("desk", &TOP_UP, Call::default()));
        assert!(polled.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    ledger.perform_async("desk", &TOP_UP, Call::default()).await.unwrap().unwrap();
    let ledger = crash(&disk, ledger);
    assert_eq!(topped_up(&ledger, "desk"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_heard_by_every_task_and_ends_the_ledger() {
    for call in 1..40 {
        let disk = Disk::default();
        let ledger = open(&disk);
        disk.fail(call, Fault::Once, io::ErrorKind::Other);
        let told = top_up(&ledger).await;
        if !disk.heal() {
            continue;
        }
        let first = |it: &Result<_, _>| matches!(it, Err(PersistError::Wal(_)));
        assert!(told.iter().any(|(.., outcome)| first(outcome)), "call {call}: {told:?}");
        for (tenant, done, outcome) in &told {
            let Err(error) = outcome else {
                assert_eq!(
                    *done, EACH,
                    "call {call}, {tenant}: done before the failure, or told of it"
                );
                continue;
            };
            let heard = matches!(error, PersistError::Wal(_) | PersistError::Poisoned { .. });
            assert!(heard, "call {call}, {tenant}: {error}");
        }
        let after = ledger.perform_async("t0", &TOP_UP, Call::default()).await;
        assert!(matches!(after, Err(PersistError::Poisoned { .. })), "{after:?}");
        assert!(matches!(ledger.balances("t0"), Err(PersistError::Poisoned { .. })));
        let ledger = crash(&disk, ledger);
        for (tenant, done, _) in told {
            let found = topped_up(&ledger, &tenant);
            // One more may have been under way.
            assert!((0..=1).contains(&(found - done)), "{tenant}: {found} of {done}");
        }
    }
}

/// Every call of a task gives what the same call of a thread gives, and what it gave outlives a crash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_reads_expires_and_checkpoints_as_a_thread_does() {
    let disk = Disk::default();
    let ledger = open(&disk);
    ledger.open_tenant_async("desk", None, 9, Call::default()).await.unwrap().unwrap();
    let reserve = TenantAction::Reserve { amount_microcents: 2, deadline: Some(5) };
    ledger.perform_async("desk", &reserve, Call::default()).await.unwrap().unwrap();
    assert_eq!(ledger.expire_async(4).await.unwrap(), []);
    let expired = ledger.expire_async(5).await.unwrap();
    assert_eq!((expired.len(), expired[0].amount_microcents), (1, 2));
    drop(ledger.submit(&calybris_budget::LedgerOperation::Tenant {
        tenant: "desk".to_owned(),
        action: TOP_UP,
        now: 0,
        key: None,
    }));
    let seen = ledger.balances_async("desk").await.unwrap();
    assert_eq!(seen.unwrap().remaining_microcents, 10);
    let ledger = crash(&disk, ledger);
    assert_eq!(seen, ledger.balances("desk").unwrap(), "it was shown, so it stays");
    assert_eq!(
        ledger.tenant_status_async("desk").await.unwrap(),
        ledger.tenant_status("desk").unwrap()
    );
    assert_eq!(ledger.balances_async("nobody").await.unwrap(), None);
    assert_eq!(ledger.snapshot_async().await.unwrap().tenants, ledger.snapshot().unwrap().tenants);
    assert_eq!(ledger.state_async().await.unwrap(), ledger.state().unwrap());
    assert_eq!(ledger.prove_conservation_async().await.unwrap().tenant_count, 1);
    let saved = ledger.checkpoint_async().await.unwrap();
    assert!(ledger.retire_async().await.unwrap().is_none(), "one segment");
    let ledger = crash(&disk, ledger);
    assert_eq!(ledger.report().checkpoint_sequence, saved.sequence);
}

/// What a task cannot have, because the disk fails or panics while it waits, is refused and not shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_of_a_task_shows_what_is_durable_or_fails() {
    let disk = Disk::default();
    let ledger = open(&disk);
    ledger.open_tenant_async("desk", None, 9, Call::default()).await.unwrap().unwrap();
    let calls = |count, fault| disk.fail(count, fault, io::ErrorKind::Other);
    calls(1, Fault::Once);
    let failed = ledger.checkpoint_async().await.unwrap_err();
    assert!(matches!(failed, PersistError::Io { .. }), "{failed}");
    calls(1, Fault::Panic);
    let checkpoint = Arc::clone(&ledger);
    let panicked = tokio::spawn(async move { checkpoint.checkpoint_async().await }).await;
    assert!(panicked.unwrap_err().is_panic(), "as for a thread");
    disk.heal();
    drop(ledger.open_tenant_async("other", None, 9, Call::default()));
    {
        let mut polled = std::pin::pin!(ledger.perform_async("desk", &TOP_UP, Call::default()));
        calls(1, Fault::Once);
        assert!(polled.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let unheard = ledger.balances_async("desk").await.unwrap_err();
    assert!(matches!(unheard, PersistError::Wal(_)), "{unheard}");
    let refused = ledger.balances_async("desk").await.unwrap_err();
    assert!(matches!(refused, PersistError::Poisoned { .. }), "{refused}");
}

/// Callers that give up at any moment, while checkpoints are taken: what the log has is what there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_give_up_during_checkpoints_leave_a_whole_ledger() {
    let disk = Disk::default();
    let ledger = open(&disk);
    for operation in opening() {
        ledger.apply_async(&operation).await.unwrap().unwrap();
    }
    let caller = |number: u64| {
        let ledger = Arc::clone(&ledger);
        tokio::spawn(async move {
            let mut caller = Caller::new(format!("c{number}"), number);
            let mut answered = 0_u32;
            for patience in 0..60 {
                let operation = caller.next();
                let asked = ledger.apply_async(&operation);
                let given = std::time::Duration::from_micros(patience * 7 % 90);
                if let Ok(answer) = tokio::time::timeout(given, asked).await {
                    caller.hear(&answer.unwrap());
                    answered += 1;
                }
            }
            answered
        })
    };
    let callers: Vec<_> = (0..TASKS).map(caller).collect();
    for _ in 0..12 {
        ledger.checkpoint_async().await.unwrap();
    }
    let mut answered = 0;
    for caller in callers {
        answered += caller.await.unwrap();
    }
    let asked = 60 * u32::try_from(TASKS).unwrap();
    assert!(answered < asked, "somebody gave up: {answered} of {asked}");
    let state = bytes(&ledger.state_async().await.unwrap());
    let ledger = crash(&disk, ledger);
    assert_eq!(bytes(&ledger.state().unwrap()), state, "it was shown, so it stays");
    assert!(ledger.report().checkpoint_sequence > 0);
    let options = WalOptions::new().storage(Arc::new(disk.clone()));
    let (_, replayed) = replay(Path::new("ledger/log"), &options);
    assert_eq!(bytes(&replayed.state()), state, "and every checkpoint is of its entry");
}
