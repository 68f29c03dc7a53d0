//! Replacing a file whole: whatever happens, the name leads to the old contents or to the new ones.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use calybris_wal::storage::{Storage, StorageFile};

use crate::error::PersistError;

/// The extension of a file that is being written.
pub(crate) const BESIDE: &str = "tmp";
const BLOCK_BYTES: usize = 1 << 20;

/// Puts `bytes` under `path`, durably, or leaves what was there.
pub(crate) fn replace(
    storage: &dyn Storage,
    path: &Path,
    bytes: &[u8],
) -> Result<(), PersistError> {
    let beside = beside(path);
    let file = open_alone(storage, path, &beside)?;
    let renamed = write_and_rename(storage, &*file, &beside, path, bytes);
    if renamed.is_err() {
        // Best effort: the next attempt empties it anyway.
        let _ = storage.remove(&beside);
    }
    renamed?;
    let directory = directory_of(path);
    storage.sync_directory(directory).map_err(PersistError::io("sync", directory))
}

fn write_and_rename(
    storage: &dyn Storage,
    file: &dyn StorageFile,
    beside: &Path,
    path: &Path,
    bytes: &[u8],
) -> Result<(), PersistError> {
    file.set_len(0).map_err(PersistError::io("empty", beside))?;
    file.write_at(bytes, 0).map_err(PersistError::io("write", beside))?;
    file.sync().map_err(PersistError::io("sync", beside))?;
    storage.rename(beside, path).map_err(PersistError::io("rename to", path))
}

/// The file beside, locked, and still under its name: a writer before us may have renamed it to `path`.
fn open_alone(
    storage: &dyn Storage,
    path: &Path,
    beside: &Path,
) -> Result<Box<dyn StorageFile>, PersistError> {
    let file = storage.open_write(beside).map_err(PersistError::io("open", beside))?;
    let alone = file.try_lock().map_err(PersistError::io("lock", beside))?
        && file.len_at(beside).map_err(PersistError::io("look up", beside))?.is_some();
    if alone { Ok(file) } else { Err(PersistError::Busy { path: path.to_owned() }) }
}

/// The bytes of a file of text, up to the first block with a NUL in it: what a crash left unwritten, or somebody made
/// longer than the disk, is not read to its end.
pub(crate) fn read(storage: &dyn Storage, path: &Path) -> Result<Vec<u8>, PersistError> {
    let file = storage.open_read(path).map_err(PersistError::io("open", path))?;
    let (mut bytes, mut block) = (Vec::new(), vec![0; BLOCK_BYTES]);
    loop {
        let count =
            file.read_at(&mut block, bytes.len() as u64).map_err(PersistError::io("read", path))?;
        let read = block.get(..count).unwrap_or_default();
        bytes.extend_from_slice(read);
        if read.is_empty() || read.contains(&0) {
            return Ok(bytes);
        }
    }
}

/// `path` with `.tmp` at the end of its name.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(BESIDE);
    name.into()
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
