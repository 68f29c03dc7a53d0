//! One request against the columns: gates as masks, then estimates, then the exact few.

use super::columns::{Block, Chunk, Planes, Summary, WORD};
use super::estimate::{ABOVE, BELOW, Estimate, PolicyScale, Scale};
use super::lanes::Lanes;
use crate::arithmetic::Arithmetic;
use crate::decide::{Answer, Ranking, Seen, saturate};
use crate::gate::{Score, score_economics};
use crate::{ALL_PROVIDERS, Gate, KernelModel, RejectionHistogram};

/// With more contenders than this for the first two places, the estimate first thins them out.
const CROWD: u32 = 3;

/// A request on its way through the catalog.
pub(crate) struct Scan<'a> {
    arithmetic: Arithmetic<'a>,
    summary: &'a Summary,
    policy_scale: &'a PolicyScale,
    models: &'a [KernelModel],
    scale: Option<Scale>,
    refused: Refused,
    eligible: u32,
    ranking: Ranking,
    /// An estimated utility below this is below the second best found so far.
    bar: u16,
}

/// Refusals by gate, in the order of the gates.
#[derive(Clone, Copy, Default)]
struct Refused([u32; 9]);

impl Refused {
    #[inline(always)]
    fn record(&mut self, gate: Gate, models: u32) {
        if let Some(count) = self.0.get_mut(gate as usize) {
            *count += models;
        }
    }

    #[inline(always)]
    fn histogram(&self) -> RejectionHistogram {
        let [
            disabled,
            quality,
            latency,
            capability,
            provider,
            region,
            risk_ceiling,
            budget,
            utility,
        ] = self.0.map(|count| u16::try_from(count).unwrap_or(u16::MAX));
        RejectionHistogram {
            disabled,
            quality,
            risk_ceiling,
            latency,
            capability,
            provider,
            region,
            budget,
            utility,
        }
    }
}

impl<'a> Scan<'a> {
    #[inline(always)]
    pub(crate) fn new(
        arithmetic: Arithmetic<'a>,
        summary: &'a Summary,
        policy_scale: &'a PolicyScale,
        models: &'a [KernelModel],
    ) -> Self {
        let mut refused = Refused::default();
        refused.record(Gate::Disabled, summary.disabled);
        Self {
            arithmetic,
            summary,
            policy_scale,
            models,
            scale: None,
            refused,
            eligible: 0,
            ranking: Ranking::EMPTY,
            bar: 0,
        }
    }

    /// Tests the models of one chunk, of which the first is number `first` of the catalog.
    ///
    /// Each gate removes from `alive` the models it refuses, in the order of the rules; a gate that no
    /// model of this catalog can fail is not looked at.
    #[inline(always)]
    pub(crate) fn chunk<L: Lanes, const W: usize>(
        &mut self,
        lanes: L,
        chunk: &Chunk<W>,
        first: usize,
    ) {
        let (input, summary) = (self.arithmetic.input, self.summary);
        let mut alive = chunk.enabled;
        if input.minimum_quality_bps > summary.lowest_quality {
            let minimum = input.minimum_quality_bps;
            let refused = refused_by(lanes, chunk, &alive, minimum, quality_below);
            self.refuse(Gate::Quality, &mut alive, refused);
        }
        if input.max_p95_latency_ms > 0 && input.max_p95_latency_ms < summary.highest_latency {
            let refused = self.too_slow(lanes, chunk, &alive, first);
            self.refuse(Gate::Latency, &mut alive, refused);
        }
        let required = input.required_capabilities & !summary.common_capabilities;
        if required != 0 {
            let offered = all_of(&chunk.capability, required);
            self.refuse(Gate::Capability, &mut alive, offered.map(|bits| !bits));
        }
        if input.allowed_provider_mask != ALL_PROVIDERS || summary.unknown_providers {
            let allowed = provider_allowed(chunk, input.allowed_provider_mask);
            self.refuse(Gate::Provider, &mut alive, allowed.map(|bits| !bits));
        }
        let regions = input.required_region_mask;
        if regions != 0 && regions & summary.common_regions == 0 {
            let served = any_of(&chunk.region, regions & summary.regions);
            self.refuse(Gate::Region, &mut alive, served.map(|bits| !bits));
        }
        if input.risk_bps > summary.lowest_risk_ceiling {
            let refused = refused_by(lanes, chunk, &alive, input.risk_bps, risk_ceiling_below);
            self.refuse(Gate::RiskCeiling, &mut alive, refused);
        }
        // Up to so many survivors of a block are computed exactly at once: cheaper than an estimate while
        // the rows of the catalog are at hand, which those of a large one are not.
        let few = if W == 1 { 4 } else { 0 };
        for ((alive, [low, high]), word) in alive.into_iter().zip(&chunk.blocks).zip(0..) {
            let first = first + word * WORD;
            let [low_alive, high_alive] = halves(alive);
            self.economics(lanes, low, low_alive, first, few);
            self.economics(lanes, high, high_alive, first + WORD / 2, few);
        }
    }

    #[inline(always)]
    fn refuse<const W: usize>(&mut self, gate: Gate, alive: &mut [u64; W], refused: [u64; W]) {
        let mut count = 0;
        for (alive, refused) in alive.iter_mut().zip(refused) {
            count += (*alive & refused).count_ones();
            *alive &= !refused;
        }
        self.refused.record(gate, count);
    }

    /// The latency gate. A latency that lost bits and equals the limit's is compared in full.
    #[inline(always)]
    fn too_slow<L: Lanes, const W: usize>(
        &self,
        lanes: L,
        chunk: &Chunk<W>,
        alive: &[u64; W],
        first: usize,
    ) -> [u64; W] {
        let limit = self.arithmetic.input.max_p95_latency_ms;
        let shift = self.summary.shifts.latency;
        let shifted = u16::try_from(limit >> shift).unwrap_or(u16::MAX);
        let mut refused = refused_by(lanes, chunk, alive, shifted, latency_above);
        if shift > 0 {
            let within = refused_by(lanes, chunk, alive, shifted, latency_below);
            for (((refused, within), alive), word) in
                refused.iter_mut().zip(within).zip(alive).zip(0..)
            {
                for bit in ones(alive & !*refused & !within) {
                    let model = self.models.get(first + word * WORD + bit);
                    if model.is_some_and(|model| model.p95_latency_ms > limit) {
                        *refused |= 1 << bit;
                    }
                }
            }
        }
        refused
    }

    /// The last two gates and the rank, for the models of a block that passed all others.
    #[inline(always)]
    fn economics<L: Lanes>(&mut self, lanes: L, block: &Block, alive: u32, first: usize, few: u32) {
        if alive.count_ones() <= few {
            return self.exactly(alive, first);
        }
        let scale = match self.scale {
            Some(scale) => scale,
            None => *self.scale.insert(Scale::new(&self.arithmetic, self.policy_scale)),
        };
        let estimate = Estimate::of(lanes, &scale, block);
        let over_budget = alive & estimate.over_budget;
        let affordable = alive & !estimate.near_budget;
        let worthless = affordable & estimate.worthless;
        let worthy = affordable & estimate.worthy;
        self.refused.record(Gate::Budget, over_budget.count_ones());
        self.refused.record(Gate::Utility, worthless.count_ones());
        self.eligible += worthy.count_ones();
        self.contend(lanes, &scale, &estimate, worthy, first);
        self.exactly(alive & !(over_budget | worthless | worthy), first);
    }

    /// Ranks those of the `worthy` that may be among the best two.
    #[inline(always)]
    fn contend<L: Lanes>(
        &mut self,
        lanes: L,
        scale: &Scale,
        estimate: &Estimate<L::Vector>,
        worthy: u32,
        first: usize,
    ) {
        // The margin reaches the bar: it is above the number before it.
        let mut contenders = worthy & lanes.above(estimate.margin, self.bar.saturating_sub(1));
        if contenders.count_ones() > CROWD {
            // Two models reach the second largest of these maxima, so who is surely below it is out.
            let [low, high] = estimate.margin;
            let [low_bits, high_bits] = halves_u32(contenders);
            let maxima = lanes.max(lanes.select(low_bits, low), lanes.select(high_bits, high));
            let second = lanes.second_largest(maxima);
            self.bar = self.bar.max(second.saturating_sub(BELOW + ABOVE));
            contenders &= lanes.above(estimate.margin, self.bar.saturating_sub(1));
        }
        for bit in ones(contenders.into()) {
            let Some(model) = self.models.get(first + bit) else { continue };
            let cost = self.arithmetic.cost(model);
            let utility = self.arithmetic.utility(model, cost);
            self.ranking.consider(first + bit, model, Score { cost, utility });
        }
        if contenders != 0 {
            let second = scale.in_units(self.ranking.second_utility());
            self.bar = self.bar.max(second.saturating_sub(ABOVE));
        }
    }

    /// The last two gates and the rank, model by model.
    #[inline(always)]
    fn exactly(&mut self, models: u32, first: usize) {
        for bit in ones(models.into()) {
            let Some(model) = self.models.get(first + bit) else { continue };
            match score_economics(&self.arithmetic, model) {
                Ok(score) => {
                    self.eligible += 1;
                    self.ranking.consider(first + bit, model, score);
                }
                Err(gate) => self.refused.record(gate, 1),
            }
        }
    }

    /// The answer, once every chunk has been seen.
    #[inline(always)]
    pub(crate) fn finish<A: Answer>(self) -> A {
        let seen = Seen {
            evaluated: saturate(self.models.len()),
            eligible: u16::try_from(self.eligible).unwrap_or(u16::MAX),
        };
        let Arithmetic { params, input, .. } = self.arithmetic;
        let refused_by = || self.refused.histogram().dominant_reason();
        let decision = self.ranking.conclude(params, input, seen, refused_by);
        A::new(decision, || seen.trace(self.refused.histogram()))
    }
}

/// The models whose column is on the wrong side of `bound`. Halves with nobody alive are left out.
#[inline(always)]
fn refused_by<L: Lanes, const W: usize>(
    lanes: L,
    chunk: &Chunk<W>,
    alive: &[u64; W],
    bound: u16,
    test: impl Fn(L, &Block, u16) -> u32,
) -> [u64; W] {
    let mut refused = [0; W];
    for ((refused, alive), [low, high]) in refused.iter_mut().zip(alive).zip(&chunk.blocks) {
        *refused = test(lanes, low, bound).into();
        let [_, high_alive] = halves(*alive);
        if high_alive != 0 {
            *refused |= u64::from(test(lanes, high, bound)) << 32;
        }
    }
    refused
}

#[inline(always)]
fn quality_below<L: Lanes>(lanes: L, block: &Block, minimum: u16) -> u32 {
    lanes.below(lanes.load_two(&block.quality), minimum)
}

#[inline(always)]
fn risk_ceiling_below<L: Lanes>(lanes: L, block: &Block, risk: u16) -> u32 {
    lanes.below(lanes.load_two(&block.risk_ceiling), risk)
}

#[inline(always)]
fn latency_above<L: Lanes>(lanes: L, block: &Block, limit: u16) -> u32 {
    lanes.above(lanes.load_two(&block.latency), limit)
}

#[inline(always)]
fn latency_below<L: Lanes>(lanes: L, block: &Block, limit: u16) -> u32 {
    lanes.below(lanes.load_two(&block.latency), limit)
}

/// Models with every bit of `set`.
#[inline(always)]
fn all_of<const W: usize>(planes: &Planes<W>, set: u64) -> [u64; W] {
    combine(planes, set, u64::MAX, |a, b| a & b)
}

/// Models with any bit of `set`.
#[inline(always)]
fn any_of<const W: usize>(planes: &Planes<W>, set: u64) -> [u64; W] {
    combine(planes, set, 0, |a, b| a | b)
}

#[inline(always)]
fn combine<const W: usize>(
    planes: &Planes<W>,
    set: u64,
    start: u64,
    operation: impl Fn(u64, u64) -> u64,
) -> [u64; W] {
    let mut combined = [start; W];
    for bit in ones(set) {
        if let Some(plane) = planes.get(bit) {
            combined = zip_words(combined, plane, &operation);
        }
    }
    combined
}

#[inline(always)]
fn zip_words<const W: usize>(
    mut words: [u64; W],
    plane: &[u64; W],
    operation: impl Fn(u64, u64) -> u64,
) -> [u64; W] {
    for (word, bits) in words.iter_mut().zip(plane) {
        *word = operation(*word, *bits);
    }
    words
}

/// Models whose provider has a bit in `allowed`: four bits of the mask are looked up at a time.
#[inline(always)]
fn provider_allowed<const W: usize>(chunk: &Chunk<W>, allowed: u64) -> [u64; W] {
    let mut found = [0; W];
    for (rows, shift) in chunk.provider.iter().zip((0..).step_by(4)) {
        if let Some(models) = rows.get(((allowed >> shift) & 15) as usize) {
            found = zip_words(found, models, |a, b| a | b);
        }
    }
    found
}

/// The positions of the bits that are set, in ascending order.
#[inline(always)]
fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let lowest = bits.trailing_zeros();
        bits &= bits.checked_sub(1)?;
        Some(lowest as usize)
    })
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the two halves of a word")]
fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the two halves of a word")]
fn halves_u32(word: u32) -> [u16; 2] {
    [word as u16, (word >> 16) as u16]
}
