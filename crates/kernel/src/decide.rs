//! From assessments to one decision.

use core::cmp::Reverse;

use crate::arithmetic::Arithmetic;
use crate::gate::{Score, score};
use crate::{
    DecisionTrace, KernelAction, KernelDecision, KernelInput, KernelModel, KernelReason, Policy,
    PolicyParams, RejectionHistogram,
};

/// An eligible model. Fields are in ranking order, so that the derived order *is* the ranking:
/// higher utility, lower cost, higher quality, lower id, and earlier position where ids repeat.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    utility: Reverse<i64>,
    cost: u64,
    quality: Reverse<u16>,
    model_id: u32,
    index: usize,
}

/// Ranks behind every eligible model, because their utilities are positive: the mark of an empty place.
const NOBODY: Candidate =
    Candidate { utility: Reverse(0), cost: 0, quality: Reverse(0), model_id: 0, index: usize::MAX };

/// The two best candidates met so far, in whatever order they were met.
#[derive(Clone, Copy)]
pub(crate) struct Ranking {
    best: Candidate,
    second: Candidate,
}

impl Ranking {
    pub(crate) const EMPTY: Self = Self { best: NOBODY, second: NOBODY };

    /// Ranks an eligible model.
    #[inline(always)]
    pub(crate) fn consider(&mut self, index: usize, model: &KernelModel, score: Score) {
        let candidate = Candidate {
            utility: Reverse(score.utility),
            cost: score.cost,
            quality: Reverse(model.quality_bps),
            model_id: model.model_id,
            index,
        };
        if candidate < self.best {
            self.second = self.best;
            self.best = candidate;
        } else if candidate < self.second {
            self.second = candidate;
        }
    }

    /// The utility of the second best, 0 while there is none.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    pub(crate) fn second_utility(&self) -> i64 {
        self.second.utility.0
    }

    /// The decision that follows; `refused_by` says why when nothing was ranked.
    #[inline(always)]
    pub(crate) fn conclude(
        &self,
        params: &PolicyParams,
        input: &KernelInput,
        seen: Seen,
        refused_by: impl FnOnce() -> KernelReason,
    ) -> KernelDecision {
        if self.best == NOBODY {
            return rejection(params, input, refused_by(), seen);
        }
        selection(params, input, &self.best, &self.second, seen)
    }
}

/// The refusal that needs no look at any model, if there is one.
#[inline(always)]
pub(crate) const fn request_refusal(
    params: &PolicyParams,
    input: &KernelInput,
) -> Option<KernelReason> {
    if input.risk_bps >= params.hard_risk_limit_bps {
        Some(KernelReason::RiskHardLimit)
    } else if input.confidence_bps < params.minimum_confidence_bps {
        Some(KernelReason::ConfidenceHardLimit)
    } else {
        None
    }
}

/// What is asked for: a decision, with or without its trace.
pub(crate) trait Answer {
    fn new(decision: KernelDecision, trace: impl FnOnce() -> DecisionTrace) -> Self;
}

impl Answer for KernelDecision {
    #[inline(always)]
    fn new(decision: KernelDecision, _: impl FnOnce() -> DecisionTrace) -> Self {
        decision
    }
}

impl Answer for (KernelDecision, DecisionTrace) {
    #[inline(always)]
    fn new(decision: KernelDecision, trace: impl FnOnce() -> DecisionTrace) -> Self {
        (decision, trace())
    }
}

/// Decides `input` under `policy`.
pub(crate) fn decide<A: Answer>(policy: &Policy<'_>, input: &KernelInput) -> A {
    let params = policy.params();
    match request_refusal(params, input) {
        Some(reason) => A::new(refuse(params, input, reason), DecisionTrace::default),
        None => by_row(&Arithmetic::new(params, input), policy.models()),
    }
}

/// Decides a request that is not refused outright, model by model.
pub(crate) fn by_row<A: Answer>(arithmetic: &Arithmetic<'_>, models: &[KernelModel]) -> A {
    let mut rejections = RejectionHistogram::default();
    let mut ranking = Ranking::EMPTY;
    let mut eligible = 0_usize;
    for (index, model) in models.iter().enumerate() {
        match score(arithmetic, model) {
            Ok(score) => {
                eligible += 1;
                ranking.consider(index, model, score);
            }
            Err(gate) => rejections.record(gate),
        }
    }
    let seen = Seen { evaluated: saturate(models.len()), eligible: saturate(eligible) };
    let Arithmetic { params, input, .. } = arithmetic;
    let decision = ranking.conclude(params, input, seen, || rejections.dominant_reason());
    A::new(decision, || seen.trace(rejections))
}

/// How many models were looked at, and how many passed.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) evaluated: u16,
    pub(crate) eligible: u16,
}

impl Seen {
    pub(crate) fn trace(self, rejections: RejectionHistogram) -> DecisionTrace {
        let Self { evaluated, eligible } = self;
        DecisionTrace { rejections, evaluated_models: evaluated, eligible_models: eligible }
    }
}

/// A request-level refusal: no model was looked at.
#[inline(always)]
pub(crate) fn refuse(
    params: &PolicyParams,
    input: &KernelInput,
    reason: KernelReason,
) -> KernelDecision {
    rejection(params, input, reason, Seen { evaluated: 0, eligible: 0 })
}

/// A count or position as the decision stores it.
#[inline(always)]
pub(crate) fn saturate(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

#[inline(always)]
fn selection(
    params: &PolicyParams,
    input: &KernelInput,
    best: &Candidate,
    second: &Candidate,
    seen: Seen,
) -> KernelDecision {
    let (action, reason) = if best.model_id == input.requested_model_id {
        (KernelAction::ExecuteRequested, KernelReason::RequestedModelMaximizesUtility)
    } else {
        (KernelAction::Substitute, KernelReason::AlternativeMaximizesUtility)
    };
    KernelDecision {
        action,
        reason,
        selected_model_id: best.model_id,
        selected_model_index: saturate(best.index),
        estimated_cost_microunits: best.cost,
        expected_utility_microunits: best.utility.0,
        counterfactual_model_id: second.model_id,
        counterfactual_utility_microunits: second.utility.0,
        ..rejection(params, input, reason, seen)
    }
}

#[inline(always)]
fn rejection(
    params: &PolicyParams,
    input: &KernelInput,
    reason: KernelReason,
    seen: Seen,
) -> KernelDecision {
    KernelDecision {
        request_sequence: input.request_sequence,
        action: KernelAction::Reject,
        reason,
        selected_model_id: 0,
        selected_model_index: u16::MAX,
        estimated_cost_microunits: 0,
        expected_utility_microunits: 0,
        counterfactual_model_id: 0,
        counterfactual_utility_microunits: 0,
        evaluated_models: seen.evaluated,
        eligible_models: seen.eligible,
        policy_epoch: params.policy_epoch,
        catalog_epoch: params.catalog_epoch,
    }
}
