//! What a scan adds up as it goes: how far models came, and the largest margins.

use super::columns::{PAIRS, Summary};
use super::lanes::Lanes;
use super::words::Words;
use crate::decide::{Answer, Ranking, Seen, rejection as reject, saturate};
use crate::{DecisionTrace, KernelDecision, KernelInput, PolicyParams, RejectionHistogram};

/// A number of models, in a part for each word of a chunk: the parts are added up but once.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
pub(super) struct Sum([u64; PAIRS]);

impl Sum {
    #[inline(always)]
    pub(super) fn add(&mut self, models: Words) {
        for (sum, models) in self.0.iter_mut().zip(models.0) {
            *sum = sum.wrapping_add(models.count_ones().into());
        }
    }

    #[inline(always)]
    pub(super) fn add_one(&mut self) {
        let [first, ..] = &mut self.0;
        *first = first.wrapping_add(1);
    }

    #[inline(always)]
    fn total(&self) -> u64 {
        self.0.iter().fold(0, |total, part| total.wrapping_add(*part))
    }
}

/// Models by how far they came.
#[derive(Clone, Copy, Default)]
pub(super) struct Count {
    /// Those that passed the gate of quality and all before it, and so on to the risk ceiling. For a trace alone.
    passed: [Sum; 6],
    /// For a trace alone, too.
    pub(super) over_budget: Sum,
    /// Those that passed all gates; who is left is worth nothing.
    pub(super) eligible: Sum,
}

impl Count {
    /// The models of a chunk that pass all gates from that of quality to the risk ceiling.
    #[inline(always)]
    pub(super) fn through<A: Answer>(&mut self, enabled: Words, gates: [Words; 6]) -> Words {
        let mut alive = enabled;
        for (gate, passed) in gates.into_iter().zip(&mut self.passed) {
            alive = alive & gate;
            if A::TRACED {
                passed.add(alive);
            }
        }
        alive
    }

    /// The answer, once every model has been seen. What the gates refused is known in a trace alone: without one,
    /// `rejection` decides where no model passed.
    #[inline(always)]
    pub(super) fn answer<A: Answer>(
        &self,
        params: &PolicyParams,
        input: &KernelInput,
        ranking: &Ranking,
        summary: &Summary,
        models: usize,
        rejection: impl FnOnce() -> KernelDecision,
    ) -> A {
        let seen = Seen { evaluated: saturate(models), eligible: saturate(self.eligible.total()) };
        let decision = ranking.decision(params, input, seen);
        if !A::TRACED {
            return A::new(decision.unwrap_or_else(rejection), DecisionTrace::default());
        }
        let histogram = self.histogram(summary, models);
        let rejected = || reject(params, input, histogram.dominant_reason(), seen);
        A::new(decision.unwrap_or_else(rejected), seen.trace(histogram))
    }

    /// Differences of counts of which each is at most the one before.
    #[inline(always)]
    fn histogram(&self, summary: &Summary, models: usize) -> RejectionHistogram {
        let [quality, latency, capability, provider, region, risk_ceiling] =
            self.passed.map(|passed| passed.total());
        let (over_budget, eligible) = (self.over_budget.total(), self.eligible.total());
        let enabled = u64::from(summary.enabled);
        RejectionHistogram {
            disabled: saturate(models.saturating_sub(summary.enabled as usize)),
            quality: saturate(enabled.wrapping_sub(quality)),
            latency: saturate(quality.wrapping_sub(latency)),
            capability: saturate(latency.wrapping_sub(capability)),
            provider: saturate(capability.wrapping_sub(provider)),
            region: saturate(provider.wrapping_sub(region)),
            risk_ceiling: saturate(region.wrapping_sub(risk_ceiling)),
            budget: saturate(over_budget),
            utility: saturate(risk_ceiling.wrapping_sub(over_budget).wrapping_sub(eligible)),
        }
    }
}

/// The largest and the second largest margin of each lane.
pub(super) struct Leaders<N> {
    first: N,
    second: N,
}

impl<N: Copy> Leaders<N> {
    #[inline(always)]
    pub(super) fn none<L: Lanes<Numbers = N>>(lanes: L) -> Self {
        Self { first: lanes.splat(0), second: lanes.splat(0) }
    }

    #[inline(always)]
    pub(super) fn add<L: Lanes<Numbers = N>>(&mut self, lanes: L, margins: N, models: u32) {
        let [first, smaller] = lanes.sort(self.first, lanes.select(margins, models));
        let [second, _] = lanes.sort(self.second, smaller);
        (self.first, self.second) = (first, second);
    }

    /// The second largest margin of all.
    #[inline(always)]
    pub(super) fn second<L: Lanes<Numbers = N>>(&self, lanes: L) -> u16 {
        lanes.second_largest(self.first, self.second)
    }
}
