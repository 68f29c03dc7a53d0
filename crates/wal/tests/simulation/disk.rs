//! A disk that loses whatever was not synced, and fails on demand.
//!
//! The unit is the sector. A crash keeps any subset of the unsynced ones, each whole or torn, the old or a
//! new length apart from that, and any subset of the unsynced names. A sync that fails leaves some sectors
//! on the disk and marks all of them clean, as systems do: the cache shows what the disk does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use calybris_wal::storage::{Storage, StorageFile};

use crate::random::Random;

const SECTOR: usize = 512;

/// What goes wrong at one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The machine stops before or in the middle of it.
    Crash,
    /// It fails; a write may have been done in part, a sync in any part.
    Error,
    /// There is no room: a write is done in part.
    Full,
}

#[derive(Clone, Debug)]
pub(crate) struct Disk {
    world: Arc<Mutex<World>>,
}

#[derive(Debug)]
struct World {
    random: Random,
    /// What a process sees, and what would be found after a crash.
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    files: Vec<Contents>,
    /// Counts the machine's starts: files opened before a crash are dead.
    boot: u64,
    operations: u64,
    faults: BTreeMap<u64, Fault>,
    crashed: bool,
}

#[derive(Debug, Default)]
struct Contents {
    cached: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
    length_dirty: bool,
    locked: bool,
}

impl Disk {
    pub(crate) fn new(seed: u64) -> Self {
        let world = World {
            random: Random::new(seed),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            files: Vec::new(),
            boot: 0,
            operations: 0,
            faults: BTreeMap::new(),
            crashed: false,
        };
        Self { world: Arc::new(Mutex::new(world)) }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Operations so far; each that changes something counts as one.
    pub(crate) fn operations(&self) -> u64 {
        self.world().operations
    }

    pub(crate) fn plan(&self, operation: u64, fault: Fault) {
        self.world().faults.insert(operation, fault);
    }

    pub(crate) fn forget_plan(&self) {
        self.world().faults.clear();
    }

    /// What a process would read of a file.
    pub(crate) fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let world = self.world();
        world.names.get(path).map(|file| world.files[*file].cached.clone())
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.world().crashed
    }

    /// Stops the machine now and starts it again.
    pub(crate) fn restart(&self) {
        let mut world = self.world();
        let World { random, names, durable_names, files, .. } = &mut *world;
        let mut survivors = durable_names.clone();
        let changed: BTreeSet<_> = names.keys().chain(durable_names.keys()).cloned().collect();
        for path in changed.into_iter().filter(|path| names.get(path) != durable_names.get(path)) {
            if random.chance(2) {
                match names.get(&path) {
                    Some(file) => survivors.insert(path, *file),
                    None => survivors.remove(&path),
                };
            }
        }
        for file in files {
            file.crash(random);
        }
        world.names = survivors.clone();
        world.durable_names = survivors;
        world.boot += 1;
        world.crashed = false;
    }

    fn open(&self, world: &World, file: usize) -> Box<dyn StorageFile> {
        Box::new(Open { disk: self.clone(), file, boot: world.boot, holds_lock: Mutex::new(false) })
    }
}

fn died() -> io::Error {
    io::Error::other("the machine stopped")
}

impl World {
    /// Counts an operation and says what goes wrong with it.
    fn operate(&mut self) -> io::Result<Option<Fault>> {
        if self.crashed {
            return Err(died());
        }
        self.operations += 1;
        let fault = self.faults.get(&self.operations).copied();
        self.crashed = fault == Some(Fault::Crash);
        Ok(fault)
    }

    /// The same for an operation that either happens or does not.
    fn operate_whole(&mut self) -> io::Result<()> {
        match self.operate()? {
            None => Ok(()),
            Some(Fault::Crash) => Err(died()),
            Some(Fault::Error) => Err(io::Error::other("i/o error")),
            Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

impl Contents {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.cached.len() < end {
            self.cached.resize(end, 0);
            self.length_dirty = true;
        }
        self.cached[offset..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(offset / SECTOR..=(end - 1) / SECTOR);
        }
    }

    fn set_len(&mut self, len: usize) {
        self.cached.resize(len, 0);
        self.length_dirty = true;
        if !len.is_multiple_of(SECTOR) {
            self.dirty.insert(len / SECTOR);
        }
    }

    /// Puts one sector on the disk, as far as the disk's file reaches: whole, or `torn` after that many bytes.
    fn store(&mut self, sector: usize, torn: usize) {
        let start = sector * SECTOR;
        let end = (start + torn).min(self.cached.len()).min(self.durable.len());
        if start < end {
            self.durable[start..end].copy_from_slice(&self.cached[start..end]);
        }
    }

    fn sync(&mut self) {
        self.durable.resize(self.cached.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            self.store(sector, SECTOR);
        }
        self.length_dirty = false;
    }

    fn store_some(&mut self, random: &mut Random) {
        if self.length_dirty && random.chance(2) {
            self.durable.resize(self.cached.len(), 0);
        } else if self.length_dirty && self.cached.len() > self.durable.len() && random.chance(2) {
            let between = random.below(self.cached.len() - self.durable.len());
            self.durable.resize(self.durable.len() + between, 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            match random.below(4) {
                0 | 1 => self.store(sector, SECTOR),
                2 => self.store(sector, random.below(SECTOR)),
                _ => {}
            }
        }
        self.length_dirty = false;
    }

    fn crash(&mut self, random: &mut Random) {
        self.store_some(random);
        self.cached.clone_from(&self.durable);
        self.locked = false;
    }
}

impl Storage for Disk {
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let world = self.world();
        if world.crashed {
            return Err(died());
        }
        let file = *world.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.open(&world, file))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let mut world = self.world();
        world.operate_whole()?;
        let file = match world.names.get(path) {
            Some(file) => *file,
            None => {
                world.files.push(Contents::default());
                let file = world.files.len() - 1;
                world.names.insert(path.to_owned(), file);
                file
            }
        };
        Ok(self.open(&world, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.operate_whole()?;
        let file = world.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        world.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.operate_whole()?;
        world.names.remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let world = self.world();
        Ok(world.names.keys().filter(|path| path.parent() == Some(directory)).cloned().collect())
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.world().names.keys().any(|file| file.parent() == Some(path))
    }

    fn create_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_directory(&self, _directory: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.operate_whole()?;
        world.durable_names = world.names.clone();
        Ok(())
    }
}

#[derive(Debug)]
struct Open {
    disk: Disk,
    file: usize,
    boot: u64,
    holds_lock: Mutex<bool>,
}

impl Open {
    fn world(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self.disk.world();
        if world.crashed || world.boot != self.boot { Err(died()) } else { Ok(world) }
    }
}

impl StorageFile for Open {
    fn len(&self) -> io::Result<u64> {
        Ok(self.world()?.files[self.file].cached.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.world()?;
        let bytes = &world.files[self.file].cached;
        let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.world()?;
        let offset = usize::try_from(offset).unwrap();
        let fault = world.operate()?;
        let part = if fault.is_some() { world.random.below(bytes.len() + 1) } else { bytes.len() };
        world.files[self.file].write(&bytes[..part], offset);
        match fault {
            None => Ok(()),
            Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Error) => Err(io::Error::other("i/o error")),
            Some(Fault::Crash) => Err(died()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut world = self.world()?;
        world.operate_whole()?;
        world.files[self.file].set_len(usize::try_from(len).unwrap());
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.world()?;
        match world.operate()? {
            None => {
                world.files[self.file].sync();
                Ok(())
            }
            Some(Fault::Crash) => Err(died()),
            Some(_) => {
                let World { random, files, .. } = &mut *world;
                files[self.file].store_some(random);
                Err(io::Error::other("i/o error in sync"))
            }
        }
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut world = self.world()?;
        let mut holds_lock = self.holds_lock.lock().unwrap();
        let free = *holds_lock || !world.files[self.file].locked;
        if free {
            (*holds_lock, world.files[self.file].locked) = (true, true);
        }
        Ok(free)
    }

    fn len_at(&self, path: &Path) -> io::Result<Option<u64>> {
        let world = self.world()?;
        let same = world.names.get(path) == Some(&self.file);
        Ok(same.then(|| world.files[self.file].cached.len() as u64))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut world = self.disk.world();
        if world.boot == self.boot && *self.holds_lock.lock().unwrap() {
            world.files[self.file].locked = false;
        }
    }
}
