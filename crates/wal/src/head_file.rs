//! The head file beside a log: the last head that was acknowledged as durable, for the next opening.
//!
//! It is written after every sync of the log and before anybody is told, but synced itself only now and
//! then: after a crash of the process it is exact, after one of the machine it may be behind, never ahead.
//! Of its three slots, each in a disk sector of its own, the one that was synced last is never written to and
//! the others are written in turn, so that neither kind of crash leaves none that can be read.

use std::path::{Path, PathBuf};

use calybris_proof::chain::{ChainHash, ChainKey, link_hash};
use serde::{Deserialize, Serialize};

use crate::chain::Head;
use crate::error::WalError;
use crate::options::WalOptions;
use crate::storage::StorageFile;

/// The smallest unit a disk writes whole.
const SLOT_BYTES: usize = 512;
const SLOTS: usize = 3;
/// How many writes may be lost with the machine.
const WRITES_PER_SYNC: u64 = 256;
const SCHEMA: &str = "calybris.wal-head.v1";

/// One slot. `check` is the link hash of the other members' bytes after `last_hash`: keyed if the log is.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slot {
    schema_version: String,
    sequence: u64,
    last_hash: ChainHash,
    bytes: u64,
    check: ChainHash,
}

/// A head and where its entry's line ends in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Durable {
    pub(crate) head: Head,
    pub(crate) bytes: u64,
}

/// What a head file says, and in which slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) durable: Durable,
    slot: usize,
}

impl Slot {
    fn new(Durable { head, bytes }: Durable, key: Option<&ChainKey>) -> Self {
        let covered = format!("{SCHEMA} {} {bytes}", head.sequence);
        let check = link_hash(&head.hash, covered.as_bytes(), key);
        let (sequence, last_hash) = (head.sequence, head.hash);
        Self { schema_version: SCHEMA.into(), sequence, last_hash, bytes, check }
    }

    /// The head, if the slot is whole and of this log's key.
    fn read(bytes: &[u8], key: Option<&ChainKey>) -> Option<Durable> {
        let slot: Self = serde_json::from_slice(bytes.trim_ascii()).ok()?;
        let head = Head { sequence: slot.sequence, hash: slot.last_hash };
        let durable = Durable { head, bytes: slot.bytes };
        (slot.schema_version == SCHEMA && Self::new(durable, key).check.ct_eq(&slot.check))
            .then_some(durable)
    }

    /// One line of JSON, filled up with spaces.
    fn bytes(&self) -> [u8; SLOT_BYTES] {
        let mut bytes = [b' '; SLOT_BYTES];
        let text = serde_json::to_vec(self).unwrap_or_default();
        bytes.iter_mut().zip(text).for_each(|(to, from)| *to = from);
        let [.., last] = &mut bytes;
        *last = b'\n';
        bytes
    }
}

/// The last durable head a head file knows of; none without a readable one.
pub(crate) fn read(
    path: &Path,
    options: &WalOptions,
    key: Option<&ChainKey>,
) -> Result<Option<Found>, WalError> {
    let file = match options.storage.open_read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(WalError::io("open", path)(error)),
    };
    let mut found: Option<Found> = None;
    for slot in 0..SLOTS {
        let (mut bytes, mut filled) = ([b' '; SLOT_BYTES], 0);
        while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
            let at = (slot * SLOT_BYTES + filled) as u64;
            match file.read_at(room, at).map_err(WalError::io("read", path))? {
                0 => break,
                count => filled += count,
            }
        }
        let newest = found.map(|found| found.durable.head.sequence);
        if let Some(durable) = Slot::read(&bytes, key)
            .filter(|durable| newest.is_none_or(|newest| durable.head.sequence > newest))
        {
            found = Some(Found { durable, slot });
        }
    }
    Ok(found)
}

/// An open head file.
#[derive(Debug)]
pub(crate) struct HeadFile {
    path: PathBuf,
    file: Box<dyn StorageFile>,
    /// The slot that was synced last.
    synced: usize,
    /// The slot that was written last.
    written: usize,
    unsynced: u64,
}

impl HeadFile {
    /// Makes `durable` what the file says, durably but for its name; `found` is what it says now.
    pub(crate) fn create(
        path: &Path,
        options: &WalOptions,
        found: Option<Found>,
        durable: Durable,
        key: Option<&ChainKey>,
    ) -> Result<Self, WalError> {
        let path = path.to_owned();
        let file = options.storage.open_write(&path).map_err(WalError::io("open", &path))?;
        let slot = found.map_or(0, |found| found.slot);
        let mut this = Self { path, file, synced: slot, written: slot, unsynced: 0 };
        this.write(durable, key)?;
        this.sync()?;
        Ok(this)
    }

    /// Records a durable head.
    pub(crate) fn record(
        &mut self,
        durable: Durable,
        key: Option<&ChainKey>,
    ) -> Result<(), WalError> {
        self.write(durable, key)?;
        if self.unsynced >= WRITES_PER_SYNC { self.sync() } else { Ok(()) }
    }

    fn write(&mut self, durable: Durable, key: Option<&ChainKey>) -> Result<(), WalError> {
        let mut slots = (1..=SLOTS).map(|step| (self.written + step) % SLOTS);
        let slot = slots.find(|slot| *slot != self.synced).unwrap_or_default();
        let bytes = Slot::new(durable, key).bytes();
        self.file
            .write_at(&bytes, (slot * SLOT_BYTES) as u64)
            .map_err(WalError::io("write", &self.path))?;
        self.written = slot;
        self.unsynced += 1;
        Ok(())
    }

    /// Makes what was recorded outlive the machine.
    pub(crate) fn sync(&mut self) -> Result<(), WalError> {
        if self.unsynced > 0 {
            self.file.sync().map_err(WalError::io("sync", &self.path))?;
            self.synced = self.written;
            self.unsynced = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    //! What a slot accepts, and that a torn one leaves the other.

    use std::sync::Arc;

    use super::*;
    use crate::storage::Memory;

    const PATH: &str = "log.head";

    fn durable(sequence: u64) -> Durable {
        Durable { head: Head { sequence, hash: [7; 32].into() }, bytes: sequence * 9 }
    }

    fn said(options: &WalOptions, key: Option<&ChainKey>) -> Option<Durable> {
        read(Path::new(PATH), options, key).unwrap().map(|found| found.durable)
    }

    #[test]
    fn the_newest_whole_slot_of_the_right_key_is_read() {
        let key = ChainKey::new(&[1; 32]).unwrap();
        for key in [None, Some(&key)] {
            let memory = Memory::default();
            let options = WalOptions::new().storage(Arc::new(memory.clone()));
            assert_eq!(said(&options, key), None);
            let mut file =
                HeadFile::create(Path::new(PATH), &options, None, durable(3), key).unwrap();
            for sequence in 4..=6 {
                file.record(durable(sequence), key).unwrap();
                assert_eq!(said(&options, key), Some(durable(sequence)));
            }
            let path = Path::new(PATH);
            let whole = memory.read(path).unwrap();
            let newest = file.written * SLOT_BYTES;
            for at in 0..SLOT_BYTES {
                let mut torn = whole.clone();
                torn[newest + at..newest + SLOT_BYTES].fill(0);
                memory.write(path, &torn);
                assert_eq!(said(&options, key), Some(durable(5)), "cut at {at}");
            }
            memory.write(path, &whole);
            let other = ChainKey::new(&[2; 32]).unwrap();
            assert_eq!(said(&options, Some(&other)), None);
            let forged =
                String::from_utf8(whole).unwrap().replace("\"sequence\":", "\"sequence\":1");
            memory.write(path, forged.as_bytes());
            assert_eq!(said(&options, key), None);
        }
    }

    #[test]
    fn the_synced_slot_survives_any_number_of_unsynced_writes_lost() {
        let memory = Memory::default();
        let options = WalOptions::new().storage(Arc::new(memory.clone()));
        let mut file = HeadFile::create(Path::new(PATH), &options, None, durable(1), None).unwrap();
        for sequence in 2..1_000 {
            file.record(durable(sequence), None).unwrap();
            let path = Path::new(PATH);
            let whole = memory.read(path).unwrap();
            let mut lost = vec![0; whole.len()];
            let kept = file.synced * SLOT_BYTES..(file.synced + 1) * SLOT_BYTES;
            lost[kept.clone()].copy_from_slice(&whole[kept]);
            memory.write(path, &lost);
            let left = said(&options, None).unwrap().head.sequence;
            assert!(sequence - left <= WRITES_PER_SYNC, "{sequence} {left}");
            memory.write(path, &whole);
        }
    }
}
