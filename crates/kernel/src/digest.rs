//! Canonical digests: SHA-256 over fixed little-endian layouts, never over JSON.

mod hex;

use sha2::{Digest as _, Sha256};

use crate::{KernelDecision, KernelInput, KernelModel, Policy};

#[cfg(feature = "alloc")]
pub use hex::digest_to_hex;
pub use hex::{DigestDecodeError, HexDigest};

/// Opens the policy layout.
pub const POLICY_DIGEST_TAG: &[u8] = b"calypol1\0";
/// Opens the request layout.
pub const INPUT_DIGEST_TAG: &[u8] = b"calyinp1\0";
/// Opens the decision layout.
pub const DECISION_DIGEST_TAG: &[u8] = b"calydcn1\0";
/// Opens the ledger snapshot layout.
pub const LEDGER_DIGEST_TAG: &[u8] = b"calyldg1\0";

/// A SHA-256 over a tagged canonical layout: integers little-endian at their declared width.
#[derive(Clone, Debug)]
pub struct CanonicalHasher(Sha256);

impl CanonicalHasher {
    /// Starts a layout with its tag.
    #[must_use]
    pub fn new(tag: &[u8]) -> Self {
        Self(Sha256::new_with_prefix(tag))
    }

    /// Appends bytes as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(bytes);
        self
    }

    /// Appends one byte.
    #[must_use]
    pub fn u8(self, value: u8) -> Self {
        self.bytes(&[value])
    }

    /// Appends two bytes, little-endian.
    #[must_use]
    pub fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends four bytes, little-endian.
    #[must_use]
    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends eight bytes, little-endian.
    #[must_use]
    pub fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends eight bytes, little-endian two's complement.
    #[must_use]
    pub fn i64(self, value: i64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// The digest.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// The digest of a snapshot, as computed when it was built.
#[cfg(feature = "alloc")]
#[must_use]
pub fn policy_digest(snapshot: &crate::PolicySnapshot) -> [u8; 32] {
    *snapshot.digest()
}

/// The digest of a borrowed policy. Linear over a catalog in ascending order, quadratic otherwise.
#[must_use]
pub fn borrowed_policy_digest(policy: &Policy<'_>) -> [u8; 32] {
    let params = policy.params();
    let header = CanonicalHasher::new(POLICY_DIGEST_TAG)
        .u64(params.policy_epoch)
        .u64(params.catalog_epoch)
        .u16(params.hard_risk_limit_bps)
        .u16(params.minimum_confidence_bps)
        .u16(params.risk_penalty_multiplier_bps)
        .u64(params.latency_penalty_microunits_per_ms);
    ascending(policy.models()).fold(header, digest_model).finish()
}

/// Models by id, then by position, without sorting them in place.
fn ascending(models: &[KernelModel]) -> impl Iterator<Item = &KernelModel> {
    let sorted = models.is_sorted_by_key(|model| model.model_id);
    let mut next_in_place = models.iter();
    let mut last = None;
    core::iter::from_fn(move || {
        if sorted {
            return next_in_place.next();
        }
        let keyed =
            models.iter().enumerate().map(|(index, model)| ((model.model_id, index), model));
        let (key, model) =
            keyed.filter(|(key, _)| Some(*key) > last).min_by_key(|(key, _)| *key)?;
        last = Some(key);
        Some(model)
    })
}

fn digest_model(hasher: CanonicalHasher, model: &KernelModel) -> CanonicalHasher {
    hasher
        .u32(model.model_id)
        .u16(model.provider_id)
        .u16(model.quality_bps)
        .u16(model.risk_ceiling_bps)
        .u8(model.enabled)
        .u32(model.p95_latency_ms)
        .u64(model.capabilities)
        .u64(model.region_mask)
        .u64(model.input_cost_microunits_per_million_tokens)
        .u64(model.output_cost_microunits_per_million_tokens)
}

/// The digest of a request.
#[must_use]
pub fn input_digest(input: &KernelInput) -> [u8; 32] {
    CanonicalHasher::new(INPUT_DIGEST_TAG)
        .u64(input.request_sequence)
        .u32(input.requested_model_id)
        .u32(input.input_tokens)
        .u32(input.output_tokens)
        .i64(input.business_value_microunits)
        .u64(input.budget_limit_microunits)
        .u16(input.risk_bps)
        .u16(input.confidence_bps)
        .u16(input.minimum_quality_bps)
        .u32(input.max_p95_latency_ms)
        .u64(input.required_capabilities)
        .u64(input.allowed_provider_mask)
        .u64(input.required_region_mask)
        .finish()
}

/// The digest of a decision.
#[must_use]
pub fn decision_digest(decision: &KernelDecision) -> [u8; 32] {
    CanonicalHasher::new(DECISION_DIGEST_TAG)
        .u64(decision.request_sequence)
        .u8(decision.action as u8)
        .u16(decision.reason as u16)
        .u32(decision.selected_model_id)
        .u16(decision.selected_model_index)
        .u64(decision.estimated_cost_microunits)
        .i64(decision.expected_utility_microunits)
        .u32(decision.counterfactual_model_id)
        .i64(decision.counterfactual_utility_microunits)
        .u16(decision.evaluated_models)
        .u16(decision.eligible_models)
        .u64(decision.policy_epoch)
        .u64(decision.catalog_epoch)
        .finish()
}
