//! The rules, written plainly: exact 128-bit integers, one list, one sort, no shortcut.
//!
//! Everything the kernel answers is compared with this file. It shares no code with the kernel,
//! only the types of its questions and answers.

use calybris_kernel::{
    CandidateExplanation, CandidateVerdict, DecisionTrace, Gate, KernelAction, KernelDecision,
    KernelInput, KernelModel, KernelReason, PolicyParams, RejectionHistogram, UtilityTerms,
};
use sha2::{Digest as _, Sha256};

/// All that can be said about one request under one policy.
pub(crate) struct Outcome {
    pub(crate) decision: KernelDecision,
    pub(crate) trace: DecisionTrace,
    /// One a model, in catalog order; empty on a request-level refusal.
    pub(crate) candidates: Vec<CandidateExplanation>,
}

/// Decides as the rules say.
pub(crate) fn decide(
    params: &PolicyParams,
    models: &[KernelModel],
    input: &KernelInput,
) -> Outcome {
    let mut decision = KernelDecision {
        request_sequence: input.request_sequence,
        action: KernelAction::Reject,
        reason: KernelReason::RiskHardLimit,
        selected_model_id: 0,
        selected_model_index: 65_535,
        estimated_cost_microunits: 0,
        expected_utility_microunits: 0,
        counterfactual_model_id: 0,
        counterfactual_utility_microunits: 0,
        evaluated_models: 0,
        eligible_models: 0,
        policy_epoch: params.policy_epoch,
        catalog_epoch: params.catalog_epoch,
    };
    let refused =
        |decision| Outcome { decision, trace: DecisionTrace::default(), candidates: Vec::new() };
    if input.risk_bps >= params.hard_risk_limit_bps {
        return refused(decision);
    }
    if input.confidence_bps < params.minimum_confidence_bps {
        decision.reason = KernelReason::ConfidenceHardLimit;
        return refused(decision);
    }

    let verdicts: Vec<_> = models.iter().map(|model| verdict(params, model, input)).collect();
    let mut ranked: Vec<_> = (0..models.len())
        .filter_map(|index| match verdicts[index] {
            CandidateVerdict::Scored { terms, eligible: true } => Some((index, terms)),
            _ => None,
        })
        .collect();
    ranked.sort_by_key(|(index, terms)| {
        let model = &models[*index];
        let utility = -i128::from(terms.utility_microunits);
        let quality = -i32::from(model.quality_bps);
        (utility, terms.cost_microunits, quality, model.model_id, *index)
    });

    let rejections = histogram(&verdicts);
    decision.evaluated_models = models.len().min(65_535) as u16;
    decision.eligible_models = ranked.len().min(65_535) as u16;
    decision.reason = dominant(&rejections);
    if let Some((index, terms)) = ranked.first() {
        let requested = models[*index].model_id == input.requested_model_id;
        (decision.action, decision.reason) = if requested {
            (KernelAction::ExecuteRequested, KernelReason::RequestedModelMaximizesUtility)
        } else {
            (KernelAction::Substitute, KernelReason::AlternativeMaximizesUtility)
        };
        decision.selected_model_id = models[*index].model_id;
        decision.selected_model_index = (*index).min(65_535) as u16;
        decision.estimated_cost_microunits = terms.cost_microunits;
        decision.expected_utility_microunits = terms.utility_microunits;
    }
    if let Some((index, terms)) = ranked.get(1) {
        decision.counterfactual_model_id = models[*index].model_id;
        decision.counterfactual_utility_microunits = terms.utility_microunits;
    }
    let trace = DecisionTrace {
        rejections,
        evaluated_models: decision.evaluated_models,
        eligible_models: decision.eligible_models,
    };
    Outcome { decision, trace, candidates: explain(models, verdicts) }
}

fn explain(models: &[KernelModel], verdicts: Vec<CandidateVerdict>) -> Vec<CandidateExplanation> {
    let explained = models.iter().zip(verdicts).enumerate();
    explained
        .map(|(index, (model, verdict))| CandidateExplanation {
            model_id: model.model_id,
            model_index: index.min(65_535) as u16,
            verdict,
        })
        .collect()
}

/// The first gate a model fails, or its score.
pub(crate) fn verdict(params: &PolicyParams, m: &KernelModel, q: &KernelInput) -> CandidateVerdict {
    let fails = |gate, model_value: u64, request_value: u64| CandidateVerdict::GateFailed {
        gate,
        model_value,
        request_value,
    };
    if m.enabled == 0 {
        return fails(Gate::Disabled, 0, 1);
    }
    if m.quality_bps < q.minimum_quality_bps {
        return fails(Gate::Quality, m.quality_bps.into(), q.minimum_quality_bps.into());
    }
    if q.max_p95_latency_ms > 0 && m.p95_latency_ms > q.max_p95_latency_ms {
        return fails(Gate::Latency, m.p95_latency_ms.into(), q.max_p95_latency_ms.into());
    }
    if (0..64).any(|bit| q.required_capabilities >> bit & 1 > m.capabilities >> bit & 1) {
        return fails(Gate::Capability, m.capabilities, q.required_capabilities);
    }
    let allowed = (0..64_u16).any(|bit| {
        let admitted = q.allowed_provider_mask >> bit & 1 == 1;
        m.provider_id == bit && admitted
    });
    if !allowed {
        return fails(Gate::Provider, m.provider_id.into(), q.allowed_provider_mask);
    }
    let required = q.required_region_mask;
    if required != 0 && (0..64).all(|bit| required >> bit & m.region_mask >> bit & 1 == 0) {
        return fails(Gate::Region, m.region_mask, required);
    }
    if q.risk_bps > m.risk_ceiling_bps {
        return fails(Gate::RiskCeiling, m.risk_ceiling_bps.into(), q.risk_bps.into());
    }
    let terms = terms(params, m, q);
    if terms.cost_microunits > q.budget_limit_microunits {
        return CandidateVerdict::OverBudget {
            cost_microunits: terms.cost_microunits,
            budget_limit_microunits: q.budget_limit_microunits,
        };
    }
    CandidateVerdict::Scored { terms, eligible: terms.utility_microunits > 0 }
}

/// Cost and utility of one model, whatever the gates say.
pub(crate) fn terms(params: &PolicyParams, m: &KernelModel, q: &KernelInput) -> UtilityTerms {
    let ceil =
        |tokens: u32, price: u64| (u128::from(tokens) * u128::from(price)).div_ceil(1_000_000);
    let cost = ceil(q.input_tokens, m.input_cost_microunits_per_million_tokens)
        + ceil(q.output_tokens, m.output_cost_microunits_per_million_tokens);
    let cost_microunits = cost.min(u128::from(u64::MAX)) as u64;
    let value = q.business_value_microunits.max(0) as u128;
    let quality_adjusted =
        value * u128::from(q.confidence_bps) * u128::from(m.quality_bps) / 100_000_000;
    let risk_penalty =
        value * u128::from(q.risk_bps) * u128::from(params.risk_penalty_multiplier_bps)
            / 100_000_000;
    let latency_penalty =
        u128::from(m.p95_latency_ms) * u128::from(params.latency_penalty_microunits_per_ms);
    let utility = quality_adjusted as i128
        - risk_penalty as i128
        - i128::from(cost_microunits)
        - latency_penalty as i128;
    UtilityTerms {
        quality_adjusted_microunits: quality_adjusted,
        risk_penalty_microunits: risk_penalty,
        cost_microunits,
        latency_penalty_microunits: latency_penalty,
        utility_microunits: utility.clamp(i64::MIN.into(), i64::MAX.into()) as i64,
    }
}

fn histogram(verdicts: &[CandidateVerdict]) -> RejectionHistogram {
    let count = |wanted: Gate| {
        let failed = |verdict: &&CandidateVerdict| match verdict {
            CandidateVerdict::GateFailed { gate, .. } => *gate == wanted,
            CandidateVerdict::OverBudget { .. } => wanted == Gate::Budget,
            CandidateVerdict::Scored { eligible, .. } => !eligible && wanted == Gate::Utility,
        };
        verdicts.iter().filter(failed).count().min(65_535) as u16
    };
    RejectionHistogram {
        disabled: count(Gate::Disabled),
        quality: count(Gate::Quality),
        risk_ceiling: count(Gate::RiskCeiling),
        latency: count(Gate::Latency),
        capability: count(Gate::Capability),
        provider: count(Gate::Provider),
        region: count(Gate::Region),
        budget: count(Gate::Budget),
        utility: count(Gate::Utility),
    }
}

fn dominant(counts: &RejectionHistogram) -> KernelReason {
    let rows = [
        (counts.capability, KernelReason::CapabilityConstraint),
        (counts.region, KernelReason::RegionConstraint),
        (counts.provider, KernelReason::ProviderConstraint),
        (counts.quality, KernelReason::QualityConstraint),
        (counts.risk_ceiling, KernelReason::RiskCeilingConstraint),
        (counts.latency, KernelReason::LatencyConstraint),
        (counts.budget, KernelReason::BudgetConstraint),
        (counts.utility, KernelReason::NonPositiveUtility),
        (counts.disabled, KernelReason::NoEnabledModel),
    ];
    // `max_by_key` keeps the last of equals, which is the rule for ties.
    rows.into_iter()
        .max_by_key(|(count, _)| *count)
        .filter(|(count, _)| *count > 0)
        .map_or(KernelReason::NoEnabledModel, |(_, reason)| reason)
}

/// The bytes the policy digest covers, models in ascending id order.
pub(crate) fn policy_bytes(params: &PolicyParams, models: &[KernelModel]) -> Vec<u8> {
    let mut bytes = b"calypol1\0".to_vec();
    bytes.extend(params.policy_epoch.to_le_bytes());
    bytes.extend(params.catalog_epoch.to_le_bytes());
    bytes.extend(params.hard_risk_limit_bps.to_le_bytes());
    bytes.extend(params.minimum_confidence_bps.to_le_bytes());
    bytes.extend(params.risk_penalty_multiplier_bps.to_le_bytes());
    bytes.extend(params.latency_penalty_microunits_per_ms.to_le_bytes());
    let mut sorted = models.to_vec();
    sorted.sort_by_key(|model| model.model_id);
    for m in sorted {
        bytes.extend(m.model_id.to_le_bytes());
        bytes.extend(m.provider_id.to_le_bytes());
        bytes.extend(m.quality_bps.to_le_bytes());
        bytes.extend(m.risk_ceiling_bps.to_le_bytes());
        bytes.push(m.enabled);
        bytes.extend(m.p95_latency_ms.to_le_bytes());
        bytes.extend(m.capabilities.to_le_bytes());
        bytes.extend(m.region_mask.to_le_bytes());
        bytes.extend(m.input_cost_microunits_per_million_tokens.to_le_bytes());
        bytes.extend(m.output_cost_microunits_per_million_tokens.to_le_bytes());
    }
    bytes
}

/// The bytes the request digest covers.
pub(crate) fn input_bytes(q: &KernelInput) -> Vec<u8> {
    let mut bytes = b"calyinp1\0".to_vec();
    bytes.extend(q.request_sequence.to_le_bytes());
    bytes.extend(q.requested_model_id.to_le_bytes());
    bytes.extend(q.input_tokens.to_le_bytes());
    bytes.extend(q.output_tokens.to_le_bytes());
    bytes.extend(q.business_value_microunits.to_le_bytes());
    bytes.extend(q.budget_limit_microunits.to_le_bytes());
    bytes.extend(q.risk_bps.to_le_bytes());
    bytes.extend(q.confidence_bps.to_le_bytes());
    bytes.extend(q.minimum_quality_bps.to_le_bytes());
    bytes.extend(q.max_p95_latency_ms.to_le_bytes());
    bytes.extend(q.required_capabilities.to_le_bytes());
    bytes.extend(q.allowed_provider_mask.to_le_bytes());
    bytes.extend(q.required_region_mask.to_le_bytes());
    bytes
}

/// The bytes the decision digest covers.
pub(crate) fn decision_bytes(d: &KernelDecision) -> Vec<u8> {
    let mut bytes = b"calydcn1\0".to_vec();
    bytes.extend(d.request_sequence.to_le_bytes());
    bytes.push(d.action as u8);
    bytes.extend((d.reason as u16).to_le_bytes());
    bytes.extend(d.selected_model_id.to_le_bytes());
    bytes.extend(d.selected_model_index.to_le_bytes());
    bytes.extend(d.estimated_cost_microunits.to_le_bytes());
    bytes.extend(d.expected_utility_microunits.to_le_bytes());
    bytes.extend(d.counterfactual_model_id.to_le_bytes());
    bytes.extend(d.counterfactual_utility_microunits.to_le_bytes());
    bytes.extend(d.evaluated_models.to_le_bytes());
    bytes.extend(d.eligible_models.to_le_bytes());
    bytes.extend(d.policy_epoch.to_le_bytes());
    bytes.extend(d.catalog_epoch.to_le_bytes());
    bytes
}

/// SHA-256 in one go.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
