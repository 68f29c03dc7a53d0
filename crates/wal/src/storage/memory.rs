//! Files that live as long as the program: for tests, and for logs that need not outlive it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Storage, StorageFile};

/// Storage in memory. Clones share the files.
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
/// use calybris_wal::storage::Memory;
/// use calybris_wal::{WalOptions, WalWriter};
///
/// let memory = Memory::default();
/// let log = WalWriter::<u32>::open_with(
///     Path::new("log"),
///     &WalOptions::new().storage(Arc::new(memory.clone())),
/// )?;
/// log.append(7)?;
/// log.flush()?;
/// assert!(memory.read(Path::new("log")).unwrap().starts_with(b"{\"sequence\":1,"));
/// assert!(memory.read(Path::new("another")).is_none());
/// # Ok::<(), calybris_wal::WalError>(())
/// ```
#[derive(Clone, Default)]
pub struct Memory {
    files: Arc<Mutex<BTreeMap<PathBuf, Arc<Mutex<Contents>>>>>,
}

#[derive(Default)]
struct Contents {
    bytes: Vec<u8>,
    locked: bool,
}

#[derive(Debug)]
struct Open {
    storage: Memory,
    contents: Arc<Mutex<Contents>>,
    holds_lock: Mutex<bool>,
}

/// The files and their lengths in bytes.
impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = lock(&self.files).clone();
        let lengths = files.iter().map(|(path, contents)| (path, lock(contents).bytes.len()));
        f.debug_map().entries(lengths).finish()
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, locked } = self;
        f.debug_struct("Contents").field("bytes", &bytes.len()).field("locked", locked).finish()
    }
}

/// A panic elsewhere leaves the bytes as a crash would.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// What a file holds.
    #[must_use]
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let contents = lock(&self.files).get(path).cloned()?;
        let bytes = lock(&contents).bytes.clone();
        Some(bytes)
    }

    /// Replaces what a file holds, creating it where there is none.
    pub fn write(&self, path: &Path, bytes: &[u8]) {
        let contents = Arc::clone(lock(&self.files).entry(path.to_owned()).or_default());
        bytes.clone_into(&mut lock(&contents).bytes);
    }

    fn open(&self, contents: Arc<Mutex<Contents>>) -> Box<dyn StorageFile> {
        Box::new(Open { storage: self.clone(), contents, holds_lock: Mutex::new(false) })
    }
}

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))
}

impl Storage for Memory {
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let contents = lock(&self.files).get(path).cloned().ok_or_else(not_found)?;
        Ok(self.open(contents))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let contents = Arc::clone(lock(&self.files).entry(path.to_owned()).or_default());
        Ok(self.open(contents))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = lock(&self.files);
        let contents = files.remove(from).ok_or_else(not_found)?;
        files.insert(to.to_owned(), contents);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        lock(&self.files).remove(path).map(drop).ok_or_else(not_found)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let files = lock(&self.files);
        Ok(files.keys().filter(|path| path.parent() == Some(directory)).cloned().collect())
    }

    fn is_directory(&self, path: &Path) -> bool {
        lock(&self.files).keys().any(|file| file.parent() == Some(path))
    }

    fn create_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_directory(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl StorageFile for Open {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.contents).bytes.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let contents = lock(&self.contents);
        let rest = contents.bytes.get(position(offset)?..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut contents = lock(&self.contents);
        let (start, end) = (position(offset)?, position(offset)?.saturating_add(bytes.len()));
        if contents.bytes.len() < end {
            contents.bytes.resize(end, 0);
        }
        if let Some(target) = contents.bytes.get_mut(start..end) {
            target.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        lock(&self.contents).bytes.resize(position(len)?, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut holds_lock = lock(&self.holds_lock);
        let mut contents = lock(&self.contents);
        let free = *holds_lock || !contents.locked;
        if free {
            (*holds_lock, contents.locked) = (true, true);
        }
        Ok(free)
    }

    fn len_at(&self, path: &Path) -> io::Result<Option<u64>> {
        let named = lock(&self.storage.files).get(path).cloned();
        let same = named.filter(|contents| Arc::ptr_eq(contents, &self.contents));
        Ok(same.map(|contents| lock(&contents).bytes.len() as u64))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if *lock(&self.holds_lock) {
            lock(&self.contents).locked = false;
        }
    }
}
