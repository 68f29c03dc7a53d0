//! One request against the columns: gates as masks, then estimates, then the exact few.

use super::columns::{
    BLOCK, BLOCKS, BPS_WIDTH, Block, CHUNK, COLUMN_BITS, Chunk, Small, Summary, top_bits,
};
use super::estimate::{ABOVE, BELOW, Estimate, PolicyScale, Scale, Settled, Verdicts};
use super::gates::{all_of, any_of, below, disjoint, outside};
use super::lanes::Lanes;
use super::tally::{Alive, Count, Leaders};
use super::words::Words;
use crate::arithmetic::Arithmetic;
use crate::decide::{Answer, Ranking, Seen, saturate};
use crate::gate::{Score, score_economics};
use crate::{ALL_PROVIDERS, KernelInput, KernelModel, KernelReason};

/// A model whose margin is so much below another's is surely worth less.
const SPREAD: u16 = BELOW + ABOVE;

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
    /// Whether latencies equal in the column may be on different sides of the limit.
    latency_lost_bits: bool,
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
            latency_lost_bits: limited && width > COLUMN_BITS,
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
        let alive = self.block_gates(lanes, small);
        if alive.count_ones() <= FEW {
            self.exactly(alive, 0);
        } else {
            let Estimate { verdicts, margins } = Estimate::of(lanes, &self.scale, &small.block);
            let Settled { over_budget, worthy, unsure } = verdicts.settle(alive);
            self.count.over_budget += over_budget.count_ones();
            self.count.eligible += worthy.count_ones();
            let mut leaders = Leaders::none(lanes);
            leaders.add(lanes, margins, worthy);
            let bar = leaders.second(lanes).saturating_sub(SPREAD);
            self.rank(worthy & lanes.above(margins, lanes.splat(bar)), 0);
            self.exactly(unsure, 0);
        }
        self.finish(|| self.dominant_reason())
    }

    /// The models of a catalog of one block that pass the gates on one field.
    #[inline(always)]
    fn block_gates<L: Lanes>(&mut self, lanes: L, small: &Small) -> u32 {
        let (input, block) = (self.arithmetic.input, &small.block);
        let quality = lanes.splat(self.bounds.minimum_quality);
        let unserved = lanes.disjoint(&small.regions, input.required_region_mask);
        let anywhere = input.required_region_mask == 0;
        let risk = lanes.splat(self.bounds.risk);
        let refused = [
            lanes.above(quality, lanes.load(&block.quality)),
            self.too_slow(lanes, block, 0),
            !lanes.disjoint(&small.lacking, input.required_capabilities),
            lanes.outside(&block.providers, input.allowed_provider_mask),
            if anywhere { 0 } else { unserved },
            lanes.above(risk, lanes.load(&block.risk_ceiling)),
        ];
        self.count.pass(small.enabled, refused)
    }

    /// Decides a small catalog of several blocks.
    #[inline(always)]
    pub(crate) fn blocks<L: Lanes, A: Answer>(mut self, lanes: L, small: &[Small]) -> A {
        let input = self.arithmetic.input;
        let blocks = small.iter().map(|small| &small.block);
        let mut alive = Alive::new(small.iter().map(|small| small.enabled).collect());
        let columns = blocks.clone().map(|block| &block.quality);
        alive.refuse(below(lanes, self.bounds.minimum_quality, columns));
        let quality = alive.count;
        alive.refuse(self.each_too_slow(lanes, blocks.clone(), 0));
        let latency = alive.count;
        let lacking = small.iter().map(|small| &small.lacking);
        alive.refuse(!disjoint(lanes, input.required_capabilities, lacking));
        let capability = alive.count;
        let providers = blocks.clone().map(|block| &block.providers);
        alive.refuse(outside(lanes, input.allowed_provider_mask, providers));
        let provider = alive.count;
        if input.required_region_mask != 0 {
            let regions = small.iter().map(|small| &small.regions);
            alive.refuse(disjoint(lanes, input.required_region_mask, regions));
        }
        let region = alive.count;
        let columns = blocks.clone().map(|block| &block.risk_ceiling);
        alive.refuse(below(lanes, self.bounds.risk, columns));
        self.count.add([quality, latency, capability, provider, region, alive.count]);
        let mut margins = [lanes.splat(0); BLOCKS];
        self.settle(lanes, blocks, alive.models, &mut margins, 0);
        self.finish(|| self.dominant_reason())
    }

    /// Decides a large catalog.
    #[inline(always)]
    pub(crate) fn chunks<L: Lanes, A: Answer>(mut self, lanes: L, chunks: &[Chunk]) -> A {
        let mut margins = [lanes.splat(0); BLOCKS];
        for (number, chunk) in chunks.iter().enumerate() {
            let first = number * CHUNK;
            let alive = self.chunk_gates(lanes, chunk, first);
            self.settle(lanes, chunk.blocks.iter(), alive, &mut margins, first);
        }
        self.finish(|| self.dominant_reason())
    }

    /// The models of a chunk that pass the gates on one field. A gate that no model of this catalog can fail is
    /// not looked at.
    #[inline(always)]
    fn chunk_gates<L: Lanes>(&mut self, lanes: L, chunk: &Chunk, first: usize) -> Words {
        let (input, summary) = (self.arithmetic.input, self.summary);
        let blocks = chunk.blocks.iter();
        let mut alive = Alive::new(chunk.enabled);
        if input.minimum_quality_bps > summary.lowest_quality {
            let columns = blocks.clone().map(|block| &block.quality);
            alive.refuse(below(lanes, self.bounds.minimum_quality, columns));
        }
        let quality = alive.count;
        if input.max_p95_latency_ms > 0 && input.max_p95_latency_ms < summary.highest_latency {
            alive.refuse(self.each_too_slow(lanes, blocks.clone(), first));
        }
        let latency = alive.count;
        let required = input.required_capabilities & !summary.common_capabilities;
        if required != 0 {
            alive.refuse(!all_of(&chunk.capabilities, required));
        }
        let capability = alive.count;
        if input.allowed_provider_mask != ALL_PROVIDERS || summary.unknown_providers {
            let providers = blocks.clone().map(|block| &block.providers);
            alive.refuse(outside(lanes, input.allowed_provider_mask, providers));
        }
        let provider = alive.count;
        let regions = input.required_region_mask;
        if regions != 0 && regions & summary.common_regions == 0 {
            alive.refuse(!any_of(&chunk.regions, regions & summary.regions));
        }
        let region = alive.count;
        if input.risk_bps > summary.lowest_risk_ceiling {
            let columns = blocks.map(|block| &block.risk_ceiling);
            alive.refuse(below(lanes, self.bounds.risk, columns));
        }
        self.count.add([quality, latency, capability, provider, region, alive.count]);
        alive.models
    }

    /// The latency gate. A latency that lost bits and equals the limit's is compared in full.
    #[inline(always)]
    fn too_slow<L: Lanes>(&self, lanes: L, block: &Block, first: usize) -> u32 {
        let limit = lanes.splat(self.bounds.max_latency);
        let latency = lanes.load(&block.latency);
        let refused = lanes.above(latency, limit);
        if !self.bounds.latency_lost_bits {
            return refused;
        }
        let limit_ms = self.arithmetic.input.max_p95_latency_ms;
        let within = lanes.above(limit, latency);
        let too_slow = |bit: &usize| {
            self.models.get(first + bit).is_some_and(|model| model.p95_latency_ms > limit_ms)
        };
        ones(!(refused | within)).filter(too_slow).fold(refused, |refused, bit| refused | 1 << bit)
    }

    /// As [`Scan::too_slow`], of each of `blocks`, of which the first has model number `first`.
    #[inline(always)]
    fn each_too_slow<'b, L: Lanes>(
        &self,
        lanes: L,
        mut blocks: impl Iterator<Item = &'b Block>,
        first: usize,
    ) -> Words {
        let mut refused = Words::NONE;
        for number in 0..BLOCKS {
            let Some(block) = blocks.next() else { break };
            refused.set(number, self.too_slow(lanes, block, first + number * BLOCK));
        }
        refused
    }

    /// The last two gates and the rank, for those models of a chunk that passed the other gates. `margins` is room
    /// for theirs.
    #[inline(always)]
    fn settle<'b, L: Lanes>(
        &mut self,
        lanes: L,
        mut blocks: impl Iterator<Item = &'b Block>,
        alive: Words,
        margins: &mut [L::Numbers; BLOCKS],
        first: usize,
    ) {
        let none = Words::NONE;
        let mut verdicts =
            Verdicts { over_budget: none, near_budget: none, worthless: none, worthy: none };
        let mut reach = none;
        let bar = lanes.splat(self.bar);
        for (number, margins) in margins.iter_mut().enumerate() {
            let Some(block) = blocks.next() else { break };
            let estimate = Estimate::of(lanes, &self.scale, block);
            verdicts.over_budget.set(number, estimate.verdicts.over_budget);
            verdicts.near_budget.set(number, estimate.verdicts.near_budget);
            verdicts.worthless.set(number, estimate.verdicts.worthless);
            verdicts.worthy.set(number, estimate.verdicts.worthy);
            reach.set(number, lanes.above(estimate.margins, bar));
            *margins = estimate.margins;
        }
        let Settled { over_budget, worthy, unsure } = verdicts.settle(alive);
        self.count.over_budget += over_budget.count_ones();
        self.count.eligible += worthy.count_ones();
        if unsure != Words::NONE {
            for (number, unsure) in unsure.0.into_iter().enumerate() {
                self.exactly(unsure, first + number * BLOCK);
            }
        }
        let reach = reach & worthy;
        if reach != Words::NONE {
            self.compete(lanes, margins, &reach, first);
        }
    }

    /// Ranks those who may be among the best two of the models that `reach` the bar. The second largest
    /// margin raises it first: who is surely worth less than two others is out.
    #[inline(always)]
    fn compete<L: Lanes>(
        &mut self,
        lanes: L,
        margins: &[L::Numbers; BLOCKS],
        reach: &Words,
        first: usize,
    ) {
        let mut leaders = Leaders::none(lanes);
        for (margins, reach) in margins.iter().zip(reach.0) {
            if reach != 0 {
                leaders.add(lanes, *margins, reach);
            }
        }
        self.bar = self.bar.max(leaders.second(lanes).saturating_sub(SPREAD));
        let bar = lanes.splat(self.bar);
        for (number, (margins, reach)) in margins.iter().zip(reach.0).enumerate() {
            if reach != 0 {
                self.rank(reach & lanes.above(*margins, bar), first + number * BLOCK);
            }
        }
        let second = self.scale.in_units(self.ranking.second_utility());
        self.bar = self.bar.max(second.saturating_sub(ABOVE));
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
                Err(_) => {}
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

/// The positions of the bits that are set, in ascending order.
#[inline(always)]
fn ones(mut bits: u32) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let lowest = bits.trailing_zeros();
        bits &= bits.checked_sub(1)?;
        Some(lowest as usize)
    })
}
