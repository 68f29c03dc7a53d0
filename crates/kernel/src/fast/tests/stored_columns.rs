//! What the columns and the planes of a catalog hold, against its models.

use crate::KernelModel;
use crate::fast::columns::{
    BLOCK, BPS_WIDTH, Block, CHUNK, COLUMN_BITS, PAIR, Widths, large, small,
};
use crate::fast::lanes::{Column, Lanes, Providers, Sets};
use crate::fast::words::Words as Bits;

pub(super) fn check_small<L: Lanes>(_: L, models: &[KernelModel], widths: &Widths) {
    let pairs = small::<L>(models, widths);
    assert_eq!(pairs.len(), models.len().div_ceil(PAIR));
    for (index, model) in models.iter().enumerate() {
        let (small, half, bit) = (&pairs[index / PAIR], index % PAIR / BLOCK, index % PAIR);
        assert_eq!(small.enabled >> bit & 1 == 1, model.enabled != 0);
        let index = index % BLOCK;
        let place = L::set_place(index);
        let set =
            |Sets([lower, upper]): &Sets| u64::from(lower[place]) | u64::from(upper[place]) << 32;
        assert_eq!(set(&small.lacking[half]), !model.capabilities);
        assert_eq!(set(&small.regions[half]), model.region_mask);
        check_block::<L>(&small.pair[half], index, model, widths);
    }
}

pub(super) fn check_large<L: Lanes>(_: L, models: &[KernelModel], widths: &Widths) {
    let large = large::<L>(models, widths);
    assert_eq!(large.chunks.len(), models.len().div_ceil(CHUNK));
    for (index, model) in models.iter().enumerate() {
        let (number, chunk) = (index / CHUNK, &large.chunks[index / CHUNK]);
        let (pair, bit) = (index % CHUNK / PAIR, index % PAIR);
        let has = |models: Bits| models.0[pair] >> bit & 1 == 1;
        assert_eq!(has(chunk.enabled), model.enabled != 0);
        for (planes, set) in
            [(&large.capabilities, model.capabilities), (&large.regions, model.region_mask)]
        {
            let one = |bit: u32| has(planes.any_of(1 << bit, number));
            assert_eq!((0..64).fold(0, |mask, bit| mask | u64::from(one(bit)) << bit), set);
            assert!(has(planes.all_of(set, number)) && has(planes.all_of(0, number)));
            assert!(set == u64::MAX || !has(planes.all_of(set | (set + 1), number)));
            assert!(!has(planes.any_of(!set, number)) && !has(planes.any_of(0, number)));
        }
        check_block::<L>(&chunk.pairs[pair][bit / BLOCK], bit % BLOCK, model, widths);
    }
}

fn check_block<L: Lanes>(block: &Block, index: usize, model: &KernelModel, widths: &Widths) {
    let check = |column: &Column, value: u64, width: u32| {
        let top = u128::from(value) << COLUMN_BITS >> width;
        assert_eq!(u128::from(column[L::place(index)]), top & 0x7fff, "{value} of {width} bits");
    };
    check(&block.quality, model.quality_bps.into(), BPS_WIDTH);
    check(&block.risk_ceiling, model.risk_ceiling_bps.into(), BPS_WIDTH);
    check(&block.latency, model.p95_latency_ms.into(), widths.latency);
    check(&block.input_price, model.input_cost_microunits_per_million_tokens, widths.input_price);
    check(
        &block.output_price,
        model.output_cost_microunits_per_million_tokens,
        widths.output_price,
    );
    let Providers { byte, bit } = block.providers;
    for provider in 0..64 {
        let found = byte[index] == provider / 8 && bit[index] == 1 << (provider % 8);
        assert_eq!(found, u16::from(provider) == model.provider_id);
    }
    assert_eq!(byte[index] >= 0x80, model.provider_id > 63);
}
