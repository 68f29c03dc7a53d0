//! The decision and what it records about itself.

use core::fmt;

/// What to do with the request. Discriminants are the digest's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum KernelAction {
    /// Run the requested model.
    ExecuteRequested = 1,
    /// Run another model.
    Substitute = 2,
    /// Run nothing.
    Reject = 3,
}

/// Why. Discriminants are the digest's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u16)]
pub enum KernelReason {
    /// The requested model ranks first.
    RequestedModelMaximizesUtility = 1,
    /// Another model ranks first.
    AlternativeMaximizesUtility = 2,
    /// The request's risk is at or above the policy's hard limit.
    RiskHardLimit = 100,
    /// The request's confidence is below the policy's minimum.
    ConfidenceHardLimit = 101,
    /// No model is enabled.
    NoEnabledModel = 102,
    /// Most models miss the required quality.
    QualityConstraint = 103,
    /// Most models are too slow.
    LatencyConstraint = 104,
    /// Most models lack a required capability.
    CapabilityConstraint = 105,
    /// Most models belong to a provider that is not allowed.
    ProviderConstraint = 106,
    /// Most models run in no required region.
    RegionConstraint = 107,
    /// Most models cost more than the budget.
    BudgetConstraint = 108,
    /// Most models are worth nothing after cost, risk and latency.
    NonPositiveUtility = 109,
    /// Most models may not serve a request of this risk.
    RiskCeilingConstraint = 110,
}

impl KernelAction {
    /// The name in `snake_case`, as [`fmt::Display`] prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ExecuteRequested => "execute_requested",
            Self::Substitute => "substitute",
            Self::Reject => "reject",
        }
    }
}

impl KernelReason {
    /// The name in `snake_case`, as [`fmt::Display`] prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestedModelMaximizesUtility => "requested_model_maximizes_utility",
            Self::AlternativeMaximizesUtility => "alternative_maximizes_utility",
            Self::RiskHardLimit => "risk_hard_limit",
            Self::ConfidenceHardLimit => "confidence_hard_limit",
            Self::NoEnabledModel => "no_enabled_model",
            Self::QualityConstraint => "quality_constraint",
            Self::LatencyConstraint => "latency_constraint",
            Self::CapabilityConstraint => "capability_constraint",
            Self::ProviderConstraint => "provider_constraint",
            Self::RegionConstraint => "region_constraint",
            Self::BudgetConstraint => "budget_constraint",
            Self::NonPositiveUtility => "non_positive_utility",
            Self::RiskCeilingConstraint => "risk_ceiling_constraint",
        }
    }
}

impl fmt::Display for KernelAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for KernelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The decision for one request under one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct KernelDecision {
    /// Echo of the request's sequence.
    pub request_sequence: u64,
    /// What to do.
    pub action: KernelAction,
    /// Why.
    pub reason: KernelReason,
    /// The selected model, 0 on a rejection.
    pub selected_model_id: u32,
    /// Its position in the snapshot's catalog, 65,535 on a rejection.
    pub selected_model_index: u16,
    /// Its cost in microunits, 0 on a rejection.
    pub estimated_cost_microunits: u64,
    /// Its utility in microunits, 0 on a rejection.
    pub expected_utility_microunits: i64,
    /// The runner-up, 0 where there is none.
    pub counterfactual_model_id: u32,
    /// The runner-up's utility in microunits, 0 where there is none.
    pub counterfactual_utility_microunits: i64,
    /// Catalog size, saturating at 65,535; 0 on a request-level refusal.
    pub evaluated_models: u16,
    /// Models that passed every gate, saturating at 65,535.
    pub eligible_models: u16,
    /// The policy's epoch.
    pub policy_epoch: u64,
    /// The catalog's epoch.
    pub catalog_epoch: u64,
}

impl KernelDecision {
    /// Whether a model was selected, requested or not.
    #[must_use]
    pub const fn is_executable(&self) -> bool {
        !self.is_rejected()
    }

    /// Whether the requested model was selected.
    #[must_use]
    pub const fn is_requested_execution(&self) -> bool {
        matches!(self.action, KernelAction::ExecuteRequested)
    }

    /// Whether another model than the requested one was selected.
    #[must_use]
    pub const fn is_substitution(&self) -> bool {
        matches!(self.action, KernelAction::Substitute)
    }

    /// Whether nothing was selected.
    #[must_use]
    pub const fn is_rejected(&self) -> bool {
        matches!(self.action, KernelAction::Reject)
    }
}

/// How many models each gate refused; every model counts once, under the first gate it fails.
/// Counts saturate at 65,535.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct RejectionHistogram {
    /// Not enabled.
    pub disabled: u16,
    /// Below the required quality.
    pub quality: u16,
    /// Request riskier than the model's ceiling.
    pub risk_ceiling: u16,
    /// Slower than allowed.
    pub latency: u16,
    /// A required capability missing.
    pub capability: u16,
    /// Provider not allowed.
    pub provider: u16,
    /// No required region served.
    pub region: u16,
    /// Costs more than the budget.
    pub budget: u16,
    /// Utility of 0 or less.
    pub utility: u16,
}

/// What happened on the way to a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct DecisionTrace {
    /// Refusals by gate; all 0 on a request-level refusal.
    pub rejections: RejectionHistogram,
    /// As in the decision.
    pub evaluated_models: u16,
    /// As in the decision.
    pub eligible_models: u16,
}
