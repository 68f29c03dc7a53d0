//! The file that groups of entries go to, and the head file beside it; in a directory, one after another.

use std::io;
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
    /// Of them, what the last sync covered.
    durable_bytes: u64,
    /// The file's length: what follows `written` is room, blank lines.
    file_bytes: u64,
    /// How much room is made at once.
    room_bytes: u64,
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
        room_bytes: u64,
        rotation: Option<Rotation>,
    ) -> Self {
        let (written, durable_bytes, file_bytes) = (durable, durable.bytes, durable.bytes);
        Self { path, file, head_file, written, durable_bytes, file_bytes, room_bytes, rotation }
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
        self.rotate(group.len() as u64, key)?;
        let offset = self.written.bytes;
        if !group.is_empty()
            && let Err(error) = self.file.write_at(group, offset)
        {
            let _ = self.cut(offset);
            return Err(WalError::io("write", &self.path)(error));
        }
        self.written = Durable { head, bytes: offset.saturating_add(group.len() as u64) };
        self.file_bytes = self.file_bytes.max(self.written.bytes);
        if sync {
            self.make_room()?;
            self.sync(key)?;
        }
        Ok(())
    }

    /// Fills the file up with blank lines where the next groups go, once it has none left.
    ///
    /// A sync of a file that has become longer waits for the file system's own records, one of bytes written over
    /// does not. Room is for speed only: a disk that has no space for it gives none, and who writes more between
    /// two syncs needs none.
    fn make_room(&mut self) -> Result<(), WalError> {
        let start = self.written.bytes;
        let limit = self.rotation.as_ref().map_or(u64::MAX, |rotation| rotation.segment_bytes);
        let room = self.room_bytes.min(limit.saturating_sub(start));
        if room == 0 || self.file_bytes > start || start - self.durable_bytes > self.room_bytes {
            return Ok(());
        }
        let blank = vec![b'\n'; usize::try_from(room).unwrap_or(0)];
        if self.file.write_at(&blank, start).is_ok() {
            self.file_bytes = start.saturating_add(room);
            return Ok(());
        }
        self.room_bytes = 0;
        self.cut(start).map_err(WalError::io("cut the room of", &self.path))
    }

    /// Cuts the file at an offset.
    fn cut(&mut self, offset: u64) -> io::Result<()> {
        self.file.set_len(offset)?;
        self.file_bytes = offset;
        Ok(())
    }

    /// Gives back what room is left; whether there was any.
    fn cut_room(&mut self) -> Result<bool, WalError> {
        let has_room = self.file_bytes > self.written.bytes;
        if has_room {
            self.cut(self.written.bytes).map_err(WalError::io("cut the room of", &self.path))?;
        }
        Ok(has_room)
    }

    /// Begins the next segment, if this one is too long for as many bytes more.
    ///
    /// The one before is sealed first: whole, durable and recorded as such, so that nothing but the last
    /// segment of a directory can have a tail.
    fn rotate(&mut self, bytes: u64, key: Option<&ChainKey>) -> Result<(), WalError> {
        let fits = |limit: u64| {
            bytes == 0
                || self.written.bytes == 0
                || self.written.bytes.saturating_add(bytes) <= limit
        };
        if self.rotation.as_ref().is_none_or(|rotation| fits(rotation.segment_bytes)) {
            return Ok(());
        }
        if self.cut_room()? || self.written.bytes > self.durable_bytes {
            self.sync(key)?;
        }
        self.check_lock()?;
        if let Some(Rotation { directory, storage, .. }) = &self.rotation {
            let path = directory.join(segments::name(self.written.head.next()));
            let file = storage.open_write(&path).map_err(WalError::io("create", &path))?;
            storage.sync_directory(directory).map_err(WalError::io("sync", directory))?;
            (self.path, self.file) = (path, file);
            (self.written.bytes, self.durable_bytes, self.file_bytes) = (0, 0, 0);
            self.check_place()?;
            observe::rotated(&self.path);
        }
        Ok(())
    }

    /// Makes what was written durable, and the head file say so.
    fn sync(&mut self, key: Option<&ChainKey>) -> Result<(), WalError> {
        let _span = observe::sync(&self.path);
        if let Err(error) = self.file.sync() {
            let _ = self.cut(self.durable_bytes);
            return Err(WalError::io("sync", &self.path)(error));
        }
        self.durable_bytes = self.written.bytes;
        observe::synced();
        self.head_file.record(self.written, key)
    }

    /// Leaves a file that ends with its last entry, if it is still the one that was opened, and makes what the head
    /// file says outlive the machine.
    pub(crate) fn close(&mut self) -> Result<(), WalError> {
        let cut = self.check_place().and_then(|()| self.cut_room());
        self.head_file.sync()?;
        cut.map(drop)
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
        let (path, left) = (&self.path, self.file_bytes);
        let displaced = |reason| Err(WalError::Displaced { path: path.clone(), reason });
        match self.file.len_at(path).map_err(WalError::io("look up", path))? {
            Some(found) if found == left => Ok(()),
            Some(found) => displaced(format!("it has {found} bytes, this writer left {left}")),
            None => displaced("it was moved, removed or replaced".into()),
        }
    }
}
