//! What a scan adds up as it goes: how far models came, and the largest margins.

use super::columns::Summary;
use super::lanes::Lanes;
use super::words::Words;
use crate::decide::{Answer, Ranking, Seen, rejection as reject, saturate};
use crate::{DecisionTrace, KernelDecision, KernelInput, PolicyParams, RejectionHistogram};

/// Models by how far they came.
#[derive(Clone, Copy, Default)]
pub(super) struct Count {
    /// Those that passed the gate of quality and all before it, and so on to the risk ceiling.
    passed: [u32; 6],
    pub(super) over_budget: u32,
    /// Those that passed all gates; who is left is worth nothing.
    pub(super) eligible: u32,
}

impl Count {
    /// The models of a chunk that passed each gate and all before it.
    #[inline(always)]
    pub(super) fn add(&mut self, passed: &[Words; 6]) {
        for (sum, passed) in self.passed.iter_mut().zip(passed) {
            *sum += passed.count_ones();
        }
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
        let seen = Seen {
            evaluated: saturate(models),
            eligible: u16::try_from(self.eligible).unwrap_or(u16::MAX),
        };
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
        let count = |models: u32| u16::try_from(models).unwrap_or(u16::MAX);
        let [quality, latency, capability, provider, region, risk_ceiling] = self.passed;
        RejectionHistogram {
            disabled: saturate(models.saturating_sub(summary.enabled as usize)),
            quality: count(summary.enabled.wrapping_sub(quality)),
            latency: count(quality.wrapping_sub(latency)),
            capability: count(latency.wrapping_sub(capability)),
            provider: count(capability.wrapping_sub(provider)),
            region: count(provider.wrapping_sub(region)),
            risk_ceiling: count(region.wrapping_sub(risk_ceiling)),
            budget: count(self.over_budget),
            utility: count(risk_ceiling.wrapping_sub(self.over_budget).wrapping_sub(self.eligible)),
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
