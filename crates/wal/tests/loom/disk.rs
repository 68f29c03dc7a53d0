//! A disk that fails or panics at a given write or sync of the log, and knows what it has synced.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use calybris_wal::storage::{Change, Memory, Watched};
use calybris_wal::{WalOptions, WalWriter};
use loom::sync::atomic::{AtomicUsize, Ordering};

pub(crate) const LOG: &str = "log";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Write,
    Sync,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The n-th call, from 1, answers with an error.
    Fails(Call, usize),
    /// The n-th call, from 1, panics.
    Panics(Call, usize),
}

/// What has happened to the log's file since it was opened.
#[derive(Debug, Default)]
struct Seen {
    writes: usize,
    syncs: usize,
    synced: u64,
    /// The fault has struck.
    broken: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Disk {
    memory: Memory,
    fault: Fault,
    seen: Arc<Mutex<Option<Seen>>>,
    /// Touched by every call and every look, so that the model checker tries both orders of the two: what
    /// lies in memory is out of its sight.
    step: Arc<AtomicUsize>,
}

impl Disk {
    pub(crate) fn new(fault: Fault) -> Self {
        let step = Arc::new(AtomicUsize::new(0));
        Self { memory: Memory::default(), fault, seen: Arc::default(), step }
    }

    /// A new log on it; only what follows counts as seen.
    pub(crate) fn open(&self) -> Arc<WalWriter<u32>> {
        let disk = self.clone();
        let storage = Watched::new(self.memory.clone(), move |path, change| match change {
            Change::Write { .. } if path == Path::new(LOG) => disk.call(Call::Write),
            Change::Sync if path == Path::new(LOG) => disk.sync(),
            _ => Ok(()),
        });
        let options = WalOptions::new().storage(Arc::new(storage)).room_bytes(0);
        let log = WalWriter::open_with(Path::new(LOG), &options).unwrap();
        *self.seen.lock().unwrap() = Some(Seen::default());
        Arc::new(log)
    }

    /// Entries in the file, which must be whole lines and follow each other from 1.
    pub(crate) fn entries(&self) -> u64 {
        self.step.load(Ordering::Relaxed);
        let text = String::from_utf8(self.memory.read(Path::new(LOG)).unwrap()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        let mut count = 0;
        for line in text.lines() {
            count += 1;
            assert!(line.starts_with(&format!("{{\"sequence\":{count},")), "{text}");
        }
        count
    }

    /// Entries that a sync has covered.
    pub(crate) fn synced(&self) -> u64 {
        self.step.load(Ordering::Relaxed);
        self.seen.lock().unwrap().as_ref().unwrap().synced
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.seen.lock().unwrap().as_ref().unwrap().broken
    }

    /// Counts a call, strikes if it is the one, and lets another thread come between.
    fn call(&self, call: Call) -> io::Result<()> {
        let Some((count, broken)) = self.seen.lock().unwrap().as_mut().map(|seen| {
            let count = match call {
                Call::Write => &mut seen.writes,
                Call::Sync => &mut seen.syncs,
            };
            *count += 1;
            let count = *count;
            let strikes = [Fault::Fails(call, count), Fault::Panics(call, count)];
            let before = seen.broken;
            seen.broken |= strikes.contains(&self.fault);
            (count, before)
        }) else {
            return Ok(());
        };
        self.step.fetch_add(1, Ordering::Relaxed);
        assert!(!broken, "the log's file was used after a failure");
        if self.fault == Fault::Panics(call, count) {
            std::panic::resume_unwind(Box::new("the disk"));
        }
        if self.fault == Fault::Fails(call, count) {
            return Err(io::Error::other("the disk"));
        }
        Ok(())
    }

    /// Covers what is there as it begins.
    fn sync(&self) -> io::Result<()> {
        let covered = self.entries();
        self.call(Call::Sync)?;
        if let Some(seen) = self.seen.lock().unwrap().as_mut() {
            seen.synced = covered;
        }
        Ok(())
    }
}
