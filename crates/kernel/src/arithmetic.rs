//! Cost and utility, exactly.

use crate::{BASIS_POINTS, KernelInput, KernelModel, PolicyParams, TOKENS_PER_PRICE};

/// Both bps factors of a product at once.
const BPS_SQUARED: u128 = (BASIS_POINTS as u128) * (BASIS_POINTS as u128);

/// The terms of one model's utility for one request, in microunits.
///
/// `utility = quality_adjusted − risk_penalty − cost − latency_penalty`, clamped to the `i64` range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct UtilityTerms {
    /// `floor(value × confidence_bps × quality_bps / 10^8)`.
    pub quality_adjusted_microunits: u128,
    /// `floor(value × risk_bps × risk_penalty_multiplier_bps / 10^8)`.
    pub risk_penalty_microunits: u128,
    /// Input and output cost, each rounded up.
    pub cost_microunits: u64,
    /// `p95_latency_ms × latency_penalty_microunits_per_ms`.
    pub latency_penalty_microunits: u128,
    /// What is left.
    pub utility_microunits: i64,
}

/// `ceil(input tokens × price / 10^6) + ceil(output tokens × price / 10^6)`, saturating.
pub(crate) fn cost(model: &KernelModel, input: &KernelInput) -> u64 {
    let part = |tokens: u32, price: u64| {
        (u128::from(tokens) * u128::from(price)).div_ceil(u128::from(TOKENS_PER_PRICE))
    };
    let total = part(input.input_tokens, model.input_cost_microunits_per_million_tokens)
        + part(input.output_tokens, model.output_cost_microunits_per_million_tokens);
    u64::try_from(total).unwrap_or(u64::MAX)
}

/// The utility of `model` at `cost`. Every intermediate fits: value < 2^63, bps < 2^16, latency < 2^96.
pub(crate) fn utility(
    params: &PolicyParams,
    model: &KernelModel,
    input: &KernelInput,
    cost: u64,
) -> UtilityTerms {
    let value = u128::from(input.business_value_microunits.max(0).unsigned_abs());
    let share = |a: u16, b: u16| value * u128::from(a) * u128::from(b) / BPS_SQUARED;
    let quality_adjusted = share(input.confidence_bps, model.quality_bps);
    let risk_penalty = share(input.risk_bps, params.risk_penalty_multiplier_bps);
    let latency_penalty =
        u128::from(model.p95_latency_ms) * u128::from(params.latency_penalty_microunits_per_ms);
    let losses = risk_penalty + u128::from(cost) + latency_penalty;
    let utility_microunits = if quality_adjusted >= losses {
        i64::try_from(quality_adjusted - losses).unwrap_or(i64::MAX)
    } else {
        i64::try_from(losses - quality_adjusted).map_or(i64::MIN, |loss| -loss)
    };
    UtilityTerms {
        quality_adjusted_microunits: quality_adjusted,
        risk_penalty_microunits: risk_penalty,
        cost_microunits: cost,
        latency_penalty_microunits: latency_penalty,
        utility_microunits,
    }
}
