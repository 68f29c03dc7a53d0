//! What the log of a ledger says: the payloads of its entries.

use calybris_budget::{Applied, ExpiredHold, LedgerOperation, Limits, Receipt, Refusal};
use calybris_kernel::digest::{CanonicalHasher, HexDigest};
use calybris_proof::chain::ChainHash;
use calybris_wal::WalError;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::durable::Answer;
use crate::error::PersistError;

/// The schema of [`LedgerRecord`], in the first entry of every log.
pub const LEDGER_RECORD_SCHEMA: &str = "calybris.ledger-log.v1";
/// The longest operation, in bytes of JSON.
pub(crate) const MAX_OPERATION_BYTES: usize = 64 << 10;
/// Opens the layout of an expiry's digest.
const EXPIRED_TAG: &[u8] = b"calybris.ledger-log.expired.v1\0";

/// One entry of a ledger's log. The format is `docs/format/ledger-log-v1.md`.
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
    /// An operation, in the order of application.
    Operation {
        /// What was asked.
        operation: LedgerOperation,
        /// What came of it. A replay has to arrive at the same.
        outcome: Outcome,
    },
    /// The state after an earlier entry was saved.
    Checkpoint {
        /// That entry.
        sequence: u64,
        /// The digest of the state.
        state_digest_hex: HexDigest,
    },
    /// The beginning of the log is being retired: after this record, and never without it.
    Retired {
        /// The last entry of what goes.
        sequence: u64,
        /// Its hash, which the rest of the log continues.
        last_hash: ChainHash,
        /// The last entry of the older of the two checkpoints that a restart has instead.
        checkpoint: u64,
    },
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// It was done.
    Receipt(Receipt),
    /// It was refused.
    Refusal(Refusal),
    /// Holds were given back because their deadline had come.
    Expired {
        /// How many.
        holds: u64,
        /// SHA-256 over which, whose and how much, in order: there may be too many to list.
        digest_hex: HexDigest,
    },
}

impl Outcome {
    /// The outcome as the log holds it.
    #[must_use]
    pub fn of(answer: &Answer) -> Self {
        match answer {
            Ok(Applied::Receipt(receipt)) => Self::Receipt(*receipt),
            Ok(Applied::Expired(holds)) => {
                Self::Expired { holds: holds.len() as u64, digest_hex: expired_digest(holds) }
            }
            Err(refusal) => Self::Refusal(refusal.clone()),
        }
    }
}

fn expired_digest(holds: &[ExpiredHold]) -> HexDigest {
    let mut hasher = CanonicalHasher::new(EXPIRED_TAG).u64(holds.len() as u64);
    for hold in holds {
        hasher = hasher
            .u64(hold.deadline)
            .u64(hold.hold)
            .i64(hold.amount_microcents)
            .u64(hold.tenant.len() as u64)
            .bytes(hold.tenant.as_bytes());
    }
    HexDigest::new(&hasher.finish())
}

/// A [`LedgerRecord`] to be written, around an operation that is JSON already.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    Begin { schema_version: &'static str, limits: Limits },
    Operation { operation: Box<RawValue>, outcome: Outcome },
    Checkpoint { sequence: u64, state_digest_hex: HexDigest },
    Retired { sequence: u64, last_hash: ChainHash, checkpoint: u64 },
}

/// The operation as it will stand in the log. Refuses what would not fit before it is applied: afterwards it
/// could not be taken back.
pub(crate) fn encode(operation: &LedgerOperation) -> Result<Box<RawValue>, PersistError> {
    let encoded = to_raw_value(operation)
        .map_err(|error| WalError::Unwritable { reason: error.to_string() })?;
    match encoded.get().len() {
        found if found > MAX_OPERATION_BYTES => {
            Err(PersistError::OperationTooLarge { found, limit: MAX_OPERATION_BYTES })
        }
        _ => Ok(encoded),
    }
}

/// Whether an operation without a record would be missed by a replay. A refusal without a key and an expiry of
/// nothing change nothing.
pub(crate) fn changes_the_ledger(operation: &LedgerOperation, answer: &Answer) -> bool {
    match answer {
        Ok(Applied::Expired(holds)) => !holds.is_empty(),
        Ok(Applied::Receipt(_)) => true,
        Err(_) => match operation {
            LedgerOperation::Open { key, .. }
            | LedgerOperation::Tenant { key, .. }
            | LedgerOperation::Hold { key, .. } => key.is_some(),
            LedgerOperation::Expire { .. } => false,
        },
    }
}

pub(super) fn begin(limits: Limits) -> Record {
    Record::Begin { schema_version: LEDGER_RECORD_SCHEMA, limits }
}

/// Whether this is an operation, without decoding it: how one begins is part of the format.
pub(crate) fn is_operation(record: &[u8]) -> bool {
    record.starts_with(b"{\"operation\":")
}
