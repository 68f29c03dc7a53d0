//! The gates of RULES §2, once: order, condition, and the numbers each compares.

use core::fmt;

use crate::arithmetic::Arithmetic;
use crate::{
    ALL_PROVIDERS, KernelInput, KernelModel, KernelReason, MAX_PROVIDER_ID, RejectionHistogram,
    UtilityTerms,
};

/// A condition a model must meet, in the order the gates are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Gate {
    /// `enabled` is not 0.
    Disabled,
    /// `quality_bps` reaches `minimum_quality_bps`.
    Quality,
    /// `p95_latency_ms` is within `max_p95_latency_ms`.
    Latency,
    /// Every required capability is offered.
    Capability,
    /// The provider is allowed.
    Provider,
    /// A required region is served.
    Region,
    /// The request's risk is within the model's ceiling.
    RiskCeiling,
    /// The cost is within the budget.
    Budget,
    /// The utility is positive.
    Utility,
}

impl Gate {
    /// Every gate with the reason it gives, in ascending precedence between equal counts.
    pub(crate) const DOMINANCE: [(Self, KernelReason); 9] = [
        (Self::Capability, KernelReason::CapabilityConstraint),
        (Self::Region, KernelReason::RegionConstraint),
        (Self::Provider, KernelReason::ProviderConstraint),
        (Self::Quality, KernelReason::QualityConstraint),
        (Self::RiskCeiling, KernelReason::RiskCeilingConstraint),
        (Self::Latency, KernelReason::LatencyConstraint),
        (Self::Budget, KernelReason::BudgetConstraint),
        (Self::Utility, KernelReason::NonPositiveUtility),
        (Self::Disabled, KernelReason::NoEnabledModel),
    ];

    /// The name in `snake_case`, as in the trace.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Quality => "quality",
            Self::Latency => "latency",
            Self::Capability => "capability",
            Self::Provider => "provider",
            Self::Region => "region",
            Self::RiskCeiling => "risk_ceiling",
            Self::Budget => "budget",
            Self::Utility => "utility",
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl RejectionHistogram {
    /// The count of one gate.
    #[must_use]
    pub const fn count(&self, gate: Gate) -> u16 {
        match gate {
            Gate::Disabled => self.disabled,
            Gate::Quality => self.quality,
            Gate::Latency => self.latency,
            Gate::Capability => self.capability,
            Gate::Provider => self.provider,
            Gate::Region => self.region,
            Gate::RiskCeiling => self.risk_ceiling,
            Gate::Budget => self.budget,
            Gate::Utility => self.utility,
        }
    }

    pub(crate) fn record(&mut self, gate: Gate) {
        let count = match gate {
            Gate::Disabled => &mut self.disabled,
            Gate::Quality => &mut self.quality,
            Gate::Latency => &mut self.latency,
            Gate::Capability => &mut self.capability,
            Gate::Provider => &mut self.provider,
            Gate::Region => &mut self.region,
            Gate::RiskCeiling => &mut self.risk_ceiling,
            Gate::Budget => &mut self.budget,
            Gate::Utility => &mut self.utility,
        };
        *count = count.saturating_add(1);
    }

    /// The reason of a rejection: the gate with the most refusals, ties to the later row.
    pub(crate) fn dominant_reason(&self) -> KernelReason {
        // The largest count with its precedence below it: the largest of these numbers has both.
        let ranked = Gate::DOMINANCE.iter().zip(0_u32..);
        let key = |((gate, _), rank): (&(Gate, _), u32)| u32::from(self.count(*gate)) << 8 | rank;
        let highest = ranked.map(key).max().unwrap_or(0);
        match Gate::DOMINANCE.get(highest as usize & 0xff) {
            Some((_, reason)) if highest >> 8 > 0 => *reason,
            _ => KernelReason::NoEnabledModel,
        }
    }
}

/// How one model fared against one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assessment {
    /// Refused by a gate that looks at one field, with what the model has and what the request sets.
    Refused { gate: Gate, model_value: u64, request_value: u64 },
    /// Costs more than the budget.
    OverBudget { cost: u64 },
    /// Reached the utility gate.
    Scored(UtilityTerms),
}

/// What `model` fails of the gates that look at one field, or none.
#[inline(always)]
fn refusal(input: &KernelInput, model: &KernelModel) -> Option<(Gate, u64, u64)> {
    if model.enabled == 0 {
        return Some((Gate::Disabled, 0, 1));
    }
    if model.quality_bps < input.minimum_quality_bps {
        return Some((Gate::Quality, model.quality_bps.into(), input.minimum_quality_bps.into()));
    }
    if input.max_p95_latency_ms > 0 && model.p95_latency_ms > input.max_p95_latency_ms {
        let (latency, limit) = (model.p95_latency_ms, input.max_p95_latency_ms);
        return Some((Gate::Latency, latency.into(), limit.into()));
    }
    if model.capabilities & input.required_capabilities != input.required_capabilities {
        return Some((Gate::Capability, model.capabilities, input.required_capabilities));
    }
    let allowed = input.allowed_provider_mask;
    if model.provider_id > MAX_PROVIDER_ID
        || (allowed != ALL_PROVIDERS && (allowed >> model.provider_id) & 1 == 0)
    {
        return Some((Gate::Provider, model.provider_id.into(), allowed));
    }
    let regions = input.required_region_mask;
    if regions != 0 && model.region_mask & regions == 0 {
        return Some((Gate::Region, model.region_mask, regions));
    }
    if input.risk_bps > model.risk_ceiling_bps {
        return Some((Gate::RiskCeiling, model.risk_ceiling_bps.into(), input.risk_bps.into()));
    }
    None
}

/// The first gate `model` fails, or its score, with the numbers an explanation shows.
pub(crate) fn assess(arithmetic: &Arithmetic<'_>, model: &KernelModel) -> Assessment {
    if let Some((gate, model_value, request_value)) = refusal(arithmetic.input, model) {
        return Assessment::Refused { gate, model_value, request_value };
    }
    let cost = arithmetic.cost(model);
    if cost > arithmetic.input.budget_limit_microunits {
        return Assessment::OverBudget { cost };
    }
    Assessment::Scored(arithmetic.terms(model, cost))
}

/// An eligible model's cost and utility in microunits.
#[derive(Clone, Copy)]
pub(crate) struct Score {
    pub(crate) cost: u64,
    pub(crate) utility: i64,
}

/// As [`assess`], with no more than a decision needs: the score, or the gate.
#[inline(always)]
pub(crate) fn score(arithmetic: &Arithmetic<'_>, model: &KernelModel) -> Result<Score, Gate> {
    match refusal(arithmetic.input, model) {
        Some((gate, ..)) => Err(gate),
        None => score_economics(arithmetic, model),
    }
}

/// The last two gates: the score of a model that passes all others.
#[inline(always)]
pub(crate) fn score_economics(
    arithmetic: &Arithmetic<'_>,
    model: &KernelModel,
) -> Result<Score, Gate> {
    let cost = arithmetic.cost(model);
    if cost > arithmetic.input.budget_limit_microunits {
        return Err(Gate::Budget);
    }
    match arithmetic.utility(model, cost) {
        utility if utility > 0 => Ok(Score { cost, utility }),
        _ => Err(Gate::Utility),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_counts_are_decided_by_precedence() {
        let risk_or_latency =
            RejectionHistogram { risk_ceiling: 2, latency: 2, ..Default::default() };
        assert_eq!(risk_or_latency.dominant_reason(), KernelReason::LatencyConstraint);
        let quality_or_risk =
            RejectionHistogram { quality: 2, risk_ceiling: 2, ..Default::default() };
        assert_eq!(quality_or_risk.dominant_reason(), KernelReason::RiskCeilingConstraint);
    }
}
