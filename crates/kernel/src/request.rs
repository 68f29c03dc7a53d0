//! A request: what is asked for and what it may cost.

use crate::{InputError, MAX_BPS};

/// One request to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct KernelInput {
    /// The caller's sequence number, echoed by the decision.
    pub request_sequence: u64,
    /// The model the caller would have used.
    pub requested_model_id: u32,
    /// Prompt tokens.
    pub input_tokens: u32,
    /// Completion tokens, expected or bounded.
    pub output_tokens: u32,
    /// What a perfect answer is worth, in microunits; negative counts as 0.
    pub business_value_microunits: i64,
    /// The most this request may cost, in microunits.
    pub budget_limit_microunits: u64,
    /// Risk of the request, in basis points.
    pub risk_bps: u16,
    /// Confidence in the request's classification, in basis points.
    pub confidence_bps: u16,
    /// The lowest acceptable quality, in basis points.
    pub minimum_quality_bps: u16,
    /// The highest acceptable 95th percentile latency in milliseconds; 0 is no limit.
    pub max_p95_latency_ms: u32,
    /// Capability bits that must all be offered.
    pub required_capabilities: u64,
    /// Providers that may serve the request, one bit each; all ones is no constraint.
    pub allowed_provider_mask: u64,
    /// Regions of which at least one must be served; 0 is no constraint.
    pub required_region_mask: u64,
}

impl KernelInput {
    /// Checks that the basis-point fields are at most [`MAX_BPS`].
    ///
    /// # Errors
    /// [`InputError`] names the first field out of range, its value and the bound.
    pub fn validate(&self) -> Result<(), InputError> {
        let fields = [
            ("risk_bps", self.risk_bps),
            ("confidence_bps", self.confidence_bps),
            ("minimum_quality_bps", self.minimum_quality_bps),
        ];
        match fields.into_iter().find(|(_, value)| *value > MAX_BPS) {
            Some((field, value)) => Err(InputError::BpsOutOfRange { field, value, max: MAX_BPS }),
            None => Ok(()),
        }
    }
}
