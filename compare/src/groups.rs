//! Real files that note how many bytes of the log went into each write before a sync, so that a bare loop can repeat
//! the same groups.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use calybris_wal::WalOptions;
use calybris_wal::storage::{Files, Storage, StorageFile};

/// The groups of the log opened last, in bytes.
#[derive(Clone, Debug, Default)]
pub struct Groups(Arc<Mutex<Vec<usize>>>);

impl Groups {
    /// For a log called `log`; forgets what was seen before.
    pub fn options(&self) -> WalOptions {
        self.0.lock().unwrap().clear();
        WalOptions::new().storage(Arc::new(self.clone()))
    }

    pub fn seen(&self) -> Vec<usize> {
        self.0.lock().unwrap().clone()
    }
}

#[derive(Debug)]
struct Log(Box<dyn StorageFile>, Groups);

impl Storage for Groups {
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Files.open_read(path)
    }
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let file = Files.open_write(path)?;
        let is_log = path.file_name().is_some_and(|name| name == "log");
        Ok(if is_log { Box::new(Log(file, self.clone())) } else { file })
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Files.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        Files.remove(path)
    }
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        Files.list(directory)
    }
    fn is_directory(&self, path: &Path) -> bool {
        Files.is_directory(path)
    }
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        Files.create_directory(path)
    }
    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        Files.sync_directory(directory)
    }
}

impl StorageFile for Log {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // Room made ahead is no group.
        if !bytes.starts_with(b"\n") {
            self.1.0.lock().unwrap().push(bytes.len());
        }
        self.0.write_at(bytes, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }
    fn len_at(&self, path: &Path) -> io::Result<Option<u64>> {
        self.0.len_at(path)
    }
}
