//! The catalog turned on its side, once, when a snapshot is built.
//!
//! What is compared with a number (quality, latency, risk ceiling, prices) becomes columns of `u16`, of
//! which one instruction reads sixteen. What is a set (capabilities, provider, regions) becomes bit
//! planes: plane `b` has a bit for each model that has bit `b`, so that one word answers for 64 models.

use alloc::boxed::Box;
use core::array::from_fn;

use super::lanes::Column;
use crate::KernelModel;

/// Models to a word.
pub(crate) const WORD: usize = 64;

/// A word of models for each bit of a 64-bit set.
pub(crate) type Planes<const W: usize> = [[u64; W]; 64];

/// The numeric fields of 32 models, half a word. A field that does not fit is shifted down by [`Shifts`].
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(crate) struct Block {
    pub(crate) quality: Column,
    pub(crate) risk_ceiling: Column,
    pub(crate) latency: Column,
    pub(crate) input_price: Column,
    pub(crate) output_price: Column,
}

/// `W` words of models. Small catalogs take one word at a time, large ones eight, which the vector
/// units and + or as one or two registers.
#[derive(Debug)]
pub(crate) struct Chunk<const W: usize> {
    pub(crate) enabled: [u64; W],
    pub(crate) capability: Planes<W>,
    /// For each four bits of a provider mask and each of their values, the models it admits: requests
    /// allow many providers at once, and a look-up for four costs what a plane costs for one.
    pub(crate) provider: [[[u64; W]; 16]; 16],
    pub(crate) region: Planes<W>,
    pub(crate) blocks: [[Block; 2]; W],
}

/// By how many bits each column is shifted down so that its largest value fits 16.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shifts {
    pub(crate) latency: u32,
    pub(crate) input_price: u32,
    pub(crate) output_price: u32,
}

/// What is true of the whole catalog, and lets a request skip a gate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) shifts: Shifts,
    pub(crate) disabled: u32,
    pub(crate) lowest_quality: u16,
    pub(crate) highest_quality: u16,
    pub(crate) lowest_risk_ceiling: u16,
    pub(crate) highest_latency: u32,
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
            shifts: Shifts::default(),
            disabled: 0,
            lowest_quality: u16::MAX,
            highest_quality: 0,
            lowest_risk_ceiling: u16::MAX,
            highest_latency: 0,
            common_capabilities: u64::MAX,
            common_regions: u64::MAX,
            regions: 0,
            unknown_providers: false,
        };
        let (mut input_price, mut output_price) = (0, 0);
        for model in models {
            summary.disabled = summary.disabled.saturating_add(u32::from(model.enabled == 0));
            summary.lowest_quality = summary.lowest_quality.min(model.quality_bps);
            summary.highest_quality = summary.highest_quality.max(model.quality_bps);
            summary.lowest_risk_ceiling = summary.lowest_risk_ceiling.min(model.risk_ceiling_bps);
            summary.highest_latency = summary.highest_latency.max(model.p95_latency_ms);
            summary.common_capabilities &= model.capabilities;
            summary.common_regions &= model.region_mask;
            summary.regions |= model.region_mask;
            summary.unknown_providers |= provider_bit(model).is_none();
            input_price |= model.input_cost_microunits_per_million_tokens;
            output_price |= model.output_cost_microunits_per_million_tokens;
        }
        summary.shifts = Shifts {
            latency: excess_bits(summary.highest_latency.into()),
            input_price: excess_bits(input_price),
            output_price: excess_bits(output_price),
        };
        summary
    }
}

/// Bits beyond the sixteen of a column.
const fn excess_bits(value: u64) -> u32 {
    (u64::BITS - value.leading_zeros()).saturating_sub(u16::BITS)
}

/// The provider's bit in a mask, if it has one.
fn provider_bit(model: &KernelModel) -> Option<u64> {
    1_u64.checked_shl(model.provider_id.into())
}

/// The chunks of a catalog, in order.
pub(crate) fn chunks<const W: usize>(models: &[KernelModel], shifts: &Shifts) -> Box<[Chunk<W>]> {
    models.chunks(WORD * W).map(|models| chunk(models, shifts)).collect()
}

fn chunk<const W: usize>(models: &[KernelModel], shifts: &Shifts) -> Chunk<W> {
    let words: [&[KernelModel]; W] =
        from_fn(|word| models.chunks(WORD).nth(word).unwrap_or_default());
    Chunk {
        enabled: words.map(|models| bits_where(models, |model| model.enabled != 0)),
        capability: planes(&words, |model| model.capabilities),
        provider: provider_table(&provider_planes(&words)),
        region: planes(&words, |model| model.region_mask),
        blocks: words.map(|models| {
            let (low, high) = models.split_at(models.len().min(WORD / 2));
            [block(low, shifts), block(high, shifts)]
        }),
    }
}

fn bits_where(models: &[KernelModel], holds: impl Fn(&KernelModel) -> bool) -> u64 {
    models.iter().rev().fold(0, |bits, model| bits << 1 | u64::from(holds(model)))
}

fn planes<const W: usize>(
    words: &[&[KernelModel]; W],
    set: impl Fn(&KernelModel) -> u64,
) -> Planes<W> {
    let mut planes = [[0; W]; 64];
    for (word, models) in words.iter().enumerate() {
        let mut rows = [0; 64];
        for (row, model) in rows.iter_mut().zip(*models) {
            *row = set(model);
        }
        transpose(&mut rows);
        for (plane, row) in planes.iter_mut().zip(rows) {
            if let Some(bits) = plane.get_mut(word) {
                *bits = row;
            }
        }
    }
    planes
}

/// As [`planes`] of the providers' bits: a model has one at most, so it is set where it belongs.
fn provider_planes<const W: usize>(words: &[&[KernelModel]; W]) -> Planes<W> {
    let mut planes = [[0; W]; 64];
    for (word, models) in words.iter().enumerate() {
        for (bit, model) in models.iter().enumerate() {
            let plane = planes.get_mut(usize::from(model.provider_id));
            if let Some(bits) = plane.and_then(|plane| plane.get_mut(word)) {
                *bits |= 1 << bit;
            }
        }
    }
    planes
}

fn provider_table<const W: usize>(planes: &Planes<W>) -> [[[u64; W]; 16]; 16] {
    let mut table = [[[0; W]; 16]; 16];
    for (rows, planes) in table.iter_mut().zip(planes.chunks(4)) {
        for (row, value) in rows.iter_mut().zip(0_u32..) {
            let admitted = planes.iter().zip(0..).filter(|(_, bit)| value >> bit & 1 == 1);
            for (plane, _) in admitted {
                for (word, bits) in row.iter_mut().zip(plane) {
                    *word |= bits;
                }
            }
        }
    }
    table
}

/// Bit `j` of row `i` becomes bit `i` of row `j`, by swapping ever smaller squares (Warren, Hacker's
/// Delight, §7-3).
fn transpose(rows: &mut [u64; 64]) {
    let (mut width, mut mask) = (32_usize, u64::MAX >> 32);
    while width > 0 {
        for group in rows.chunks_exact_mut(2 * width) {
            let (upper, lower) = group.split_at_mut(width);
            for (a, b) in upper.iter_mut().zip(lower) {
                let swap = (*a >> width ^ *b) & mask;
                *a ^= swap << width;
                *b ^= swap;
            }
        }
        width /= 2;
        mask ^= mask << width;
    }
}

fn block(models: &[KernelModel], shifts: &Shifts) -> Block {
    Block {
        quality: column(models, |m| m.quality_bps),
        risk_ceiling: column(models, |m| m.risk_ceiling_bps),
        latency: column(models, |m| shifted(m.p95_latency_ms.into(), shifts.latency)),
        input_price: column(models, |m| {
            shifted(m.input_cost_microunits_per_million_tokens, shifts.input_price)
        }),
        output_price: column(models, |m| {
            shifted(m.output_cost_microunits_per_million_tokens, shifts.output_price)
        }),
    }
}

#[inline(always)]
fn column(models: &[KernelModel], field: impl Fn(&KernelModel) -> u16) -> Column {
    let mut column = Column::default();
    for (lane, model) in column.as_flattened_mut().iter_mut().zip(models) {
        *lane = field(model);
    }
    column
}

#[inline(always)]
fn shifted(value: u64, shift: u32) -> u16 {
    u16::try_from(value >> shift).unwrap_or(u16::MAX)
}
