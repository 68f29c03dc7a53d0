//! Decisions and verifications as [`tracing`] events: names and numbers, no payload.

use calybris_kernel::verify::{VerifyResult, verify_decision};
use calybris_kernel::{KernelDecision, KernelInput, PolicySnapshot};

/// Decides a request and says so, with the counts of every gate.
///
/// ```
/// use calybris_core::builder::{InputBuilder, ModelBuilder, PolicyBuilder};
/// use calybris_core::{config::EngineConfig, instrument};
///
/// let model = ModelBuilder::new(1, 0).build();
/// let policy = PolicyBuilder::new(EngineConfig::new()).model(model).build()?;
/// let input = InputBuilder::new(1, 1).business_value(50_000).build();
/// let decision = instrument::prescribe_traced(&policy, input);
/// assert_eq!(decision, policy.prescribe(input));
///
/// let worthless = InputBuilder::new(2, 1).build();
/// assert!(instrument::prescribe_traced(&policy, worthless).is_rejected());
/// # Ok::<(), calybris_core::builder::BuildError>(())
/// ```
#[must_use]
pub fn prescribe_traced(snapshot: &PolicySnapshot, input: KernelInput) -> KernelDecision {
    let (decision, trace) = snapshot.prescribe_with_trace(input);
    let gates = trace.rejections;
    tracing::info!(
        target: "calybris::decision",
        request_sequence = decision.request_sequence,
        action = decision.action.as_str(),
        reason = decision.reason.as_str(),
        selected_model_id = decision.selected_model_id,
        estimated_cost_microunits = decision.estimated_cost_microunits,
        expected_utility_microunits = decision.expected_utility_microunits,
        evaluated_models = trace.evaluated_models,
        eligible_models = trace.eligible_models,
        disabled = gates.disabled,
        quality = gates.quality,
        latency = gates.latency,
        capability = gates.capability,
        provider = gates.provider,
        region = gates.region,
        risk_ceiling = gates.risk_ceiling,
        budget = gates.budget,
        utility = gates.utility,
        "decided"
    );
    decision
}

/// Verifies a decision and says what came of it; a decision that does not replay is an error event.
///
/// ```
/// use calybris_core::builder::{InputBuilder, ModelBuilder, PolicyBuilder};
/// use calybris_core::{config::EngineConfig, instrument};
///
/// let model = ModelBuilder::new(1, 0).build();
/// let policy = PolicyBuilder::new(EngineConfig::new()).model(model).build()?;
/// let input = InputBuilder::new(1, 1).business_value(50_000).build();
/// let mut decision = policy.prescribe(input);
/// assert!(instrument::verify_traced(&policy, input, &decision).is_valid());
///
/// decision.estimated_cost_microunits += 1;
/// assert!(!instrument::verify_traced(&policy, input, &decision).is_valid());
/// # Ok::<(), calybris_core::builder::BuildError>(())
/// ```
pub fn verify_traced(
    snapshot: &PolicySnapshot,
    input: KernelInput,
    decision: &KernelDecision,
) -> VerifyResult {
    let result = verify_decision(snapshot, input, decision);
    let request_sequence = decision.request_sequence;
    if result.is_valid() {
        tracing::info!(target: "calybris::verification", request_sequence, "decision replays");
    } else {
        tracing::error!(target: "calybris::verification", request_sequence, ?result, "decision does not replay");
    }
    result
}

#[cfg(test)]
mod tests;
