//! The replay check: does this policy really give this decision?

use crate::{KernelDecision, KernelInput, Policy};

/// What a replay found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum VerifyResult {
    /// The decision replays, field for field.
    Valid,
    /// The replay gives another decision.
    Mismatch {
        /// What the policy decides.
        expected: KernelDecision,
        /// What was presented.
        actual: KernelDecision,
    },
    /// The fields agree and their digests do not. No replay of this crate gives it: equal fields encode to
    /// equal bytes. It is here for verifiers that compare a digest from elsewhere.
    DigestMismatch {
        /// Digest of what the policy decides.
        expected: [u8; 32],
        /// Digest of what was presented.
        actual: [u8; 32],
    },
}

impl VerifyResult {
    /// Whether the decision replays.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        matches!(self, Self::Valid)
    }
}

/// Replays `input` under a borrowed policy and compares with `decision`.
pub fn verify_borrowed(
    policy: &Policy<'_>,
    input: KernelInput,
    decision: &KernelDecision,
) -> VerifyResult {
    compare(policy.prescribe(input), decision)
}

/// Replays `input` under `snapshot` and compares with `decision`.
///
/// ```
/// use calybris_kernel::PolicySnapshot;
/// use calybris_kernel::verify::{VerifyResult, verify_decision};
/// # use calybris_kernel::{KernelInput, KernelModel};
/// # let model = KernelModel { model_id: 7, provider_id: 0, quality_bps: 9_000, risk_ceiling_bps: 9_000,
/// #     enabled: 1, p95_latency_ms: 100, capabilities: 0, region_mask: 1,
/// #     input_cost_microunits_per_million_tokens: 0, output_cost_microunits_per_million_tokens: 0 };
/// # let input = KernelInput { request_sequence: 1, requested_model_id: 7, input_tokens: 0, output_tokens: 0,
/// #     business_value_microunits: 100, budget_limit_microunits: 0, risk_bps: 0, confidence_bps: 10_000,
/// #     minimum_quality_bps: 0, max_p95_latency_ms: 0, required_capabilities: 0,
/// #     allowed_provider_mask: u64::MAX, required_region_mask: 0 };
/// let policy = PolicySnapshot::try_new(1, 1, 9_600, 0, 0, 0, vec![model])?;
/// let decision = policy.prescribe(input);
/// assert!(verify_decision(&policy, input, &decision).is_valid());
///
/// let mut touched = decision;
/// touched.estimated_cost_microunits += 1;
/// let found = verify_decision(&policy, input, &touched);
/// assert_eq!(found, VerifyResult::Mismatch { expected: decision, actual: touched });
/// # Ok::<(), calybris_kernel::PolicyError>(())
/// ```
#[cfg(feature = "alloc")]
pub fn verify_decision(
    snapshot: &crate::PolicySnapshot,
    input: KernelInput,
    decision: &KernelDecision,
) -> VerifyResult {
    compare(snapshot.prescribe(input), decision)
}

/// Equal fields have equal digests, so nothing is hashed to say that a decision is valid.
fn compare(expected: KernelDecision, decision: &KernelDecision) -> VerifyResult {
    if expected == *decision {
        VerifyResult::Valid
    } else {
        VerifyResult::Mismatch { expected, actual: *decision }
    }
}
