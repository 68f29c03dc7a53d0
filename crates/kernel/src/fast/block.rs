//! A catalog of one block, in one pass. How many models come how far cannot be predicted, so little here branches
//! on it: the two that lead by the estimate are computed even where one is nobody, and those of whom it leaves a doubt
//! two at a time, whether they pass or not. What refused the others is counted for a rejection and a trace.

use alloc::boxed::Box;
use core::array::from_fn;

use super::bounds::Bounds;
use super::columns::{Block, Summary, block, enabled};
use super::estimate::{Estimate, FixedTerms, PolicyScale, SPREAD, Scale, Verdicts};
use super::lanes::{Lanes, Leader, halves};
use super::planes::turned;
use super::scan::ones;
use crate::arithmetic::{Narrow, NarrowModel};
use crate::decide::{Answer, Candidate, Ranking, Seat, Seen, rejection, saturate};
use crate::gate::Score;
use crate::{KernelInput, KernelModel, PolicyParams, RejectionHistogram};

/// A catalog of one block, whose arithmetic fits 64 bits, with all that a decision looks at: one address, one
/// register.
#[derive(Debug)]
pub(super) struct OneBlock {
    rows: [Row; Leader::MODELS],
    numbers: Block,
    enabled: u32,
    evaluated: u16,
    /// Models that have each capability; all of them have the one that is none.
    capabilities: Planes,
    regions: Planes,
    scale: PolicyScale,
    params: PolicyParams,
    summary: Summary,
}

/// Models that have each bit of a 64-bit set, and those of a set that has none.
pub(super) type Planes = [u32; 65];

/// A model as exact arithmetic and the ranking want it, half a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
struct Row {
    terms: NarrowModel,
    seat: Seat,
}

/// Catalogs up to this size are computed exactly without an estimate: it takes as long as two models do, and leaves as
/// many to be computed.
const FEW: u16 = 4;

/// Who passes the last two gates, and the best two of them.
#[derive(Clone, Copy)]
struct Found {
    ranking: Ranking,
    eligible: u32,
}

impl Found {
    #[inline(always)]
    fn and(&self, other: &Self) -> Self {
        Self {
            ranking: self.ranking.or_better(other.ranking),
            eligible: self.eligible | other.eligible,
        }
    }
}

impl OneBlock {
    pub(super) fn new<L: Lanes>(
        params: &PolicyParams,
        models: &[KernelModel],
        summary: &Summary,
        scale: PolicyScale,
    ) -> Box<Self> {
        let row = |index: usize| match models.get(index) {
            Some(model) => {
                Row { terms: NarrowModel::new(params, model), seat: Seat::new(index, model) }
            }
            None => Row { terms: NarrowModel::default(), seat: Seat::EMPTY },
        };
        Box::new(Self {
            rows: from_fn(row),
            numbers: block::<L>(models, &summary.widths),
            enabled: enabled(models),
            evaluated: saturate(models.len()),
            capabilities: planes(models, u32::MAX, |model| model.capabilities),
            regions: planes(models, 0, |model| model.region_mask),
            scale,
            params: *params,
            summary: *summary,
        })
    }

    /// Whether a request is one for this arithmetic.
    #[inline(always)]
    pub(super) const fn fits(input: &KernelInput) -> bool {
        Narrow::fits(input) && Scale::fits(input)
    }

    /// Decides a request that [`OneBlock::fits`] and that nothing refuses outright.
    #[inline(always)]
    pub(super) fn decide<L: Lanes, A: Answer>(&self, lanes: L, input: &KernelInput) -> A {
        let exact = Narrow::new(&self.params, input);
        let refused = self.refused(lanes, input);
        let alive = refused.iter().fold(self.enabled, |alive, refused| alive & !refused);
        let found = if self.evaluated <= FEW {
            self.all_exactly::<A>(&exact, input, alive)
        } else {
            self.by_estimate::<L, A>(lanes, &exact, input, alive)
        };
        let (Found { ranking, eligible }, over_budget) = found;
        let seen = Seen { evaluated: self.evaluated, eligible: count(eligible) };
        let params = &self.params;
        if A::TRACED || eligible == 0 {
            let histogram = self.histogram(refused, over_budget, eligible);
            let decision = if eligible == 0 {
                rejection(params, input, histogram.dominant_reason(), seen)
            } else {
                ranking.best_decision(params, input, seen)
            };
            return A::new(decision, seen.trace(histogram));
        }
        let histogram = RejectionHistogram::default();
        A::new(ranking.best_decision(params, input, seen), seen.trace(histogram))
    }

    /// The last two gates and the rank, of so few models that an estimate would save nothing, and who is over the budget,
    /// where that is counted.
    #[inline(always)]
    fn all_exactly<A: Answer>(
        &self,
        exact: &Narrow,
        input: &KernelInput,
        alive: u32,
    ) -> (Found, u32) {
        let mut found = self.pair(exact, input, alive, [0, 1]);
        for index in (2..usize::from(self.evaluated)).step_by(2) {
            found = found.and(&self.pair(exact, input, alive, [index, index + 1]));
        }
        let counted = if A::TRACED || found.eligible == 0 { alive & !found.eligible } else { 0 };
        (found, self.over_budget(counted, exact, input))
    }

    /// As [`OneBlock::all_exactly`], where the estimate leaves few to be computed exactly.
    #[inline(always)]
    fn by_estimate<L: Lanes, A: Answer>(
        &self,
        lanes: L,
        exact: &Narrow,
        input: &KernelInput,
        alive: u32,
    ) -> (Found, u32) {
        let Narrow { worth, risk_penalty, .. } = *exact;
        let scale = Scale::new(input, FixedTerms { worth, risk_penalty }, &self.scale);
        let estimate = Estimate::of(lanes, &scale, &self.numbers);
        let spread = u16::from(SPREAD.unsigned_abs());
        let slack = estimate.slack(lanes, alive);
        // Who is short of slack is not surely eligible, and who is impossible is surely not.
        let short = lanes.above(lanes.splat(1), slack);
        let possible = alive & lanes.above(slack, lanes.splat(0_u16.wrapping_sub(spread)));
        let mut found = Found { ranking: Ranking::new(), eligible: !short };
        if possible != 0 {
            let [first, second] = lanes.leaders(estimate.margins, slack);
            let leaders = [first, second].map(|leader| self.candidate(exact, leader.model()));
            found.ranking = Ranking::of_two(leaders);
            let mut doubtful = possible & short;
            while doubtful != 0 {
                let (one, rest) = lowest_one(doubtful);
                let (other, rest) = lowest_one(rest);
                found = found.and(&self.pair(exact, input, doubtful, [one, other]));
                doubtful = rest;
            }
            // Signed: who is not above this is surely worth less than the second.
            let bar = scale.in_units(found.ranking.second_utility()).wrapping_sub(spread);
            let close = lanes.above(estimate.margins, lanes.splat(bar)) & !short;
            for index in ones(close & !(first.bit() | second.bit())) {
                found.ranking.consider(self.candidate(exact, index));
            }
        }
        if !(A::TRACED || found.eligible == 0) {
            return (found, 0);
        }
        let Verdicts { over_budget, near_budget, .. } = estimate.verdicts(lanes);
        let near = self.over_budget(alive & near_budget & !over_budget, exact, input);
        (found, alive & over_budget | near)
    }

    /// Two models exactly and without a branch, because whether they pass is anybody's guess. Who is not one of `models`
    /// does not.
    #[inline(always)]
    fn pair(&self, exact: &Narrow, input: &KernelInput, models: u32, pair: [usize; 2]) -> Found {
        let mut eligible = 0;
        let candidates = pair.map(|index| {
            let candidate = self.candidate(exact, index);
            let is_one = bit(index) & models != 0;
            let passes = candidate.is_within(input.budget_limit_microunits) & is_one;
            eligible |= halves(u64::from(passes) << (index % Leader::MODELS))[0];
            candidate.or_behind(passes)
        });
        Found { ranking: Ranking::of_two(candidates), eligible }
    }

    /// Those of `models` that cost more than the budget.
    #[inline(always)]
    fn over_budget(&self, models: u32, exact: &Narrow, input: &KernelInput) -> u32 {
        let over =
            |index: &usize| exact.cost(&self.row(*index).terms) > input.budget_limit_microunits;
        ones(models).filter(over).fold(0, |models, index| models | 1 << index)
    }

    /// Each model under the first gate that refused it.
    #[inline(always)]
    fn histogram(&self, refused: [u32; 6], over_budget: u32, eligible: u32) -> RejectionHistogram {
        let mut alive = self.enabled;
        let counts = refused.map(|refused| {
            let count = count(alive & refused);
            alive &= !refused;
            count
        });
        let [quality, latency, capability, provider, region, risk_ceiling] = counts;
        RejectionHistogram {
            disabled: self.evaluated.wrapping_sub(count(self.enabled)),
            quality,
            latency,
            capability,
            provider,
            region,
            risk_ceiling,
            budget: count(over_budget),
            utility: count(alive & !over_budget & !eligible),
        }
    }

    /// What each gate on one field refuses, in the order of the rules.
    #[inline(always)]
    fn refused<L: Lanes>(&self, lanes: L, input: &KernelInput) -> [u32; 6] {
        let Self { numbers, capabilities, regions, .. } = self;
        let bounds = Bounds::new(input, &self.summary);
        let latency_ms = |index: usize| self.row(index).terms.latency;
        let allowed = input.allowed_provider_mask;
        let [quality, latency, provider, risk_ceiling] =
            bounds.refused(lanes, numbers, allowed, latency_ms);
        let capability = !all_of(capabilities, input.required_capabilities);
        let region = !any_of(regions, input.required_region_mask);
        [quality, latency, capability, provider, region, risk_ceiling]
    }

    #[inline(always)]
    fn candidate(&self, exact: &Narrow, index: usize) -> Candidate {
        let Row { terms, seat } = self.row(index);
        let cost = exact.cost(terms);
        Candidate::new(*seat, Score { cost, utility: exact.utility(terms, cost) })
    }

    /// The row of a model, or nobody's.
    #[inline(always)]
    fn row(&self, index: usize) -> &Row {
        let [.., nobody] = &self.rows;
        self.rows.get(index).unwrap_or(nobody)
    }
}

/// The bit of a model, none of nobody.
#[inline(always)]
fn bit(index: usize) -> u32 {
    let [bit, _] = halves(1 << (index % Leader::MODELS));
    bit
}

/// The position of the lowest bit, nobody's if there is none, and the other bits.
#[inline(always)]
const fn lowest_one(bits: u32) -> (usize, u32) {
    (bits.trailing_zeros() as usize, bits & bits.wrapping_sub(1))
}

/// At most 32 models.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "at most 32")]
const fn count(models: u32) -> u16 {
    models.count_ones() as u16
}

pub(super) fn planes(
    models: &[KernelModel],
    of_none: u32,
    set: impl Fn(&KernelModel) -> u64,
) -> Planes {
    let mut planes = [of_none; 65];
    for (plane, row) in planes.iter_mut().zip(turned(models, set)) {
        [*plane, _] = halves(row);
    }
    planes
}

/// Models with every bit of `set`. More than two take a loop.
#[inline(always)]
pub(super) fn all_of(planes: &Planes, set: u64) -> u32 {
    let (first, rest) = lowest(planes, set);
    let (second, mut rest) = lowest(planes, rest);
    let mut all = first & second;
    while rest != 0 {
        let (next, others) = lowest(planes, rest);
        (all, rest) = (all & next, others);
    }
    all
}

/// Models with any bit of `set`, all if it has none.
#[inline(always)]
pub(super) fn any_of(planes: &Planes, set: u64) -> u32 {
    let (first, rest) = lowest(planes, set);
    let (second, mut rest) = lowest(planes, rest);
    let anyone = if set == 0 { u32::MAX } else { 0 };
    let mut any = first | second | anyone;
    while rest != 0 {
        let (next, others) = lowest(planes, rest);
        (any, rest) = (any | next, others);
    }
    any
}

/// The plane of the lowest bit of a set, or that of none, and the set of the others.
#[inline(always)]
fn lowest(planes: &Planes, set: u64) -> (u32, u64) {
    let plane = planes.get(set.trailing_zeros() as usize).copied().unwrap_or(0);
    (plane, set & set.wrapping_sub(1))
}
