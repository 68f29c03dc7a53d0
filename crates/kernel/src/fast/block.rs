//! A catalog of one block, in one pass. How many models come how far cannot be predicted, so little here branches
//! on it: the first near the budget, the first of doubtful worth and the two that compete are computed even where
//! they are [`NOBODY`], and only those beyond take a loop.

use super::bounds::Bounds;
use super::columns::{Small, Summary};
use super::estimate::{Estimate, FixedTerms, PolicyScale, SPREAD, Scale, Verdicts};
use super::lanes::Lanes;
use super::scan::ones;
use super::tally::Count;
use crate::arithmetic::Narrow;
use crate::decide::{Answer, Candidate, NOBODY, Ranking, request_refusal};
use crate::gate::Score;
use crate::{KernelDecision, KernelInput, KernelModel, PolicyParams};

/// Requests of a batch that are decided step by step together.
pub(super) const TILE: usize = 8;

/// What a block's decision is made of.
#[derive(Clone, Copy)]
pub(super) struct Catalog<'a> {
    pub(super) params: &'a PolicyParams,
    pub(super) models: &'a [KernelModel],
    pub(super) summary: &'a Summary,
    pub(super) scale: &'a PolicyScale,
    pub(super) block: &'a Small,
}

/// A request, and what it fixes before any model is looked at.
#[derive(Clone, Copy)]
struct Prepared<'a> {
    input: &'a KernelInput,
    exact: Narrow<'a>,
    scale: Scale,
}

/// Who is eligible, and by how much as far as an estimate can tell.
#[derive(Clone, Copy)]
struct Sieved<N> {
    refused: [u32; 6],
    over_budget: u32,
    eligible: u32,
    /// Those of the eligible whose margins are certain to be positive.
    certain: u32,
    margins: N,
}

impl<'a> Catalog<'a> {
    /// Decides a request, if it is one for this arithmetic.
    #[inline(always)]
    pub(super) fn decide<L: Lanes, A: Answer>(self, lanes: L, input: &KernelInput) -> Option<A> {
        let request = self.prepare(input)?;
        let sieved = self.sieve(lanes, &request);
        Some(self.conclude(&request, &sieved, contenders(lanes, &sieved)))
    }

    /// Decides those of a tile of requests that nothing refuses outright and that are for this arithmetic: a bit for
    /// each. A decision is one long chain of small steps; each step of all requests before the next keeps the
    /// processor busy with several.
    #[inline(always)]
    pub(super) fn decide_tile<L: Lanes>(
        self,
        lanes: L,
        inputs: &[KernelInput],
        decisions: &mut [KernelDecision],
    ) -> u32 {
        let mut requests = [None; TILE];
        for (input, request) in inputs.iter().zip(&mut requests) {
            if request_refusal(self.params, input).is_none() {
                *request = self.prepare(input);
            }
        }
        let mut sieves = [None; TILE];
        for (request, sieved) in requests.iter().zip(&mut sieves) {
            if let Some(request) = request {
                *sieved = Some(self.sieve(lanes, request));
            }
        }
        let mut contend = [0; TILE];
        for (sieved, contend) in sieves.iter().zip(&mut contend) {
            if let Some(sieved) = sieved {
                *contend = contenders(lanes, sieved);
            }
        }
        let mut decided = 0;
        let steps = requests.iter().zip(&sieves).zip(contend).zip(decisions).zip(0..);
        for ((((request, sieved), contend), decision), bit) in steps {
            if let (Some(request), Some(sieved)) = (request, sieved) {
                *decision = self.conclude(request, sieved, contend);
                decided |= 1 << bit;
            }
        }
        decided
    }

    #[inline(always)]
    fn prepare<'r>(&self, input: &'r KernelInput) -> Option<Prepared<'r>>
    where
        'a: 'r,
    {
        if !(Narrow::fits(input) && Scale::fits(input)) {
            return None;
        }
        let exact = Narrow::new(self.params, input);
        let Narrow { worth, risk_penalty, .. } = exact;
        let scale = Scale::new(input, FixedTerms { worth, risk_penalty }, self.scale);
        Some(Prepared { input, exact, scale })
    }

    /// All gates. What the estimate leaves in doubt is computed.
    #[inline(always)]
    fn sieve<L: Lanes>(&self, lanes: L, request: &Prepared<'_>) -> Sieved<L::Numbers> {
        let Prepared { input, exact, ref scale } = *request;
        let refused = self.refused(lanes, input);
        let alive = refused.iter().fold(self.block.enabled, |alive, refused| alive & !refused);
        let Estimate { verdicts, margins } = Estimate::of(lanes, scale, &self.block.block);
        let Verdicts { mut over_budget, near_budget, worthless, worthy: certain } = verdicts;
        let mut worthy = certain;
        let near_budget = near_budget & !over_budget;
        let doubtful = !(worthy | worthless);
        if alive & !over_budget & (near_budget | doubtful) != 0 {
            over_budget |= self.which(alive & near_budget, |model| {
                exact.cost(model) > input.budget_limit_microunits
            });
            worthy |= self.which(alive & !over_budget & doubtful, |model| {
                exact.utility(model, exact.cost(model)) > 0
            });
        }
        let over_budget = alive & over_budget;
        let eligible = alive & !over_budget & worthy;
        Sieved { refused, over_budget, eligible, certain: eligible & certain, margins }
    }

    /// Ranks the contenders.
    #[inline(always)]
    fn conclude<A: Answer>(
        &self,
        request: &Prepared<'_>,
        sieved: &Sieved<impl Copy>,
        contenders: u32,
    ) -> A {
        let Self { params, models, summary, .. } = *self;
        let exact = &request.exact;
        let candidate = |(index, model)| {
            let cost = exact.cost(model);
            let utility = exact.utility(model, cost).max(0);
            Candidate::new(index, model, Score { cost, utility })
        };
        let mut ranking = Ranking::new();
        if contenders != 0 {
            let (first, rest) = self.lowest(contenders);
            let (second, rest) = self.lowest(rest);
            ranking = Ranking::of_two(candidate(first), candidate(second));
            for index in ones(rest) {
                if let Some(model) = models.get(index) {
                    ranking.consider(candidate((index, model)));
                }
            }
        }
        let mut count = Count::default();
        count.pass(self.block.enabled, sieved.refused);
        count.over_budget = sieved.over_budget.count_ones();
        count.eligible = sieved.eligible.count_ones();
        count.answer(params, request.input, &ranking, summary, models.len())
    }

    /// What each gate on one field refuses, in the order of the rules.
    #[inline(always)]
    fn refused<L: Lanes>(&self, lanes: L, input: &KernelInput) -> [u32; 6] {
        let Small { block, lacking, regions, .. } = self.block;
        let bounds = Bounds::new(input, self.summary);
        let unserved = lanes.disjoint(regions, input.required_region_mask);
        let anywhere = input.required_region_mask == 0;
        [
            lanes.above(lanes.splat(bounds.minimum_quality), lanes.load(&block.quality)),
            bounds.too_slow(lanes, block, self.models, 0),
            !lanes.disjoint(lacking, input.required_capabilities),
            lanes.outside(&block.providers, input.allowed_provider_mask),
            if anywhere { 0 } else { unserved },
            lanes.above(lanes.splat(bounds.risk), lanes.load(&block.risk_ceiling)),
        ]
    }

    /// Those of `models` of which it `holds`.
    #[inline(always)]
    fn which(&self, models: u32, holds: impl Fn(&KernelModel) -> bool) -> u32 {
        let ((_, model), rest) = self.lowest(models);
        let lowest = models & !rest;
        let held = if holds(model) { lowest } else { 0 };
        ones(rest)
            .filter(|index| self.models.get(*index).is_some_and(&holds))
            .fold(held, |held, index| held | 1 << index)
    }

    /// The first of some models, or nobody, and the others.
    #[inline(always)]
    fn lowest(&self, models: u32) -> ((usize, &KernelModel), u32) {
        let index = models.trailing_zeros() as usize;
        let model = self.models.get(index).unwrap_or(&NOBODY);
        ((index, model), models & models.wrapping_sub(1))
    }
}

/// Those of the eligible who may be among the best two. Signed: below the bar is only who is surely worth less than
/// two others.
#[inline(always)]
fn contenders<L: Lanes>(lanes: L, sieved: &Sieved<L::Numbers>) -> u32 {
    let leaders = lanes.select(sieved.margins, sieved.certain);
    let bar =
        lanes.second_largest(leaders, lanes.splat(0)).wrapping_sub(SPREAD.unsigned_abs().into());
    sieved.eligible & lanes.above(sieved.margins, lanes.splat(bar))
}
