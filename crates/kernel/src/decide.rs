//! From assessments to one decision.

use core::cmp::Reverse;

use crate::gate::{Assessment, Gate, assess};
use crate::{
    DecisionTrace, KernelAction, KernelDecision, KernelInput, KernelModel, KernelReason, Policy,
    PolicyParams, RejectionHistogram,
};

/// An eligible model. Fields are in ranking order, so that the derived order *is* the ranking:
/// higher utility, lower cost, higher quality, lower id, and earlier position where ids repeat.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    utility: Reverse<i64>,
    cost: u64,
    quality: Reverse<u16>,
    model_id: u32,
    index: usize,
}

/// The refusal that needs no look at any model, if there is one.
pub(crate) const fn request_refusal(
    params: &PolicyParams,
    input: &KernelInput,
) -> Option<KernelReason> {
    if input.risk_bps >= params.hard_risk_limit_bps {
        Some(KernelReason::RiskHardLimit)
    } else if input.confidence_bps < params.minimum_confidence_bps {
        Some(KernelReason::ConfidenceHardLimit)
    } else {
        None
    }
}

/// Decides `input` under `policy`, and says how.
pub(crate) fn decide(policy: &Policy<'_>, input: &KernelInput) -> (KernelDecision, DecisionTrace) {
    let params = policy.params();
    if let Some(reason) = request_refusal(params, input) {
        let trace = DecisionTrace::default();
        return (rejection(params, input, reason, &trace), trace);
    }
    let (best, second, trace) = rank(params, policy.models(), input);
    let decision = match best {
        None => rejection(params, input, trace.rejections.dominant_reason(), &trace),
        Some(best) => selection(params, input, best, second, &trace),
    };
    (decision, trace)
}

fn rank(
    params: &PolicyParams,
    models: &[KernelModel],
    input: &KernelInput,
) -> (Option<Candidate>, Option<Candidate>, DecisionTrace) {
    let mut rejections = RejectionHistogram::default();
    let mut eligible = 0_usize;
    let (mut best, mut second) = (None, None);
    for (index, model) in models.iter().enumerate() {
        let terms = match assess(params, model, input) {
            Assessment::Scored(terms) if terms.utility_microunits > 0 => terms,
            refused => {
                rejections.record(refused.failed_gate());
                continue;
            }
        };
        eligible += 1;
        let candidate = Candidate {
            utility: Reverse(terms.utility_microunits),
            cost: terms.cost_microunits,
            quality: Reverse(model.quality_bps),
            model_id: model.model_id,
            index,
        };
        if best.is_none_or(|best| candidate < best) {
            second = best.replace(candidate);
        } else if second.is_none_or(|second| candidate < second) {
            second = Some(candidate);
        }
    }
    let trace = DecisionTrace {
        rejections,
        evaluated_models: saturate(models.len()),
        eligible_models: saturate(eligible),
    };
    (best, second, trace)
}

impl Assessment {
    /// The gate that refused the model; the utility gate is the last that can.
    fn failed_gate(self) -> Gate {
        match self {
            Self::Refused { gate, .. } => gate,
            Self::OverBudget { .. } => Gate::Budget,
            Self::Scored(_) => Gate::Utility,
        }
    }
}

/// A count or position as the decision stores it.
pub(crate) fn saturate(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

fn selection(
    params: &PolicyParams,
    input: &KernelInput,
    best: Candidate,
    second: Option<Candidate>,
    trace: &DecisionTrace,
) -> KernelDecision {
    let (action, reason) = if best.model_id == input.requested_model_id {
        (KernelAction::ExecuteRequested, KernelReason::RequestedModelMaximizesUtility)
    } else {
        (KernelAction::Substitute, KernelReason::AlternativeMaximizesUtility)
    };
    KernelDecision {
        action,
        reason,
        selected_model_id: best.model_id,
        selected_model_index: saturate(best.index),
        estimated_cost_microunits: best.cost,
        expected_utility_microunits: best.utility.0,
        counterfactual_model_id: second.map_or(0, |second| second.model_id),
        counterfactual_utility_microunits: second.map_or(0, |second| second.utility.0),
        ..rejection(params, input, reason, trace)
    }
}

fn rejection(
    params: &PolicyParams,
    input: &KernelInput,
    reason: KernelReason,
    trace: &DecisionTrace,
) -> KernelDecision {
    KernelDecision {
        request_sequence: input.request_sequence,
        action: KernelAction::Reject,
        reason,
        selected_model_id: 0,
        selected_model_index: u16::MAX,
        estimated_cost_microunits: 0,
        expected_utility_microunits: 0,
        counterfactual_model_id: 0,
        counterfactual_utility_microunits: 0,
        evaluated_models: trace.evaluated_models,
        eligible_models: trace.eligible_models,
        policy_epoch: params.policy_epoch,
        catalog_epoch: params.catalog_epoch,
    }
}
