//! A policy over a borrowed catalog: everything the kernel does, without an allocator.

use crate::arithmetic::Arithmetic;
use crate::decide::{decide, request_refusal};
use crate::gate::{Assessment, assess};
use crate::{
    DecisionTrace, InputError, KernelDecision, KernelInput, KernelModel, MAX_BPS,
    MAX_CATALOG_MODELS, MAX_PROVIDER_ID, MAX_RISK_PENALTY_MULTIPLIER_BPS, PolicyError,
};

/// The numbers of a policy that are not about one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct PolicyParams {
    /// Counts the policy's revisions.
    pub policy_epoch: u64,
    /// Counts the catalog's revisions.
    pub catalog_epoch: u64,
    /// A request at or above this risk is refused outright, in basis points.
    pub hard_risk_limit_bps: u16,
    /// A request below this confidence is refused outright, in basis points.
    pub minimum_confidence_bps: u16,
    /// Share of the value at risk that is charged, in basis points; at most 50,000.
    pub risk_penalty_multiplier_bps: u16,
    /// What a millisecond of latency costs, in microunits.
    pub latency_penalty_microunits_per_ms: u64,
}

/// A policy that borrows its catalog, for targets without an allocator.
///
/// It decides exactly as the owned snapshot does.
///
/// ```
/// use calybris_kernel::Policy;
/// # use calybris_kernel::{KernelInput, KernelModel, PolicyParams};
/// # let model = KernelModel { model_id: 7, provider_id: 0, quality_bps: 9_000, risk_ceiling_bps: 9_000,
/// #     enabled: 1, p95_latency_ms: 100, capabilities: 0, region_mask: 1,
/// #     input_cost_microunits_per_million_tokens: 0, output_cost_microunits_per_million_tokens: 0 };
/// # let input = KernelInput { request_sequence: 1, requested_model_id: 7, input_tokens: 0, output_tokens: 0,
/// #     business_value_microunits: 100, budget_limit_microunits: 0, risk_bps: 0, confidence_bps: 10_000,
/// #     minimum_quality_bps: 0, max_p95_latency_ms: 0, required_capabilities: 0,
/// #     allowed_provider_mask: u64::MAX, required_region_mask: 0 };
/// let params = PolicyParams {
///     policy_epoch: 1,
///     catalog_epoch: 1,
///     hard_risk_limit_bps: 9_600,
///     minimum_confidence_bps: 0,
///     risk_penalty_multiplier_bps: 0,
///     latency_penalty_microunits_per_ms: 0,
/// };
/// let catalog = [model];
/// let policy = Policy::try_new(params, &catalog)?;
/// assert_eq!(policy.prescribe(input).selected_model_id, 7);
///
/// let disabled = [KernelModel { enabled: 0, ..model }];
/// assert!(Policy::try_new(params, &disabled).is_err(), "no model is enabled");
/// # Ok::<(), calybris_kernel::PolicyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy<'a> {
    params: PolicyParams,
    models: &'a [KernelModel],
}

impl<'a> Policy<'a> {
    /// A checked policy over `models`, which must ascend by `model_id`.
    ///
    /// # Errors
    /// [`PolicyError`] names the first field, model and bound that is broken.
    pub fn try_new(params: PolicyParams, models: &'a [KernelModel]) -> Result<Self, PolicyError> {
        let policy = Self::new_unchecked(params, models);
        policy.validate()?;
        for (index, pair) in models.windows(2).enumerate() {
            if let [before, after] = pair
                && after.model_id <= before.model_id
            {
                return Err(PolicyError::UnsortedCatalog {
                    index: index + 1,
                    model_id: after.model_id,
                });
            }
        }
        Ok(policy)
    }

    /// A policy as given, in the given order, unchecked: for replaying foreign artifacts and for tests.
    #[must_use]
    pub const fn new_unchecked(params: PolicyParams, models: &'a [KernelModel]) -> Self {
        Self { params, models }
    }

    /// Checks every bound. Finding a repeated id in an unsorted catalog takes quadratic time here.
    ///
    /// # Errors
    /// The errors of [`Policy::try_new`], order aside.
    pub fn validate(&self) -> Result<(), PolicyError> {
        validate_params(&self.params)?;
        validate_models(self.models)?;
        match first_repeated_id(self.models) {
            Some(model_id) => Err(PolicyError::DuplicateModelId { model_id }),
            None => Ok(()),
        }
    }

    /// The numbers that are not about one model.
    #[must_use]
    pub const fn params(&self) -> &PolicyParams {
        &self.params
    }

    /// The catalog.
    #[must_use]
    pub const fn models(&self) -> &'a [KernelModel] {
        self.models
    }

    /// Decides a request. Never fails, whatever the numbers.
    #[must_use]
    pub fn prescribe(&self, input: KernelInput) -> KernelDecision {
        decide(self, &input)
    }

    /// Validates a request, then decides it.
    ///
    /// # Errors
    /// [`InputError`] when a basis-point field is above 10,000.
    pub fn prescribe_checked(&self, input: KernelInput) -> Result<KernelDecision, InputError> {
        input.validate()?;
        Ok(self.prescribe(input))
    }

    /// Decides a request and counts what refused the models.
    #[must_use]
    pub fn prescribe_with_trace(&self, input: KernelInput) -> (KernelDecision, DecisionTrace) {
        decide(self, &input)
    }

    /// The utility of `model_id` in microunits if it passes every rule, else none.
    #[must_use]
    pub fn utility_for_model(&self, input: KernelInput, model_id: u32) -> Option<i64> {
        if request_refusal(&self.params, &input).is_some() {
            return None;
        }
        let model = self.models.iter().find(|model| model.model_id == model_id)?;
        match assess(&Arithmetic::new(&self.params, &input), model) {
            Assessment::Scored(terms) if terms.utility_microunits > 0 => {
                Some(terms.utility_microunits)
            }
            _ => None,
        }
    }
}

pub(crate) fn validate_params(params: &PolicyParams) -> Result<(), PolicyError> {
    let fields = [
        ("hard_risk_limit_bps", params.hard_risk_limit_bps, MAX_BPS),
        ("minimum_confidence_bps", params.minimum_confidence_bps, MAX_BPS),
        (
            "risk_penalty_multiplier_bps",
            params.risk_penalty_multiplier_bps,
            MAX_RISK_PENALTY_MULTIPLIER_BPS,
        ),
    ];
    match fields.into_iter().find(|(_, value, max)| value > max) {
        Some((field, value, max)) => Err(PolicyError::ParamOutOfRange { field, value, max }),
        None => Ok(()),
    }
}

/// Every rule about models but the uniqueness of their ids.
pub(crate) fn validate_models(models: &[KernelModel]) -> Result<(), PolicyError> {
    let count = models.len();
    if count == 0 {
        return Err(PolicyError::EmptyCatalog);
    }
    if count > MAX_CATALOG_MODELS {
        return Err(PolicyError::TooManyModels { count, max: MAX_CATALOG_MODELS });
    }
    for (index, model) in models.iter().enumerate() {
        if model.model_id == 0 {
            return Err(PolicyError::ReservedModelId { index });
        }
        let fields = [
            ("provider_id", model.provider_id, MAX_PROVIDER_ID),
            ("enabled", u16::from(model.enabled), 1),
            ("quality_bps", model.quality_bps, MAX_BPS),
            ("risk_ceiling_bps", model.risk_ceiling_bps, MAX_BPS),
        ];
        if let Some((field, value, max)) = fields.into_iter().find(|(_, value, max)| value > max) {
            let model_id = model.model_id;
            return Err(PolicyError::ModelFieldOutOfRange { model_id, field, value, max });
        }
    }
    if models.iter().all(|model| model.enabled == 0) {
        return Err(PolicyError::NoEnabledModel { count });
    }
    Ok(())
}

fn first_repeated_id(models: &[KernelModel]) -> Option<u32> {
    if models.is_sorted_by(|a, b| a.model_id < b.model_id) {
        return None;
    }
    let repeats = |(index, model): (usize, &KernelModel)| {
        let earlier = models.iter().take(index).any(|other| other.model_id == model.model_id);
        earlier.then_some(model.model_id)
    };
    models.iter().enumerate().find_map(repeats)
}
