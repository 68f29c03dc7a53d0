//! What there is to say about one decision, computed once; every artifact is a view of it.

use calybris_kernel::digest::{HexDigest, decision_digest, input_digest};
use calybris_kernel::{Decided, KernelDecision, KernelInput, PolicySnapshot};

/// The digests of one decision under one policy, and whether it replays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What the policy decides.
    pub(crate) replayed: Decided,
    /// What was presented.
    pub(crate) decision: KernelDecision,
    pub(crate) input_digest: [u8; 32],
    pub(crate) decision_digest: [u8; 32],
}

impl Evidence {
    /// Replays `input` and digests it and `decision`. The policy's digest is the one its snapshot keeps.
    ///
    /// ```
    /// use calybris_proof::Evidence;
    /// # use calybris_kernel::{KernelInput, KernelModel, PolicySnapshot};
    /// # let model = KernelModel { model_id: 1, provider_id: 0, quality_bps: 9_000, risk_ceiling_bps: 9_000,
    /// #     enabled: 1, p95_latency_ms: 100, capabilities: 0, region_mask: 1,
    /// #     input_cost_microunits_per_million_tokens: 0, output_cost_microunits_per_million_tokens: 0 };
    /// # let policy = PolicySnapshot::try_new(1, 1, 9_600, 0, 0, 0, vec![model])?;
    /// # let input = KernelInput { request_sequence: 1, requested_model_id: 1, input_tokens: 0, output_tokens: 0,
    /// #     business_value_microunits: 100, budget_limit_microunits: 0, risk_bps: 0, confidence_bps: 10_000,
    /// #     minimum_quality_bps: 0, max_p95_latency_ms: 0, required_capabilities: 0,
    /// #     allowed_provider_mask: u64::MAX, required_region_mask: 0 };
    /// let mut decision = policy.prescribe(input);
    /// assert!(Evidence::of(&policy, input, &decision).replay_valid());
    /// decision.estimated_cost_microunits += 1;
    /// assert!(!Evidence::of(&policy, input, &decision).replay_valid());
    /// # Ok::<(), calybris_kernel::PolicyError>(())
    /// ```
    #[must_use]
    pub fn of(snapshot: &PolicySnapshot, input: KernelInput, decision: &KernelDecision) -> Self {
        Self::compare(&snapshot.decide(input), decision)
    }

    fn compare(replayed: &Decided, decision: &KernelDecision) -> Self {
        Self {
            replayed: *replayed,
            decision: *decision,
            input_digest: input_digest(replayed.input()),
            decision_digest: decision_digest(decision),
        }
    }

    /// Whether the policy gives this decision, field for field.
    #[must_use]
    pub fn replay_valid(&self) -> bool {
        *self.replayed.decision() == self.decision
    }

    /// What the policy decides.
    #[must_use]
    pub fn replayed_decision(&self) -> &KernelDecision {
        self.replayed.decision()
    }

    /// The decision presented.
    #[must_use]
    pub fn decision(&self) -> &KernelDecision {
        &self.decision
    }

    /// Of the policy and of the catalog.
    pub(crate) fn epochs(&self) -> (u64, u64) {
        let replayed = self.replayed.decision();
        (replayed.policy_epoch, replayed.catalog_epoch)
    }

    /// The digest of the policy.
    #[must_use]
    pub fn policy_digest(&self) -> HexDigest {
        HexDigest::new(self.replayed.policy_digest())
    }

    /// The digest of the request.
    #[must_use]
    pub fn input_digest(&self) -> HexDigest {
        HexDigest::new(&self.input_digest)
    }

    /// The digest of the decision presented.
    #[must_use]
    pub fn decision_digest(&self) -> HexDigest {
        HexDigest::new(&self.decision_digest)
    }
}

/// Digests a decision just made, which replays: a [`Decided`] comes from nothing but deciding.
impl From<&Decided> for Evidence {
    fn from(decided: &Decided) -> Self {
        Self::compare(decided, decided.decision())
    }
}
