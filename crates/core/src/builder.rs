//! Requests, models and policies, with sensible defaults for what is left unsaid.

use calybris_kernel::{
    ALL_PROVIDERS, ALL_REGIONS, KernelInput, KernelModel, MAX_BPS, PolicyError, PolicySnapshot,
};

use crate::config::{ConfigError, EngineConfig};

/// Builds a request. Unsaid: no tokens, no value, no budget limit, risk 0, full confidence, no constraint.
///
/// ```
/// use calybris_core::builder::InputBuilder;
///
/// let input = InputBuilder::new(1, 7).tokens(1_200, 300).business_value(50_000).build();
/// assert_eq!(input.budget_limit_microunits, u64::MAX);
/// assert!(input.validate().is_ok());
///
/// let error = InputBuilder::new(1, 7).risk(10_001, 9_000).build().validate().unwrap_err();
/// assert_eq!(error.to_string(), "request risk_bps is 10001, at most 10000 is allowed");
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct InputBuilder(KernelInput);

impl InputBuilder {
    /// Starts a request for one model.
    pub const fn new(request_sequence: u64, requested_model_id: u32) -> Self {
        Self(KernelInput {
            request_sequence,
            requested_model_id,
            input_tokens: 0,
            output_tokens: 0,
            business_value_microunits: 0,
            budget_limit_microunits: u64::MAX,
            risk_bps: 0,
            confidence_bps: MAX_BPS,
            minimum_quality_bps: 0,
            max_p95_latency_ms: 0,
            required_capabilities: 0,
            allowed_provider_mask: ALL_PROVIDERS,
            required_region_mask: 0,
        })
    }

    /// Prompt tokens and expected completion tokens.
    pub const fn tokens(mut self, input: u32, output: u32) -> Self {
        self.0.input_tokens = input;
        self.0.output_tokens = output;
        self
    }

    /// What a perfect answer is worth, in microunits.
    pub const fn business_value(mut self, microunits: i64) -> Self {
        self.0.business_value_microunits = microunits;
        self
    }

    /// The most the request may cost, in microunits.
    pub const fn budget_limit(mut self, microunits: u64) -> Self {
        self.0.budget_limit_microunits = microunits;
        self
    }

    /// Risk of the request and confidence in its classification, in basis points.
    pub const fn risk(mut self, risk_bps: u16, confidence_bps: u16) -> Self {
        self.0.risk_bps = risk_bps;
        self.0.confidence_bps = confidence_bps;
        self
    }

    /// The lowest acceptable quality, in basis points.
    pub const fn minimum_quality(mut self, bps: u16) -> Self {
        self.0.minimum_quality_bps = bps;
        self
    }

    /// The highest acceptable 95th percentile latency in milliseconds; 0 is no limit.
    pub const fn max_latency(mut self, p95_ms: u32) -> Self {
        self.0.max_p95_latency_ms = p95_ms;
        self
    }

    /// Capability bits that must all be offered.
    pub const fn capabilities(mut self, required: u64) -> Self {
        self.0.required_capabilities = required;
        self
    }

    /// Providers that may serve the request, one bit each.
    pub const fn providers(mut self, allowed_mask: u64) -> Self {
        self.0.allowed_provider_mask = allowed_mask;
        self
    }

    /// Regions of which at least one must be served; 0 is no constraint.
    pub const fn regions(mut self, required_mask: u64) -> Self {
        self.0.required_region_mask = required_mask;
        self
    }

    /// The request, unchecked: [`KernelInput::validate`] and `prescribe_checked` check it.
    #[must_use]
    pub const fn build(self) -> KernelInput {
        self.0
    }
}

/// Builds a model. Unsaid: quality 8,000, risk ceiling 9,500, enabled, 200 ms, no capability, all regions, free.
///
/// ```
/// use calybris_core::builder::ModelBuilder;
///
/// // $2.50 and $10.00 per million tokens, in USD microunits.
/// let model = ModelBuilder::new(7, 0).quality(8_700).cost(2_500_000, 10_000_000).build();
/// assert_eq!(model.enabled, 1);
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct ModelBuilder(KernelModel);

impl ModelBuilder {
    /// Starts a model of a provider.
    pub const fn new(model_id: u32, provider_id: u16) -> Self {
        Self(KernelModel {
            model_id,
            provider_id,
            quality_bps: 8_000,
            risk_ceiling_bps: 9_500,
            enabled: 1,
            p95_latency_ms: 200,
            capabilities: 0,
            region_mask: ALL_REGIONS,
            input_cost_microunits_per_million_tokens: 0,
            output_cost_microunits_per_million_tokens: 0,
        })
    }

    /// Expected quality, in basis points.
    pub const fn quality(mut self, bps: u16) -> Self {
        self.0.quality_bps = bps;
        self
    }

    /// The highest request risk the model may serve, in basis points.
    pub const fn risk_ceiling(mut self, bps: u16) -> Self {
        self.0.risk_ceiling_bps = bps;
        self
    }

    /// Whether the model may be selected.
    pub const fn enabled(mut self, enabled: bool) -> Self {
        self.0.enabled = enabled as u8;
        self
    }

    /// 95th percentile latency in milliseconds.
    pub const fn latency(mut self, p95_ms: u32) -> Self {
        self.0.p95_latency_ms = p95_ms;
        self
    }

    /// Capability bits offered.
    pub const fn capabilities(mut self, offered: u64) -> Self {
        self.0.capabilities = offered;
        self
    }

    /// Regions served, one bit each.
    pub const fn regions(mut self, mask: u64) -> Self {
        self.0.region_mask = mask;
        self
    }

    /// Prices of a million input and a million output tokens, in microunits.
    pub const fn cost(mut self, input_per_million: u64, output_per_million: u64) -> Self {
        self.0.input_cost_microunits_per_million_tokens = input_per_million;
        self.0.output_cost_microunits_per_million_tokens = output_per_million;
        self
    }

    /// The model, unchecked: building a policy checks it.
    #[must_use]
    pub const fn build(self) -> KernelModel {
        self.0
    }
}

/// Why a policy could not be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The configuration is out of bounds.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// More models than the configuration allows.
    #[error("catalog has {count} models, max_catalog_size allows {max}")]
    CatalogTooLarge {
        /// Models given.
        count: usize,
        /// Models allowed.
        max: usize,
    },
    /// The policy itself is refused.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// Builds a checked policy from a configuration and models.
///
/// ```
/// use calybris_core::builder::{ModelBuilder, PolicyBuilder};
/// use calybris_core::config::EngineConfig;
///
/// let model = ModelBuilder::new(1, 0).build();
/// let policy = PolicyBuilder::new(EngineConfig::new()).epochs(3, 8).model(model).build()?;
/// assert_eq!((policy.policy_epoch(), policy.models().len()), (3, 1));
///
/// let twice = PolicyBuilder::new(EngineConfig::new()).models([model, model]).build();
/// assert_eq!(twice.unwrap_err().to_string(), "model_id 1 appears more than once");
/// # Ok::<(), calybris_core::builder::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct PolicyBuilder {
    config: EngineConfig,
    policy_epoch: u64,
    catalog_epoch: u64,
    models: Vec<KernelModel>,
}

impl PolicyBuilder {
    /// Starts a policy without models, both epochs 1.
    pub const fn new(config: EngineConfig) -> Self {
        Self { config, policy_epoch: 1, catalog_epoch: 1, models: Vec::new() }
    }

    /// The revisions of the policy and of its catalog.
    pub const fn epochs(mut self, policy_epoch: u64, catalog_epoch: u64) -> Self {
        self.policy_epoch = policy_epoch;
        self.catalog_epoch = catalog_epoch;
        self
    }

    /// Adds a model.
    pub fn model(mut self, model: KernelModel) -> Self {
        self.models.push(model);
        self
    }

    /// Adds models.
    pub fn models(mut self, models: impl IntoIterator<Item = KernelModel>) -> Self {
        self.models.extend(models);
        self
    }

    /// The policy, checked.
    ///
    /// # Errors
    /// [`BuildError`]: a setting out of bounds, too many models, or what [`PolicySnapshot::try_new`] refuses.
    pub fn build(self) -> Result<PolicySnapshot, BuildError> {
        self.config.validate()?;
        let (count, max) = (self.models.len(), self.config.max_catalog_size);
        if count > max {
            return Err(BuildError::CatalogTooLarge { count, max });
        }
        let params = self.config.policy_params(self.policy_epoch, self.catalog_epoch);
        Ok(PolicySnapshot::try_from_params(params, self.models)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_takes_every_setting_of_its_configuration() {
        let config = EngineConfig::new()
            .latency_penalty(5)
            .hard_risk_limit(9_000)
            .minimum_confidence(6_000)
            .risk_penalty_multiplier(4_000);
        let model = ModelBuilder::new(1, 2).build();
        let built = PolicyBuilder::new(config).epochs(3, 4).model(model).build().unwrap();
        let direct = PolicySnapshot::try_new(3, 4, 9_000, 6_000, 4_000, 5, vec![model]).unwrap();
        assert_eq!(built, direct);
    }

    #[test]
    fn the_catalog_bound_of_the_configuration_holds() {
        let config = EngineConfig::new().max_catalog_size(2);
        let models = |count| (1..=count).map(|id| ModelBuilder::new(id, 0).build());
        assert!(PolicyBuilder::new(config).models(models(2)).build().is_ok());
        let error = PolicyBuilder::new(config).models(models(3)).build().unwrap_err();
        assert_eq!(error, BuildError::CatalogTooLarge { count: 3, max: 2 });
    }

    #[test]
    fn an_invalid_configuration_builds_nothing() {
        let config = EngineConfig::new().max_catalog_size(0);
        let error = PolicyBuilder::new(config).build().unwrap_err();
        assert!(matches!(error, BuildError::Config(_)), "{error}");
    }

    #[test]
    fn disabled_models_are_built_disabled() {
        assert_eq!(ModelBuilder::new(1, 0).enabled(false).build().enabled, 0);
    }
}
