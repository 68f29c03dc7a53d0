//! The head file beside a log: the last head that was acknowledged as durable, for the next opening.
//!
//! Two slots in two disk sectors are written in turn, so that a write cut short leaves the other one. The
//! file is written after every sync of the log and before anybody is told, but synced itself only now and
//! then: after a crash of the process it is exact, after one of the machine it may be behind, never ahead.

use std::path::{Path, PathBuf};

use calybris_proof::chain::{ChainHash, ChainKey, link_hash};
use serde::{Deserialize, Serialize};

use crate::chain::Head;
use crate::error::WalError;
use crate::options::WalOptions;
use crate::storage::StorageFile;

/// The smallest unit a disk writes whole.
const SLOT_BYTES: usize = 512;
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
    check: ChainHash,
}

impl Slot {
    fn new(head: Head, key: Option<&ChainKey>) -> Self {
        let covered = format!("{SCHEMA} {}", head.sequence);
        let check = link_hash(&head.hash, covered.as_bytes(), key);
        let (sequence, last_hash) = (head.sequence, head.hash);
        Self { schema_version: SCHEMA.into(), sequence, last_hash, check }
    }

    /// The head, if the slot is whole and of this log's key.
    fn read(bytes: &[u8], key: Option<&ChainKey>) -> Option<Head> {
        let slot: Self = serde_json::from_slice(bytes.trim_ascii()).ok()?;
        let head = Head { sequence: slot.sequence, hash: slot.last_hash };
        (slot.schema_version == SCHEMA && Self::new(head, key).check.ct_eq(&slot.check))
            .then_some(head)
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

/// The file's name: that of the log and `.head`.
pub(crate) fn path_of(log: &Path) -> PathBuf {
    crate::storage::beside(log, ".head")
}

/// The last durable head a log's head file knows of; none without a readable one.
pub(crate) fn read(
    log: &Path,
    options: &WalOptions,
    key: Option<&ChainKey>,
) -> Result<Option<Head>, WalError> {
    let path = path_of(log);
    let file = match options.storage.open_read(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(WalError::io("open", &path)(error)),
    };
    let mut found: Option<Head> = None;
    for slot in 0..2 {
        let (mut bytes, mut filled) = ([b' '; SLOT_BYTES], 0);
        while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
            let at = (slot * SLOT_BYTES + filled) as u64;
            match file.read_at(room, at).map_err(WalError::io("read", &path))? {
                0 => break,
                count => filled += count,
            }
        }
        let head = Slot::read(&bytes, key);
        if head.is_some_and(|head| found.is_none_or(|found| found.sequence < head.sequence)) {
            found = head;
        }
    }
    Ok(found)
}

/// An open head file.
#[derive(Debug)]
pub(crate) struct HeadFile {
    path: PathBuf,
    file: Box<dyn StorageFile>,
    writes: u64,
    unsynced: u64,
}

impl HeadFile {
    /// Makes `head` what the file says, durably but for its name.
    pub(crate) fn create(
        log: &Path,
        options: &WalOptions,
        head: Head,
        key: Option<&ChainKey>,
    ) -> Result<Self, WalError> {
        let path = path_of(log);
        let file = options.storage.open_write(&path).map_err(WalError::io("open", &path))?;
        let mut this = Self { path, file, writes: 0, unsynced: 0 };
        this.write(head, key)?;
        this.sync()?;
        this.write(head, key)?;
        this.sync()?;
        Ok(this)
    }

    /// Records a durable head.
    pub(crate) fn record(&mut self, head: Head, key: Option<&ChainKey>) -> Result<(), WalError> {
        self.write(head, key)?;
        if self.unsynced >= WRITES_PER_SYNC { self.sync() } else { Ok(()) }
    }

    fn write(&mut self, head: Head, key: Option<&ChainKey>) -> Result<(), WalError> {
        let offset = (self.writes % 2).saturating_mul(SLOT_BYTES as u64);
        let bytes = Slot::new(head, key).bytes();
        self.file.write_at(&bytes, offset).map_err(WalError::io("write", &self.path))?;
        self.writes = self.writes.wrapping_add(1);
        self.unsynced += 1;
        Ok(())
    }

    /// Makes what was recorded outlive the machine.
    pub(crate) fn sync(&mut self) -> Result<(), WalError> {
        if self.unsynced > 0 {
            self.file.sync().map_err(WalError::io("sync", &self.path))?;
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

    #[test]
    fn the_newest_whole_slot_of_the_right_key_is_read() {
        let memory = Memory::default();
        let options = WalOptions::new().storage(Arc::new(memory.clone()));
        let (log, head) = (Path::new("log"), |n| Head { sequence: n, hash: [7; 32].into() });
        let key = ChainKey::new(&[1; 32]).unwrap();
        for key in [None, Some(&key)] {
            assert_eq!(read(log, &options, key).unwrap(), None);
            let mut file = HeadFile::create(log, &options, head(3), key).unwrap();
            file.record(head(4), key).unwrap();
            file.record(head(5), key).unwrap();
            file.record(head(6), key).unwrap();
            assert_eq!(read(log, &options, key).unwrap(), Some(head(6)));
            let whole = memory.read(&path_of(log)).unwrap();
            for at in 0..SLOT_BYTES {
                let mut torn = whole.clone();
                torn[at..SLOT_BYTES].fill(0);
                memory.write(&path_of(log), &torn);
                let found = read(log, &options, key).unwrap();
                assert!(found == Some(head(5)) || found == Some(head(6)), "{at} {found:?}");
                assert_eq!(found, Some(head(5)), "the newest is in the first slot and was torn");
            }
            let other = ChainKey::new(&[2; 32]).unwrap();
            memory.write(&path_of(log), &whole);
            assert_eq!(read(log, &options, Some(&other)).unwrap(), None);
            let forged =
                String::from_utf8(whole).unwrap().replace(":6,", ":1,").replace(":5,", ":1,");
            memory.write(&path_of(log), forged.as_bytes());
            assert_eq!(read(log, &options, key).unwrap(), None);
            memory.write(&path_of(log), b"");
        }
    }
}
