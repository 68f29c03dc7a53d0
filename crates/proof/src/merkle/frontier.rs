//! The tree as it grows, in as many hashes as its size has binary digits.

use alloc::vec::Vec;

use super::{TreeHash, TreeHead, empty_root, leaf_hash, node_hash};

/// The roots of the full subtrees along the right edge: enough to append and to know the root.
///
/// ```
/// use calybris_proof::merkle::{MerkleFrontier, leaf_hash, node_hash};
///
/// let mut tree = MerkleFrontier::new();
/// tree.append(b"one");
/// tree.append(b"two");
/// assert_eq!(tree.root(), node_hash(&leaf_hash(b"one"), &leaf_hash(b"two")));
/// assert_eq!(tree.len(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MerkleFrontier {
    size: u64,
    /// One subtree for every set bit of `size`, largest first.
    peaks: Vec<TreeHash>,
}

impl MerkleFrontier {
    /// The tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    /// Leaves in the tree.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.size
    }

    /// Whether there is no leaf.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Appends an entry, in amortised constant time.
    pub fn append(&mut self, entry: &[u8]) {
        let mut subtree = leaf_hash(entry);
        // Each trailing one of the size is a full subtree as large as the one being carried.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                subtree = node_hash(&left, &subtree);
            }
        }
        self.peaks.push(subtree);
        self.size = self.size.saturating_add(1);
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> TreeHash {
        let smallest_first = self.peaks.iter().rev().copied();
        smallest_first.reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
    }

    /// Size and root.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.size, root: self.root() }
    }
}
