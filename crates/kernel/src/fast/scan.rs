//! One request against the columns: gates as masks, then estimates, then the exact few.

use super::bounds::Bounds;
use super::columns::{BLOCK, BLOCKS, Block, CHUNK, Chunk, Small, Summary};
use super::estimate::{Estimate, FixedTerms, PolicyScale, SPREAD, Scale, Settled, Verdicts};
use super::gates::{all_of, any_of, below, disjoint, outside};
use super::lanes::Lanes;
use super::tally::{Alive, Count, Leaders};
use super::words::Words;
use crate::arithmetic::Arithmetic;
use crate::decide::{Answer, Candidate, Ranking, Seat};
use crate::gate::{Score, score_economics};
use crate::{ALL_PROVIDERS, KernelModel};

/// A request on its way through the catalog.
pub(crate) struct Scan<'a> {
    arithmetic: Arithmetic<'a>,
    summary: &'a Summary,
    models: &'a [KernelModel],
    bounds: Bounds,
    scale: Scale,
    count: Count,
    ranking: Ranking,
    /// A margin that is not above this is that of a model worth less than the second best found so far.
    bar: i16,
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
            scale: Scale::new(arithmetic.input, FixedTerms::of(&arithmetic), policy_scale),
            arithmetic,
            summary,
            models,
            count: Count::default(),
            ranking: Ranking::new(),
            bar: -1,
        }
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
        self.finish()
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
        self.finish()
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

    /// As [`Bounds::too_slow`], of each of `blocks`, of which the first has model number `first`.
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
            let latency_ms = |bit: usize| {
                let model = self.models.get(first + number * BLOCK + bit);
                model.map_or(0, |model| model.p95_latency_ms)
            };
            refused.set(number, self.bounds.too_slow(lanes, block, latency_ms));
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
        let bar = lanes.splat(self.bar.cast_unsigned());
        for (number, margins) in margins.iter_mut().enumerate() {
            let Some(block) = blocks.next() else { break };
            let estimate = Estimate::of(lanes, &self.scale, block);
            let of_block = estimate.verdicts(lanes);
            verdicts.over_budget.set(number, of_block.over_budget);
            verdicts.near_budget.set(number, of_block.near_budget);
            verdicts.worthless.set(number, of_block.worthless);
            verdicts.worthy.set(number, of_block.worthy);
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
        self.raise(leaders.second(lanes));
        let bar = lanes.splat(self.bar.cast_unsigned());
        for (number, (margins, reach)) in margins.iter().zip(reach.0).enumerate() {
            if reach != 0 {
                self.rank(reach & lanes.above(*margins, bar), first + number * BLOCK);
            }
        }
        self.raise(self.scale.in_units(self.ranking.second_utility()));
    }

    /// Two models are worth so many units.
    #[inline(always)]
    fn raise(&mut self, units: u16) {
        self.bar = self.bar.max(units.cast_signed() - i16::from(SPREAD));
    }

    /// Ranks models that are surely eligible.
    #[inline(always)]
    fn rank(&mut self, models: u32, first: usize) {
        for bit in ones(models) {
            let Some(model) = self.models.get(first + bit) else { continue };
            let cost = self.arithmetic.cost(model);
            let utility = self.arithmetic.utility(model, cost);
            let seat = Seat::new(first + bit, model);
            self.ranking.consider(Candidate::new(seat, Score { cost, utility }));
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
                    let seat = Seat::new(first + bit, model);
                    self.ranking.consider(Candidate::new(seat, score));
                }
                Err(crate::Gate::Budget) => self.count.over_budget += 1,
                Err(_) => {}
            }
        }
    }

    /// The answer, once every model has been seen.
    #[inline(always)]
    fn finish<A: Answer>(&self) -> A {
        let Arithmetic { params, input, .. } = self.arithmetic;
        self.count.answer(params, input, &self.ranking, self.summary, self.models.len())
    }
}

/// The positions of the bits that are set, in ascending order.
#[inline(always)]
pub(super) fn ones(mut bits: u32) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let lowest = bits.trailing_zeros();
        bits &= bits.checked_sub(1)?;
        Some(lowest as usize)
    })
}
