//! An entry as callers see it.

use calybris_proof::chain::ChainHash;

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct WalEntry<T> {
    /// From 1, growing by 1.
    pub sequence: u64,
    /// Of the entry before, `genesis` for the first.
    pub previous_hash: ChainHash,
    /// Over the previous hash and the payload's bytes.
    pub entry_hash: ChainHash,
    /// The payload.
    pub data: T,
}
