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
