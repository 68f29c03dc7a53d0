//! Bundles and certificates for one decision: replay it, digest it, say what was found.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use core::fmt;

use calybris_kernel::digest::HexDigest;
use calybris_kernel::{KernelDecision, KernelInput, PolicySnapshot};

use crate::audit::AuditBundle;
use crate::evidence::Evidence;

/// Why a decision is not evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// The policy gives another decision.
    Mismatch(Box<DecisionMismatch>),
}

/// A decision and the one its policy gives instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionMismatch {
    /// What the policy decides.
    pub expected: KernelDecision,
    /// What was presented.
    pub actual: KernelDecision,
}

impl DecisionMismatch {
    /// The first member that differs, in the order of the format; none when the two are equal.
    #[must_use]
    pub fn field(&self) -> Option<&'static str> {
        self.difference().map(|(name, ..)| name)
    }

    /// The same, with what is expected and what is there.
    fn difference(&self) -> Option<(&'static str, String, String)> {
        let mut members = members(&self.expected).into_iter().zip(members(&self.actual));
        let ((name, expected), (_, actual)) =
            members.find(|(expected, actual)| expected != actual)?;
        Some((name, expected, actual))
    }
}

/// What a decision says, in the order of the format.
fn members(decision: &KernelDecision) -> [(&'static str, String); 13] {
    let member = |name, value: &dyn fmt::Display| (name, value.to_string());
    [
        member("request_sequence", &decision.request_sequence),
        member("action", &decision.action),
        member("reason", &decision.reason),
        member("selected_model_id", &decision.selected_model_id),
        member("selected_model_index", &decision.selected_model_index),
        member("estimated_cost_microunits", &decision.estimated_cost_microunits),
        member("expected_utility_microunits", &decision.expected_utility_microunits),
        member("counterfactual_model_id", &decision.counterfactual_model_id),
        member("counterfactual_utility_microunits", &decision.counterfactual_utility_microunits),
        member("evaluated_models", &decision.evaluated_models),
        member("eligible_models", &decision.eligible_models),
        member("policy_epoch", &decision.policy_epoch),
        member("catalog_epoch", &decision.catalog_epoch),
    ]
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Mismatch(mismatch) = self;
        write!(f, "decision for request {} does not replay: ", mismatch.actual.request_sequence)?;
        match mismatch.difference() {
            Some((name, expected, actual)) => {
                write!(f, "{name} is {actual}, the policy gives {expected}")
            }
            None => f.write_str("nothing differs"),
        }
    }
}

impl core::error::Error for VerifyError {}

/// The digests of a decision and whether it replays.
#[must_use]
pub fn audit_bundle(
    snapshot: &PolicySnapshot,
    input: KernelInput,
    decision: &KernelDecision,
) -> AuditBundle {
    AuditBundle::from(&Evidence::of(snapshot, input, decision))
}

/// The bundle of a decision that replays: one decision, two small digests, no more.
///
/// # Errors
/// [`VerifyError::Mismatch`], which names the first field that differs.
pub fn verified_audit_bundle(
    snapshot: &PolicySnapshot,
    input: KernelInput,
    decision: &KernelDecision,
) -> Result<AuditBundle, VerifyError> {
    let replayed = snapshot.decide(input);
    if replayed.decision() != decision {
        let mismatch = DecisionMismatch { expected: *replayed.decision(), actual: *decision };
        return Err(VerifyError::Mismatch(Box::new(mismatch)));
    }
    Ok(AuditBundle::from(&Evidence::from(&replayed)))
}

/// What identifies a policy: its canonical digest, which its snapshot keeps.
#[must_use]
pub fn snapshot_fingerprint(snapshot: &PolicySnapshot) -> HexDigest {
    HexDigest::new(&snapshot.digest())
}

/// The utility of `model_id` in microunits if it had been selected, none if a rule refuses it.
#[must_use]
pub fn counterfactual_utility(
    snapshot: &PolicySnapshot,
    input: KernelInput,
    model_id: u32,
) -> Option<i64> {
    snapshot.utility_for_model(input, model_id)
}

/// What a replay of one decision found, with every digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorrectnessCertificate {
    /// Echo of the request's sequence.
    pub request_sequence: u64,
    /// The policy's epoch.
    pub policy_epoch: u64,
    /// The catalog's epoch.
    pub catalog_epoch: u64,
    /// Digest of the policy.
    pub policy_digest_hex: HexDigest,
    /// Digest of the request.
    pub input_digest_hex: HexDigest,
    /// Digest of the decision presented.
    pub decision_digest_hex: HexDigest,
    /// Digest of the decision the policy gives.
    pub replayed_decision_digest_hex: HexDigest,
    /// Whether the two decisions are the same.
    pub replay_valid: bool,
}

/// Replays a decision and certifies what was found, whether or not it holds.
#[must_use]
pub fn certify_decision(
    snapshot: &PolicySnapshot,
    input: KernelInput,
    decision: &KernelDecision,
) -> CorrectnessCertificate {
    CorrectnessCertificate::from(&Evidence::of(snapshot, input, decision))
}

impl From<&Evidence> for CorrectnessCertificate {
    fn from(evidence: &Evidence) -> Self {
        let replayed = calybris_kernel::digest::decision_digest(evidence.replayed_decision());
        let (policy_epoch, catalog_epoch) = evidence.epochs();
        Self {
            request_sequence: evidence.replayed.input().request_sequence,
            policy_epoch,
            catalog_epoch,
            policy_digest_hex: evidence.policy_digest(),
            input_digest_hex: evidence.input_digest(),
            decision_digest_hex: evidence.decision_digest(),
            replayed_decision_digest_hex: HexDigest::new(&replayed),
            replay_valid: evidence.replay_valid(),
        }
    }
}
