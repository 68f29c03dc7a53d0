//! Real files. The only place that talks to the operating system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::{Storage, StorageFile};

/// The operating system's files.
///
/// The lock is the system's advisory lock on the log file itself (`flock` on Unix, `LockFileEx` on Windows,
/// where it also keeps readers out), so it needs no lock file and ends with the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files;

impl Storage for Files {
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(Open::new(File::open(path)?)?))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        Ok(Box::new(Open::new(options.open(path)?)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for item in fs::read_dir(directory)? {
            paths.push(item?.path());
        }
        paths.sort();
        Ok(paths)
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    #[cfg(unix)]
    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    /// Names are durable with the file's own metadata here, and a directory cannot be opened.
    #[cfg(not(unix))]
    fn sync_directory(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// An open file and, where there is such a thing, what no other file is at the same time.
#[derive(Debug)]
struct Open {
    file: File,
    #[cfg(unix)]
    identity: (u64, u64),
}

impl Open {
    #[cfg(unix)]
    fn new(file: File) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;

        let about = file.metadata()?;
        Ok(Self { identity: (about.dev(), about.ino()), file })
    }

    #[cfg(not(unix))]
    fn new(file: File) -> io::Result<Self> {
        Ok(Self { file })
    }
}

/// What the file at `path` is, and its length.
#[cfg(unix)]
fn look_up(path: &Path) -> io::Result<((u64, u64), u64)> {
    use std::os::unix::fs::MetadataExt as _;

    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};

        // Not its times: where somebody has seen them, the next write changes them, and a sync writes that down too.
        let wanted = StatxFlags::INO | StatxFlags::SIZE;
        match statx(CWD, path, AtFlags::empty(), wanted) {
            Ok(found) => {
                let device = makedev(found.stx_dev_major, found.stx_dev_minor);
                return Ok(((device, found.stx_ino), found.stx_size));
            }
            Err(rustix::io::Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let found = fs::metadata(path)?;
    Ok(((found.dev(), found.ino()), found.len()))
}

impl StorageFile for Open {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.file, buffer, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.file, buffer, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = std::os::windows::fs::FileExt::seek_write(&self.file, bytes, offset)?;
            bytes = bytes.get(written..).unwrap_or_default();
            offset = offset.saturating_add(written as u64);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    #[cfg(unix)]
    fn len_at(&self, path: &Path) -> io::Result<Option<u64>> {
        let (identity, length) = match look_up(path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok((identity == self.identity).then_some(length))
    }

    /// An open file cannot be replaced here.
    #[cfg(not(unix))]
    fn len_at(&self, path: &Path) -> io::Result<Option<u64>> {
        if path.try_exists()? { self.len().map(Some) } else { Ok(None) }
    }
}
