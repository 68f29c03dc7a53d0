//! From assessments to one decision.

use core::cmp::Reverse;
use core::hint::select_unpredictable;

use crate::arithmetic::Arithmetic;
use crate::gate::{Score, score};
use crate::{
    DecisionTrace, KernelAction, KernelDecision, KernelInput, KernelModel, KernelReason, Policy,
    PolicyParams, RejectionHistogram,
};

/// An eligible model.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    utility: i64,
    cost: u64,
    model: &'a KernelModel,
    index: usize,
}

/// Who is offered where there is no model: it costs and is worth nothing, and its id is that of no model.
pub(crate) static NOBODY: KernelModel = KernelModel {
    model_id: 0,
    provider_id: 0,
    quality_bps: 0,
    risk_ceiling_bps: 0,
    enabled: 0,
    p95_latency_ms: 0,
    capabilities: 0,
    region_mask: 0,
    input_cost_microunits_per_million_tokens: 0,
    output_cost_microunits_per_million_tokens: 0,
};

impl<'a> Candidate<'a> {
    /// Ranks behind every eligible model, because their utilities are positive: the mark of an empty place.
    const NONE: Self = Self { utility: 0, cost: 0, model: &NOBODY, index: usize::MAX };

    #[inline(always)]
    pub(crate) fn new(index: usize, model: &'a KernelModel, score: Score) -> Self {
        let Score { cost, utility } = score;
        Self { utility, cost, model, index }
    }

    /// Higher utility, then whatever breaks the tie. Two empty places are no tie.
    #[inline(always)]
    fn precedes(self, other: Self) -> bool {
        let tie = (self.utility == other.utility) & (self.utility > 0);
        (self.utility > other.utility)
            | (tie
                && wins_tie(
                    self.cost,
                    self.model,
                    self.index,
                    other.cost,
                    other.model,
                    other.index,
                ))
    }

    /// `self` if it is `chosen`, else `other`, number by number: which of two models is better cannot be
    /// predicted, and so the processor need not jump.
    #[inline(always)]
    fn or(self, chosen: bool, other: Self) -> Self {
        Self {
            utility: select_unpredictable(chosen, self.utility, other.utility),
            cost: select_unpredictable(chosen, self.cost, other.cost),
            model: select_unpredictable(chosen, self.model, other.model),
            index: select_unpredictable(chosen, self.index, other.index),
        }
    }
}

/// Lower cost, higher quality, lower id, and earlier position where ids repeat. Takes what it compares and not
/// candidates, which an address would force into memory.
#[cold]
#[inline(never)]
fn wins_tie(
    cost: u64,
    model: &KernelModel,
    index: usize,
    other_cost: u64,
    other: &KernelModel,
    other_index: usize,
) -> bool {
    let key = |cost: u64, model: &KernelModel, index: usize| {
        (cost, Reverse(model.quality_bps), model.model_id, index)
    };
    key(cost, model, index) < key(other_cost, other, other_index)
}

/// The two best candidates met so far, in whatever order they were met.
#[derive(Clone, Copy)]
pub(crate) struct Ranking<'a> {
    best: Candidate<'a>,
    second: Candidate<'a>,
}

impl<'a> Ranking<'a> {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self { best: Candidate::NONE, second: Candidate::NONE }
    }

    /// Of an eligible candidate and another, which may be worth nothing.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    pub(crate) fn of_two(a: Candidate<'a>, b: Candidate<'a>) -> Self {
        let first = b.precedes(a);
        Self { best: b.or(first, a), second: a.or(first, b) }
    }

    /// Ranks an eligible model.
    #[inline(always)]
    pub(crate) fn consider(&mut self, candidate: Candidate<'a>) {
        let first = candidate.precedes(self.best);
        let worse = self.best.or(first, candidate);
        self.best = candidate.or(first, self.best);
        let second = worse.precedes(self.second);
        self.second = worse.or(second, self.second);
    }

    /// The utility of the second best, 0 while there is none.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    pub(crate) fn second_utility(&self) -> i64 {
        self.second.utility
    }

    /// The decision for the best; none when nothing was ranked.
    #[inline(always)]
    pub(crate) fn decision(
        &self,
        params: &PolicyParams,
        input: &KernelInput,
        seen: Seen,
    ) -> Option<KernelDecision> {
        let (best, second) = (&self.best, &self.second);
        if best.utility == 0 {
            return None;
        }
        let requested = best.model.model_id == input.requested_model_id;
        let (action, reason) = if requested {
            (KernelAction::ExecuteRequested, KernelReason::RequestedModelMaximizesUtility)
        } else {
            (KernelAction::Substitute, KernelReason::AlternativeMaximizesUtility)
        };
        Some(KernelDecision {
            action,
            selected_model_id: best.model.model_id,
            selected_model_index: saturate(best.index),
            estimated_cost_microunits: best.cost,
            expected_utility_microunits: best.utility,
            counterfactual_model_id: second.model.model_id,
            counterfactual_utility_microunits: second.utility,
            ..rejection(params, input, reason, seen)
        })
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
    /// What is not asked for is not counted.
    #[cfg(feature = "alloc")]
    const TRACED: bool;

    fn new(decision: KernelDecision, trace: DecisionTrace) -> Self;
}

impl Answer for KernelDecision {
    #[cfg(feature = "alloc")]
    const TRACED: bool = false;

    #[inline(always)]
    fn new(decision: KernelDecision, _: DecisionTrace) -> Self {
        decision
    }
}

impl Answer for (KernelDecision, DecisionTrace) {
    #[cfg(feature = "alloc")]
    const TRACED: bool = true;

    #[inline(always)]
    fn new(decision: KernelDecision, trace: DecisionTrace) -> Self {
        (decision, trace)
    }
}

/// Decides `input` under `policy`.
pub(crate) fn decide<A: Answer>(policy: &Policy<'_>, input: &KernelInput) -> A {
    let params = policy.params();
    match request_refusal(params, input) {
        Some(reason) => A::new(refuse(params, input, reason), DecisionTrace::default()),
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
    let mut ranking = Ranking::new();
    let mut eligible = 0_usize;
    for (index, model) in models.iter().enumerate() {
        match score(&arithmetic, model) {
            Ok(score) => {
                eligible += 1;
                ranking.consider(Candidate::new(index, model, score));
            }
            Err(gate) => rejections.record(gate),
        }
    }
    let seen = Seen { evaluated: saturate(models.len()), eligible: saturate(eligible) };
    let decision = match ranking.decision(params, input, seen) {
        Some(decision) => decision,
        None => rejection(params, input, rejections.dominant_reason(), seen),
    };
    A::new(decision, seen.trace(rejections))
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
pub(crate) fn rejection(
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
