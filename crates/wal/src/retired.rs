//! The record of what was retired from a directory: the head that the rest continues.

use std::io;
use std::path::{Path, PathBuf};

use calybris_proof::chain::{ChainHash, ChainKey, link_hash};
use serde::{Deserialize, Serialize};

use crate::chain::Head;
use crate::error::WalError;
use crate::storage::Storage;

const SCHEMA: &str = "calybris.wal-retired.v1";
const MAX_BYTES: u64 = 4 << 10;

/// The file. `check` is the link hash of the other members' bytes after `last_hash`: keyed if the log is.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    schema_version: String,
    sequence: u64,
    last_hash: ChainHash,
    check: ChainHash,
}

impl Record {
    fn new(Head { sequence, hash }: Head, key: Option<&ChainKey>) -> Self {
        let check = link_hash(&hash, format!("{SCHEMA} {sequence}").as_bytes(), key);
        Self { schema_version: SCHEMA.into(), sequence, last_hash: hash, check }
    }

    fn head(&self) -> Head {
        Head { sequence: self.sequence, hash: self.last_hash }
    }
}

fn path_of(directory: &Path) -> PathBuf {
    directory.join("retired")
}

/// The head of what was retired, that of an empty log when nothing was.
pub(crate) fn read(
    directory: &Path,
    storage: &dyn Storage,
    key: Option<&ChainKey>,
) -> Result<Head, WalError> {
    let Some(record) = load(directory, storage)? else { return Ok(Head::EMPTY) };
    if !Record::new(record.head(), key).check.ct_eq(&record.check) {
        return Err(refused(directory, "its check is not that of its contents under this key"));
    }
    Ok(record.head())
}

/// As [`read`], for who only wants to know which entries to look for.
pub(crate) fn read_unverified(directory: &Path, storage: &dyn Storage) -> Result<Head, WalError> {
    Ok(load(directory, storage)?.map_or(Head::EMPTY, |record| record.head()))
}

fn load(directory: &Path, storage: &dyn Storage) -> Result<Option<Record>, WalError> {
    let path = path_of(directory);
    let file = match storage.open_read(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(WalError::io("open", &path)(error)),
    };
    let mut text = Vec::new();
    loop {
        let mut block = [0; 512];
        match file.read_at(&mut block, text.len() as u64).map_err(WalError::io("read", &path))? {
            0 => break,
            count => text.extend_from_slice(block.get(..count).unwrap_or_default()),
        }
        if text.len() as u64 > MAX_BYTES {
            return Err(refused(directory, "it is too long"));
        }
    }
    let record: Record = serde_json::from_slice(&text)
        .map_err(|error| refused(directory, &format!("it is not one: {error}")))?;
    let of_entries = record.sequence > 0 && record.last_hash != ChainHash::GENESIS;
    if record.schema_version != SCHEMA || !of_entries {
        return Err(refused(directory, "it is of another schema or of no entry"));
    }
    Ok(Some(record))
}

fn refused(directory: &Path, reason: &str) -> WalError {
    WalError::RetirementRecord { path: path_of(directory), reason: reason.to_owned() }
}

/// Replaces the record, durably.
pub(crate) fn write(
    directory: &Path,
    storage: &dyn Storage,
    head: Head,
    key: Option<&ChainKey>,
) -> Result<(), WalError> {
    let (path, new) = (path_of(directory), directory.join("retired.new"));
    let mut text = serde_json::to_vec(&Record::new(head, key))
        .map_err(|error| WalError::Unwritable { reason: error.to_string() })?;
    text.push(b'\n');
    let file = storage.open_write(&new).map_err(WalError::io("open", &new))?;
    file.set_len(0).map_err(WalError::io("empty", &new))?;
    file.write_at(&text, 0).map_err(WalError::io("write", &new))?;
    file.sync().map_err(WalError::io("sync", &new))?;
    storage.rename(&new, &path).map_err(WalError::io("rename", &new))?;
    storage.sync_directory(directory).map_err(WalError::io("sync", directory))
}
