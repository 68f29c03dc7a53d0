//! A request against the columns: what they say of a chunk's models, then all gates at once, then the exact few.

use core::hint::black_box;

use super::bounds::Bounds;
use super::columns::{BLOCK, Block, CHUNK, Chunk, Large, PAIR, PAIRS, Pair, Small, Summary};
use super::estimate::{Estimate, FixedTerms, PolicyScale, SPREAD, Scale, Verdicts};
use super::lanes::{Lanes, Sets, halves, word};
use super::pending::{Entry, Pending};
use super::tally::{Count, Leaders};
use super::words::{Halves, Words};
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
pub(crate) type Margins<L> = [[<L as Lanes>::Numbers; 2]; PAIRS];

/// What sets say of up to a chunk of models: which of them are enabled, offer the capabilities and serve a region.
struct Entrants {
    enabled: Words,
    capable: Words,
    serving: Words,
}

/// What the columns of a block say of its models, with a bit for each.
struct Look<N> {
    /// By the gates of quality, latency, provider and risk ceiling, each on its own.
    refused: [u32; 4],
    /// May not be eligible, for want of budget or worth.
    short: u32,
    /// Surely is not; for a trace, where it is also sure for want of which.
    out: u32,
    over_budget: u32,
    above_bar: u32,
    margins: N,
}

impl<N> Look<N> {
    #[inline(always)]
    fn refused_by_any(&self) -> u32 {
        self.refused.iter().fold(0, |any, refused| any | refused)
    }
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
    pub(crate) fn small<A: Answer>(&mut self, pairs: &[Small]) {
        let (lanes, input) = (self.lanes, self.arithmetic.input);
        let [mut enabled, mut capable, mut serving] = [Words::NONE; 3];
        let places = enabled.0.iter_mut().zip(&mut capable.0).zip(&mut serving.0);
        let anywhere = if input.required_region_mask == 0 { u64::MAX } else { 0 };
        for (((enabled, capable), serving), small) in places.zip(pairs) {
            let disjoint =
                |[a, b]: &[Sets; 2], set| word([lanes.disjoint(a, set), lanes.disjoint(b, set)]);
            *enabled = small.enabled;
            *capable = disjoint(&small.lacking, input.required_capabilities);
            *serving = anywhere | !disjoint(&small.regions, input.required_region_mask);
        }
        let entrants = Entrants { enabled, capable, serving };
        let mut margins = [[lanes.splat(0); 2]; PAIRS];
        self.pass::<A, false>(pairs.iter().map(|small| &small.pair), &entrants, &mut margins, 0);
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
        let first = number * CHUNK;
        let pairs = chunk.pairs.iter();
        if self.open {
            self.pass::<A, true>(pairs, &entrants, margins, first);
        } else {
            self.pass::<A, false>(pairs, &entrants, margins, first);
        }
    }

    /// Looks at the blocks, then takes their models through all gates at once. Those of whom the estimate leaves a doubt,
    /// and those who may be among the best two, are noted.
    #[inline(always)]
    fn pass<'b, A: Answer, const OPEN: bool>(
        &mut self,
        mut pairs: impl Iterator<Item = &'b Pair>,
        entrants: &Entrants,
        margins: &mut Margins<L>,
        first: usize,
    ) {
        // What is stored side by side for two blocks takes the processor as long as for one.
        let (mut refused, mut refused_by_any) = ([Halves::NONE; 4], Halves::NONE);
        let [mut short, mut out, mut over_budget, mut above_bar] = [Halves::NONE; 4];
        for (number, margins) in margins.iter_mut().enumerate() {
            let Some([a, b]) = pairs.next() else { break };
            let place = first + number * PAIR;
            let (a, b) = (self.look::<A, OPEN>(a, place), self.look::<A, OPEN>(b, place + BLOCK));
            if A::TRACED {
                set(&mut refused, number, [a.refused, b.refused]);
                over_budget.set(number, [a.over_budget, b.over_budget]);
            } else {
                refused_by_any.set(number, [a.refused_by_any(), b.refused_by_any()]);
            }
            short.set(number, [a.short, b.short]);
            out.set(number, [a.out, b.out]);
            above_bar.set(number, [a.above_bar, b.above_bar]);
            *margins = [a.margins, b.margins];
        }
        let Entrants { enabled, capable, serving } = *entrants;
        let [quality, latency, provider, risk_ceiling] = refused.map(|it| !Words::from(it));
        let gates = [quality, latency, capable, provider, serving, risk_ceiling];
        let alive = self.count.through::<A>(enabled & !Words::from(refused_by_any), gates);
        let [short, out, over_budget, above_bar] =
            [short, out, over_budget, above_bar].map(Words::from);
        let eligible = alive & !short;
        self.count.eligible.add(eligible);
        if A::TRACED {
            self.count.over_budget.add(alive & over_budget);
        }
        let doubtful = alive & short & !out;
        if doubtful != Words::NONE {
            self.doubt(&doubtful, first);
        }
        let near = eligible & above_bar;
        if near != Words::NONE {
            // Through memory, which changes no result: else the compiler takes word by word out of vector registers.
            self.compete(margins, black_box(&near), first);
        }
    }

    /// Looks at a block whose first model has this place.
    #[inline(always)]
    fn look<A: Answer, const OPEN: bool>(&self, block: &Block, first: usize) -> Look<L::Numbers> {
        let Self { lanes, bounds, models, .. } = *self;
        let latency_ms = |bit: usize| models.get(first + bit).map_or(0, |it| it.p95_latency_ms);
        let allowed = self.arithmetic.input.allowed_provider_mask;
        let estimate = Estimate::of(lanes, &self.scale, block);
        let [short, out] = estimate.outlook(lanes);
        let Verdicts { over_budget, near_budget } = estimate.verdicts(lanes);
        Look {
            refused: if OPEN { [0; 4] } else { bounds.refused(lanes, block, allowed, latency_ms) },
            short,
            out: if A::TRACED { over_budget | out & !near_budget } else { out },
            over_budget,
            above_bar: lanes.above(estimate.margins, lanes.splat(self.bar.cast_unsigned())),
            margins: estimate.margins,
        }
    }

    /// Notes those of whom the estimate leaves a doubt. Out of line, because most chunks have none.
    #[inline(never)]
    fn doubt(&mut self, doubtful: &Words, first: usize) {
        for (number, models) in doubtful.0.into_iter().enumerate() {
            for bit in ones(models) {
                self.note(Entry::doubtful(first + number * PAIR + bit));
            }
        }
    }

    /// Notes those who may be among the best two of the models that are `near` them. The second largest margin
    /// raises the bar first: who is surely worth less than two others is out.
    #[inline(always)]
    fn compete(&mut self, margins: &Margins<L>, near: &Words, first: usize) {
        let lanes = self.lanes;
        for ([a, b], near) in margins.iter().zip(near.0) {
            if near != 0 {
                let [near_a, near_b] = halves(near);
                self.leaders.add(lanes, *a, near_a);
                self.leaders.add(lanes, *b, near_b);
            }
        }
        self.raise(self.leaders.second(lanes));
        let bar = lanes.splat(self.bar.cast_unsigned());
        for (number, ([a, b], near)) in margins.iter().zip(near.0).enumerate() {
            if near != 0 {
                let above_bar = word([lanes.above(*a, bar), lanes.above(*b, bar)]);
                for bit in ones(near & above_bar) {
                    self.note(Entry::eligible(first + number * PAIR + bit));
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
                    if entry.is_doubtful() {
                        self.count.eligible.add_one();
                    }
                    self.ranking.consider(Candidate::new(Seat::new(index, model), score));
                }
                Err(crate::Gate::Budget) => self.count.over_budget.add_one(),
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

/// Gives a pair of blocks its bits in each.
#[inline(always)]
fn set<const N: usize>(all: &mut [Halves; N], pair: usize, [a, b]: [[u32; N]; 2]) {
    for ((halves, a), b) in all.iter_mut().zip(a).zip(b) {
        halves.set(pair, [a, b]);
    }
}

/// The positions of the bits that are set, in ascending order.
#[inline(always)]
pub(super) fn ones(bits: impl Into<u64>) -> impl Iterator<Item = usize> {
    let mut bits = bits.into();
    core::iter::from_fn(move || {
        let lowest = bits.trailing_zeros();
        bits &= bits.checked_sub(1)?;
        Some(lowest as usize)
    })
}
