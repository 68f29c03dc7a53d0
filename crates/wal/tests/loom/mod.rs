//! The models.

mod disk;
mod tasks;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use calybris_wal::{WalError, WalWriter};
use loom::thread;

use disk::{Call, Disk, Fault};

/// Two preemptions, or as many as the environment says.
fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(run);
}

type Log = Arc<WalWriter<u32>>;
type Answer = Result<u64, WalError>;

/// Appends durably; an acknowledgement must come after the sync.
fn append(log: &Log, disk: &Disk) -> Answer {
    let answer = log.append_durable(0).map(|entry| entry.sequence);
    acknowledged(disk, &answer);
    answer
}

/// The same in two calls, as a caller with a critical section of its own would.
fn enqueue_and_wait(log: &Log, disk: &Disk) -> Answer {
    let answer = log.enqueue(&0).and_then(|ticket| {
        log.wait_durable(ticket)?;
        Ok(ticket.sequence)
    });
    acknowledged(disk, &answer);
    answer
}

fn acknowledged(disk: &Disk, answer: &Answer) {
    if let Ok(sequence) = answer {
        assert!(disk.synced() >= *sequence, "{sequence} before its sync");
    }
}

/// Hands over what is chained; the file must hold it then.
fn write(log: &Log, disk: &Disk) -> Answer {
    let ticket = log.enqueue(&0)?;
    log.flush()?;
    assert!(disk.entries() >= ticket.sequence, "{} before its write", ticket.sequence);
    Ok(ticket.sequence)
}

type Operation = fn(&Log, &Disk) -> Answer;

/// Every operation in a thread of its own, the first in this one; what they answered, and the log.
fn together(operations: &[Operation], disk: &Disk) -> (Vec<Answer>, Log) {
    let log = disk.open();
    let threads: Vec<_> = operations[1..]
        .iter()
        .map(|operation| {
            let (operation, log, disk) = (*operation, log.clone(), disk.clone());
            thread::spawn(move || operation(&log, &disk))
        })
        .collect();
    let mut answers = vec![operations[0](&log, disk)];
    answers.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
    (answers, log)
}

/// All are acknowledged, with the sequences from 1.
fn succeed(operations: &'static [Operation]) {
    model(move || {
        let disk = Disk::new(Fault::None);
        let (answers, log) = together(operations, &disk);
        let mut sequences: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        sequences.sort_unstable();
        assert!(sequences.iter().copied().eq(1..=operations.len() as u64), "{sequences:?}");
        drop(log);
        assert_eq!(disk.entries(), operations.len() as u64);
    });
}

#[test]
fn two_threads_reach_durable() {
    succeed(&[append, enqueue_and_wait]);
}

#[test]
fn three_threads_reach_durable() {
    succeed(&[append, enqueue_and_wait, append]);
}

#[test]
fn threads_of_both_goals_reach_them() {
    succeed(&[write, append, write]);
}

/// Each thread twice, so that a group forms while another is at the file.
#[test]
fn a_second_group_forms_while_the_first_is_synced() {
    fn twice(log: &Log, disk: &Disk) -> Answer {
        let first = append(log, disk)?;
        assert!(append(log, disk)? > first);
        Ok(first)
    }
    model(|| {
        let disk = Disk::new(Fault::None);
        let (answers, log) = together(&[twice, twice], &disk);
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!((log.durable_sequence(), disk.synced()), (4, 4));
    });
}

/// Who met the fault says so and everybody else is told of it: never silence, and never an acknowledgement
/// of what the file no longer holds.
fn after_the_fault(answers: &[Answer], log: &Log, disk: &Disk) {
    let acknowledged = answers.iter().flatten().max().copied().unwrap_or(0);
    assert!(acknowledged <= disk.synced(), "{answers:?}");
    let of_the_disk = |answer: &&Answer| matches!(answer, Err(WalError::Io { .. }));
    assert!(answers.iter().filter(of_the_disk).count() <= 1, "{answers:?}");
    for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(matches!(error, WalError::Io { .. } | WalError::Poisoned { .. }), "{error}");
    }
    if disk.is_broken() {
        assert!(log.durable_sequence() <= disk.synced());
        let (chained, flushed) = (log.enqueue(&0), log.sync());
        assert!(matches!(chained, Err(WalError::Poisoned { .. })), "{chained:?}");
        let unsynced = log.sequence() > disk.synced();
        assert!(!unsynced || matches!(flushed, Err(WalError::Poisoned { .. })), "{flushed:?}");
    } else {
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }
}

fn fail(operations: &'static [Operation]) {
    for call in [Call::Write, Call::Sync] {
        for count in 1..operations.len() {
            model(move || {
                let disk = Disk::new(Fault::Fails(call, count));
                let (answers, log) = together(operations, &disk);
                after_the_fault(&answers, &log, &disk);
                assert!(count > 1 || answers.iter().all(Result::is_err), "{answers:?}");
                drop(log);
                assert!(disk.entries() <= disk.synced(), "what was not synced is still there");
            });
        }
    }
}

#[test]
fn a_failure_ends_two_threads() {
    fail(&[append, enqueue_and_wait]);
}

#[test]
fn a_failure_ends_three_threads() {
    fail(&[append, enqueue_and_wait, append]);
}

/// The panic stays with the one who led; the others are told.
#[test]
fn a_leader_that_panics_leaves_nobody_waiting() {
    fn caught(log: &Log, disk: &Disk) -> Answer {
        let outcome = catch_unwind(AssertUnwindSafe(|| append(log, disk)));
        outcome.unwrap_or_else(|_| {
            let (path, reason) = (disk::LOG.into(), "its own panic".into());
            Err(WalError::Poisoned { path, reason })
        })
    }
    for call in [Call::Write, Call::Sync] {
        for count in 1..=2 {
            model(move || {
                let disk = Disk::new(Fault::Panics(call, count));
                let (answers, log) = together(&[caught, caught], &disk);
                after_the_fault(&answers, &log, &disk);
                assert!(count > 1 || answers.iter().all(Result::is_err), "{answers:?}");
            });
        }
    }
}
