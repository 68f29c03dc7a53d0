//! The file that groups of entries go to, and the head file beside it; in a directory, one after another.

use std::path::PathBuf;
use std::sync::Arc;

use calybris_proof::chain::ChainKey;

use crate::chain::Head;
use crate::error::WalError;
use crate::head_file::{Durable, HeadFile};
use crate::observe;
use crate::segments;
use crate::storage::{Storage, StorageFile};

/// What the caller at the file writes to.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    file: Box<dyn StorageFile>,
    head_file: HeadFile,
    /// What the operating system has: the last entry, and the file's length after it.
    written: Durable,
    /// The file's length at the last sync.
    durable_bytes: u64,
    /// Of a directory.
    rotation: Option<Rotation>,
}

/// Where the next segments go.
#[derive(Debug)]
pub(crate) struct Rotation {
    pub(crate) directory: PathBuf,
    pub(crate) storage: Arc<dyn Storage>,
    /// What a segment has at most, unless one group has more.
    pub(crate) segment_bytes: u64,
    /// The writer's, for as long as this lives.
    pub(crate) lock: Box<dyn StorageFile>,
}

impl Output {
    /// Continues a file that is durable as far as it goes.
    pub(crate) fn new(
        path: PathBuf,
        file: Box<dyn StorageFile>,
        head_file: HeadFile,
        durable: Durable,
        rotation: Option<Rotation>,
    ) -> Self {
        Self { path, file, head_file, written: durable, durable_bytes: durable.bytes, rotation }
    }

    /// The last entry that was written.
    pub(crate) fn head(&self) -> Head {
        self.written.head
    }

    /// Puts a group at the end of the file, after which `head` is the last entry, and syncs it if asked to.
    ///
    /// After a failure the file is cut back to what is certain, as well as that can be done: a write that
    /// failed may have arrived in part, and what a failed sync covered may be in the system's cache and never
    /// on the disk. None of it was acknowledged.
    pub(crate) fn put(
        &mut self,
        group: &[u8],
        head: Head,
        sync: bool,
        key: Option<&ChainKey>,
    ) -> Result<(), WalError> {
        self.check_place()?;
        self.make_room(group.len() as u64, key)?;
        let offset = self.written.bytes;
        if !group.is_empty()
            && let Err(error) = self.file.write_at(group, offset)
        {
            let _ = self.file.set_len(offset);
            return Err(WalError::io("write", &self.path)(error));
        }
        self.written = Durable { head, bytes: offset.saturating_add(group.len() as u64) };
        if sync { self.sync(key) } else { Ok(()) }
    }

    /// Begins the next segment, if this one has no room for as many bytes.
    ///
    /// The one before is sealed first: whole, durable and recorded as such, so that nothing but the last
    /// segment of a directory can have a tail.
    fn make_room(&mut self, bytes: u64, key: Option<&ChainKey>) -> Result<(), WalError> {
        let has_room = |limit: u64| {
            bytes == 0
                || self.written.bytes == 0
                || self.written.bytes.saturating_add(bytes) <= limit
        };
        if self.rotation.as_ref().is_none_or(|rotation| has_room(rotation.segment_bytes)) {
            return Ok(());
        }
        if self.written.bytes > self.durable_bytes {
            self.sync(key)?;
        }
        self.check_lock()?;
        if let Some(Rotation { directory, storage, .. }) = &self.rotation {
            let path = directory.join(segments::name(self.written.head.next()));
            let file = storage.open_write(&path).map_err(WalError::io("create", &path))?;
            storage.sync_directory(directory).map_err(WalError::io("sync", directory))?;
            (self.path, self.file) = (path, file);
            (self.written.bytes, self.durable_bytes) = (0, 0);
            self.check_place()?;
            observe::rotated(&self.path);
        }
        Ok(())
    }

    /// Makes what was written durable, and the head file say so.
    fn sync(&mut self, key: Option<&ChainKey>) -> Result<(), WalError> {
        let _span = observe::sync(&self.path);
        if let Err(error) = self.file.sync() {
            let _ = self.file.set_len(self.durable_bytes);
            return Err(WalError::io("sync", &self.path)(error));
        }
        self.durable_bytes = self.written.bytes;
        observe::synced();
        self.head_file.record(self.written, key)
    }

    /// Makes what the head file says outlive the machine.
    pub(crate) fn sync_head_file(&mut self) -> Result<(), WalError> {
        self.head_file.sync()
    }

    /// Whether the lock of a directory is still where others look for it.
    pub(crate) fn check_lock(&self) -> Result<(), WalError> {
        let Some(Rotation { directory, lock, .. }) = &self.rotation else { return Ok(()) };
        let held = lock.len_at(&directory.join(segments::LOCK));
        if held.map_err(WalError::io("look up", directory))?.is_none() {
            let reason = "its lock was moved, removed or replaced".into();
            return Err(WalError::Displaced { path: directory.clone(), reason });
        }
        Ok(())
    }

    /// Whether the file is still the one that was opened, as long as it was left.
    fn check_place(&self) -> Result<(), WalError> {
        let (path, left) = (&self.path, self.written.bytes);
        let displaced = |reason| Err(WalError::Displaced { path: path.clone(), reason });
        match self.file.len_at(path).map_err(WalError::io("look up", path))? {
            Some(found) if found == left => Ok(()),
            Some(found) => displaced(format!("it has {found} bytes, this writer left {left}")),
            None => displaced("it was moved, removed or replaced".into()),
        }
    }
}
