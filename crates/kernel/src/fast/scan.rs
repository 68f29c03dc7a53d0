//! A request against the columns: each block passes all gates at once, then the estimate, then the exact few.

use super::bounds::Bounds;
use super::columns::{BLOCK, BLOCKS, Block, CHUNK, Chunk, Large, Small, Summary};
use super::estimate::{Estimate, FixedTerms, PolicyScale, SPREAD, Scale};
use super::lanes::Lanes;
use super::pending::{Entry, Pending};
use super::tally::{Count, Leaders};
use super::words::Words;
use crate::arithmetic::Arithmetic;
use crate::decide::{Answer, Candidate, Ranking, Seat};
use crate::gate::score_economics;
use crate::{KernelDecision, KernelModel};

/// A request on its way through the catalog.
pub(crate) struct Scan<'a, L: Lanes> {
    lanes: L,
    arithmetic: Arithmetic<'a>,
    summary: &'a Summary,
    models: &'a [KernelModel],
    bounds: Bounds,
    /// Whether no model can fail a gate on a number or the provider.
    open: bool,
    scale: Scale,
    count: Count,
    leaders: Leaders<L::Numbers>,
    /// A margin that is not above this is that of a model worth less than the second best found so far.
    bar: i16,
    pending: Pending,
    ranking: Ranking,
}

/// The margins of a chunk: room that is not cleared between chunks.
pub(crate) type Margins<L> = [<L as Lanes>::Numbers; BLOCKS];

/// What sets say of up to a chunk of models: which of them are enabled, offer the capabilities and serve a region.
struct Entrants {
    enabled: Words,
    capable: Words,
    serving: Words,
}

impl<'a, L: Lanes> Scan<'a, L> {
    #[inline(always)]
    pub(crate) fn new(
        lanes: L,
        arithmetic: Arithmetic<'a>,
        summary: &'a Summary,
        policy_scale: &PolicyScale,
        models: &'a [KernelModel],
    ) -> Self {
        Self {
            bounds: Bounds::new(arithmetic.input, summary),
            open: summary.is_open(arithmetic.input),
            scale: Scale::new(arithmetic.input, FixedTerms::of(&arithmetic), policy_scale),
            lanes,
            arithmetic,
            summary,
            models,
            count: Count::default(),
            leaders: Leaders::none(lanes),
            bar: -1,
            pending: Pending::new(),
            ranking: Ranking::new(),
        }
    }

    /// Decides a small catalog of several blocks.
    #[inline(always)]
    pub(crate) fn small<A: Answer>(&mut self, blocks: &[Small]) {
        let (lanes, input) = (self.lanes, self.arithmetic.input);
        let none = Words::NONE;
        let mut entrants = Entrants { enabled: none, capable: none, serving: none };
        let anywhere = if input.required_region_mask == 0 { u32::MAX } else { 0 };
        for (number, small) in blocks.iter().enumerate() {
            entrants.enabled.set(number, small.enabled);
            let capable = lanes.disjoint(&small.lacking, input.required_capabilities);
            entrants.capable.set(number, capable);
            let elsewhere = lanes.disjoint(&small.regions, input.required_region_mask);
            entrants.serving.set(number, anywhere | !elsewhere);
        }
        let mut margins = [lanes.splat(0); BLOCKS];
        self.pass::<A, false>(blocks.iter().map(|small| &small.block), &entrants, &mut margins, 0);
    }

    /// Takes one more chunk of a large catalog. What no model can fail is not looked at.
    #[inline(always)]
    pub(crate) fn chunk<A: Answer>(
        &mut self,
        large: &Large,
        chunk: &Chunk,
        number: usize,
        margins: &mut Margins<L>,
    ) {
        let (input, summary) = (self.arithmetic.input, self.summary);
        let required = input.required_capabilities & !summary.common_capabilities;
        let regions = input.required_region_mask;
        let serving = if regions == 0 || regions & summary.common_regions != 0 {
            Words::ALL
        } else {
            large.regions.any_of(regions & summary.regions, number)
        };
        let capable = large.capabilities.all_of(required, number);
        let entrants = Entrants { enabled: chunk.enabled, capable, serving };
        let (blocks, first) = (chunk.blocks.iter(), number * CHUNK);
        if self.open {
            self.pass::<A, true>(blocks, &entrants, margins, first);
        } else {
            self.pass::<A, false>(blocks, &entrants, margins, first);
        }
    }

    /// Takes the blocks through all gates. The models of whom the estimate leaves a doubt, and those who may be among
    /// the best two, are noted.
    #[inline(always)]
    fn pass<'b, A: Answer, const OPEN: bool>(
        &mut self,
        mut blocks: impl Iterator<Item = &'b Block>,
        entrants: &Entrants,
        margins: &mut Margins<L>,
        first: usize,
    ) {
        let (lanes, bounds, scale) = (self.lanes, self.bounds, self.scale);
        let mut total = self.count.eligible;
        let (models, allowed) = (self.models, self.arithmetic.input.allowed_provider_mask);
        let bar = lanes.splat(self.bar.cast_unsigned());
        let (mut doubtful, mut near) = (Words::NONE, Words::NONE);
        // Counted by the chunk, and for a trace alone.
        let (mut passed, mut over_budget) = ([Words::NONE; 6], Words::NONE);
        let (mut any_doubtful, mut any_near) = (0, 0);
        let Entrants { enabled, capable, serving } = entrants;
        let sets = enabled.0.into_iter().zip(capable.0).zip(serving.0);
        for ((number, margins), ((enabled, capable), serving)) in
            margins.iter_mut().enumerate().zip(sets)
        {
            let Some(block) = blocks.next() else { break };
            let latency_ms = |bit: usize| {
                let model = models.get(first + number * BLOCK + bit);
                model.map_or(0, |model| model.p95_latency_ms)
            };
            let [quality, latency, provider, risk_ceiling] = if OPEN {
                [u32::MAX; 4]
            } else {
                bounds.refused(lanes, block, allowed, latency_ms).map(|refused| !refused)
            };
            let gates = [quality, latency, capable, provider, serving, risk_ceiling];
            let mut alive = enabled;
            for (gate, passed) in gates.into_iter().zip(&mut passed) {
                alive &= gate;
                if A::TRACED {
                    passed.set(number, alive);
                }
            }
            let estimate = Estimate::of(lanes, &scale, block);
            let [short, out] = estimate.outlook(lanes);
            let eligible = alive & !short;
            total = total.wrapping_add(eligible.count_ones());
            let mut doubt = alive & short & !out;
            if A::TRACED {
                // Of the others it matters whether it is the budget that they fail.
                let verdicts = estimate.verdicts(lanes);
                doubt |= alive & out & verdicts.near_budget & !verdicts.over_budget;
                over_budget.set(number, alive & out & verdicts.over_budget);
            }
            let reach = eligible & lanes.above(estimate.margins, bar);
            doubtful.set(number, doubt);
            near.set(number, reach);
            any_doubtful |= doubt;
            any_near |= reach;
            *margins = estimate.margins;
        }
        self.count.eligible = total;
        if A::TRACED {
            self.count.add(&passed);
            self.count.over_budget += over_budget.count_ones();
        }
        if any_doubtful != 0 {
            self.doubt(&doubtful, first);
        }
        if any_near != 0 {
            self.compete(margins, &near, first);
        }
    }

    /// Notes those of whom the estimate leaves a doubt.
    #[inline(always)]
    fn doubt(&mut self, doubtful: &Words, first: usize) {
        for (number, models) in doubtful.0.into_iter().enumerate() {
            for bit in ones(models) {
                self.note(Entry::doubtful(first + number * BLOCK + bit));
            }
        }
    }

    /// Notes those who may be among the best two of the models that are `near` them. The second largest margin
    /// raises the bar first: who is surely worth less than two others is out.
    #[inline(always)]
    fn compete(&mut self, margins: &Margins<L>, near: &Words, first: usize) {
        let lanes = self.lanes;
        for (margins, near) in margins.iter().zip(near.0) {
            if near != 0 {
                self.leaders.add(lanes, *margins, near);
            }
        }
        self.raise(self.leaders.second(lanes));
        let bar = lanes.splat(self.bar.cast_unsigned());
        for (number, (margins, near)) in margins.iter().zip(near.0).enumerate() {
            if near != 0 {
                for bit in ones(near & lanes.above(*margins, bar)) {
                    self.note(Entry::eligible(first + number * BLOCK + bit));
                }
            }
        }
    }

    /// Two models are worth so many units.
    #[inline(always)]
    fn raise(&mut self, units: u16) {
        self.bar = self.bar.max(units.cast_signed() - i16::from(SPREAD));
    }

    #[inline(always)]
    fn note(&mut self, entry: Entry) {
        if self.pending.is_full() {
            self.make_room();
        }
        self.pending.push(entry);
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self) {
        self.settle();
    }

    /// The last two gates and the rank of those who are noted, exactly.
    #[inline(always)]
    fn settle(&mut self) {
        for entry in self.pending.take() {
            let index = entry.index();
            let Some(model) = self.models.get(index) else { continue };
            match score_economics(&self.arithmetic, model) {
                Ok(score) => {
                    self.count.eligible += u32::from(entry.is_doubtful());
                    self.ranking.consider(Candidate::new(Seat::new(index, model), score));
                }
                Err(crate::Gate::Budget) => self.count.over_budget += 1,
                Err(_) => {}
            }
        }
        self.raise(self.scale.in_units(self.ranking.second_utility()));
    }

    /// The answer, once every model has been seen; `rejection` decides a request that no model passed, if
    /// what refused them was not counted.
    #[inline(always)]
    pub(crate) fn finish<A: Answer>(&mut self, rejection: impl FnOnce() -> KernelDecision) -> A {
        self.settle();
        let Arithmetic { params, input, .. } = self.arithmetic;
        let Self { ranking, summary, models, .. } = self;
        self.count.answer(params, input, ranking, summary, models.len(), rejection)
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
