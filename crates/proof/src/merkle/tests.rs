//! Certificate Transparency's published tree, every pair of sizes of a larger one against the recursive
//! definition, and every change of a proof.

use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::EvidenceError;
use crate::tests::unhex;

/// The leaves, roots and paths that the Certificate Transparency implementations test with.
#[derive(serde::Deserialize)]
struct Published {
    leaves: Vec<String>,
    roots: Vec<String>,
    inclusion: Vec<PublishedProof>,
    consistency: Vec<PublishedProof>,
}

#[derive(serde::Deserialize)]
struct PublishedProof {
    /// Leaf index, or the old size.
    from: u64,
    size: u64,
    hashes: Vec<String>,
}

#[test]
fn published_tree_roots_and_proofs_are_reproduced() {
    let published: Published =
        serde_json::from_str(include_str!("../../tests/data/merkle.json")).unwrap();
    let leaves: Vec<_> = published.leaves.iter().map(|leaf| unhex(leaf)).collect();
    let (mut tree, mut frontier) = (MerkleTree::new(), MerkleFrontier::new());
    assert_eq!(tree.head().root, empty_root());
    assert_eq!(frontier.root(), empty_root());
    assert!(tree.is_empty() && frontier.is_empty());
    for (leaf, root) in leaves.iter().zip(&published.roots) {
        tree.append(leaf);
        frontier.append(leaf);
        assert_eq!(tree.head().root, unhex(root)[..]);
        assert_eq!(frontier.head(), tree.head());
        assert_eq!((frontier.len(), tree.len()), (tree.head().size, tree.head().size));
        assert!(!tree.is_empty() && !frontier.is_empty());
    }
    assert_eq!(tree.len(), 8);
    for proof in &published.inclusion {
        let made = tree.inclusion_proof(proof.from, proof.size).unwrap();
        assert_eq!(made.hashes, proof.hashes);
        let entry = &leaves[usize::try_from(proof.from).unwrap()];
        made.verify(entry, &tree.head_at(proof.size).unwrap()).unwrap();
    }
    for proof in &published.consistency {
        let made = tree.consistency_proof(proof.from, proof.size).unwrap();
        assert_eq!(made.hashes, proof.hashes);
        let head = |size| tree.head_at(size).unwrap();
        made.verify(&head(proof.from), &head(proof.size)).unwrap();
    }
    assert_eq!((leaves.len(), published.inclusion.len(), published.consistency.len()), (8, 5, 4));
}

/// MTH as RFC 9162 §2.1.1 defines it.
fn root_by_definition(entries: &[Vec<u8>]) -> TreeHash {
    match entries {
        [] => empty_root(),
        [entry] => leaf_hash(entry),
        _ => {
            let (left, right) = entries.split_at(entries.len().next_power_of_two() / 2);
            node_hash(&root_by_definition(left), &root_by_definition(right))
        }
    }
}

fn entries(count: u8) -> Vec<Vec<u8>> {
    (0..count).map(|byte| std::vec![byte; usize::from(byte % 5)]).collect()
}

#[test]
fn every_size_pair_and_leaf_of_a_larger_tree_proves_and_verifies() {
    let entries = entries(70);
    let (mut tree, mut frontier) = (MerkleTree::new(), MerkleFrontier::new());
    let mut heads = std::vec![tree.head()];
    for entry in &entries {
        tree.append(entry);
        frontier.append(entry);
        assert_eq!(frontier.head(), tree.head());
        heads.push(tree.head());
    }
    for (size, head) in (0_u64..).zip(&heads) {
        let count = usize::try_from(size).unwrap();
        assert_eq!(head.root, root_by_definition(&entries[..count]));
        assert_eq!(tree.head_at(size).unwrap(), *head);
        for (index, entry) in (0..size).zip(&entries) {
            let proof = tree.inclusion_proof(index, size).unwrap();
            assert!(proof.hashes.len() <= 7);
            proof.verify(entry, head).unwrap();
        }
        for (old, old_head) in (0..=size).zip(&heads) {
            let proof = tree.consistency_proof(old, size).unwrap();
            proof.verify(old_head, head).unwrap();
            if old_head != head {
                // A fork: the same sizes, another history.
                let fork = TreeHead { root: leaf_hash(b"fork"), ..*old_head };
                assert!(proof.verify(&fork, head).is_err());
                let fork = TreeHead { root: leaf_hash(b"fork"), ..*head };
                assert!(old == 0 || proof.verify(old_head, &fork).is_err());
            }
        }
    }
    assert!(tree.inclusion_proof(70, 70).is_err());
    assert!(tree.inclusion_proof(0, 71).is_err());
    assert!(tree.consistency_proof(5, 71).is_err());
    assert!(tree.consistency_proof(6, 5).is_err());
}

proptest! {
    #[test]
    fn a_proof_that_verifies_cannot_be_changed(
        (size, index) in (1_u64..=70).prop_flat_map(|size| (Just(size), 0..size)),
        at in any::<usize>(),
        flip in 1_u8..,
    ) {
        let entries = entries(70);
        let mut tree = MerkleTree::new();
        for entry in &entries {
            tree.append(entry);
        }
        let head = tree.head_at(size).unwrap();
        let entry = &entries[usize::try_from(index).unwrap()];
        let proof = tree.inclusion_proof(index, size).unwrap();

        let mut shorter = proof.clone();
        if shorter.hashes.pop().is_some() {
            let refused = shorter.verify(entry, &head);
            let wrong_length = matches!(refused, Err(EvidenceError::ProofLength { .. }));
            prop_assert!(wrong_length);
            let mut changed = proof.clone();
            let at = at % changed.hashes.len();
            let mut bytes = changed.hashes[at].to_bytes();
            bytes[at % 32] ^= flip;
            changed.hashes[at] = bytes.into();
            let refused = changed.verify(entry, &head);
            let wrong_root = matches!(refused, Err(EvidenceError::Digest { .. }));
            prop_assert!(wrong_root);
        }
        let mut longer = proof.clone();
        longer.hashes.push(head.root.into());
        prop_assert!(longer.verify(entry, &head).is_err());
        for other in (0..size).filter(|other| *other != index) {
            let moved = InclusionProof { leaf_index: other, ..proof.clone() };
            prop_assert!(moved.verify(entry, &head).is_err());
        }
        let mut entry = entry.clone();
        entry.push(flip);
        prop_assert!(proof.verify(&entry, &head).is_err());
    }
}

#[test]
fn a_streamed_path_is_the_tree_s_proof_at_every_size() {
    for size in 1..=40_u64 {
        let mut tree = MerkleTree::new();
        (0..size + 2).for_each(|index| tree.append(&index.to_be_bytes()));
        for leaf in 0..size {
            let mut path = InclusionPath::new(leaf, size).unwrap();
            // Entries after the tree's last do not matter.
            (0..size + 2).for_each(|index| path.append(&index.to_be_bytes()));
            assert_eq!(path.finish().unwrap(), tree.inclusion_proof(leaf, size).unwrap());
        }
    }
}
