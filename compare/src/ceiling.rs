//! What a log whose callers wait for the disk cannot exceed: callers that do nothing but come together, sleep while one
//! of them writes and syncs, and are woken. The last to come leads, which only somebody who knows their number can do.

use std::fs::File;
use std::io::Write as _;
use std::mem::take;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;

/// As many callers, each as many times.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    pub callers: usize,
    pub each: usize,
    pub line_bytes: usize,
    /// Whether an entry is hashed after the one before, as a chain needs it.
    pub hashed: bool,
}

struct Meeting {
    work: Work,
    file: File,
    group: Mutex<Group>,
    over: Condvar,
}

#[derive(Default)]
struct Group {
    number: usize,
    callers: usize,
    head: [u8; 32],
    lines: Vec<u8>,
    wakers: Vec<Waker>,
}

impl Meeting {
    fn new(work: Work, path: &Path) -> Self {
        let (group, over) = (Mutex::default(), Condvar::new());
        Self { work, file: File::create(path).unwrap(), group, over }
    }

    /// Whether the group is complete.
    fn join(&self, group: &mut Group, line: &[u8]) -> bool {
        if self.work.hashed {
            group.head =
                Sha256::new().chain_update(group.head).chain_update(line).finalize().into();
        }
        group.lines.extend_from_slice(line);
        group.callers += 1;
        group.callers == self.work.callers
    }

    fn lead(&self, mut lines: Vec<u8>) {
        (&self.file).write_all(&lines).unwrap();
        self.file.sync_data().unwrap();
        let mut group = self.group.lock().unwrap();
        group.number += 1;
        group.callers = 0;
        lines.clear();
        group.lines = lines;
        let wakers = take(&mut group.wakers);
        drop(group);
        self.over.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }
}

pub fn threads(work: Work, path: &Path) -> Duration {
    let (meeting, line) = (Meeting::new(work, path), vec![b'x'; work.line_bytes]);
    let caller = || {
        for _ in 0..work.each {
            let mut group = meeting.group.lock().unwrap();
            let number = group.number;
            if meeting.join(&mut group, &line) {
                let lines = take(&mut group.lines);
                drop(group);
                meeting.lead(lines);
            } else {
                drop(meeting.over.wait_while(group, |group| group.number == number).unwrap());
            }
        }
    };
    let start = Instant::now();
    std::thread::scope(|scope| (0..work.callers).for_each(|_| drop(scope.spawn(caller))));
    start.elapsed()
}

pub async fn tasks(work: Work, path: &Path) -> Duration {
    let (meeting, start) = (Arc::new(Meeting::new(work, path)), Instant::now());
    let callers: Vec<_> = (0..work.callers).map(|_| tokio::spawn(task(meeting.clone()))).collect();
    for caller in callers {
        caller.await.unwrap();
    }
    start.elapsed()
}

async fn task(meeting: Arc<Meeting>) {
    let line = vec![b'x'; meeting.work.line_bytes];
    for _ in 0..meeting.work.each {
        let mut joined = None;
        std::future::poll_fn(|context| {
            let mut group = meeting.group.lock().unwrap();
            if joined.is_some_and(|number| number != group.number) {
                return Poll::Ready(());
            }
            if joined.replace(group.number).is_none() {
                group.wakers.push(context.waker().clone());
                if meeting.join(&mut group, &line) {
                    let (meeting, lines) = (meeting.clone(), take(&mut group.lines));
                    drop(spawn_blocking(move || meeting.lead(lines)));
                }
            }
            Poll::Pending
        })
        .await;
    }
}
