//! The proof envelope: one decision, its place in the log and the ledger it was paid from.

mod names;

use alloc::string::String;

use calybris_kernel::digest::HexDigest;
use calybris_kernel::{KernelAction, KernelDecision, KernelInput, KernelReason, PolicySnapshot};

use crate::audit::PROOF_VERSION;
use crate::chain::ChainHash;
use crate::evidence::Evidence;

/// A decision's digests and outcome, with its log position and ledger where they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofEnvelope {
    /// [`PROOF_VERSION`].
    #[serde(deserialize_with = "names::proof_version")]
    pub proof_version: u32,
    /// Digest of the policy.
    pub policy_digest_hex: HexDigest,
    /// Digest of the request.
    pub input_digest_hex: HexDigest,
    /// Digest of the decision.
    pub decision_digest_hex: HexDigest,
    /// Whether the decision replayed under the policy.
    pub replay_valid: bool,
    /// Its entry in the log.
    pub wal_sequence: Option<u64>,
    /// That entry's hash.
    pub wal_entry_hash: Option<HexDigest>,
    /// The version of the ledger snapshot.
    pub budget_snapshot_version: Option<u64>,
    /// That snapshot's digest.
    pub ledger_digest_hex: Option<HexDigest>,
    /// What was decided, in `snake_case`.
    #[serde(with = "names::action")]
    pub action: KernelAction,
    /// Why, in `snake_case`.
    #[serde(with = "names::reason")]
    pub reason: KernelReason,
    /// The selected model, 0 on a rejection.
    pub selected_model_id: u32,
    /// The runner-up, 0 where there is none.
    pub counterfactual_model_id: u32,
    /// Cost in microunits.
    pub estimated_cost_microunits: u64,
    /// Utility in microunits.
    pub expected_utility_microunits: i64,
}

impl ProofEnvelope {
    /// Whether the decision replayed and both its log entry and its ledger are named.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.replay_valid
            && self.wal_sequence.is_some()
            && self.wal_entry_hash.is_some()
            && self.budget_snapshot_version.is_some()
            && self.ledger_digest_hex.is_some()
    }
}

impl From<&Evidence> for ProofEnvelope {
    fn from(evidence: &Evidence) -> Self {
        let decision = &evidence.decision;
        Self {
            proof_version: PROOF_VERSION,
            policy_digest_hex: evidence.policy_digest(),
            input_digest_hex: evidence.input_digest(),
            decision_digest_hex: evidence.decision_digest(),
            replay_valid: evidence.replay_valid(),
            wal_sequence: None,
            wal_entry_hash: None,
            budget_snapshot_version: None,
            ledger_digest_hex: None,
            action: decision.action,
            reason: decision.reason,
            selected_model_id: decision.selected_model_id,
            counterfactual_model_id: decision.counterfactual_model_id,
            estimated_cost_microunits: decision.estimated_cost_microunits,
            expected_utility_microunits: decision.expected_utility_microunits,
        }
    }
}

/// Collects what an envelope holds.
///
/// A hash or digest that is not one is no evidence: the envelope is built without that link, and
/// [`ProofEnvelope::is_complete`] says no.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct ProofEnvelopeBuilder(ProofEnvelope);

impl ProofEnvelopeBuilder {
    /// Replays and digests the decision.
    pub fn new(snapshot: &PolicySnapshot, input: KernelInput, decision: &KernelDecision) -> Self {
        Self::from(&Evidence::of(snapshot, input, decision))
    }

    /// Names the decision's log entry.
    pub fn wal(mut self, sequence: u64, entry_hash: impl IntoDigest) -> Self {
        self.0.wal_entry_hash = entry_hash.into_digest();
        self.0.wal_sequence = self.0.wal_entry_hash.map(|_| sequence);
        self
    }

    /// Names the ledger snapshot that holds the decision's budget.
    pub fn budget(mut self, snapshot_version: u64, ledger_digest: impl IntoDigest) -> Self {
        self.0.ledger_digest_hex = ledger_digest.into_digest();
        self.0.budget_snapshot_version = self.0.ledger_digest_hex.map(|_| snapshot_version);
        self
    }

    /// The envelope.
    #[must_use]
    pub const fn build(self) -> ProofEnvelope {
        self.0
    }
}

impl From<&Evidence> for ProofEnvelopeBuilder {
    fn from(evidence: &Evidence) -> Self {
        Self(ProofEnvelope::from(evidence))
    }
}

/// Whatever can name a digest: the typed forms always do, a text only when it spells one.
pub trait IntoDigest {
    /// The digest, none where there is none.
    fn into_digest(self) -> Option<HexDigest>;
}

impl IntoDigest for HexDigest {
    fn into_digest(self) -> Option<HexDigest> {
        Some(self)
    }
}

impl IntoDigest for [u8; 32] {
    fn into_digest(self) -> Option<HexDigest> {
        Some(self.into())
    }
}

impl IntoDigest for ChainHash {
    fn into_digest(self) -> Option<HexDigest> {
        self.digest().map(HexDigest::from)
    }
}

impl IntoDigest for &str {
    fn into_digest(self) -> Option<HexDigest> {
        HexDigest::parse(self).ok()
    }
}

impl IntoDigest for String {
    fn into_digest(self) -> Option<HexDigest> {
        self.as_str().into_digest()
    }
}

impl<T: IntoDigest + Clone> IntoDigest for &T {
    fn into_digest(self) -> Option<HexDigest> {
        self.clone().into_digest()
    }
}

#[cfg(test)]
mod tests;
