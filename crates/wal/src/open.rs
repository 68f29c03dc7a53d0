//! Opening a log for writing: lock it, verify it, continue it.

use std::path::Path;

use calybris_proof::chain::ChainKey;

use crate::error::WalError;
use crate::group::GroupCommit;
use crate::options::WalOptions;
use crate::reader::visit_lines;
use crate::storage::{StorageFile, directory_of};

/// Opens `path` under the writer's lock, with its chain verified to the end.
pub(crate) fn open(path: &Path, options: &WalOptions) -> Result<GroupCommit, WalError> {
    let key = options.key.as_deref().map(ChainKey::new).transpose()?;
    let file = lock_file(path, options)?;
    let end = visit_lines(path, &*file, key.as_ref(), &mut |_, _| Ok(()))?;
    let mut bytes = end.bytes;
    if !end.terminated {
        file.write_at(b"\n", bytes).map_err(WalError::io("end the last line of", path))?;
        bytes += 1;
    }
    // What is there may be no more than cached, and the name may be new.
    file.sync().map_err(WalError::io("sync", path))?;
    let directory = directory_of(path);
    options.storage.sync_directory(directory).map_err(WalError::io("sync", directory))?;
    Ok(GroupCommit::new(path.to_owned(), file, key, options.buffer_bytes, end.head, bytes))
}

/// Opens and locks; the file must still have its name once it is locked.
fn lock_file(path: &Path, options: &WalOptions) -> Result<Box<dyn StorageFile>, WalError> {
    let file = options.storage.open_write(path).map_err(WalError::io("open", path))?;
    if !file.try_lock().map_err(WalError::io("lock", path))? {
        return Err(WalError::Locked { path: path.to_owned() });
    }
    if !file.is_at(path).map_err(WalError::io("look up", path))? {
        let reason = "it was moved, removed or replaced while it was opened".into();
        return Err(WalError::Displaced { path: path.to_owned(), reason });
    }
    Ok(file)
}
