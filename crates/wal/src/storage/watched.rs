//! Storage in which somebody comes before every change: to count, to delay or to fail it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Storage, StorageFile};

/// What is about to be done to the file or the directory at a path.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Change<'a> {
    /// The file is opened for writing, and created where there is none.
    Open,
    /// Bytes are written to the open file.
    Write {
        /// For who lets a part of it through.
        file: &'a dyn StorageFile,
        /// All of them.
        bytes: &'a [u8],
        /// Where the first goes.
        offset: u64,
    },
    /// The file is cut or extended to this many bytes.
    SetLen(u64),
    /// The file is synced.
    Sync,
    /// The path becomes the name of the file at this other path.
    Rename(&'a Path),
    /// The file is removed.
    Remove,
    /// The directory is created.
    CreateDirectory,
    /// The directory is synced.
    SyncDirectory,
}

type Before = dyn Fn(&Path, Change<'_>) -> io::Result<()> + Send + Sync;

/// Storage that calls a function before every change. An error of the function is that of the call, which then does
/// nothing.
///
/// ```
/// use std::io;
/// use std::path::Path;
/// use std::sync::Arc;
/// use calybris_wal::storage::{Change, Memory, Watched};
/// use calybris_wal::{WalOptions, WalWriter};
///
/// // A disk with space for 300 bytes of the log.
/// let log = Path::new("log");
/// let full = Watched::new(Memory::default(), move |path, change| match change {
///     Change::Write { bytes, offset, .. } if path == log && offset + bytes.len() as u64 > 300 => {
///         Err(io::ErrorKind::StorageFull.into())
///     }
///     _ => Ok(()),
/// });
/// let log = WalWriter::open_with(log, &WalOptions::new().storage(Arc::new(full)))?;
/// assert!(log.append("once").is_ok());
/// assert!(log.append("and again").is_err());
/// # Ok::<(), calybris_wal::WalError>(())
/// ```
#[derive(Clone)]
pub struct Watched {
    storage: Arc<dyn Storage>,
    before: Arc<Before>,
}

struct Open {
    file: Box<dyn StorageFile>,
    path: PathBuf,
    before: Arc<Before>,
}

impl Watched {
    /// Storage that asks `before`, with the path and what is about to happen there.
    pub fn new(
        storage: impl Storage + 'static,
        before: impl Fn(&Path, Change<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { storage: Arc::new(storage), before: Arc::new(before) }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("storage", &self.storage).finish_non_exhaustive()
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Storage for Watched {
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.storage.open_read(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        (self.before)(path, Change::Open)?;
        let file = self.storage.open_write(path)?;
        Ok(Box::new(Open { file, path: path.to_owned(), before: Arc::clone(&self.before) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.before)(to, Change::Rename(from))?;
        self.storage.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        (self.before)(path, Change::Remove)?;
        self.storage.remove(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        self.storage.list(directory)
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.storage.is_directory(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        (self.before)(path, Change::CreateDirectory)?;
        self.storage.create_directory(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        (self.before)(directory, Change::SyncDirectory)?;
        self.storage.sync_directory(directory)
    }
}

impl StorageFile for Open {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        (self.before)(&self.path, Change::Write { file: &*self.file, bytes, offset })?;
        self.file.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        (self.before)(&self.path, Change::SetLen(len))?;
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        (self.before)(&self.path, Change::Sync)?;
        self.file.sync()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }

    fn len_at(&self, path: &Path) -> io::Result<Option<u64>> {
        self.file.len_at(path)
    }
}
