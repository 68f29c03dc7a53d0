//! The owned policy: validated once, digested at the first need, cloned cheaply.

mod kept;

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic;

use crate::decide::Answer;
use crate::digest::borrowed_policy_digest;
use crate::fast::Fast;
use crate::policy::{validate_models, validate_params};
use crate::{
    Decided, DecisionTrace, Explanation, InputError, KernelDecision, KernelInput, KernelModel,
    Policy, PolicyError, PolicyParams,
};
use kept::Kept;

/// An immutable policy and its digest. Cloning shares the catalog.
///
/// ```
/// use calybris_kernel::PolicySnapshot;
/// # use calybris_kernel::{KernelInput, KernelModel};
/// # let model = KernelModel { model_id: 7, provider_id: 0, quality_bps: 9_000, risk_ceiling_bps: 9_000,
/// #     enabled: 1, p95_latency_ms: 100, capabilities: 0, region_mask: 1,
/// #     input_cost_microunits_per_million_tokens: 0, output_cost_microunits_per_million_tokens: 0 };
/// # let input = KernelInput { request_sequence: 1, requested_model_id: 7, input_tokens: 0, output_tokens: 0,
/// #     business_value_microunits: 100, budget_limit_microunits: 0, risk_bps: 0, confidence_bps: 10_000,
/// #     minimum_quality_bps: 0, max_p95_latency_ms: 0, required_capabilities: 0,
/// #     allowed_provider_mask: u64::MAX, required_region_mask: 0 };
/// // Quality 90 %, no price; the request is worth 100 microunits.
/// let policy = PolicySnapshot::try_new(1, 1, 9_600, 0, 0, 0, vec![model])?;
/// let decision = policy.prescribe(input);
/// assert_eq!((decision.selected_model_id, decision.expected_utility_microunits), (7, 90));
/// assert_eq!(policy.prescribe_batch(&[input, input]), [decision, decision]);
/// assert_eq!(policy.utility_for_model(input, 7), Some(90));
///
/// // Why nothing was selected: how many models each gate refused, or model by model.
/// let needs_more = KernelInput { required_capabilities: 0b1, ..input };
/// let (rejection, trace) = policy.prescribe_with_trace(needs_more);
/// assert!(rejection.is_rejected());
/// assert_eq!((trace.eligible_models, trace.rejections.capability), (0, 1));
/// assert_eq!(policy.explain(needs_more).candidates.len(), 1);
///
/// let error = policy.prescribe_checked(KernelInput { risk_bps: 10_001, ..input }).unwrap_err();
/// assert_eq!(error.to_string(), "request risk_bps is 10001, at most 10000 is allowed");
/// let twice = PolicySnapshot::try_new(1, 1, 9_600, 0, 0, 0, vec![model, model]);
/// assert!(twice.is_err(), "two models have one id");
/// # Ok::<(), calybris_kernel::PolicyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PolicySnapshot {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    params: PolicyParams,
    models: Vec<KernelModel>,
    digest: Kept,
    fast: Fast,
}

impl Shared {
    #[inline(always)]
    fn decide<A: Answer>(&self, input: &KernelInput) -> A {
        self.fast.decide(&self.params, &self.models, input)
    }
}

impl PolicySnapshot {
    /// A checked policy; the catalog is stored sorted by `model_id`.
    ///
    /// # Errors
    /// [`PolicyError`] names the first field, model and bound that is broken.
    pub fn try_new(
        policy_epoch: u64,
        catalog_epoch: u64,
        hard_risk_limit_bps: u16,
        minimum_confidence_bps: u16,
        risk_penalty_multiplier_bps: u16,
        latency_penalty_microunits_per_ms: u64,
        models: Vec<KernelModel>,
    ) -> Result<Self, PolicyError> {
        let params = PolicyParams {
            policy_epoch,
            catalog_epoch,
            hard_risk_limit_bps,
            minimum_confidence_bps,
            risk_penalty_multiplier_bps,
            latency_penalty_microunits_per_ms,
        };
        Self::try_from_params(params, models)
    }

    /// As [`PolicySnapshot::try_new`], with the numbers named.
    ///
    /// # Errors
    /// As [`PolicySnapshot::try_new`].
    pub fn try_from_params(
        params: PolicyParams,
        models: Vec<KernelModel>,
    ) -> Result<Self, PolicyError> {
        validate_params(&params)?;
        validate_models(&models)?;
        Ok(Self::share(params, sorted(models)?, Kept::empty()))
    }

    /// A policy as given, in the given order, unchecked: for tests, fuzzing and foreign artifacts.
    #[must_use]
    pub fn new_unchecked(
        policy_epoch: u64,
        catalog_epoch: u64,
        hard_risk_limit_bps: u16,
        minimum_confidence_bps: u16,
        risk_penalty_multiplier_bps: u16,
        latency_penalty_microunits_per_ms: u64,
        models: Vec<KernelModel>,
    ) -> Self {
        let params = PolicyParams {
            policy_epoch,
            catalog_epoch,
            hard_risk_limit_bps,
            minimum_confidence_bps,
            risk_penalty_multiplier_bps,
            latency_penalty_microunits_per_ms,
        };
        Self::unchecked(params, models)
    }

    fn unchecked(params: PolicyParams, models: Vec<KernelModel>) -> Self {
        let digest = Kept::empty();
        if !models.is_sorted_by_key(|model| model.model_id) {
            // Takes memory, which a decision may not.
            let mut sorted = models.clone();
            sorted.sort_by_key(|model| model.model_id);
            digest.get_or(|| borrowed_policy_digest(&Policy::new_unchecked(params, &sorted)));
        }
        Self::share(params, models, digest)
    }

    fn share(params: PolicyParams, models: Vec<KernelModel>, digest: Kept) -> Self {
        let fast = Fast::new(&params, &models);
        Self { shared: Arc::new(Shared { params, models, digest, fast }) }
    }

    /// Checks every bound; a snapshot from [`PolicySnapshot::try_new`] always passes.
    ///
    /// # Errors
    /// The errors of [`PolicySnapshot::try_new`].
    pub fn validate(&self) -> Result<(), PolicyError> {
        validate_params(self.params())?;
        validate_models(self.models())?;
        sorted(self.models().to_vec()).map(drop)
    }

    /// The same policy over the borrowed catalog.
    #[must_use]
    pub fn as_policy(&self) -> Policy<'_> {
        Policy::new_unchecked(self.shared.params, &self.shared.models)
    }

    /// The numbers that are not about one model.
    #[must_use]
    pub fn params(&self) -> &PolicyParams {
        &self.shared.params
    }

    /// The catalog, in the order `selected_model_index` counts.
    #[must_use]
    pub fn models(&self) -> &[KernelModel] {
        &self.shared.models
    }

    /// The canonical digest. The first call computes it, in time linear in the catalog; it is kept for all others and
    /// for all clones. To pay when the snapshot is built rather than at the first decision that is evidence, call it then.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.shared.digest.get_or(|| borrowed_policy_digest(&self.as_policy()))
    }

    /// Counts the policy's revisions.
    #[must_use]
    pub fn policy_epoch(&self) -> u64 {
        self.params().policy_epoch
    }

    /// Counts the catalog's revisions.
    #[must_use]
    pub fn catalog_epoch(&self) -> u64 {
        self.params().catalog_epoch
    }

    /// A request at or above this risk is refused outright, in basis points.
    #[must_use]
    pub fn hard_risk_limit_bps(&self) -> u16 {
        self.params().hard_risk_limit_bps
    }

    /// A request below this confidence is refused outright, in basis points.
    #[must_use]
    pub fn minimum_confidence_bps(&self) -> u16 {
        self.params().minimum_confidence_bps
    }

    /// Share of the value at risk that is charged, in basis points.
    #[must_use]
    pub fn risk_penalty_multiplier_bps(&self) -> u16 {
        self.params().risk_penalty_multiplier_bps
    }

    /// What a millisecond of latency costs, in microunits.
    #[must_use]
    pub fn latency_penalty_microunits_per_ms(&self) -> u64 {
        self.params().latency_penalty_microunits_per_ms
    }

    /// Decides a request. Never fails, whatever the numbers.
    #[must_use]
    pub fn prescribe(&self, input: KernelInput) -> KernelDecision {
        self.shared.decide(&input)
    }

    /// Validates a request, then decides it.
    ///
    /// # Errors
    /// [`InputError`] when a basis-point field is above 10,000.
    pub fn prescribe_checked(&self, input: KernelInput) -> Result<KernelDecision, InputError> {
        input.validate()?;
        Ok(self.prescribe(input))
    }

    /// As [`PolicySnapshot::prescribe`], keeping with the decision what it was decided from: evidence of it, such as
    /// an entry of a log, needs no second decision.
    #[must_use]
    pub fn decide(&self, input: KernelInput) -> Decided {
        Decided::new(self.digest(), input, self.prescribe(input))
    }

    /// Validates a request, then decides it as [`PolicySnapshot::decide`] does.
    ///
    /// # Errors
    /// [`InputError`] when a basis-point field is above 10,000.
    pub fn decide_checked(&self, input: KernelInput) -> Result<Decided, InputError> {
        input.validate()?;
        Ok(self.decide(input))
    }

    /// Decides many requests, in order.
    #[must_use]
    pub fn prescribe_batch(&self, inputs: &[KernelInput]) -> Vec<KernelDecision> {
        let [first, rest @ ..] = inputs else { return Vec::new() };
        // The first decision also fills the places of the others until they are decided.
        let mut decisions = vec![self.prescribe(*first); inputs.len()];
        if let [_, places @ ..] = decisions.as_mut_slice() {
            self.prescribe_batch_into(rest, places);
        }
        decisions
    }

    /// Decides as many requests as both slices hold, without allocating; returns how many.
    pub fn prescribe_batch_into(
        &self,
        inputs: &[KernelInput],
        decisions: &mut [KernelDecision],
    ) -> usize {
        let Shared { params, models, fast, .. } = &*self.shared;
        fast.decide_each(params, models, inputs, decisions);
        inputs.len().min(decisions.len())
    }

    /// Decides a request and counts what refused the models.
    #[must_use]
    pub fn prescribe_with_trace(&self, input: KernelInput) -> (KernelDecision, DecisionTrace) {
        self.shared.decide(&input)
    }

    /// Says for every model why it was refused or what it scored.
    #[must_use]
    pub fn explain(&self, input: KernelInput) -> Explanation {
        crate::explain::explain(&self.as_policy(), &input)
    }

    /// The utility of `model_id` in microunits if it passes every rule, else none.
    #[must_use]
    pub fn utility_for_model(&self, input: KernelInput, model_id: u32) -> Option<i64> {
        self.as_policy().utility_for_model(input, model_id)
    }
}

/// The owned form of a policy, as it is and in its order; unchecked if the borrowed one is.
impl From<Policy<'_>> for PolicySnapshot {
    fn from(policy: Policy<'_>) -> Self {
        Self::unchecked(*policy.params(), policy.models().to_vec())
    }
}

impl PartialEq for PolicySnapshot {
    fn eq(&self, other: &Self) -> bool {
        self.params() == other.params() && self.models() == other.models()
    }
}

impl Eq for PolicySnapshot {}

/// The models by id, which must not repeat. Most catalogs come sorted: one look shows both.
fn sorted(mut models: Vec<KernelModel>) -> Result<Vec<KernelModel>, PolicyError> {
    if !models.is_sorted_by(|a, b| a.model_id < b.model_id) {
        models.sort_by_key(|model| model.model_id);
        let repeated = models.windows(2).find_map(|pair| match pair {
            [a, b] if a.model_id == b.model_id => Some(a.model_id),
            _ => None,
        });
        if let Some(model_id) = repeated {
            return Err(PolicyError::DuplicateModelId { model_id });
        }
    }
    Ok(models)
}
