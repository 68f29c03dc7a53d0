//! The asynchronous writer: the same log, shared by tasks, and whole after any cancellation.

use std::time::Duration;

use crate::common::{KEY, request, vectors};
use calybris_wal::async_wal::{AsyncWalWriter, verify_async_wal, verify_async_wal_keyed};
use calybris_wal::{
    AuditedRecord, WalError, WalOptions, find_wal_with, read_verified_wal, replay_audited_wal,
    verify_wal,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_share_a_writer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = std::sync::Arc::new(AsyncWalWriter::<u64>::open(&path).await.unwrap());
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let log = log.clone();
            tokio::spawn(async move {
                for number in 0..10 {
                    let entry = log.append_durable(task * 100 + number).await.unwrap();
                    assert!(log.durable_sequence() >= entry.sequence);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(verify_async_wal(&path).await.unwrap(), (640, log.last_hash()));
}

#[tokio::test]
async fn one_thread_is_enough_and_keys_work() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = AsyncWalWriter::<u64>::open_keyed(&path, &KEY).await.unwrap();
    let appends = (0..10).map(|number| log.append_durable(number));
    for entry in futures_like_join(appends).await {
        entry.unwrap();
    }
    assert!(verify_async_wal_keyed(&path, &KEY).await.unwrap().0 == 10 && log.anchor().keyed);
    assert!(matches!(verify_async_wal_keyed(&path, b"").await, Err(WalError::Key(_))));
}

#[tokio::test]
async fn a_decision_just_made_is_logged_and_replays() {
    let snapshot = vectors().audited_log.policy.snapshot();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = AsyncWalWriter::<AuditedRecord<()>>::open(&path).await.unwrap();
    let decided = snapshot.decide(request());
    let record = log.append_decided(&decided, ()).await.unwrap().data;
    assert_eq!((record.input, record.decision), (*decided.input(), *decided.decision()));
    log.append_decided_durable(&decided, ()).await.unwrap();
    assert_eq!(log.durable_sequence(), 2);
    assert_eq!(replay_audited_wal(&path, &snapshot).unwrap().len(), 2);
}

/// Polls all futures together until all are done.
async fn futures_like_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                done.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_appends_leave_a_valid_log_and_can_be_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = AsyncWalWriter::<u64>::open_with_sync(&path, true).await.unwrap();
    let mut completed = Vec::new();
    for number in 0..200 {
        let patience = Duration::from_micros(number * 7);
        if let Ok(entry) = tokio::time::timeout(patience, log.append(number)).await {
            completed.push(entry.unwrap());
        }
    }
    // Dropped before its first poll: never in the log.
    drop(log.append(1_000));
    log.flush_and_sync().await.unwrap();
    let entries = read_verified_wal::<u64>(&path).unwrap();
    assert_eq!(entries.len() as u64, log.sequence());
    assert!(completed.iter().all(|entry| entries.contains(entry)));
    assert!(entries.is_sorted_by_key(|entry| entry.data) && entries.iter().all(|e| e.data < 200));
    for number in [0, 199, 1_000] {
        let found = find_wal_with(&path, &WalOptions::new(), |entry| entry.data == number).unwrap();
        assert_eq!(found.as_ref(), entries.iter().find(|entry| entry.data == number));
    }
}

#[test]
fn a_runtime_that_stops_does_not_block_the_log_for_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let first = tokio::runtime::Runtime::new().unwrap();
    let log = first.block_on(AsyncWalWriter::<u64>::open(&path)).unwrap();
    for number in 0..20 {
        first.block_on(async {
            tokio::time::timeout(Duration::ZERO, log.append_durable(number)).await.ok()
        });
    }
    first.shutdown_background();
    let second = tokio::runtime::Runtime::new().unwrap();
    second.block_on(log.flush_and_sync()).unwrap();
    assert_eq!(verify_wal(&path).unwrap().0, log.sequence());
}
