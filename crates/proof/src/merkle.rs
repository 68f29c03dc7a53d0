//! The Merkle tree of RFC 9162 §2.1 over log entries: one root for any number of them, short proofs that
//! an entry is in it and that a later tree extends an earlier one.

mod frontier;
mod path;
mod proof;
mod tree;

use sha2::{Digest as _, Sha256};

pub use frontier::MerkleFrontier;
pub use path::InclusionPath;
pub use proof::{ConsistencyProof, InclusionProof};
pub use tree::MerkleTree;

/// A SHA-256 in a tree.
pub type TreeHash = [u8; 32];

/// The hash of a leaf: `SHA-256(0x00 ‖ entry)` (RFC 9162 §2.1.1).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> TreeHash {
    Sha256::new_with_prefix([0]).chain_update(entry).finalize().into()
}

/// The hash of an inner node: `SHA-256(0x01 ‖ left ‖ right)` (RFC 9162 §2.1.1).
#[must_use]
pub fn node_hash(left: &TreeHash, right: &TreeHash) -> TreeHash {
    Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of the tree without leaves: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> TreeHash {
    Sha256::new().finalize().into()
}

/// A tree's size and root: everything a proof is checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TreeHead {
    /// Leaves.
    pub size: u64,
    /// The root.
    pub root: TreeHash,
}

#[cfg(test)]
mod tests;
