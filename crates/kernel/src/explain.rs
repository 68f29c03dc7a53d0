//! Why: every model's verdict, from the same assessment that decides.

use alloc::vec::Vec;

use crate::arithmetic::Arithmetic;
use crate::decide::{decide, request_refusal, saturate};
use crate::gate::{Assessment, assess};
use crate::{Gate, KernelDecision, KernelInput, Policy, UtilityTerms};

/// A decision and the verdict on every model, in catalog order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Explanation {
    /// What was decided.
    pub decision: KernelDecision,
    /// One verdict a model; empty on a request-level refusal.
    pub candidates: Vec<CandidateExplanation>,
}

/// The verdict on one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct CandidateExplanation {
    /// The model.
    pub model_id: u32,
    /// Its position in the catalog, saturating at 65,535.
    pub model_index: u16,
    /// What became of it.
    pub verdict: CandidateVerdict,
}

/// What became of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case", deny_unknown_fields))]
pub enum CandidateVerdict {
    /// The first gate it failed, and the two numbers that gate compared.
    GateFailed {
        /// The gate.
        gate: Gate,
        /// What the model has.
        model_value: u64,
        /// What the request sets.
        request_value: u64,
    },
    /// It costs more than the budget.
    OverBudget {
        /// Its cost in microunits.
        cost_microunits: u64,
        /// The request's limit in microunits.
        budget_limit_microunits: u64,
    },
    /// It was scored; it is eligible when its utility is positive.
    Scored {
        /// The terms of its utility.
        terms: UtilityTerms,
        /// Whether it was ranked.
        eligible: bool,
    },
}

pub(crate) fn explain(policy: &Policy<'_>, input: &KernelInput) -> Explanation {
    let decision = decide(policy, input);
    let mut candidates = Vec::new();
    if request_refusal(policy.params(), input).is_none() {
        let arithmetic = Arithmetic::new(policy.params(), input);
        let models = policy.models().iter().enumerate();
        candidates.extend(models.map(|(index, model)| CandidateExplanation {
            model_id: model.model_id,
            model_index: saturate(index),
            verdict: verdict(assess(&arithmetic, model), input),
        }));
    }
    Explanation { decision, candidates }
}

fn verdict(assessment: Assessment, input: &KernelInput) -> CandidateVerdict {
    match assessment {
        Assessment::Refused { gate, model_value, request_value } => {
            CandidateVerdict::GateFailed { gate, model_value, request_value }
        }
        Assessment::OverBudget { cost } => CandidateVerdict::OverBudget {
            cost_microunits: cost,
            budget_limit_microunits: input.budget_limit_microunits,
        },
        Assessment::Scored(terms) => {
            CandidateVerdict::Scored { terms, eligible: terms.utility_microunits > 0 }
        }
    }
}
