//! A disk that fails and forgets: any one call that changes something, or all from there on, ends in an error, and a
//! crash leaves only what was synced.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use calybris_wal::storage::{Storage, StorageFile};

/// Which calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The one, with half of a write done.
    Once,
    /// It and all after it: the disk is gone.
    FromThere,
    /// The one, and it does not return: the storage has a bug.
    Panic,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    /// By inode: as read now, and as a crash leaves it.
    files: BTreeMap<u64, (Vec<u8>, Vec<u8>)>,
    names: BTreeMap<PathBuf, u64>,
    synced_names: BTreeMap<PathBuf, u64>,
    /// Directories are names in their parents.
    directories: BTreeSet<PathBuf>,
    synced_directories: BTreeSet<PathBuf>,
    locked: BTreeMap<u64, u64>,
    handles: u64,
    /// Calls so far, and the one to fail.
    calls: u64,
    fault: Option<(u64, Fault, io::ErrorKind)>,
    bytes_read: u64,
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the `n`-th call from now fail.
    pub(crate) fn fail(&self, n: u64, fault: Fault, kind: io::ErrorKind) {
        let mut state = self.lock();
        state.fault = Some((state.calls + n, fault, kind));
    }

    /// Ends the faults; true if one has happened.
    pub(crate) fn heal(&self) -> bool {
        let mut state = self.lock();
        let calls = state.calls;
        state.fault.take().is_some_and(|(at, ..)| calls >= at)
    }

    /// Another disk with the same on it, and nobody at it.
    pub(crate) fn copy(&self) -> Self {
        let mut state = self.lock().clone();
        state.locked.clear();
        Self(Arc::new(Mutex::new(state)))
    }

    /// How much was read of all files so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.lock().bytes_read
    }

    /// How much all files with such a name have.
    pub(crate) fn bytes(&self, is_one: impl Fn(&Path) -> bool) -> u64 {
        let state = self.lock();
        let named = state.names.iter().filter(|(path, _)| is_one(path));
        named.map(|(_, inode)| state.files[inode].0.len() as u64).sum()
    }

    /// The machine goes down: names and contents that were not synced are gone, and so are the locks.
    pub(crate) fn crash(&self) {
        let mut state = self.lock();
        state.directories = state.synced_directories.clone();
        state.names = state.synced_names.clone();
        let there = state.directories.clone();
        state
            .names
            .retain(|path, _| path.ancestors().skip(1).all(|it| is_root(it) || there.contains(it)));
        state.synced_names = state.names.clone();
        state.locked.clear();
        for (now, synced) in state.files.values_mut() {
            now.clone_from(synced);
        }
    }
}

/// The directory that was there from the start.
fn is_root(path: &Path) -> bool {
    path.as_os_str().is_empty() || path == Path::new(".")
}

/// Whether a name is one of a directory's own.
fn is_in(directory: &Path, path: &Path) -> bool {
    path.parent().is_some_and(|parent| parent == directory || is_root(parent) && is_root(directory))
}

impl State {
    /// Counts a call that changes something.
    fn step(&mut self) -> io::Result<()> {
        self.calls += 1;
        match self.fault {
            Some((at, Fault::Once, kind)) if self.calls == at => Err(kind.into()),
            Some((at, Fault::FromThere, kind)) if self.calls >= at => Err(kind.into()),
            Some((at, Fault::Panic, _)) if self.calls == at => panic!("the storage has a bug"),
            _ => Ok(()),
        }
    }

    fn inode(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn now(&mut self, inode: u64) -> &mut Vec<u8> {
        &mut self.files.get_mut(&inode).unwrap().0
    }
}

#[derive(Debug)]
struct Open {
    disk: Disk,
    inode: u64,
    handle: u64,
}

impl Disk {
    fn open(&self, state: &mut State, inode: u64) -> Box<dyn StorageFile> {
        state.handles += 1;
        Box::new(Open { disk: self.clone(), inode, handle: state.handles })
    }
}

impl Storage for Disk {
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.lock();
        let inode = state.inode(path)?;
        Ok(self.open(&mut state, inode))
    }
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.lock();
        state.step()?;
        if !path
            .parent()
            .is_some_and(|parent| is_root(parent) || state.directories.contains(parent))
        {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inode = match state.inode(path) {
            Ok(inode) => inode,
            Err(_) => {
                let inode = state.files.len() as u64;
                state.files.insert(inode, Default::default());
                state.names.insert(path.to_owned(), inode);
                inode
            }
        };
        Ok(self.open(&mut state, inode))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step()?;
        let inode = state.inode(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step()?;
        state.names.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.lock();
        Ok(state.names.keys().filter(|path| path.parent() == Some(directory)).cloned().collect())
    }
    fn is_directory(&self, path: &Path) -> bool {
        self.lock().directories.contains(path)
    }
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step()?;
        state.directories.extend(path.ancestors().filter(|it| !is_root(it)).map(Path::to_owned));
        Ok(())
    }
    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step()?;
        let inside = |path: &PathBuf| is_in(directory, path);
        let made: Vec<_> = state.directories.iter().filter(|path| inside(path)).cloned().collect();
        state.synced_directories.extend(made);
        let mut names = std::mem::take(&mut state.synced_names);
        names.retain(|path, _| !inside(path));
        let now = state.names.iter().filter(|(path, _)| inside(path));
        names.extend(now.map(|(path, inode)| (path.clone(), *inode)));
        state.synced_names = names;
        Ok(())
    }
}

impl StorageFile for Open {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().now(self.inode).len() as u64)
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.lock();
        let offset = usize::try_from(offset).unwrap();
        let rest = state.now(self.inode).get(offset..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        state.bytes_read += count as u64;
        Ok(count)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        let failure = state.step().err();
        let bytes = if failure.is_some() { &bytes[..bytes.len() / 2] } else { bytes };
        let (offset, now) = (usize::try_from(offset).unwrap(), state.now(self.inode));
        now.resize(now.len().max(offset + bytes.len()), 0);
        now[offset..offset + bytes.len()].copy_from_slice(bytes);
        failure.map_or(Ok(()), Err)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.step()?;
        state.now(self.inode).resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.step()?;
        let (now, synced) = state.files.get_mut(&self.inode).unwrap();
        synced.clone_from(now);
        Ok(())
    }
    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.disk.lock();
        Ok(*state.locked.entry(self.inode).or_insert(self.handle) == self.handle)
    }
    fn len_at(&self, path: &Path) -> io::Result<Option<u64>> {
        let mut state = self.disk.lock();
        let here = state.names.get(path) == Some(&self.inode);
        Ok(here.then(|| state.now(self.inode).len() as u64))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.disk.lock();
        if state.locked.get(&self.inode) == Some(&self.handle) {
            state.locked.remove(&self.inode);
        }
    }
}
