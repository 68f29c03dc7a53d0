//! The saved states of a ledger: which there are, and whether one is whole.

use std::path::{Path, PathBuf};

use calybris_budget::{BudgetEngine, LedgerState};
use calybris_kernel::digest::HexDigest;
use calybris_proof::chain::WalAnchor;
use calybris_wal::storage::Storage;
use serde::{Deserialize, Serialize};

use crate::durable::recover::RejectedCheckpoint;
use crate::error::PersistError;
use crate::files;

const SCHEMA: &str = "calybris.ledger-checkpoint.v1";
const PREFIX: &str = "checkpoint-";
const SUFFIX: &str = ".json";
/// The newest, and one to fall back on.
const KEPT: usize = 2;

/// A state and the entry of the log after which it held.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File<S> {
    schema_version: String,
    anchor: WalAnchor,
    state_digest_hex: HexDigest,
    state: S,
}

/// A checkpoint that was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointReport {
    /// The file.
    pub path: PathBuf,
    /// The last entry of the log it includes.
    pub sequence: u64,
    /// The digest of the state.
    pub state_digest_hex: HexDigest,
    /// Bytes of the file.
    pub bytes: u64,
}

/// A checkpoint that was read back and is whole.
pub(crate) struct Loaded {
    pub(crate) path: PathBuf,
    pub(crate) anchor: WalAnchor,
    pub(crate) state_digest_hex: HexDigest,
    pub(crate) engine: BudgetEngine,
}

pub(crate) fn save(
    storage: &dyn Storage,
    directory: &Path,
    anchor: WalAnchor,
    state: &LedgerState,
) -> Result<CheckpointReport, PersistError> {
    let sequence = anchor.sequence;
    let state_digest_hex = HexDigest::new(&state.digest());
    let path = directory.join(format!("{PREFIX}{sequence:020}{SUFFIX}"));
    let file = File { schema_version: SCHEMA.to_owned(), anchor, state_digest_hex, state };
    let mut bytes = serde_json::to_vec(&file)
        .map_err(|source| PersistError::Json { path: path.clone(), source })?;
    bytes.push(b'\n');
    files::replace(storage, &path, &bytes)?;
    Ok(CheckpointReport { path, sequence, state_digest_hex, bytes: bytes.len() as u64 })
}

/// Removes all but the newest.
pub(crate) fn retire(storage: &dyn Storage, directory: &Path) -> Result<(), PersistError> {
    for path in newest_first(storage, directory)?.iter().skip(KEPT) {
        storage.remove(path).map_err(PersistError::io("remove", path))?;
    }
    Ok(())
}

/// The newest checkpoint that is whole; those that are not go into `rejected`.
pub(crate) fn load(
    storage: &dyn Storage,
    directory: &Path,
    rejected: &mut Vec<RejectedCheckpoint>,
) -> Result<Option<Loaded>, PersistError> {
    for path in newest_first(storage, directory)? {
        let bytes = files::read(storage, &path)?;
        match parse(&path, &bytes) {
            Ok(loaded) => return Ok(Some(loaded)),
            Err(reason) => rejected.push(RejectedCheckpoint { path, reason }),
        }
    }
    Ok(None)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Loaded, String> {
    let file: File<LedgerState> =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let File { schema_version, anchor, state_digest_hex, state } = file;
    if schema_version != SCHEMA {
        return Err(format!("schema is \"{schema_version}\", \"{SCHEMA}\" is needed"));
    }
    let found = HexDigest::new(&state.digest());
    if found != state_digest_hex {
        return Err(format!("state has digest {found}, the file says {state_digest_hex}"));
    }
    let engine = BudgetEngine::from_state(&state).map_err(|error| error.to_string())?;
    Ok(Loaded { path: path.to_owned(), anchor, state_digest_hex, engine })
}

fn newest_first(storage: &dyn Storage, directory: &Path) -> Result<Vec<PathBuf>, PersistError> {
    let mut paths = storage.list(directory).map_err(PersistError::io("list", directory))?;
    paths.retain(|path| is_checkpoint(path));
    paths.sort();
    paths.reverse();
    Ok(paths)
}

fn is_checkpoint(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let digits = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    digits.is_some_and(|digits| digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
}
