//! The catalog turned on its side, once, when a snapshot is built.
//!
//! What is compared with a number (quality, latency, risk ceiling, prices) becomes columns of 15 bits, of
//! which one instruction reads 16 or 32, in the order that the machine's lanes want. What is a set of bits is
//! stored by catalog size: in a small catalog beside its numbers, which decides without a loop over bits; in a
//! large one as bit planes, of which a request needs few and of which one word answers for 32 models.

use alloc::boxed::Box;
use core::array::from_fn;

use super::lanes::{Column, Lanes, Providers, Sets, halves, word};
use super::planes::Planes;
use super::words::Words;
use crate::{ALL_PROVIDERS, KernelInput, KernelModel, MAX_PROVIDER_ID};

/// Models to a block.
pub(crate) const BLOCK: usize = 32;
/// Models to a pair of blocks, for whom a word has a bit each.
pub(crate) const PAIR: usize = 2 * BLOCK;
/// Pairs of blocks to a chunk.
pub(crate) const PAIRS: usize = 8;
/// Models to a chunk.
pub(crate) const CHUNK: usize = PAIRS * PAIR;

/// Catalogs up to this size, which is at most a chunk, store their sets as columns.
pub(crate) const SMALL: usize = 256;

/// Bits of a number in a column: one is left for the sign of differences.
pub(crate) const COLUMN_BITS: u32 = 15;
/// Basis points have so many bits; a catalog or a request with more is decided by row.
pub(crate) const BPS_WIDTH: u32 = 14;

/// The numeric fields and the providers of 32 models. A column keeps the top 15 bits of a field whose
/// largest value is as wide as [`Widths`] says.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(crate) struct Block {
    pub(crate) quality: Column,
    pub(crate) latency: Column,
    pub(crate) risk_ceiling: Column,
    pub(crate) providers: Providers,
    pub(crate) input_price: Column,
    pub(crate) output_price: Column,
}

/// The numbers of 64 models.
pub(crate) type Pair = [Block; 2];

/// Sixty-four models of a small catalog.
#[derive(Debug)]
pub(crate) struct Small {
    pub(crate) enabled: u64,
    pub(crate) pair: Pair,
    /// What each model lacks: it offers a set that this has nothing in common with.
    pub(crate) lacking: [Sets; 2],
    pub(crate) regions: [Sets; 2],
}

/// The models of a large catalog.
#[derive(Debug)]
pub(crate) struct Large {
    pub(crate) chunks: Box<[Chunk]>,
    pub(crate) capabilities: Planes,
    pub(crate) regions: Planes,
}

/// The numbers of 512 models.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) enabled: Words,
    pub(crate) pairs: [Pair; PAIRS],
}

/// How many bits the largest value of a field has. Narrow fields are shifted up, so that they too fill their
/// column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Widths {
    pub(crate) latency: u32,
    pub(crate) input_price: u32,
    pub(crate) output_price: u32,
}

/// What is true of the whole catalog, and lets a request to a large one skip a gate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) widths: Widths,
    pub(crate) enabled: u32,
    pub(crate) lowest_quality: u16,
    pub(crate) highest_quality: u16,
    pub(crate) lowest_risk_ceiling: u16,
    pub(crate) highest_risk_ceiling: u16,
    pub(crate) highest_latency: u32,
    /// A millisecond less, if there is one.
    pub(crate) below_highest_latency: u32,
    /// Capabilities that every model has.
    pub(crate) common_capabilities: u64,
    /// Regions that every model serves.
    pub(crate) common_regions: u64,
    /// Regions that any model serves.
    pub(crate) regions: u64,
    /// Whether some provider id has no bit in any mask.
    pub(crate) unknown_providers: bool,
}

impl Summary {
    pub(crate) fn of(models: &[KernelModel]) -> Self {
        let mut summary = Self {
            widths: Widths { latency: 0, input_price: 0, output_price: 0 },
            enabled: 0,
            lowest_quality: u16::MAX,
            highest_quality: 0,
            lowest_risk_ceiling: u16::MAX,
            highest_risk_ceiling: 0,
            highest_latency: 0,
            below_highest_latency: 0,
            common_capabilities: u64::MAX,
            common_regions: u64::MAX,
            regions: 0,
            unknown_providers: false,
        };
        let (mut input_price, mut output_price) = (0, 0);
        for model in models {
            summary.enabled = summary.enabled.saturating_add(u32::from(model.enabled != 0));
            summary.lowest_quality = summary.lowest_quality.min(model.quality_bps);
            summary.highest_quality = summary.highest_quality.max(model.quality_bps);
            summary.lowest_risk_ceiling = summary.lowest_risk_ceiling.min(model.risk_ceiling_bps);
            summary.highest_risk_ceiling = summary.highest_risk_ceiling.max(model.risk_ceiling_bps);
            summary.highest_latency = summary.highest_latency.max(model.p95_latency_ms);
            summary.common_capabilities &= model.capabilities;
            summary.common_regions &= model.region_mask;
            summary.regions |= model.region_mask;
            summary.unknown_providers |= model.provider_id > MAX_PROVIDER_ID;
            input_price |= model.input_cost_microunits_per_million_tokens;
            output_price |= model.output_cost_microunits_per_million_tokens;
        }
        summary.below_highest_latency = summary.highest_latency.saturating_sub(1);
        summary.widths = Widths {
            latency: width(summary.highest_latency.into()),
            input_price: width(input_price),
            output_price: width(output_price),
        };
        summary
    }

    /// Whether no model can fail the gates of quality, latency, provider and risk ceiling.
    #[inline(always)]
    pub(crate) fn is_open(&self, input: &KernelInput) -> bool {
        let limit_ms = input.max_p95_latency_ms;
        input.minimum_quality_bps <= self.lowest_quality
            && (limit_ms == 0 || limit_ms >= self.highest_latency)
            && input.allowed_provider_mask == ALL_PROVIDERS
            && !self.unknown_providers
            && input.risk_bps <= self.lowest_risk_ceiling
    }

    /// Whether basis points fit the columns.
    pub(crate) fn bps_fit(&self) -> bool {
        (self.highest_quality | self.highest_risk_ceiling) >> BPS_WIDTH == 0
    }
}

/// The bits of a number; 0 has one here, so that a shift by what 64 has more is a shift.
const fn width(value: u64) -> u32 {
    u64::BITS - (value | 1).leading_zeros()
}

/// The top 15 bits of `value`, which is `width` bits wide.
#[inline(always)]
pub(crate) const fn top_bits(value: u64, width: u32) -> u16 {
    (value.wrapping_shl(u64::BITS.wrapping_sub(width)) >> (u64::BITS - COLUMN_BITS)) as u16
}

/// As [`top_bits`], of basis points that have no more than [`BPS_WIDTH`].
#[inline(always)]
pub(crate) const fn bps_bits(bps: u16) -> u16 {
    bps << (COLUMN_BITS - BPS_WIDTH)
}

/// A small catalog, in order.
pub(crate) fn small<L: Lanes>(models: &[KernelModel], widths: &Widths) -> Box<[Small]> {
    let small = |models: &[KernelModel]| Small {
        enabled: word(pair(models, enabled)),
        pair: pair(models, |models| block::<L>(models, widths)),
        lacking: pair(models, |models| sets::<L>(models, |model| !model.capabilities)),
        regions: pair(models, |models| sets::<L>(models, |model| model.region_mask)),
    };
    models.chunks(PAIR).map(small).collect()
}

/// A large catalog, in order.
pub(crate) fn large<L: Lanes>(models: &[KernelModel], widths: &Widths) -> Large {
    Large {
        chunks: models.chunks(CHUNK).map(|models| chunk::<L>(models, widths)).collect(),
        capabilities: Planes::new(models, |model| model.capabilities),
        regions: Planes::new(models, |model| model.region_mask),
    }
}

fn chunk<L: Lanes>(models: &[KernelModel], widths: &Widths) -> Chunk {
    let pairs = from_fn(|number| models.chunks(PAIR).nth(number).unwrap_or_default());
    Chunk {
        enabled: Words(pairs.map(|models| word(pair(models, enabled)))),
        pairs: pairs.map(|models| pair(models, |models| block::<L>(models, widths))),
    }
}

/// Of each half of up to 64 models.
fn pair<T>(models: &[KernelModel], of: impl Fn(&[KernelModel]) -> T) -> [T; 2] {
    let (first, second) = models.split_at(models.len().min(BLOCK));
    [of(first), of(second)]
}

pub(crate) fn enabled(models: &[KernelModel]) -> u32 {
    models.iter().rev().fold(0, |bits, model| bits << 1 | u32::from(model.enabled != 0))
}

fn sets<L: Lanes>(models: &[KernelModel], set: impl Fn(&KernelModel) -> u64) -> Sets {
    let mut sets = Sets::default();
    for (index, model) in models.iter().enumerate() {
        for (column, half) in sets.0.iter_mut().zip(halves(set(model))) {
            if let Some(place) = column.get_mut(L::set_place(index)) {
                *place = half;
            }
        }
    }
    sets
}

pub(crate) fn block<L: Lanes>(models: &[KernelModel], widths: &Widths) -> Block {
    Block {
        quality: column::<L>(models, |m| top_bits(m.quality_bps.into(), BPS_WIDTH)),
        latency: column::<L>(models, |m| top_bits(m.p95_latency_ms.into(), widths.latency)),
        risk_ceiling: column::<L>(models, |m| top_bits(m.risk_ceiling_bps.into(), BPS_WIDTH)),
        providers: providers(models),
        input_price: column::<L>(models, |m| {
            top_bits(m.input_cost_microunits_per_million_tokens, widths.input_price)
        }),
        output_price: column::<L>(models, |m| {
            top_bits(m.output_cost_microunits_per_million_tokens, widths.output_price)
        }),
    }
}

fn providers(models: &[KernelModel]) -> Providers {
    let mut providers = Providers::default();
    let places = providers.byte.iter_mut().zip(&mut providers.bit);
    for ((byte, bit), model) in places.zip(models) {
        let id = u8::try_from(model.provider_id).unwrap_or(u8::MAX);
        *byte = if model.provider_id > MAX_PROVIDER_ID { Providers::UNKNOWN } else { id / 8 };
        *bit = 1 << (id % 8);
    }
    providers
}

#[inline(always)]
fn column<L: Lanes>(models: &[KernelModel], field: impl Fn(&KernelModel) -> u16) -> Column {
    let mut column = Column::default();
    for (index, model) in models.iter().enumerate() {
        if let Some(number) = column.get_mut(L::place(index)) {
            *number = field(model);
        }
    }
    column
}
