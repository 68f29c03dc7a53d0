//! Checking proofs: the algorithms of RFC 9162 §2.1.3.2 and §2.1.4.2.

use alloc::vec::Vec;

use calybris_kernel::digest::HexDigest;

use super::{TreeHash, TreeHead, empty_root, leaf_hash, node_hash};
use crate::error::EvidenceError;

/// That one entry is in a tree: the hashes beside its path, leaf to root.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InclusionProof {
    /// The entry's position, from 0.
    pub leaf_index: u64,
    /// Leaves in the tree.
    pub tree_size: u64,
    /// The siblings.
    pub hashes: Vec<HexDigest>,
}

/// That a tree extends an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyProof {
    /// Leaves in the earlier tree.
    pub old_size: u64,
    /// Leaves in the later one.
    pub new_size: u64,
    /// The hashes both roots are made of.
    pub hashes: Vec<HexDigest>,
}

impl InclusionProof {
    /// Checks that `entry` is leaf `leaf_index` of the tree with this head.
    ///
    /// # Errors
    /// Sizes that do not agree, a proof of the wrong length, or a root that is not the head's.
    pub fn verify(&self, entry: &[u8], head: &TreeHead) -> Result<(), EvidenceError> {
        EvidenceError::number("tree_size", self.tree_size, head.size)?;
        if self.leaf_index >= self.tree_size {
            return Err(EvidenceError::OutsideTree {
                what: "leaf_index",
                found: self.leaf_index,
                size: self.tree_size,
            });
        }
        let wrong_length = EvidenceError::ProofLength { found: self.hashes.len() };
        let (mut index, mut last) = (self.leaf_index, self.tree_size - 1);
        let mut root = leaf_hash(entry);
        for sibling in self.hashes.iter().map(|hash| hash.to_bytes()) {
            if last == 0 {
                return Err(wrong_length);
            }
            if index & 1 == 1 || index == last {
                root = node_hash(&sibling, &root);
                skip_missing_siblings(&mut index, &mut last);
            } else {
                root = node_hash(&root, &sibling);
            }
            (index, last) = (index >> 1, last >> 1);
        }
        if last != 0 {
            return Err(wrong_length);
        }
        same_root(root, head.root)
    }
}

impl ConsistencyProof {
    /// Checks that the tree with head `new` starts with all leaves of the tree with head `old`.
    ///
    /// # Errors
    /// Sizes that do not agree, a proof of the wrong length, or a root that is not the head's.
    pub fn verify(&self, old: &TreeHead, new: &TreeHead) -> Result<(), EvidenceError> {
        EvidenceError::number("old_size", self.old_size, old.size)?;
        EvidenceError::number("new_size", self.new_size, new.size)?;
        if old.size > new.size {
            let what = "old_size";
            return Err(EvidenceError::OutsideTree { what, found: old.size, size: new.size });
        }
        let wrong_length = EvidenceError::ProofLength { found: self.hashes.len() };
        if old.size == 0 || old.size == new.size {
            if !self.hashes.is_empty() {
                return Err(wrong_length);
            }
            let expected = if old.size == 0 { empty_root() } else { new.root };
            return same_root(old.root, expected);
        }
        let given = self.hashes.iter().map(|hash| hash.to_bytes());
        // An old tree that is a full subtree is its own first hash.
        let own = old.size.is_power_of_two().then_some(old.root);
        let mut hashes = own.into_iter().chain(given);
        let Some(first) = hashes.next() else { return Err(wrong_length) };
        let (mut old_root, mut new_root) = (first, first);
        let (mut index, mut last) = (old.size - 1, new.size - 1);
        let shift = index.trailing_ones();
        (index, last) = (index >> shift, last >> shift);
        for sibling in hashes {
            if last == 0 {
                return Err(wrong_length);
            }
            if index & 1 == 1 || index == last {
                old_root = node_hash(&sibling, &old_root);
                new_root = node_hash(&sibling, &new_root);
                skip_missing_siblings(&mut index, &mut last);
            } else {
                new_root = node_hash(&new_root, &sibling);
            }
            (index, last) = (index >> 1, last >> 1);
        }
        if last != 0 {
            return Err(wrong_length);
        }
        same_root(old_root, old.root)?;
        same_root(new_root, new.root)
    }
}

/// On the right edge a node without a sibling moves up unchanged.
fn skip_missing_siblings(index: &mut u64, last: &mut u64) {
    while *index & 1 == 0 && *index != 0 {
        (*index, *last) = (*index >> 1, *last >> 1);
    }
}

fn same_root(found: TreeHash, expected: TreeHash) -> Result<(), EvidenceError> {
    // What the proof leads to is the recomputed value; the head's root is what was stated.
    EvidenceError::digest("tree root", expected.into(), found.into())
}
