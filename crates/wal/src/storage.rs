//! The one seam between the log and the disk.

mod files;
mod memory;
mod watched;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::WalError;

pub use files::Files;
pub use memory::Memory;
pub use watched::{Change, Watched};

/// Where logs are kept: real [`Files`], [`Memory`], or either of them [`Watched`], to fail on purpose.
///
/// A name (a file created, renamed or removed) is durable only after [`Storage::sync_directory`], contents
/// and length only after [`StorageFile::sync`].
pub trait Storage: fmt::Debug + Send + Sync {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// Whatever the system says; [`io::ErrorKind::NotFound`] where there is none.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Opens a file for reading and writing, creating an empty one where there is none.
    ///
    /// # Errors
    /// Whatever the system says.
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    /// Whatever the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Whatever the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The files in a directory, in ascending order.
    ///
    /// # Errors
    /// Whatever the system says.
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>>;

    /// Whether `path` is a directory.
    fn is_directory(&self, path: &Path) -> bool;

    /// Creates a directory and those above it, where there are none.
    ///
    /// # Errors
    /// Whatever the system says.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// Whatever the system says.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
}

/// An open file. Reads and writes say where, so that any number of readers share one.
#[expect(
    clippy::len_without_is_empty,
    reason = "the length of a file is asked for, not whether it is zero"
)]
pub trait StorageFile: fmt::Debug + Send + Sync {
    /// Bytes in the file.
    ///
    /// # Errors
    /// Whatever the system says.
    fn len(&self) -> io::Result<u64>;

    /// Reads what one call gives, 0 at the end.
    ///
    /// # Errors
    /// Whatever the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all bytes, with one call where the system takes them in one.
    ///
    /// # Errors
    /// Whatever the system says; some of the bytes may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// Whatever the system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes the contents and the length durable.
    ///
    /// # Errors
    /// Whatever the system says; nothing is known about what is durable then.
    fn sync(&self) -> io::Result<()>;

    /// Takes the writer's lock; false if another open file has it. It ends with the open file.
    ///
    /// # Errors
    /// Whatever the system says.
    fn try_lock(&self) -> io::Result<bool>;

    /// The file's length if `path` still names this file, none if it names another or none.
    ///
    /// # Errors
    /// Whatever the system says, other than that there is no such file.
    fn len_at(&self, path: &Path) -> io::Result<Option<u64>>;
}

/// Whether there is such a file.
pub(crate) fn exists(storage: &dyn Storage, path: &Path) -> Result<bool, WalError> {
    match storage.open_read(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(WalError::io("open", path)(error)),
    }
}

/// Creates a directory where there is none, and those above it, with names that outlive the machine.
///
/// # Errors
/// [`WalError::Io`], with what was attempted on which directory.
pub fn create_directory(storage: &dyn Storage, path: &Path) -> Result<(), WalError> {
    let there = storage.is_directory(path);
    let above = path.ancestors().skip(1);
    let missing = above.take_while(|it| !it.as_os_str().is_empty() && !storage.is_directory(it));
    let made: Vec<&Path> = [path].into_iter().chain(missing).collect();
    storage.create_directory(path).map_err(WalError::io("create", path))?;
    // Also where it is there already: an earlier attempt may have ended before this.
    for within in made.into_iter().map(directory_of) {
        match storage.sync_directory(within) {
            // It was made by somebody who may, for somebody who may not.
            Err(error) if there && error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced.map_err(WalError::io("sync", within))?,
        }
    }
    Ok(())
}

/// The directory a file is in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The file beside `path` whose name is that of `path` and `suffix`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests;
