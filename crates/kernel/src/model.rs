//! A catalog row: what one model can do, and what it costs.

use crate::arithmetic::token_cost;

/// One candidate of a policy's catalog.
///
/// Any bit pattern decides without a panic; [`crate::Policy::try_new`] says which values make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct KernelModel {
    /// The model's identity; 0 is reserved for "no model".
    pub model_id: u32,
    /// The provider's bit in `allowed_provider_mask`, 0 to 63.
    pub provider_id: u16,
    /// Expected quality in basis points.
    pub quality_bps: u16,
    /// The highest request risk the model may serve, in basis points.
    pub risk_ceiling_bps: u16,
    /// 1 when the model may be selected, 0 when not.
    pub enabled: u8,
    /// 95th percentile latency in milliseconds.
    pub p95_latency_ms: u32,
    /// Capability bits the model offers.
    pub capabilities: u64,
    /// Regions the model runs in, one bit each.
    pub region_mask: u64,
    /// Price of a million input tokens, in microunits.
    pub input_cost_microunits_per_million_tokens: u64,
    /// Price of a million output tokens, in microunits.
    pub output_cost_microunits_per_million_tokens: u64,
}

impl KernelModel {
    /// What these tokens cost, in microunits:
    /// `ceil(input tokens × price / 10^6) + ceil(output tokens × price / 10^6)`, saturating.
    ///
    /// ```
    /// use calybris_kernel::{ALL_REGIONS, KernelModel};
    ///
    /// let model = KernelModel {
    ///     model_id: 1,
    ///     provider_id: 0,
    ///     quality_bps: 9_000,
    ///     risk_ceiling_bps: 9_500,
    ///     enabled: 1,
    ///     p95_latency_ms: 900,
    ///     capabilities: 0,
    ///     region_mask: ALL_REGIONS,
    ///     input_cost_microunits_per_million_tokens: 2_500_000,
    ///     output_cost_microunits_per_million_tokens: 10_000_000,
    /// };
    /// assert_eq!(model.cost_microunits(1_000, 100), 2_500 + 1_000);
    /// assert_eq!(model.cost_microunits(1, 0), 3, "2.5 microunits, rounded up");
    /// ```
    #[inline(always)]
    #[must_use]
    pub fn cost_microunits(&self, input_tokens: u32, output_tokens: u32) -> u64 {
        token_cost(input_tokens, self.input_cost_microunits_per_million_tokens).saturating_add(
            token_cost(output_tokens, self.output_cost_microunits_per_million_tokens),
        )
    }
}
