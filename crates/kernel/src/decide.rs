//! From assessments to one decision.

use core::hint::select_unpredictable;

use crate::arithmetic::Arithmetic;
use crate::gate::{Score, score};
use crate::{
    DecisionTrace, KernelAction, KernelDecision, KernelInput, KernelModel, KernelReason, Policy,
    PolicyParams, RejectionHistogram,
};

/// An eligible model.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    utility: i64,
    cost: u64,
    seat: Seat,
}

/// Who a model is, and what ranks it among those of one utility and cost, smaller first: from the top its quality's
/// complement, its id and its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seat(u64);

impl Seat {
    /// No model's: its id is that of no model.
    pub(crate) const EMPTY: Self = Self(u16::MAX as u64);

    #[inline(always)]
    pub(crate) fn new(index: usize, model: &KernelModel) -> Self {
        let worse = u64::from(!model.quality_bps);
        Self(worse << 48 | u64::from(model.model_id) << 16 | u64::from(saturate(index)))
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "one of the three numbers")]
    const fn model_id(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// As the decision stores it.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "one of the three numbers")]
    const fn index(self) -> u16 {
        self.0 as u16
    }
}

impl Candidate {
    /// An empty place ranks behind every eligible model, because their utilities are positive.
    const fn none(utility: i64) -> Self {
        Self { utility, cost: 0, seat: Seat::EMPTY }
    }

    #[inline(always)]
    pub(crate) const fn new(seat: Seat, score: Score) -> Self {
        let Score { cost, utility } = score;
        Self { utility, cost, seat }
    }

    /// Whether it is eligible at this budget.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    pub(crate) const fn is_within(self, budget: u64) -> bool {
        (self.utility > 0) & (self.cost <= budget)
    }

    /// Itself if it is eligible, else behind all who are. No two are at the same place there, because a tie is a branch.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    pub(crate) fn or_behind(self, eligible: bool) -> Self {
        let behind = !i64::from(self.seat.index());
        Self { utility: select_unpredictable(eligible, self.utility, behind), ..self }
    }

    /// The better of two and the other: higher utility, then whatever breaks the tie. That is another way, so that on this
    /// one what compares is what chooses.
    #[inline(always)]
    fn ranked(self, other: Self) -> [Self; 2] {
        if self.utility == other.utility {
            let wins = wins_tie((self.cost, self.seat), (other.cost, other.seat));
            return if wins { [self, other] } else { [other, self] };
        }
        let better = self.utility > other.utility;
        [self.or(better, other), other.or(better, self)]
    }

    /// `self` if it is `chosen`, else `other`, number by number: which of two models is better cannot be
    /// predicted, and so the processor need not jump.
    #[inline(always)]
    fn or(self, chosen: bool, other: Self) -> Self {
        Self {
            utility: select_unpredictable(chosen, self.utility, other.utility),
            cost: select_unpredictable(chosen, self.cost, other.cost),
            seat: select_unpredictable(chosen, self.seat, other.seat),
        }
    }
}

/// Lower cost, higher quality, lower id, and earlier position where ids repeat. Out of line, because ties are rare.
#[cold]
#[inline(never)]
fn wins_tie(it: (u64, Seat), other: (u64, Seat)) -> bool {
    it < other
}

/// The two best candidates met so far, in whatever order they were met.
#[derive(Clone, Copy)]
pub(crate) struct Ranking {
    best: Candidate,
    second: Candidate,
}

impl Ranking {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        // No tie, so that nothing asks what breaks it.
        Self { best: Candidate::none(0), second: Candidate::none(-1) }
    }

    /// Of two who are eligible, behind all who are, or nobody.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    pub(crate) fn of_two([a, b]: [Candidate; 2]) -> Self {
        let [best, second] = a.ranked(b);
        Self { best, second }
    }

    /// The best two of both.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    pub(crate) fn or_better(self, other: Self) -> Self {
        let [best, beaten] = self.best.ranked(other.best);
        let [next, _] = self.second.ranked(other.second);
        let [second, _] = beaten.ranked(next);
        Self { best, second }
    }

    /// Ranks an eligible model.
    #[inline(always)]
    pub(crate) fn consider(&mut self, candidate: Candidate) {
        let [best, worse] = candidate.ranked(self.best);
        let [second, _] = worse.ranked(self.second);
        *self = Self { best, second };
    }

    /// The utility of the second best, 0 while there is none.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    pub(crate) fn second_utility(&self) -> i64 {
        self.second.utility.max(0)
    }

    /// The decision for the best; none when nothing was ranked.
    #[inline(always)]
    pub(crate) fn decision(
        &self,
        params: &PolicyParams,
        input: &KernelInput,
        seen: Seen,
    ) -> Option<KernelDecision> {
        (self.best.utility > 0).then(|| self.best_decision(params, input, seen))
    }

    /// The decision for the best, of whom there is one.
    #[inline(always)]
    pub(crate) fn best_decision(
        &self,
        params: &PolicyParams,
        input: &KernelInput,
        seen: Seen,
    ) -> KernelDecision {
        let (best, second) = (&self.best, &self.second);
        let requested = best.seat.model_id() == input.requested_model_id;
        let (action, reason) = if requested {
            (KernelAction::ExecuteRequested, KernelReason::RequestedModelMaximizesUtility)
        } else {
            (KernelAction::Substitute, KernelReason::AlternativeMaximizesUtility)
        };
        KernelDecision {
            action,
            selected_model_id: best.seat.model_id(),
            selected_model_index: best.seat.index(),
            estimated_cost_microunits: best.cost,
            expected_utility_microunits: best.utility,
            counterfactual_model_id: if second.utility > 0 { second.seat.model_id() } else { 0 },
            counterfactual_utility_microunits: second.utility.max(0),
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
                ranking.consider(Candidate::new(Seat::new(index, model), score));
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
pub(crate) fn saturate(count: impl TryInto<u16>) -> u16 {
    count.try_into().unwrap_or(u16::MAX)
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
