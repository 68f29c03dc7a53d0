//! From assessments to one decision.

use core::cmp::Reverse;

use crate::arithmetic::Arithmetic;
use crate::gate::{Score, score};
use crate::{
    DecisionTrace, KernelAction, KernelDecision, KernelInput, KernelModel, KernelReason, Policy,
    PolicyParams, RejectionHistogram,
};

/// An eligible model.
#[derive(Clone, Copy)]
struct Candidate {
    utility: i64,
    cost: u64,
    model_id: u32,
    index: usize,
}

/// Ranks behind every eligible model, because their utilities are positive: the mark of an empty place.
const NOBODY: Candidate = Candidate { utility: 0, cost: 0, model_id: 0, index: usize::MAX };

impl Candidate {
    #[inline(always)]
    fn new(index: usize, model: &KernelModel, score: Score) -> Self {
        let Score { cost, utility } = score;
        Self { utility, cost, model_id: model.model_id, index }
    }

    /// Higher utility, then whatever breaks the tie.
    #[inline(always)]
    fn precedes(self, other: Self, models: &[KernelModel]) -> bool {
        // Two empty places are no tie.
        let tie = (self.utility == other.utility) & (self.utility > 0);
        if tie { self.wins_tie(other, models) } else { self.utility > other.utility }
    }

    /// Lower cost, higher quality, lower id, and earlier position where ids repeat.
    #[inline(always)]
    fn wins_tie(self, other: Self, models: &[KernelModel]) -> bool {
        let key = |candidate: Self| {
            let quality = models.get(candidate.index).map(|model| Reverse(model.quality_bps));
            (candidate.cost, quality, candidate.model_id, candidate.index)
        };
        key(self) < key(other)
    }

    /// `self` if it is `chosen`, else `other`, number by number: which of two models is better cannot be
    /// predicted, and so the processor need not jump.
    #[inline(always)]
    fn or(self, chosen: bool, other: Self) -> Self {
        Self {
            utility: if chosen { self.utility } else { other.utility },
            cost: if chosen { self.cost } else { other.cost },
            model_id: if chosen { self.model_id } else { other.model_id },
            index: if chosen { self.index } else { other.index },
        }
    }
}

/// The two best candidates met so far, in whatever order they were met.
#[derive(Clone, Copy)]
pub(crate) struct Ranking<'a> {
    models: &'a [KernelModel],
    best: Candidate,
    second: Candidate,
}

impl<'a> Ranking<'a> {
    #[inline(always)]
    pub(crate) const fn new(models: &'a [KernelModel]) -> Self {
        Self { models, best: NOBODY, second: NOBODY }
    }

    /// Ranks an eligible model.
    #[inline(always)]
    pub(crate) fn consider(&mut self, index: usize, model: &KernelModel, score: Score) {
        let candidate = Candidate::new(index, model, score);
        let first = candidate.precedes(self.best, self.models);
        let worse = self.best.or(first, candidate);
        self.best = candidate.or(first, self.best);
        let second = worse.precedes(self.second, self.models);
        self.second = worse.or(second, self.second);
    }

    /// The utility of the second best, 0 while there is none.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    pub(crate) fn second_utility(&self) -> i64 {
        self.second.utility
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
        let (best, second) = (&self.best, &self.second);
        let (action, reason) = if best.utility == 0 {
            (KernelAction::Reject, refused_by())
        } else if best.model_id == input.requested_model_id {
            (KernelAction::ExecuteRequested, KernelReason::RequestedModelMaximizesUtility)
        } else {
            (KernelAction::Substitute, KernelReason::AlternativeMaximizesUtility)
        };
        // Nobody's numbers are those of a rejection.
        KernelDecision {
            action,
            selected_model_id: best.model_id,
            selected_model_index: saturate(best.index),
            estimated_cost_microunits: best.cost,
            expected_utility_microunits: best.utility,
            counterfactual_model_id: second.model_id,
            counterfactual_utility_microunits: second.utility,
            ..rejection(params, input, reason, seen)
        }
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
        None => by_row(params, input, policy.models()),
    }
}

/// Decides a request that is not refused outright, model by model.
#[inline(never)]
pub(crate) fn by_row<A: Answer>(
    params: &PolicyParams,
    input: &KernelInput,
    models: &[KernelModel],
) -> A {
    let arithmetic = Arithmetic::new(params, input);
    let mut rejections = RejectionHistogram::default();
    let mut ranking = Ranking::new(models);
    let mut eligible = 0_usize;
    for (index, model) in models.iter().enumerate() {
        match score(&arithmetic, model) {
            Ok(score) => {
                eligible += 1;
                ranking.consider(index, model, score);
            }
            Err(gate) => rejections.record(gate),
        }
    }
    let seen = Seen { evaluated: saturate(models.len()), eligible: saturate(eligible) };
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
