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
///
/// Fields are gathered before they are hashed: a call of the hash for each would cost more than hashing.
///
/// ```
/// use calybris_kernel::digest::CanonicalHasher;
///
/// let digest = CanonicalHasher::new(b"example1\0").u16(0x0201).u8(3).finish();
/// assert_eq!(digest, CanonicalHasher::new(b"example1\0").bytes(&[1, 2, 3]).finish());
/// // The width is part of the layout.
/// assert_ne!(digest, CanonicalHasher::new(b"example1\0").u16(0x0201).u32(3).finish());
/// ```
#[derive(Clone, Debug)]
pub struct CanonicalHasher {
    hash: Sha256,
    gathered: [u8; GATHERED],
    length: usize,
}

/// A request and a decision fit; a multiple of the hash's block.
const GATHERED: usize = 256;

impl CanonicalHasher {
    /// Starts a layout with its tag.
    #[must_use]
    #[inline]
    pub fn new(tag: &[u8]) -> Self {
        Self { hash: Sha256::new(), gathered: [0; GATHERED], length: 0 }.bytes(tag)
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        match self.gathered.get_mut(self.length..end) {
            Some(free) => {
                free.copy_from_slice(bytes);
                self.length = end;
            }
            None => self.spill(bytes),
        }
    }

    /// Hashes what is gathered, then gathers `bytes`, or hashes them too when they are many.
    fn spill(&mut self, bytes: &[u8]) {
        let free = GATHERED - self.length;
        let (head, rest) = bytes.split_at(free.min(bytes.len()));
        if let Some(place) = self.gathered.get_mut(self.length..) {
            place.copy_from_slice(head);
        }
        self.hash.update(self.gathered);
        self.length = 0;
        match self.gathered.get_mut(..rest.len()) {
            Some(place) => {
                place.copy_from_slice(rest);
                self.length = rest.len();
            }
            None => self.hash.update(rest),
        }
    }

    /// Appends bytes as they are.
    #[must_use]
    #[inline]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.put(bytes);
        self
    }

    /// Appends one byte.
    #[must_use]
    #[inline]
    pub fn u8(self, value: u8) -> Self {
        self.bytes(&[value])
    }

    /// Appends two bytes, little-endian.
    #[must_use]
    #[inline]
    pub fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends four bytes, little-endian.
    #[must_use]
    #[inline]
    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends eight bytes, little-endian.
    #[must_use]
    #[inline]
    pub fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends eight bytes, little-endian two's complement.
    #[must_use]
    #[inline]
    pub fn i64(self, value: i64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// The digest.
    #[must_use]
    pub fn finish(mut self) -> [u8; 32] {
        self.hash.update(self.gathered.get(..self.length).unwrap_or_default());
        self.hash.finalize().into()
    }
}

/// The digest of a snapshot, which keeps it: [`PolicySnapshot::digest`](crate::PolicySnapshot::digest).
#[cfg(feature = "alloc")]
#[must_use]
pub fn policy_digest(snapshot: &crate::PolicySnapshot) -> [u8; 32] {
    snapshot.digest()
}

/// The digest of a borrowed policy. Linear over a catalog in ascending order, quadratic otherwise.
#[must_use]
pub fn borrowed_policy_digest(policy: &Policy<'_>) -> [u8; 32] {
    let params = policy.params();
    let mut hasher = CanonicalHasher::new(POLICY_DIGEST_TAG)
        .u64(params.policy_epoch)
        .u64(params.catalog_epoch)
        .u16(params.hard_risk_limit_bps)
        .u16(params.minimum_confidence_bps)
        .u16(params.risk_penalty_multiplier_bps)
        .u64(params.latency_penalty_microunits_per_ms);
    let mut models = ascending(policy.models());
    // Many rows to a call of the hash: a call for each would cost as much as hashing it.
    let mut rows = [[0; MODEL_BYTES]; 64];
    loop {
        let filled = rows.iter_mut().zip(&mut models).map(|(row, m)| *row = model_bytes(m)).count();
        match rows.get(..filled) {
            Some(rows) if filled > 0 => hasher.put(rows.as_flattened()),
            _ => return hasher.finish(),
        }
    }
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

/// A layout of `N` bytes on the stack, tag included: filled in place and hashed in one call, which
/// takes a third of the time of a [`CanonicalHasher`] that is handed on from field to field.
struct Layout<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Layout<N> {
    const EMPTY: Self = Self { bytes: [0; N], length: 0 };

    #[inline(always)]
    fn put(&mut self, field: &[u8]) {
        let end = self.length + field.len();
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(field);
        }
        self.length = end;
    }

    fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.bytes).into()
    }
}

const MODEL_BYTES: usize = 47;
const INPUT_BYTES: usize = INPUT_DIGEST_TAG.len() + 70;
const DECISION_BYTES: usize = DECISION_DIGEST_TAG.len() + 65;

/// The layout of one model, without a tag.
#[inline(always)]
fn model_bytes(model: &KernelModel) -> [u8; MODEL_BYTES] {
    let mut layout = Layout::EMPTY;
    layout.put(&model.model_id.to_le_bytes());
    layout.put(&model.provider_id.to_le_bytes());
    layout.put(&model.quality_bps.to_le_bytes());
    layout.put(&model.risk_ceiling_bps.to_le_bytes());
    layout.put(&[model.enabled]);
    layout.put(&model.p95_latency_ms.to_le_bytes());
    layout.put(&model.capabilities.to_le_bytes());
    layout.put(&model.region_mask.to_le_bytes());
    layout.put(&model.input_cost_microunits_per_million_tokens.to_le_bytes());
    layout.put(&model.output_cost_microunits_per_million_tokens.to_le_bytes());
    layout.bytes
}

/// The digest of a request.
#[must_use]
pub fn input_digest(input: &KernelInput) -> [u8; 32] {
    let mut layout = Layout::<INPUT_BYTES>::EMPTY;
    layout.put(INPUT_DIGEST_TAG);
    layout.put(&input.request_sequence.to_le_bytes());
    layout.put(&input.requested_model_id.to_le_bytes());
    layout.put(&input.input_tokens.to_le_bytes());
    layout.put(&input.output_tokens.to_le_bytes());
    layout.put(&input.business_value_microunits.to_le_bytes());
    layout.put(&input.budget_limit_microunits.to_le_bytes());
    layout.put(&input.risk_bps.to_le_bytes());
    layout.put(&input.confidence_bps.to_le_bytes());
    layout.put(&input.minimum_quality_bps.to_le_bytes());
    layout.put(&input.max_p95_latency_ms.to_le_bytes());
    layout.put(&input.required_capabilities.to_le_bytes());
    layout.put(&input.allowed_provider_mask.to_le_bytes());
    layout.put(&input.required_region_mask.to_le_bytes());
    layout.digest()
}

/// The digest of a decision.
#[must_use]
pub fn decision_digest(decision: &KernelDecision) -> [u8; 32] {
    let mut layout = Layout::<DECISION_BYTES>::EMPTY;
    layout.put(DECISION_DIGEST_TAG);
    layout.put(&decision.request_sequence.to_le_bytes());
    layout.put(&[decision.action as u8]);
    layout.put(&(decision.reason as u16).to_le_bytes());
    layout.put(&decision.selected_model_id.to_le_bytes());
    layout.put(&decision.selected_model_index.to_le_bytes());
    layout.put(&decision.estimated_cost_microunits.to_le_bytes());
    layout.put(&decision.expected_utility_microunits.to_le_bytes());
    layout.put(&decision.counterfactual_model_id.to_le_bytes());
    layout.put(&decision.counterfactual_utility_microunits.to_le_bytes());
    layout.put(&decision.evaluated_models.to_le_bytes());
    layout.put(&decision.eligible_models.to_le_bytes());
    layout.put(&decision.policy_epoch.to_le_bytes());
    layout.put(&decision.catalog_epoch.to_le_bytes());
    layout.digest()
}
