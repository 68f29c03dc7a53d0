//! The decision and what it records about itself.

use core::fmt;

/// An enum whose variants have a code in the digest and a name in text: each is listed here and nowhere else.
macro_rules! named {
    (
        $(#[$doc:meta])*
        $type:ident: $code:ident {
            $($(#[$about:meta])* $variant:ident = $number:literal $name:literal,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[repr($code)]
        pub enum $type {
            $($(#[$about])* $variant = $number,)+
        }

        impl $type {
            /// Every variant, in the order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in `snake_case`, as [`fmt::Display`] prints it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The name of the variant, as serialization has it.
            #[must_use]
            pub const fn variant_name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

named! {
    /// What to do with the request. Discriminants are the digest's bytes.
    KernelAction: u8 {
        /// Run the requested model.
        ExecuteRequested = 1 "execute_requested",
        /// Run another model.
        Substitute = 2 "substitute",
        /// Run nothing.
        Reject = 3 "reject",
    }
}

named! {
    /// Why. Discriminants are the digest's bytes.
    KernelReason: u16 {
        /// The requested model ranks first.
        RequestedModelMaximizesUtility = 1 "requested_model_maximizes_utility",
        /// Another model ranks first.
        AlternativeMaximizesUtility = 2 "alternative_maximizes_utility",
        /// The request's risk is at or above the policy's hard limit.
        RiskHardLimit = 100 "risk_hard_limit",
        /// The request's confidence is below the policy's minimum.
        ConfidenceHardLimit = 101 "confidence_hard_limit",
        /// No model is enabled.
        NoEnabledModel = 102 "no_enabled_model",
        /// Most models miss the required quality.
        QualityConstraint = 103 "quality_constraint",
        /// Most models are too slow.
        LatencyConstraint = 104 "latency_constraint",
        /// Most models lack a required capability.
        CapabilityConstraint = 105 "capability_constraint",
        /// Most models belong to a provider that is not allowed.
        ProviderConstraint = 106 "provider_constraint",
        /// Most models run in no required region.
        RegionConstraint = 107 "region_constraint",
        /// Most models cost more than the budget.
        BudgetConstraint = 108 "budget_constraint",
        /// Most models are worth nothing after cost, risk and latency.
        NonPositiveUtility = 109 "non_positive_utility",
        /// Most models may not serve a request of this risk.
        RiskCeilingConstraint = 110 "risk_ceiling_constraint",
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
