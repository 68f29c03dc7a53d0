//! A disk that fails at any step: what was acknowledged is found, once; what was not is whole or absent.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use calybris_budget::LedgerOperation;
use calybris_persist::{Answer, DurableLedger, DurableOptions, LedgerRecord, PersistError};
use calybris_wal::read_verified_wal;
use calybris_wal::storage::{Files, Storage, StorageFile};

use crate::workload::{Caller, bytes, opening};

/// Real files, of which the `n`-th call that changes anything fails, and all after it.
#[derive(Debug)]
struct Failing {
    calls_left: Arc<AtomicU32>,
}

#[derive(Debug)]
struct FailingFile {
    file: Box<dyn StorageFile>,
    calls_left: Arc<AtomicU32>,
}

fn step(calls_left: &AtomicU32) -> io::Result<()> {
    let count = |left: u32| left.checked_sub(1);
    let left = calls_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
    left.map(drop).map_err(|_| io::ErrorKind::StorageFull.into())
}

impl Storage for Failing {
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Files.open_read(path)
    }
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        step(&self.calls_left)?;
        let (file, calls_left) = (Files.open_write(path)?, Arc::clone(&self.calls_left));
        Ok(Box::new(FailingFile { file, calls_left }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        step(&self.calls_left)?;
        Files.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        step(&self.calls_left)?;
        Files.remove(path)
    }
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        Files.list(directory)
    }
    fn is_directory(&self, path: &Path) -> bool {
        Files.is_directory(path)
    }
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        step(&self.calls_left)?;
        Files.create_directory(path)
    }
    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        step(&self.calls_left)?;
        Files.sync_directory(directory)
    }
}

impl StorageFile for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        step(&self.calls_left)?;
        self.file.write_at(bytes, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        step(&self.calls_left)?;
        self.file.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        step(&self.calls_left)?;
        self.file.sync()
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
    fn len_at(&self, path: &Path) -> io::Result<Option<u64>> {
        self.file.len_at(path)
    }
}

/// Runs until the disk fails; gives what was acknowledged, and whether it got to the end.
fn until_failure(folder: &Path, calls: u32) -> (Vec<(LedgerOperation, Answer)>, bool) {
    let storage = Arc::new(Failing { calls_left: Arc::new(AtomicU32::new(calls)) });
    let mut acknowledged = Vec::new();
    let run = || -> Result<(), PersistError> {
        let ledger = DurableLedger::open_with(folder, DurableOptions::new().storage(storage))?;
        let mut caller = Caller::new("c", 3);
        for operation in opening() {
            let answer = ledger.apply(&operation)?;
            acknowledged.push((operation, answer));
        }
        for number in 0..24 {
            let operation = caller.next();
            let answer = ledger.apply(&operation);
            if answer.is_err() {
                assert!(ledger.apply(&operation).is_err(), "nothing more is acknowledged");
            }
            let answer = answer?;
            caller.hear(&answer);
            acknowledged.push((operation, answer));
            if number % 8 == 7 {
                ledger.checkpoint()?;
            }
        }
        Ok(())
    };
    let finished = run().is_ok();
    (acknowledged, finished)
}

/// Asks everything again; what was acknowledged gets its first answer, and changes nothing.
fn ask_again(ledger: &DurableLedger, acknowledged: &[(LedgerOperation, Answer)]) {
    let before = bytes(&ledger.state().unwrap());
    for (operation, answer) in acknowledged {
        let again = ledger.apply(operation).unwrap();
        if !matches!(operation, LedgerOperation::Expire { .. }) {
            assert_eq!(&again, answer, "{operation:?}");
        }
    }
    assert_eq!(bytes(&ledger.state().unwrap()), before);
}

#[test]
fn a_fault_at_any_step_loses_nothing_that_was_acknowledged() {
    let mut steps = 0;
    for calls in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let (acknowledged, finished) = until_failure(folder.path(), calls);
        let ledger = DurableLedger::open(folder.path()).unwrap();
        ledger.prove_conservation().unwrap();
        ask_again(&ledger, &acknowledged);
        drop(ledger);
        // Exactly those operations and at most the one that failed, in this order.
        let path = folder.path().join("ledger.log");
        let log = read_verified_wal::<LedgerRecord>(&path).unwrap();
        let mut logged = log.into_iter().filter_map(|entry| match entry.data {
            LedgerRecord::Operation { operation, .. } => Some(operation),
            _ => None,
        });
        for (operation, _) in &acknowledged {
            assert_eq!(logged.next().as_ref(), Some(operation));
        }
        let unacknowledged = logged.count() - acknowledged.len();
        assert!(unacknowledged <= 1, "{unacknowledged} at step {calls}");
        steps += 1;
        if finished {
            break;
        }
    }
    assert!(steps > 60, "{steps}");
}
