//! A catalog of one block, in one pass. How many models come how far cannot be predicted, so little here branches
//! on it: the two that lead by the estimate are computed even where they are nobody, and whether those pass of whom it
//! leaves a doubt, two at a time. What refused the others is counted for a rejection and a trace.

use alloc::boxed::Box;
use core::array::from_fn;
use core::iter::successors;

use super::bounds::Bounds;
use super::columns::{BLOCK, BPS_WIDTH, Block, Summary, block, enabled};
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
    latencies_ms: [u32; BLOCK],
    enabled: u32,
    evaluated: u16,
    capabilities: Planes,
    regions: Planes,
    scale: PolicyScale,
    params: PolicyParams,
    summary: Summary,
    acceptable: Acceptable,
}

/// The basis points of a request that [`request_refusal`](crate::decide::request_refusal) does not refuse, as far as they
/// have no more bits than the columns and [`Narrow`] take: the same rule, so that one comparison of a field asks for both.
#[derive(Debug)]
struct Acceptable {
    /// All below this.
    risk: u16,
    least_confidence: u16,
    /// So many from there on.
    confidences: u16,
}

impl Acceptable {
    const fn new(params: &PolicyParams) -> Self {
        const ALL: u16 = 1 << BPS_WIDTH;
        let PolicyParams { hard_risk_limit_bps, minimum_confidence_bps, .. } = *params;
        Self {
            risk: if hard_risk_limit_bps < ALL { hard_risk_limit_bps } else { ALL },
            least_confidence: minimum_confidence_bps,
            confidences: ALL.saturating_sub(minimum_confidence_bps),
        }
    }
}

/// Models that have each bit of a 64-bit set, by its place from either end: a set's lowest and its highest bit are all
/// there is to most, and are found side by side. The last of either are of a set that has none: all models.
#[derive(Debug)]
pub(super) struct Planes {
    by_zeros_below: [u32; 65],
    by_zeros_above: [u32; 65],
}

/// A model as exact arithmetic and the ranking want it.
#[derive(Clone, Copy, Debug)]
struct Row {
    terms: NarrowModel,
    seat: Seat,
}

/// Catalogs up to this size are computed exactly without an estimate, which would leave as many to be computed.
pub(super) const FEW: usize = 4;

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
            None => Row { terms: NarrowModel::nobody(index), seat: Seat::EMPTY },
        };
        Box::new(Self {
            rows: from_fn(row),
            numbers: block::<L>(models, &summary.widths),
            latencies_ms: from_fn(|index| {
                models.get(index).map_or(0, |model| model.p95_latency_ms)
            }),
            enabled: enabled(models),
            evaluated: saturate(models.len()),
            capabilities: Planes::new(models, |model| model.capabilities),
            regions: Planes::new(models, |model| model.region_mask),
            scale,
            params: *params,
            summary: *summary,
            acceptable: Acceptable::new(params),
        })
    }

    /// Whether a request is one for this arithmetic and is not refused outright, in one test of each field.
    #[inline(always)]
    pub(super) fn takes(&self, input: &KernelInput) -> bool {
        let Acceptable { risk, least_confidence, confidences } = self.acceptable;
        input.risk_bps < risk
            && input.confidence_bps.wrapping_sub(least_confidence) < confidences
            && input.minimum_quality_bps >> BPS_WIDTH == 0
            && Narrow::fits(input.business_value_microunits)
    }

    /// Decides a request that [`OneBlock::takes`]; `FEW` says whether they are, so that neither way is in the other's.
    #[inline(always)]
    pub(super) fn decide<L: Lanes, A: Answer, const FEW: bool>(
        &self,
        lanes: L,
        input: &KernelInput,
    ) -> A {
        let exact = Narrow::new(&self.params, input);
        let refused = self.refused(lanes, input);
        let alive = self.enabled & !refused.iter().fold(0, |all, refused| all | refused);
        // Known long before what anybody is worth.
        let found = if alive == 0 {
            (Found { ranking: Ranking::new(), eligible: 0 }, 0)
        } else if FEW {
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
            let leaders =
                [self.candidate(exact, first.model()), self.candidate(exact, second.model())];
            found.ranking = Ranking::of_two(leaders);
            // Signed: who is not above this is surely worth less than the second.
            let bar = scale.in_units(found.ranking.second_utility()).wrapping_sub(spread);
            let close =
                lanes.above(estimate.margins, lanes.splat(bar)) & !(first.bit() | second.bit());
            // Known long before it is asked, so that a processor that expected otherwise has the least to take back.
            let mut doubtful = possible & short;
            while doubtful != 0 {
                let (one, rest) = lowest_one(doubtful);
                let (other, rest) = lowest_one(rest);
                found.eligible |= self.passing(exact, input, one).1;
                found.eligible |= self.passing(exact, input, other).1;
                doubtful = rest;
            }
            for index in ones(close & found.eligible) {
                found.ranking.consider(self.candidate(exact, index));
            }
        }
        if !(A::TRACED || found.eligible == 0) {
            return (found, 0);
        }
        let Verdicts { over_budget, near_budget } = estimate.verdicts(lanes);
        let near = self.over_budget(alive & near_budget & !over_budget, exact, input);
        (found, alive & over_budget | near)
    }

    /// Two of `models`, or one and nobody, exactly.
    #[inline(always)]
    fn pair(&self, exact: &Narrow, input: &KernelInput, models: u32, [a, b]: [usize; 2]) -> Found {
        let ((a, passes), (b, other_passes)) =
            (self.passing(exact, input, a), self.passing(exact, input, b));
        let eligible = (passes | other_passes) & models;
        let candidates =
            [a.or_behind(passes & models != 0), b.or_behind(other_passes & models != 0)];
        Found { ranking: Ranking::of_two(candidates), eligible }
    }

    /// A model exactly, and its bit if it passes the last two gates, without a branch, because that is anybody's guess.
    /// Nobody does.
    #[inline(always)]
    fn passing(&self, exact: &Narrow, input: &KernelInput, index: usize) -> (Candidate, u32) {
        let candidate = self.candidate(exact, index);
        let passes = candidate.is_within(input.budget_limit_microunits);
        let [bit, _] = halves(u64::from(passes) << (index % Leader::MODELS));
        (candidate, bit)
    }

    /// Those of `models` that cost more than the budget.
    #[inline(always)]
    fn over_budget(&self, models: u32, exact: &Narrow, input: &KernelInput) -> u32 {
        let mut over_budget = 0;
        for index in ones(models) {
            let over = exact.cost(&self.row(index).terms) > input.budget_limit_microunits;
            over_budget |= u32::from(over) << index;
        }
        over_budget
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
        let Self { numbers, latencies_ms, capabilities, regions, .. } = self;
        let bounds = Bounds::new(input, &self.summary);
        let latency_ms = |index: usize| latencies_ms.get(index).copied().unwrap_or(0);
        let allowed = input.allowed_provider_mask;
        let [quality, latency, provider, risk_ceiling] =
            bounds.refused(lanes, numbers, allowed, latency_ms);
        let capability = !capabilities.all_of(input.required_capabilities);
        let region = !regions.any_of(input.required_region_mask);
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

impl Planes {
    pub(super) fn new(models: &[KernelModel], set: impl Fn(&KernelModel) -> u64) -> Self {
        let mut planes = [u32::MAX; 65];
        for (plane, row) in planes.iter_mut().zip(turned(models, set)) {
            [*plane, _] = halves(row);
        }
        let mut reversed = planes;
        let [bits @ .., _] = &mut reversed;
        bits.reverse();
        Self { by_zeros_below: planes, by_zeros_above: reversed }
    }

    /// Models with every bit of `set`.
    #[inline(always)]
    pub(super) fn all_of(&self, set: u64) -> u32 {
        let all = self.lowest(set) & self.highest(set);
        if has_more_than_two(set) {
            self.each_of(set).fold(all, |all, plane| all & plane)
        } else {
            all
        }
    }

    /// Models with any bit of `set`, all if it has none.
    #[inline(always)]
    pub(super) fn any_of(&self, set: u64) -> u32 {
        let any = self.lowest(set) | self.highest(set);
        if has_more_than_two(set) {
            self.each_of(set).fold(any, |any, plane| any | plane)
        } else {
            any
        }
    }

    #[inline(always)]
    fn lowest(&self, set: u64) -> u32 {
        self.by_zeros_below.get(set.trailing_zeros() as usize).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn highest(&self, set: u64) -> u32 {
        self.by_zeros_above.get(set.leading_zeros() as usize).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn each_of(&self, set: u64) -> impl Iterator<Item = u32> {
        let step = |rest: &u64| Some(rest & rest.wrapping_sub(1)).filter(|rest| *rest != 0);
        successors(Some(set), step).map(|rest| self.lowest(rest))
    }
}

#[inline(always)]
const fn has_more_than_two(set: u64) -> bool {
    let rest = set & set.wrapping_sub(1);
    rest & rest.wrapping_sub(1) != 0
}
