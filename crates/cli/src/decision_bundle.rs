//! The inclusion bundle: one entry, its path to a checkpoint, and the policy it names, in one file.

use calybris_core::policy_document::PolicyDocument;
use calybris_core::proof::chain::{ChainHash, ChainKey, link_hash};
use calybris_core::proof::merkle::{InclusionProof, TreeHead};
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure, Result};

/// The schema of a [`DecisionBundle`].
pub(crate) const BUNDLE_SCHEMA: &str = "calybris.bundle.v1";

/// Everything needed to check one decision, but the keys the checker trusts.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionBundle {
    pub(crate) schema_version: String,
    pub(crate) entry: BundleEntry,
    pub(crate) inclusion: InclusionProof,
    /// A C2SP signed note; without signatures when the prover had no key.
    pub(crate) checkpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<PolicyDocument>,
}

/// A log entry, with its payload's exact bytes as a text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BundleEntry {
    pub(crate) sequence: u64,
    pub(crate) previous_hash: ChainHash,
    pub(crate) entry_hash: ChainHash,
    pub(crate) payload: String,
    /// Whether the hash needs the log's key.
    pub(crate) keyed: bool,
}

impl DecisionBundle {
    /// Checks that the hash is that of the payload.
    pub(crate) fn check_hash(&self, key: Option<&ChainKey>) -> Result<()> {
        let entry = &self.entry;
        let computed = link_hash(&entry.previous_hash, entry.payload.as_bytes(), key);
        if computed.ct_eq(&entry.entry_hash) {
            return Ok(());
        }
        Err(Failure::new(Exit::Tampered, "the entry's hash is not that of its payload")
            .between(computed, entry.entry_hash)
            .meaning("The payload or the hash was changed after the bundle was made."))
    }

    /// Checks that the entry is under a tree head, at the place its sequence says.
    pub(crate) fn check_inclusion(&self, head: &TreeHead) -> Result<()> {
        let place = self.inclusion.leaf_index.saturating_add(1);
        if place != self.entry.sequence {
            return Err(Failure::new(Exit::Tampered, "the proof is of another entry")
                .between(self.entry.sequence, place));
        }
        let Some(leaf) = self.entry.entry_hash.digest() else {
            return Err(Failure::new(Exit::Tampered, "the entry has no hash of its own"));
        };
        self.inclusion.verify(&leaf, head).map_err(|error| {
            Failure::new(Exit::Tampered, error)
                .meaning("The entry is not in the log that the checkpoint is of.")
        })
    }
}
