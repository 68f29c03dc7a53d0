//! The saved states of a ledger: which there are, and whether one is whole.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use calybris_budget::{BudgetEngine, LedgerState};
use calybris_kernel::digest::HexDigest;
use calybris_proof::chain::WalAnchor;
use calybris_wal::storage::Storage;
use serde::{Deserialize, Serialize};

use crate::durable::report::RejectedCheckpoint;
use crate::error::PersistError;
use crate::files;

const SCHEMA: &str = "calybris.ledger-checkpoint.v1";
const PREFIX: &str = "checkpoint-";
const SUFFIX: &str = ".json";
/// The newest, and one to fall back on.
pub(crate) const KEPT: usize = 2;
/// Digits of a sequence in a name, so that names sort like sequences.
const DIGITS: usize = 20;

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
    /// Holds that were open.
    pub open_holds: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

impl std::fmt::Display for CheckpointReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, sequence, open_holds, bytes, .. } = self;
        let path = path.display();
        write!(f, "{path} after entry {sequence}, with {open_holds} open holds, {bytes} bytes")
    }
}

/// A checkpoint that is on the disk, with its record in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) anchor: WalAnchor,
    pub(crate) state_digest_hex: HexDigest,
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
    let path = path_of(directory, sequence);
    let file = File { schema_version: SCHEMA.to_owned(), anchor, state_digest_hex, state };
    let mut bytes = serde_json::to_vec(&file)
        .map_err(|source| PersistError::Json { path: path.clone(), source })?;
    bytes.push(b'\n');
    files::replace(storage, &path, &bytes)?;
    let open_holds = state.tenants.iter().map(|tenant| tenant.holds.len() as u64).sum();
    let bytes = bytes.len() as u64;
    Ok(CheckpointReport { path, sequence, state_digest_hex, open_holds, bytes })
}

/// Notes that the checkpoint just saved is good, and removes all that are older than the newest two good ones.
/// What is not whole does not count as one to fall back on. Also removes what a crash left of one being written.
pub(crate) fn retire(
    storage: &dyn Storage,
    directory: &Path,
    good: &mut Vec<Known>,
    saved: Known,
) -> Result<(), PersistError> {
    good.retain(|known| known.anchor.sequence != saved.anchor.sequence);
    good.push(saved);
    good.drain(..good.len().saturating_sub(KEPT));
    let oldest = good.first().map_or(0, |known| known.anchor.sequence);
    let paths = storage.list(directory).map_err(PersistError::io("list", directory))?;
    for path in paths.iter().filter(|path| {
        sequence_of(path).is_some_and(|sequence| sequence < oldest) || is_unfinished(path)
    }) {
        storage.remove(path).map_err(PersistError::io("remove", path))?;
    }
    Ok(())
}

/// Reads a checkpoint back, as a restart would.
///
/// # Errors
/// [`PersistError::Unrestorable`] when it is not whole, or not the one that was saved.
pub(crate) fn check(
    storage: &dyn Storage,
    directory: &Path,
    known: Known,
) -> Result<(), PersistError> {
    let Known { anchor, state_digest_hex } = known;
    let path = path_of(directory, anchor.sequence);
    let bytes = files::read(storage, &path).map_err(|error| error.to_string());
    let reason = match bytes.and_then(|bytes| parse(&path, anchor.sequence, &bytes)) {
        Err(reason) => reason,
        Ok(loaded) if loaded.anchor != anchor => {
            let (found, expected) = (loaded.anchor.last_hash, anchor.last_hash);
            format!("it was made after entry {found}, the log has {expected} there")
        }
        Ok(loaded) if loaded.state_digest_hex != state_digest_hex => {
            let found = loaded.state_digest_hex;
            format!("its state has digest {found}, saved was {state_digest_hex}")
        }
        Ok(_) => return Ok(()),
    };
    Err(PersistError::Unrestorable { path, reason })
}

/// The newest checkpoint before `before` that is whole; those that are not, or cannot be read, go into `rejected`.
pub(crate) fn load(
    storage: &dyn Storage,
    directory: &Path,
    before: u64,
    rejected: &mut Vec<RejectedCheckpoint>,
) -> Result<Option<Loaded>, PersistError> {
    for (sequence, path) in list(storage, directory)?.into_iter().rev().filter(|it| it.0 < before) {
        let bytes = files::read(storage, &path).map_err(|error| error.to_string());
        match bytes.and_then(|bytes| parse(&path, sequence, &bytes)) {
            Ok(loaded) => return Ok(Some(loaded)),
            Err(reason) => rejected.push(RejectedCheckpoint { path, reason }),
        }
    }
    Ok(None)
}

fn parse(path: &Path, sequence: u64, bytes: &[u8]) -> Result<Loaded, String> {
    let file: File<LedgerState> =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let File { schema_version, anchor, state_digest_hex, state } = file;
    if schema_version != SCHEMA {
        return Err(format!("schema is \"{schema_version}\", \"{SCHEMA}\" is needed"));
    }
    if anchor.sequence != sequence {
        return Err(format!("it was made after entry {}", anchor.sequence));
    }
    let found = HexDigest::new(&state.digest());
    if found != state_digest_hex {
        return Err(format!("state has digest {found}, the file says {state_digest_hex}"));
    }
    let engine = BudgetEngine::from_state(&state).map_err(|error| error.to_string())?;
    Ok(Loaded { path: path.to_owned(), anchor, state_digest_hex, engine })
}

/// Checkpoints by sequence, whole or not; none where there is no directory.
pub(crate) fn list(
    storage: &dyn Storage,
    directory: &Path,
) -> Result<Vec<(u64, PathBuf)>, PersistError> {
    let paths = match storage.list(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(PersistError::io("list", directory))?,
    };
    let named = paths.into_iter().filter_map(|path| Some((sequence_of(&path)?, path)));
    let mut found: Vec<_> = named.collect();
    found.sort();
    Ok(found)
}

/// A checkpoint that never got its name.
fn is_unfinished(path: &Path) -> bool {
    let named = path.with_extension("");
    path.extension() == Some(files::BESIDE.as_ref()) && sequence_of(&named).is_some()
}

fn path_of(directory: &Path, sequence: u64) -> PathBuf {
    directory.join(format!("{PREFIX}{sequence:0DIGITS$}{SUFFIX}"))
}

fn sequence_of(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let is_one = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_one)
}
