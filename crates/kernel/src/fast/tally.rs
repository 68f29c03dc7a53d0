//! What a scan adds up as it goes: how far models came, and the largest margins.

use super::columns::Summary;
use super::lanes::Lanes;
use crate::RejectionHistogram;
use crate::decide::saturate;

/// Models by how far they came.
#[derive(Clone, Copy, Default)]
pub(super) struct Count {
    /// Those that passed the gate of quality and all before it, and so on to the risk ceiling.
    passed: [u32; 6],
    pub(super) over_budget: u32,
    pub(super) worthless: u32,
    pub(super) eligible: u32,
}

impl Count {
    /// The models of a word that pass all of the gates, in the order of the rules.
    #[inline(always)]
    pub(super) fn pass(&mut self, mut alive: u64, refused: [u64; 6]) -> u64 {
        for (passed, refused) in self.passed.iter_mut().zip(refused) {
            alive &= !refused;
            *passed += alive.count_ones();
        }
        alive
    }

    #[inline(always)]
    pub(super) fn histogram(self, summary: &Summary, models: usize) -> RejectionHistogram {
        let count = |models: u32| u16::try_from(models).unwrap_or(u16::MAX);
        let [quality, latency, capability, provider, region, risk_ceiling] = self.passed;
        RejectionHistogram {
            disabled: saturate(models.saturating_sub(summary.enabled as usize)),
            quality: count(summary.enabled - quality),
            latency: count(quality - latency),
            capability: count(latency - capability),
            provider: count(capability - provider),
            region: count(provider - region),
            risk_ceiling: count(region - risk_ceiling),
            budget: count(self.over_budget),
            utility: count(self.worthless),
        }
    }
}

/// The largest and the second largest margin of each lane.
pub(super) struct Leaders<V> {
    first: [V; 2],
    second: [V; 2],
}

impl<V: Copy> Leaders<V> {
    #[inline(always)]
    pub(super) fn none<L: Lanes<Vector = V>>(lanes: L) -> Self {
        Self { first: lanes.splat_two(0), second: lanes.splat_two(0) }
    }

    #[inline(always)]
    pub(super) fn add<L: Lanes<Vector = V>>(&mut self, lanes: L, margins: [V; 2], models: u32) {
        let numbers = lanes.select(margins, models);
        let lanes_of_rows = self.first.iter_mut().zip(&mut self.second).zip(numbers);
        for ((first, second), number) in lanes_of_rows {
            let [larger, smaller] = lanes.sort(*first, number);
            let [next, _] = lanes.sort(*second, smaller);
            (*first, *second) = (larger, next);
        }
    }

    /// The second largest margin of all.
    #[inline(always)]
    pub(super) fn second<L: Lanes<Vector = V>>(&self, lanes: L) -> u16 {
        lanes.second_largest(self.first, self.second)
    }
}
