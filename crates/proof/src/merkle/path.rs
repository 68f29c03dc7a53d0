//! An inclusion proof made while the entries stream by, without keeping the tree.

use alloc::vec::Vec;

use calybris_kernel::digest::HexDigest;

use super::tree::split;
use super::{InclusionProof, MerkleFrontier};
use crate::error::EvidenceError;

/// Makes the proof of one leaf from all leaves in order, in memory logarithmic in their number.
///
/// The size of the tree must be known: stream twice where it is not.
///
/// ```
/// use calybris_proof::merkle::{InclusionPath, MerkleTree};
///
/// let (mut path, mut tree) = (InclusionPath::new(1, 3)?, MerkleTree::new());
/// for entry in ["a", "b", "c"] {
///     path.append(entry.as_bytes());
///     tree.append(entry.as_bytes());
/// }
/// assert_eq!(path.finish()?, tree.inclusion_proof(1, 3)?);
/// assert!(InclusionPath::new(3, 3).is_err());
/// // Not all entries of the tree were seen.
/// assert!(InclusionPath::new(1, 3)?.finish().is_err());
/// # Ok::<(), calybris_proof::EvidenceError>(())
/// ```
#[derive(Clone, Debug)]
pub struct InclusionPath {
    leaf_index: u64,
    tree_size: u64,
    /// The subtrees beside the path, from the leaf's to the root's, as ranges of leaves.
    siblings: Vec<(core::ops::Range<u64>, MerkleFrontier)>,
    seen: u64,
}

impl InclusionPath {
    /// For leaf `leaf_index`, from 0, of a tree of `tree_size` leaves.
    ///
    /// # Errors
    /// [`EvidenceError::OutsideTree`].
    pub fn new(leaf_index: u64, tree_size: u64) -> Result<Self, EvidenceError> {
        if leaf_index >= tree_size {
            let what = "leaf index";
            return Err(EvidenceError::OutsideTree { what, found: leaf_index, size: tree_size });
        }
        let mut siblings = Vec::new();
        let (mut start, mut end) = (0, tree_size);
        while end - start > 1 {
            let middle = start + split(end - start);
            let sibling = if leaf_index < middle {
                let sibling = middle..end;
                end = middle;
                sibling
            } else {
                let sibling = start..middle;
                start = middle;
                sibling
            };
            siblings.push((sibling, MerkleFrontier::new()));
        }
        siblings.reverse();
        Ok(Self { leaf_index, tree_size, siblings, seen: 0 })
    }

    /// Takes the next entry; those beyond the tree are ignored.
    pub fn append(&mut self, entry: &[u8]) {
        let index = self.seen;
        self.seen = self.seen.saturating_add(1);
        let beside = self.siblings.iter_mut().find(|(leaves, _)| leaves.contains(&index));
        if let Some((_, subtree)) = beside {
            subtree.append(entry);
        }
    }

    /// The proof.
    ///
    /// # Errors
    /// [`EvidenceError::Number`] when fewer entries were seen than the tree has.
    pub fn finish(self) -> Result<InclusionProof, EvidenceError> {
        let Self { leaf_index, tree_size, siblings, seen } = self;
        EvidenceError::number("entries seen", seen.min(tree_size), tree_size)?;
        let hashes = siblings.iter().map(|(_, subtree)| HexDigest::from(subtree.root())).collect();
        Ok(InclusionProof { leaf_index, tree_size, hashes })
    }
}
