//! A decision that can only have come from deciding.

use crate::{KernelDecision, KernelInput};

/// A decision together with what it was decided from: the request, and the digest of the policy.
///
/// Only [`PolicySnapshot::decide`](crate::PolicySnapshot::decide) makes one. It cannot be written by hand, changed or
/// deserialized, so whoever is given one need not decide again to know that it replays. It keeps no policy alive.
///
/// ```
/// use calybris_kernel::digest::policy_digest;
/// # use calybris_kernel::{KernelInput, KernelModel, PolicySnapshot};
/// # let model = KernelModel { model_id: 1, provider_id: 0, quality_bps: 9_000, risk_ceiling_bps: 9_000,
/// #     enabled: 1, p95_latency_ms: 100, capabilities: 0, region_mask: 1,
/// #     input_cost_microunits_per_million_tokens: 0, output_cost_microunits_per_million_tokens: 0 };
/// # let policy = PolicySnapshot::try_new(1, 1, 9_600, 0, 0, 0, vec![model])?;
/// # let input = KernelInput { request_sequence: 1, requested_model_id: 1, input_tokens: 0, output_tokens: 0,
/// #     business_value_microunits: 100, budget_limit_microunits: 0, risk_bps: 0, confidence_bps: 10_000,
/// #     minimum_quality_bps: 0, max_p95_latency_ms: 0, required_capabilities: 0,
/// #     allowed_provider_mask: u64::MAX, required_region_mask: 0 };
/// let decided = policy.decide(input);
/// assert_eq!((decided.input(), *decided.decision()), (&input, policy.prescribe(input)));
/// assert_eq!(*decided.policy_digest(), policy_digest(&policy));
/// # Ok::<(), calybris_kernel::PolicyError>(())
/// ```
///
/// What was decided stays as it was decided:
///
/// ```compile_fail,E0616
/// fn forge(mut decided: calybris_kernel::Decided) -> calybris_kernel::Decided {
///     decided.decision.estimated_cost_microunits = 0;
///     decided
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decided {
    policy_digest: [u8; 32],
    input: KernelInput,
    decision: KernelDecision,
}

impl Decided {
    /// To be called by what decides, and by nothing else.
    pub(crate) const fn new(
        policy_digest: [u8; 32],
        input: KernelInput,
        decision: KernelDecision,
    ) -> Self {
        Self { policy_digest, input, decision }
    }

    /// The digest of the policy that decided.
    #[must_use]
    pub const fn policy_digest(&self) -> &[u8; 32] {
        &self.policy_digest
    }

    /// The request.
    #[must_use]
    pub const fn input(&self) -> &KernelInput {
        &self.input
    }

    /// The decision.
    #[must_use]
    pub const fn decision(&self) -> &KernelDecision {
        &self.decision
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;

    /// Has two candidates for `check`, and so does not compile, where `T` can be deserialized.
    trait NotRead<Marker> {
        fn check() {}
    }
    struct CanBeRead;
    impl<T> NotRead<()> for T {}
    impl<T: serde::de::DeserializeOwned> NotRead<CanBeRead> for T {}

    #[test]
    fn none_is_read_from_anywhere() {
        <Decided as NotRead<_>>::check();
    }
}
