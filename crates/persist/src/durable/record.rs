//! What the log of a ledger says: the payloads of its entries.

use calybris_budget::{LedgerOperation, Limits};
use calybris_kernel::digest::HexDigest;
use calybris_wal::WalError;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::durable::checkpoints::CheckpointReport;
use crate::error::PersistError;

/// The schema of [`LedgerRecord`], in the first entry of every log.
pub const LEDGER_RECORD_SCHEMA: &str = "calybris.ledger-log.v1";
/// The longest operation, in bytes of JSON.
pub(crate) const MAX_OPERATION_BYTES: usize = 64 << 10;

/// One entry of a ledger's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LedgerRecord {
    /// The first entry.
    Begin {
        /// [`LEDGER_RECORD_SCHEMA`].
        schema_version: String,
        /// How long and how many idempotency keys the ledger keeps.
        limits: Limits,
    },
    /// An operation, done or refused: which of the two follows from what came before.
    Operation(LedgerOperation),
    /// The state after an earlier entry was saved.
    Checkpoint {
        /// That entry.
        sequence: u64,
        /// The digest of the state.
        state_digest_hex: HexDigest,
    },
}

/// The operation as it stands in the log; the same bytes as the record that is read back.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Borrowed<'a> {
    Operation(&'a LedgerOperation),
}

pub(crate) fn encode(operation: &LedgerOperation) -> Result<Box<RawValue>, PersistError> {
    let record = raw(&Borrowed::Operation(operation))?;
    match record.get().len() {
        found if found > MAX_OPERATION_BYTES => {
            Err(PersistError::OperationTooLarge { found, limit: MAX_OPERATION_BYTES })
        }
        _ => Ok(record),
    }
}

pub(crate) fn begin(limits: Limits) -> Result<Box<RawValue>, PersistError> {
    raw(&LedgerRecord::Begin { schema_version: LEDGER_RECORD_SCHEMA.to_owned(), limits })
}

pub(crate) fn checkpoint(saved: &CheckpointReport) -> Result<Box<RawValue>, PersistError> {
    let CheckpointReport { sequence, state_digest_hex, .. } = *saved;
    raw(&LedgerRecord::Checkpoint { sequence, state_digest_hex })
}

fn raw(record: &impl Serialize) -> Result<Box<RawValue>, PersistError> {
    to_raw_value(record).map_err(|error| WalError::Unwritable { reason: error.to_string() }.into())
}
