//! The same for tasks, which are woken, and whose leader may never run.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use calybris_wal::WalError;
use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::disk::{Call, Disk, Fault};
use super::{Answer, Log, acknowledged, after_the_fault, append, model};

/// Wakes the thread that runs a task.
#[derive(Default)]
struct Signal {
    woken: Mutex<bool>,
    progress: Condvar,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.progress.notify_one();
    }
}

/// Runs a task to its end, sleeping while it waits.
fn block_on<T>(task: impl Future<Output = T>) -> T {
    let signal = Arc::new(Signal { woken: Mutex::new(false), progress: Condvar::new() });
    let waker = Waker::from(signal.clone());
    let mut task = std::pin::pin!(task);
    loop {
        if let Poll::Ready(output) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let mut woken = signal.woken.lock().unwrap();
        while !*woken {
            woken = signal.progress.wait(woken).unwrap();
        }
        *woken = false;
    }
}

/// As a task on a runtime, whose leaders run in threads of their own.
fn task(log: &Log, disk: &Disk) -> Answer {
    let ticket = log.enqueue(&0)?;
    let lead = |lead: Box<dyn FnOnce() + Send>| drop(thread::spawn(lead));
    let answer = block_on(poll_fn(|context| log.poll_durable(ticket, context, lead)));
    let answer = answer.map(|()| ticket.sequence);
    acknowledged(disk, &answer);
    answer
}

/// A task beside another caller.
fn beside(other: fn(&Log, &Disk) -> Answer, fault: Fault) {
    model(move || {
        let disk = Disk::new(fault);
        let log = disk.open();
        let theirs = (log.clone(), disk.clone());
        let thread = thread::spawn(move || other(&theirs.0, &theirs.1));
        let answers = [task(&log, &disk), thread.join().unwrap()];
        after_the_fault(&answers, &log, &disk);
        assert!(fault != Fault::None || answers.iter().all(Result::is_ok), "{answers:?}");
    });
}

#[test]
fn a_task_and_a_thread_reach_durable() {
    beside(append, Fault::None);
}

#[test]
fn two_tasks_reach_durable() {
    beside(task, Fault::None);
}

#[test]
fn a_failure_ends_tasks() {
    for call in [Call::Write, Call::Sync] {
        beside(append, Fault::Fails(call, 1));
        beside(task, Fault::Fails(call, 1));
    }
}

#[test]
fn a_leader_that_panics_leaves_no_task_waiting() {
    fn led_to_a_panic(log: &Log, disk: &Disk) -> Answer {
        let ticket = log.enqueue(&0)?;
        let lead = |lead: Box<dyn FnOnce() + Send>| {
            // As a runtime's pool of blocking threads does.
            let caught = || drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(lead)));
            drop(thread::spawn(caught));
        };
        let answer = block_on(poll_fn(|context| log.poll_durable(ticket, context, lead)));
        let answer = answer.map(|()| ticket.sequence);
        acknowledged(disk, &answer);
        answer
    }
    for call in [Call::Write, Call::Sync] {
        model(move || {
            let disk = Disk::new(Fault::Panics(call, 1));
            let log = disk.open();
            let theirs = (log.clone(), disk.clone());
            let thread = thread::spawn(move || led_to_a_panic(&theirs.0, &theirs.1));
            let answers = [led_to_a_panic(&log, &disk), thread.join().unwrap()];
            after_the_fault(&answers, &log, &disk);
            let told = |answer: &Answer| matches!(answer, Err(WalError::Poisoned { .. }));
            assert!(answers.iter().all(told), "{answers:?}");
        });
    }
}

/// The task was dropped after its first poll, and the right to lead with it, in a thread that never ran it.
fn abandoned(other: fn(&Log, &Disk) -> Answer) {
    model(move || {
        let disk = Disk::new(Fault::None);
        let log = disk.open();
        let theirs = (log.clone(), disk.clone());
        let thread = thread::spawn(move || other(&theirs.0, &theirs.1));
        let ticket = log.enqueue(&0).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let lead = |lead: Box<dyn FnOnce() + Send>| drop(thread::spawn(|| drop(lead)));
        let polled = log.poll_durable(ticket, &mut context, lead);
        acknowledged(&disk, &Ok(if polled.is_ready() { ticket.sequence } else { 0 }));
        thread.join().unwrap().unwrap();
        drop(log);
    });
}

#[test]
fn a_task_dropped_before_it_led_passes_the_lead_to_a_thread() {
    abandoned(append);
}

#[test]
fn a_task_dropped_before_it_led_passes_the_lead_to_a_task() {
    abandoned(task);
}
