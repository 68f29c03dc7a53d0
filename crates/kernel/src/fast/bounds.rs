//! What the columns are compared with, and the one gate for which a column may not be enough.

use super::columns::{Block, COLUMN_BITS, Summary, bps_bits, top_bits};
use super::lanes::Lanes;
use super::scan::ones;
use crate::KernelInput;

/// What the columns are compared with.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) minimum_quality: u16,
    max_latency: u16,
    pub(crate) risk: u16,
    /// In milliseconds: no limit is that of the slowest model.
    limit_ms: u32,
    /// Whether the columns say all there is to say of a latency: they have all of its bits, or there is no limit.
    latency_is_whole: bool,
}

impl Bounds {
    #[inline(always)]
    pub(crate) fn new(input: &KernelInput, summary: &Summary) -> Self {
        let unlimited = input.max_p95_latency_ms == 0;
        // Below every limit there is one, and below none all that there are.
        let below = input.max_p95_latency_ms.wrapping_sub(1).min(summary.below_highest_latency);
        let limit_ms = below.wrapping_add(1);
        Self {
            minimum_quality: bps_bits(input.minimum_quality_bps),
            max_latency: top_bits(limit_ms.into(), summary.widths.latency),
            risk: bps_bits(input.risk_bps),
            limit_ms,
            latency_is_whole: unlimited || summary.widths.latency <= COLUMN_BITS,
        }
    }

    /// The models of a block that the gates of quality, latency, provider and risk ceiling refuse, each on its own.
    /// `latency_ms` is as for [`Bounds::too_slow`].
    #[inline(always)]
    pub(crate) fn refused<L: Lanes>(
        &self,
        lanes: L,
        block: &Block,
        allowed_providers: u64,
        latency_ms: impl Fn(usize) -> u32,
    ) -> [u32; 4] {
        [
            lanes.above(lanes.splat(self.minimum_quality), lanes.load(&block.quality)),
            self.too_slow(lanes, block, latency_ms),
            lanes.outside(&block.providers, allowed_providers),
            lanes.above(lanes.splat(self.risk), lanes.load(&block.risk_ceiling)),
        ]
    }

    /// The latency gate. A latency that lost bits and equals the limit's is compared in full; `latency_ms` has it for
    /// the place of a model in the block.
    #[inline(always)]
    pub(crate) fn too_slow<L: Lanes>(
        &self,
        lanes: L,
        block: &Block,
        latency_ms: impl Fn(usize) -> u32,
    ) -> u32 {
        let limit = lanes.splat(self.max_latency);
        let latency = lanes.load(&block.latency);
        let refused = lanes.above(latency, limit);
        if self.latency_is_whole {
            return refused;
        }
        let within = lanes.above(limit, latency);
        let too_slow = |bit: &usize| latency_ms(*bit) > self.limit_ms;
        ones(!(refused | within)).filter(too_slow).fold(refused, |refused, bit| refused | 1 << bit)
    }
}
