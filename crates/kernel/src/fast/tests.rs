//! The fast path against the reference on every machine and at every bound of its estimates.

use proptest::prelude::*;

use super::columns::{
    BLOCK, BPS_WIDTH, Block, CHUNK, COLUMN_BITS, Planes, Summary, WORD, Widths, Words as Word,
    chunks, small,
};
use super::estimate::{ABOVE, BELOW, Estimate, PolicyScale, Scale};
use super::lanes::{Lanes, Portable, Providers, Sets, halves, place, set_place};
use super::*;
use crate::KernelDecision;
use support::cases::{Case, Words};
use support::reference;

#[expect(dead_code, reason = "the fast path needs only a part of what the test binaries share")]
#[path = "../../tests/suite/support/mod.rs"]
mod support;

fn decide_on(machine: Machine, case: &Case) -> (KernelDecision, DecisionTrace) {
    let fast = Fast { machine, ..Fast::new(&case.params, &case.models) };
    fast.decide(&case.params, &case.models, &case.input)
}

fn check(case: &Case) {
    let expected = reference::decide(&case.params, &case.models, &case.input);
    let expected = (expected.decision, expected.trace);
    assert_eq!(decide_on(Machine::Portable, case), expected, "portable lanes");
    assert_eq!(decide_on(Machine::detect(), case), expected, "this machine's lanes");
}

proptest! {
    #[test]
    fn every_machine_decides_as_the_reference(seed: u64, size in 0_usize..140) {
        check(&Words(seed).case(size));
    }

    /// Brings the columns and the multipliers to both sides of the limits of the estimate, in catalogs of
    /// every layout.
    #[test]
    fn every_tier_decides_as_the_reference(
        seed: u64,
        small in 5_usize..40,
        large in 255_usize..700,
        bit in 0_u32..64,
    ) {
        let mut words = Words(seed);
        let size = if words.chance(25) { large } else { small };
        let mut case = words.case(size);
        let edge = (1_u64 << bit).wrapping_sub(words.upto(2)).wrapping_add(1);
        case.params.hard_risk_limit_bps = u16::MAX;
        case.params.minimum_confidence_bps = 0;
        match words.upto(3) {
            0 => case.input.business_value_microunits = (edge >> 1) as i64,
            1 => case.params.latency_penalty_microunits_per_ms = edge,
            2 => case.models[words.below(size)].input_cost_microunits_per_million_tokens = edge,
            _ => {
                let latency = u32::try_from(edge).unwrap_or(u32::MAX);
                case.models[words.below(size)].p95_latency_ms = latency;
                case.input.max_p95_latency_ms = latency.saturating_sub(1);
            }
        }
        check(&case);
    }

    /// What the error margins promise, lane by lane, against the exact numbers.
    #[test]
    fn estimates_bracket_the_truth(seed: u64, size in 1_usize..=32) {
        check_estimates(&Words(seed).case(size));
        check_estimates(&close(&mut Words(seed), size));
    }

    /// Who is among the best two is then known only by what the margins leave.
    #[test]
    fn close_utilities_decide_as_the_reference(seed: u64, small in 5_usize..100, large in 257_usize..1_100) {
        let mut words = Words(seed);
        let size = if words.chance(25) { large } else { small };
        check(&close(&mut words, size));
    }

    #[test]
    fn lanes_agree(
        rows: [[u16; 16]; 4],
        sparse: [u16; 2],
        byte: [u8; 32],
        bit: [u8; 32],
        sets: [[[u32; 8]; 4]; 2],
        thin: [[[u32; 8]; 4]; 2],
        mask: u64,
        bits: u32,
    ) {
        let [a, b, c, d] = rows;
        // Numbers that are not negative, some of them 0 and some of them equal.
        let mut numbers = [[a, b], [c, d]].map(|rows| rows.map(|row| row.map(|n| n >> 1)));
        for (index, row) in numbers.as_flattened_mut().iter_mut().enumerate() {
            for (lane, number) in row.iter_mut().enumerate() {
                *number *= sparse[index % 2] >> lane & 1;
            }
        }
        let providers = Providers { byte: byte.map(|byte| byte & 0x87), bit };
        let mut sets = Sets(sets);
        for (set, thin) in sets.0.as_flattened_mut().iter_mut().zip(thin.as_flattened()) {
            for (set, thin) in set.iter_mut().zip(thin) {
                *set &= thin & thin.rotate_left(7);
            }
        }
        let few = mask & mask.rotate_left(5) & mask.rotate_left(9);
        let inputs = Inputs { rows, numbers, providers, sets, bits, masks: [mask, few] };
        let plain = every_operation(Portable, &inputs);
        let [x, y] = numbers;
        let second = Portable.second_largest(x, y);
        #[cfg(all(feature = "simd", target_arch = "x86_64"))]
        if let Machine::Avx2(lanes) = Machine::detect() {
            prop_assert_eq!(every_operation(lanes, &inputs), plain.clone());
            // What each lane saw: its largest number first.
            let sorted = |pick: fn(u16, u16) -> u16| {
                [0, 1].map(|row| core::array::from_fn(|lane| pick(x[row][lane], y[row][lane])))
            };
            let (firsts, seconds) = (sorted(u16::max), sorted(u16::min));
            let wide = lanes.second_largest(lanes.load_two(&firsts), lanes.load_two(&seconds));
            prop_assert_eq!(wide, second);
        }
        let mut sorted: Vec<_> = numbers.into_iter().flatten().flatten().collect();
        sorted.sort_unstable();
        prop_assert_eq!(second, sorted[62]);
        let (rows, masks) = plain;
        for model in 0..32 {
            let holds = |mask: u32| mask >> model & 1 == 1;
            let (row, lane) = place(model);
            prop_assert_eq!(holds(masks[0]), x[row][lane] > y[row][lane]);
            prop_assert_eq!(rows[row][lane], x[row][lane] * (bits >> model & 1) as u16);
            let byte = usize::from(providers.byte[model]);
            let allowed = byte < 8 && mask >> (8 * byte) & u64::from(providers.bit[model]) != 0;
            prop_assert_eq!(holds(masks[1]), !allowed);
            let (row, lane) = set_place(model);
            let [low, high] = halves(few);
            let [lower, upper] = inputs.sets.0;
            let disjoint = lower[row][lane] & low == 0 && upper[row][lane] & high == 0;
            prop_assert_eq!(holds(masks[2]), disjoint);
        }
    }

    #[test]
    fn columns_hold_the_catalog(seed: u64, size in 0_usize..1_100) {
        let Case { models, .. } = Words(seed).case(size);
        let widths = Summary::of(&models).widths;
        check_small(&models, &widths);
        check_chunks(&models, &widths);
    }
}

/// One model lacks one bit, and the request asks for it; then its provider's, and one region's.
#[test]
fn every_bit_of_a_set_decides() {
    for (size, bit) in [5, 40, 300].into_iter().flat_map(|size| (0..64).map(move |bit| (size, bit)))
    {
        let mut case = Words(bit).case(size);
        let provider = u16::try_from(bit).unwrap();
        case.params.hard_risk_limit_bps = u16::MAX;
        case.params.minimum_confidence_bps = 0;
        case.input.required_capabilities = 1 << bit;
        case.input.allowed_provider_mask = !(1 << bit);
        case.input.required_region_mask = 1 << bit;
        for (index, model) in case.models.iter_mut().enumerate() {
            model.capabilities = if index % 5 == 1 { !(1 << bit) } else { u64::MAX };
            model.region_mask = if index % 5 == 2 { !(1 << bit) } else { u64::MAX };
            model.provider_id = if index % 5 == 3 { provider } else { (provider + 1) % 64 };
        }
        check(&case);
    }
}

/// A large catalog skips a gate that no model can fail, and not one that a single model fails by one.
#[test]
fn no_gate_is_skipped_that_one_model_fails() {
    for change in [
        |model: &mut KernelModel| model.risk_ceiling_bps = 499,
        |model: &mut KernelModel| model.quality_bps = 6_999,
        |model: &mut KernelModel| model.p95_latency_ms = 70_001,
    ] {
        let mut case = close(&mut Words(1), 300);
        case.input.risk_bps = 500;
        case.input.minimum_quality_bps = 7_000;
        case.input.max_p95_latency_ms = 70_000;
        for model in &mut case.models {
            model.quality_bps = 7_000;
        }
        change(&mut case.models[77]);
        check(&case);
    }
}

/// Models of nearly one utility, a few units of the estimate apart, each of whose terms is large enough to be
/// rounded.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers below the limits given to `upto`"
)]
fn close(words: &mut Words, size: usize) -> Case {
    let mut case = words.case(size);
    let value = (1 << 40) + words.upto(1 << 40);
    case.params.hard_risk_limit_bps = u16::MAX;
    case.params.minimum_confidence_bps = 0;
    case.params.risk_penalty_multiplier_bps = 10_000;
    case.params.latency_penalty_microunits_per_ms = words.upto(value >> 20);
    case.input = KernelInput {
        business_value_microunits: value as i64,
        // What a million tokens cost is the price.
        input_tokens: 1_000_000,
        output_tokens: 1_000_000,
        risk_bps: words.upto(500) as u16,
        confidence_bps: 9_900 + words.upto(100) as u16,
        budget_limit_microunits: u64::MAX,
        minimum_quality_bps: 0,
        max_p95_latency_ms: 0,
        required_capabilities: 0,
        allowed_provider_mask: u64::MAX,
        required_region_mask: 0,
        ..case.input
    };
    let apart = value >> (12 + words.upto(4));
    for model in &mut case.models {
        model.enabled = 1;
        model.risk_ceiling_bps = 10_000;
        model.quality_bps = 6_000 + words.upto(4_000) as u16;
        model.p95_latency_ms = words.upto(1 << 16) as u32;
        model.input_cost_microunits_per_million_tokens = words.upto(value >> 4);
        model.output_cost_microunits_per_million_tokens = 0;
        let utility = reference::terms(&case.params, model, &case.input).utility_microunits;
        let wanted = (value >> 3) + words.upto(apart);
        // Bits that a column loses.
        let lost = (1 << words.upto(24)) - 1;
        model.input_cost_microunits_per_million_tokens |= lost;
        model.output_cost_microunits_per_million_tokens = (utility as u64 - wanted) | lost;
    }
    if words.chance(30) {
        let model = &case.models[words.below(size)];
        let cost = reference::terms(&case.params, model, &case.input).cost_microunits;
        case.input.budget_limit_microunits = cost - 1;
    }
    case
}

fn check_estimates(case: &Case) {
    let arithmetic = Arithmetic::new(&case.params, &case.input);
    let summary = Summary::of(&case.models);
    let Some(policy) = PolicyScale::new(&case.params, &summary.widths) else { return };
    if !Scale::fits(&arithmetic) || !summary.bps_fit() {
        return;
    }
    let scale = Scale::new(&arithmetic, &policy);
    let small = &small(&case.models, &summary.widths)[0];
    let estimate = Estimate::of(Portable, &scale, &small.block);
    let unit = 1_i128 << scale.unit;
    for (index, model) in case.models.iter().enumerate() {
        let exact = reference::terms(&case.params, model, &case.input);
        let bit = |bits: u32| bits >> index & 1 == 1;
        let over = exact.cost_microunits > case.input.budget_limit_microunits;
        assert!(over || !bit(estimate.over_budget));
        assert!(!over || bit(estimate.near_budget));
        let utility = i128::from(exact.utility_microunits);
        assert!(utility <= 0 || !bit(estimate.worthless));
        assert!(utility > 0 || !bit(estimate.worthy));
        if bit(estimate.worthy) {
            let (row, lane) = place(index);
            let margin = i128::from(estimate.margins[row][lane]);
            assert!(utility > (margin - i128::from(BELOW)) * unit);
            assert!(utility < (margin + i128::from(ABOVE)) * unit);
        }
    }
}

struct Inputs {
    rows: [[u16; 16]; 4],
    numbers: [[[u16; 16]; 2]; 2],
    providers: Providers,
    sets: Sets,
    bits: u32,
    masks: [u64; 2],
}

fn every_operation<L: Lanes>(lanes: L, inputs: &Inputs) -> (Vec<[u16; 16]>, [u32; 5]) {
    let [x, y] = [&inputs.numbers[0], &inputs.numbers[1]].map(|rows| lanes.load_two(rows));
    let wild = lanes.load_two(&[inputs.rows[0], inputs.rows[1]]);
    let difference = lanes.sub_two(x, y);
    let [low, high] = lanes.select(x, inputs.bits);
    let [larger, smaller] = lanes.sort(x[0], y[0]);
    let rows = [
        low,
        high,
        larger,
        smaller,
        lanes.splat(inputs.rows[0][0]),
        lanes.share(x[0], y[1]),
        lanes.add(x[0], y[1]),
        lanes.sub(x[0], y[1]),
    ];
    let [mask, few] = inputs.masks;
    let masks = [
        lanes.above(x, y),
        lanes.outside(&inputs.providers, mask),
        lanes.disjoint(&inputs.sets, few),
        lanes.above(difference, wild),
        lanes.above(wild, difference),
    ];
    (rows.map(|row| lanes.store(row)).to_vec(), masks)
}

fn check_small(models: &[KernelModel], widths: &Widths) {
    let blocks = small(models, widths);
    assert_eq!(blocks.len(), models.len().div_ceil(BLOCK));
    for (index, model) in models.iter().enumerate() {
        let (small, index) = (&blocks[index / BLOCK], index % BLOCK);
        assert_eq!(small.enabled >> index & 1 == 1, model.enabled != 0);
        let (row, lane) = set_place(index);
        let set = |Sets([lower, upper]): &Sets| {
            u64::from(lower[row][lane]) | u64::from(upper[row][lane]) << 32
        };
        assert_eq!(set(&small.lacking), !model.capabilities);
        assert_eq!(set(&small.regions), model.region_mask);
        check_block(&small.block, index, model, widths);
    }
}

fn check_chunks(models: &[KernelModel], widths: &Widths) {
    let chunks = chunks(models, widths);
    assert_eq!(chunks.len(), models.len().div_ceil(CHUNK));
    for (index, model) in models.iter().enumerate() {
        let chunk = &chunks[index / CHUNK];
        let (word, bit) = (index % CHUNK / WORD, index % WORD);
        let set = |words: &Word| words[word] >> bit & 1 == 1;
        let mask = |planes: &Planes| {
            (0..64).fold(0_u64, |mask, plane| mask | u64::from(set(&planes[plane])) << plane)
        };
        assert_eq!(set(&chunk.enabled), model.enabled != 0);
        assert_eq!(mask(&chunk.capabilities), model.capabilities);
        assert_eq!(mask(&chunk.regions), model.region_mask);
        check_block(&chunk.blocks[word][bit / BLOCK], bit % BLOCK, model, widths);
    }
}

fn check_block(block: &Block, index: usize, model: &KernelModel, widths: &Widths) {
    let (row, lane) = place(index);
    let check = |column: &[[u16; 16]; 2], value: u64, width: u32| {
        let top = u128::from(value) << COLUMN_BITS >> width;
        assert_eq!(u128::from(column[row][lane]), top & 0x7fff, "{value} of {width} bits");
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
