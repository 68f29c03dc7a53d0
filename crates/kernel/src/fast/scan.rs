//! One request against the columns: gates as masks, then estimates, then the exact few.

use super::columns::{
    BLOCK, BPS_WIDTH, Block, CHUNK, COLUMN_BITS, Chunk, Planes, SMALL, Small, Summary, WORD, WORDS,
    Words, top_bits,
};
use super::estimate::{ABOVE, BELOW, Estimate, PolicyScale, Scale, margins};
use super::lanes::{Lanes, halves};
use super::tally::{Count, Leaders};
use crate::arithmetic::Arithmetic;
use crate::decide::{Answer, Ranking, Seen, saturate};
use crate::gate::{Score, score_economics};
use crate::{ALL_PROVIDERS, KernelInput, KernelModel, KernelReason};

/// A model whose margin is so much below another's is surely worth less.
const SPREAD: u16 = BELOW + ABOVE + 1;

/// Up to so many models of a catalog of one block are computed exactly without an estimate.
const FEW: u32 = 4;

/// A request on its way through the catalog.
pub(crate) struct Scan<'a> {
    arithmetic: Arithmetic<'a>,
    summary: &'a Summary,
    models: &'a [KernelModel],
    bounds: Bounds,
    scale: Scale,
    count: Count,
    ranking: Ranking<'a>,
    /// An estimated utility that is not above this is below the second best found so far.
    bar: u16,
}

/// What the columns are compared with.
#[derive(Clone, Copy)]
struct Bounds {
    minimum_quality: u16,
    max_latency: u16,
    risk: u16,
}

impl Bounds {
    #[inline(always)]
    fn new(input: &KernelInput, summary: &Summary) -> Self {
        let (limit, width) = (u64::from(input.max_p95_latency_ms), summary.widths.latency);
        let limited = limit > 0 && limit >> width == 0;
        Self {
            minimum_quality: top_bits(input.minimum_quality_bps.into(), BPS_WIDTH),
            max_latency: if limited { top_bits(limit, width) } else { u16::MAX >> 1 },
            risk: top_bits(input.risk_bps.into(), BPS_WIDTH),
        }
    }
}

impl<'a> Scan<'a> {
    #[inline(always)]
    pub(crate) fn new(
        arithmetic: Arithmetic<'a>,
        summary: &'a Summary,
        policy_scale: &PolicyScale,
        models: &'a [KernelModel],
    ) -> Self {
        Self {
            bounds: Bounds::new(arithmetic.input, summary),
            scale: Scale::new(&arithmetic, policy_scale),
            arithmetic,
            summary,
            models,
            count: Count::default(),
            ranking: Ranking::new(models),
            bar: 0,
        }
    }

    /// Decides a catalog of one block. A few models are computed exactly at once, cheaper than an estimate.
    #[inline(always)]
    pub(crate) fn block<L: Lanes, A: Answer>(mut self, lanes: L, small: &Small) -> A {
        let alive = self.small_gates(lanes, small, 0);
        if alive.count_ones() <= FEW {
            self.exactly(alive, 0);
        } else {
            let Settled { worthy, unsure, margins } = self.settle(lanes, &small.block, alive);
            let mut leaders = Leaders::none(lanes);
            leaders.add(lanes, margins, worthy);
            let bar = leaders.second(lanes).saturating_sub(SPREAD);
            self.rank(worthy & lanes.above(margins, lanes.splat_two(bar)), 0);
            self.exactly(unsure, 0);
        }
        self.finish(|| self.dominant_reason())
    }

    /// Decides a small catalog of several blocks.
    #[inline(always)]
    pub(crate) fn blocks<L: Lanes, A: Answer>(mut self, lanes: L, blocks: &[Small]) -> A {
        let mut reach = [0; SMALL / BLOCK];
        for (number, (small, reach)) in blocks.iter().zip(&mut reach).enumerate() {
            let first = number * BLOCK;
            let alive = self.small_gates(lanes, small, first);
            let Settled { worthy, unsure, .. } = self.settle(lanes, &small.block, alive);
            *reach = worthy;
            self.exactly(unsure, first);
        }
        self.compete(lanes, blocks.iter().map(|small| &small.block), &reach, 0);
        self.finish(|| self.dominant_reason())
    }

    /// The models of a block of a small catalog that pass the gates on one field.
    #[inline(always)]
    fn small_gates<L: Lanes>(&mut self, lanes: L, small: &Small, first: usize) -> u32 {
        let input = self.arithmetic.input;
        let block = &small.block;
        let unserved = lanes.disjoint(&small.regions, input.required_region_mask);
        let anywhere = input.required_region_mask == 0;
        let refused = [
            quality_below(lanes, block, &self.bounds),
            self.too_slow(lanes, block, first),
            !lanes.disjoint(&small.lacking, input.required_capabilities),
            lanes.outside(&block.providers, input.allowed_provider_mask),
            if anywhere { 0 } else { unserved },
            risk_ceiling_below(lanes, block, &self.bounds),
        ];
        let [alive, _] = halves(self.count.pass(small.enabled.into(), refused.map(u64::from)));
        alive
    }

    /// Decides a large catalog.
    #[inline(always)]
    pub(crate) fn chunks<L: Lanes, A: Answer>(mut self, lanes: L, chunks: &[Chunk]) -> A {
        for (number, chunk) in chunks.iter().enumerate() {
            self.chunk(lanes, chunk, number * CHUNK);
        }
        self.finish(|| self.dominant_reason())
    }

    /// Tests the models of a chunk, of which the first is number `first` of the catalog. A gate that no
    /// model of this catalog can fail is not looked at.
    #[inline(always)]
    pub(crate) fn chunk<L: Lanes>(&mut self, lanes: L, chunk: &Chunk, first: usize) {
        let (input, summary) = (self.arithmetic.input, self.summary);
        let mut missing = [0; WORDS];
        let required = input.required_capabilities & !summary.common_capabilities;
        if required != 0 {
            missing = all_of(&chunk.capabilities, required).map(|bits| !bits);
        }
        let mut unserved = [0; WORDS];
        let regions = input.required_region_mask;
        if regions != 0 && regions & summary.common_regions == 0 {
            unserved = any_of(&chunk.regions, regions & summary.regions).map(|bits| !bits);
        }
        let quality = input.minimum_quality_bps > summary.lowest_quality;
        let latency =
            input.max_p95_latency_ms > 0 && input.max_p95_latency_ms < summary.highest_latency;
        let provider = input.allowed_provider_mask != ALL_PROVIDERS || summary.unknown_providers;
        let risk_ceiling = input.risk_bps > summary.lowest_risk_ceiling;
        let mut reach = [[0; 2]; WORDS];
        let bar = lanes.splat_two(self.bar);
        let words = chunk.blocks.iter().zip(chunk.enabled).zip(&mut reach);
        let sets = missing.into_iter().zip(unserved);
        for (number, (((blocks, enabled), reach), (missing, unserved))) in
            words.zip(sets).enumerate()
        {
            let first = first + number * WORD;
            let [low, high] = blocks;
            let mut refused = [0, 0, missing, 0, unserved, 0];
            let [below_quality, too_slow, _, outside, _, below_risk] = &mut refused;
            let bounds = &self.bounds;
            if quality {
                *below_quality =
                    join(quality_below(lanes, low, bounds), quality_below(lanes, high, bounds));
            }
            if latency {
                let high = self.too_slow(lanes, high, first + BLOCK);
                *too_slow = join(self.too_slow(lanes, low, first), high);
            }
            if provider {
                let allowed = input.allowed_provider_mask;
                *outside = join(
                    lanes.outside(&low.providers, allowed),
                    lanes.outside(&high.providers, allowed),
                );
            }
            if risk_ceiling {
                *below_risk = join(
                    risk_ceiling_below(lanes, low, bounds),
                    risk_ceiling_below(lanes, high, bounds),
                );
            }
            let alive = halves(self.count.pass(enabled, refused));
            for (((block, alive), reach), at) in blocks.iter().zip(alive).zip(reach).zip([0, BLOCK])
            {
                let Settled { worthy, unsure, margins } = self.settle(lanes, block, alive);
                *reach = worthy & lanes.above(margins, bar);
                self.exactly(unsure, first + at);
            }
        }
        if reach != [[0; 2]; WORDS] {
            self.compete(lanes, chunk.blocks.as_flattened().iter(), reach.as_flattened(), first);
        }
    }

    /// The latency gate. A latency that lost bits and equals the limit's is compared in full.
    #[inline(always)]
    fn too_slow<L: Lanes>(&self, lanes: L, block: &Block, first: usize) -> u32 {
        let limit = lanes.splat_two(self.bounds.max_latency);
        let latency = lanes.load_two(&block.latency);
        let refused = lanes.above(latency, limit);
        let limit_ms = self.arithmetic.input.max_p95_latency_ms;
        if self.summary.widths.latency <= COLUMN_BITS || limit_ms == 0 {
            return refused;
        }
        let within = lanes.above(limit, latency);
        let too_slow = |bit: &usize| {
            self.models.get(first + bit).is_some_and(|model| model.p95_latency_ms > limit_ms)
        };
        ones(!(refused | within)).filter(too_slow).fold(refused, |refused, bit| refused | 1 << bit)
    }

    /// The last two gates for the models of a block that passed all others.
    #[inline(always)]
    fn settle<L: Lanes>(&mut self, lanes: L, block: &Block, alive: u32) -> Settled<L::Vector> {
        let estimate = Estimate::of(lanes, &self.scale, block);
        let over_budget = alive & estimate.over_budget;
        let affordable = alive & !estimate.near_budget;
        let worthless = affordable & estimate.worthless;
        let worthy = affordable & estimate.worthy;
        self.count.over_budget += over_budget.count_ones();
        self.count.worthless += worthless.count_ones();
        self.count.eligible += worthy.count_ones();
        let unsure = alive & !(over_budget | worthless | worthy);
        Settled { worthy, unsure, margins: estimate.margins }
    }

    /// Ranks those who may be among the best two of the models that `reach` the bar. The second largest
    /// margin raises it first: who is surely worth less than two others is out.
    #[inline(always)]
    fn compete<'b, L: Lanes>(
        &mut self,
        lanes: L,
        blocks: impl Iterator<Item = &'b Block> + Clone,
        reach: &[u32],
        first: usize,
    ) {
        let mut leaders = Leaders::none(lanes);
        for (block, reach) in blocks.clone().zip(reach) {
            if *reach != 0 {
                leaders.add(lanes, margins(lanes, &self.scale, block), *reach);
            }
        }
        self.bar = self.bar.max(leaders.second(lanes).saturating_sub(SPREAD));
        let bar = lanes.splat_two(self.bar);
        for (number, (block, reach)) in blocks.zip(reach).enumerate() {
            if *reach != 0 {
                let contenders = reach & lanes.above(margins(lanes, &self.scale, block), bar);
                self.rank(contenders, first + number * BLOCK);
            }
        }
        let second = self.scale.in_units(self.ranking.second_utility());
        self.bar = self.bar.max(second.saturating_sub(ABOVE + 1));
    }

    /// Ranks models that are surely eligible.
    #[inline(always)]
    fn rank(&mut self, models: u32, first: usize) {
        for bit in ones(models) {
            let Some(model) = self.models.get(first + bit) else { continue };
            let cost = self.arithmetic.cost(model);
            let utility = self.arithmetic.utility(model, cost);
            self.ranking.consider(first + bit, model, Score { cost, utility });
        }
    }

    /// The last two gates and the rank, model by model.
    #[inline(always)]
    fn exactly(&mut self, models: u32, first: usize) {
        for bit in ones(models) {
            let Some(model) = self.models.get(first + bit) else { continue };
            match score_economics(&self.arithmetic, model) {
                Ok(score) => {
                    self.count.eligible += 1;
                    self.ranking.consider(first + bit, model, score);
                }
                Err(crate::Gate::Budget) => self.count.over_budget += 1,
                Err(_) => self.count.worthless += 1,
            }
        }
    }

    #[inline(always)]
    fn dominant_reason(&self) -> KernelReason {
        self.count.histogram(self.summary, self.models.len()).dominant_reason()
    }

    /// The answer, once every model has been seen.
    #[inline(always)]
    fn finish<A: Answer>(&self, refused_by: impl FnOnce() -> KernelReason) -> A {
        let seen = Seen {
            evaluated: saturate(self.models.len()),
            eligible: u16::try_from(self.count.eligible).unwrap_or(u16::MAX),
        };
        let Arithmetic { params, input, .. } = self.arithmetic;
        let decision = self.ranking.conclude(params, input, seen, refused_by);
        A::new(decision, || seen.trace(self.count.histogram(self.summary, self.models.len())))
    }
}

/// What the estimate says of the models of a block that passed the other gates.
struct Settled<V> {
    /// Surely eligible.
    worthy: u32,
    /// To be computed exactly.
    unsure: u32,
    margins: [V; 2],
}

#[inline(always)]
fn quality_below<L: Lanes>(lanes: L, block: &Block, bounds: &Bounds) -> u32 {
    lanes.above(lanes.splat_two(bounds.minimum_quality), lanes.load_two(&block.quality))
}

#[inline(always)]
fn risk_ceiling_below<L: Lanes>(lanes: L, block: &Block, bounds: &Bounds) -> u32 {
    lanes.above(lanes.splat_two(bounds.risk), lanes.load_two(&block.risk_ceiling))
}

/// The word of two blocks.
#[inline(always)]
fn join(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// Models with every bit of `set`.
#[inline(always)]
fn all_of(planes: &Planes, set: u64) -> Words {
    combine(planes, set, u64::MAX, |a, b| a & b)
}

/// Models with any bit of `set`.
#[inline(always)]
fn any_of(planes: &Planes, set: u64) -> Words {
    combine(planes, set, 0, |a, b| a | b)
}

#[inline(always)]
fn combine(planes: &Planes, set: u64, start: u64, operation: impl Fn(u64, u64) -> u64) -> Words {
    let mut combined = [start; WORDS];
    let mut rest = set;
    while rest != 0 {
        if let Some(plane) = planes.get(rest.trailing_zeros() as usize) {
            for (word, bits) in combined.iter_mut().zip(plane) {
                *word = operation(*word, *bits);
            }
        }
        rest &= rest - 1;
    }
    combined
}

/// The positions of the bits that are set, in ascending order.
#[inline(always)]
fn ones(mut bits: u32) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let lowest = bits.trailing_zeros();
        bits &= bits.checked_sub(1)?;
        Some(lowest as usize)
    })
}
