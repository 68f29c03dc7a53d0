//! A catalog row: what one model can do, and what it costs.

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
