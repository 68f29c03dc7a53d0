//! The tree with every full subtree kept, for making proofs.

use alloc::vec::Vec;

use calybris_kernel::digest::HexDigest;

use super::{
    ConsistencyProof, InclusionProof, TreeHash, TreeHead, empty_root, leaf_hash, node_hash,
};
use crate::error::EvidenceError;

/// A tree that can prove inclusion and consistency in logarithmic time; 64 bytes a leaf.
///
/// ```
/// use calybris_proof::merkle::MerkleTree;
///
/// let mut tree = MerkleTree::new();
/// for entry in ["a", "b", "c"] {
///     tree.append(entry.as_bytes());
/// }
/// let (before, after) = (tree.head_at(2)?, tree.head());
/// tree.inclusion_proof(1, 3)?.verify(b"b", &after)?;
/// tree.consistency_proof(2, 3)?.verify(&before, &after)?;
/// // Another entry is not in the tree.
/// assert!(tree.inclusion_proof(1, 3)?.verify(b"x", &after).is_err());
/// assert!(tree.inclusion_proof(3, 3).is_err());
/// # Ok::<(), calybris_proof::EvidenceError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MerkleTree {
    /// `levels[k][i]` is the full subtree over leaves `i × 2^k` to `(i + 1) × 2^k`.
    levels: Vec<Vec<TreeHash>>,
}

impl MerkleTree {
    /// The tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self { levels: Vec::new() }
    }

    /// Leaves in the tree.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Whether there is no leaf.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends an entry, in amortised constant time.
    pub fn append(&mut self, entry: &[u8]) {
        let mut subtree = leaf_hash(entry);
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let Some(row) = self.levels.get_mut(level) else { return };
            row.push(subtree);
            // An even row ends in a pair, which is a full subtree one level up.
            match row.as_slice() {
                [.., left, right] if row.len() % 2 == 0 => subtree = node_hash(left, right),
                _ => return,
            }
        }
    }

    /// Size and root.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        let size = self.len();
        TreeHead { size, root: self.subtree(0, size).unwrap_or_else(empty_root) }
    }

    /// Size and root as they were when the tree had `size` leaves.
    ///
    /// # Errors
    /// [`EvidenceError::OutsideTree`] when it never had.
    pub fn head_at(&self, size: u64) -> Result<TreeHead, EvidenceError> {
        self.within("tree size", size)?;
        Ok(TreeHead { size, root: self.subtree(0, size).unwrap_or_else(empty_root) })
    }

    /// Proves that leaf `leaf_index`, from 0, is in the tree of `tree_size` leaves.
    ///
    /// # Errors
    /// [`EvidenceError::OutsideTree`].
    pub fn inclusion_proof(
        &self,
        leaf_index: u64,
        tree_size: u64,
    ) -> Result<InclusionProof, EvidenceError> {
        self.within("tree size", tree_size)?;
        if leaf_index >= tree_size {
            let what = "leaf index";
            return Err(EvidenceError::OutsideTree { what, found: leaf_index, size: tree_size });
        }
        let mut hashes = Vec::new();
        let (mut start, mut end) = (0, tree_size);
        while end - start > 1 {
            let middle = start + split(end - start);
            if leaf_index < middle {
                hashes.extend(self.subtree(middle, end));
                end = middle;
            } else {
                hashes.extend(self.subtree(start, middle));
                start = middle;
            }
        }
        Ok(InclusionProof { leaf_index, tree_size, hashes: leaf_to_root(hashes) })
    }

    /// Proves that the tree of `new_size` leaves starts with all leaves of the tree of `old_size`.
    ///
    /// # Errors
    /// [`EvidenceError::OutsideTree`].
    pub fn consistency_proof(
        &self,
        old_size: u64,
        new_size: u64,
    ) -> Result<ConsistencyProof, EvidenceError> {
        self.within("new tree size", new_size)?;
        if old_size > new_size {
            let what = "old tree size";
            return Err(EvidenceError::OutsideTree { what, found: old_size, size: new_size });
        }
        let mut hashes = Vec::new();
        let (mut start, mut end) = (0, new_size);
        // Walk to the right edge of the old tree (SUBPROOF of RFC 9162 §2.1.4.1).
        while old_size > start && old_size < end {
            let middle = start + split(end - start);
            if old_size <= middle {
                hashes.extend(self.subtree(middle, end));
                end = middle;
            } else {
                hashes.extend(self.subtree(start, middle));
                start = middle;
            }
        }
        // The old root itself is known to the verifier; a part of it is not.
        if start > 0 {
            hashes.extend(self.subtree(start, end));
        }
        Ok(ConsistencyProof { old_size, new_size, hashes: leaf_to_root(hashes) })
    }

    fn within(&self, what: &'static str, found: u64) -> Result<(), EvidenceError> {
        let size = self.len();
        if found <= size { Ok(()) } else { Err(EvidenceError::OutsideTree { what, found, size }) }
    }

    /// The root over leaves `start..end`, where `start` is a multiple of the next power of two of the
    /// length: one lookup when the range is full, one for every set bit of its length otherwise.
    fn subtree(&self, start: u64, end: u64) -> Option<TreeHash> {
        let mut from = start;
        let mut peaks = Vec::new();
        while from < end {
            let level = (end - from).ilog2();
            let row = self.levels.get(usize::try_from(level).ok()?)?;
            peaks.push(*row.get(usize::try_from(from >> level).ok()?)?);
            from += 1 << level;
        }
        peaks.into_iter().rev().reduce(|right, left| node_hash(&left, &right))
    }
}

/// The largest power of two below `size`, which is above 1.
pub(super) fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

fn leaf_to_root(root_to_leaf: Vec<TreeHash>) -> Vec<HexDigest> {
    root_to_leaf.into_iter().rev().map(HexDigest::from).collect()
}
