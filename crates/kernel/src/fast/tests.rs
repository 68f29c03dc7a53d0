//! The fast path against the reference on every machine and at every bound of its estimates.

mod lane_operations;
mod stored_columns;

use proptest::prelude::*;

use super::columns::{CHUNK, Summary, small};
use super::estimate::{Estimate, FixedTerms, PolicyScale, SPREAD, Scale};
use super::lanes::{Lanes, Portable, Providers, Sets};
use super::*;
use crate::KernelDecision;
use lane_operations::{Inputs, check_masks, check_numbers};
use stored_columns::{check_large, check_small};
use support::cases::{Case, Words};
use support::reference;

#[expect(dead_code, reason = "the fast path needs only a part of what the test binaries share")]
#[path = "../../tests/suite/support/mod.rs"]
mod support;

/// Calls the function with the lanes of every machine that this processor is.
macro_rules! on_each_machine {
    ($check:ident($($argument:expr),*)) => {
        for machine in machines() {
            match machine {
                #[cfg(all(feature = "simd", target_arch = "x86_64"))]
                Machine::Avx512(lanes) => $check(lanes, $($argument),*),
                #[cfg(all(feature = "simd", target_arch = "x86_64"))]
                Machine::Avx2(lanes) => $check(lanes, $($argument),*),
                Machine::Portable => $check(Portable, $($argument),*),
            }
        }
    };
}

/// Every machine that this processor is, the plainest first.
fn machines() -> Vec<Machine> {
    #[cfg(all(feature = "simd", target_arch = "x86_64"))]
    let wide = [V3::try_new().map(Machine::Avx2), V4::try_new().map(Machine::Avx512)];
    #[cfg(not(all(feature = "simd", target_arch = "x86_64")))]
    let wide: [Option<Machine>; 0] = [];
    [Machine::Portable].into_iter().chain(wide.into_iter().flatten()).collect()
}

fn check(case: &Case) {
    let expected = reference::decide(&case.params, &case.models, &case.input);
    let expected = (expected.decision, expected.trace);
    let Case { params, models, input } = case;
    for machine in machines() {
        let fast = Fast::on(machine, params, models);
        let traced: (KernelDecision, DecisionTrace) = fast.decide(params, models, input);
        assert_eq!(traced, expected, "{machine:?}");
        // What is counted for a trace alone is then not there to help.
        let decision: KernelDecision = fast.decide(params, models, input);
        assert_eq!(decision, expected.0, "{machine:?}");
    }
}

/// Among the requests are some that are refused outright, and some too large to be decided beside others.
fn check_batch(words: &mut Words, size: usize, count: usize) {
    let Case { mut params, mut models, input } = close(words, size);
    params.hard_risk_limit_bps = 10_000;
    match words.upto(7) {
        0 => params.latency_penalty_microunits_per_ms = words.wide(64),
        1 => params.risk_penalty_multiplier_bps = u16::MAX,
        2 => models[0].output_cost_microunits_per_million_tokens = words.wide(64),
        _ => {}
    }
    let calm = words.chance(50);
    let inputs: Vec<_> = (0..count).map(|_| mixed(words, calm, input, &models)).collect();
    let expected: Vec<_> =
        inputs.iter().map(|input| reference::decide(&params, &models, input).decision).collect();
    for machine in machines() {
        let mut decisions = expected.clone();
        decisions.rotate_right(count / 2);
        Fast::on(machine, &params, &models).decide_each(&params, &models, &inputs, &mut decisions);
        assert_eq!(&decisions, &expected, "{machine:?}");
    }
}

/// Of catalogs so large that requests are decided side by side.
#[test]
fn batches_over_far_catalogs_decide_as_the_reference() {
    for seed in 0..4 {
        check_batch(&mut Words(seed), NEAR * CHUNK + 1, 2 * TILE + 1);
    }
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
        for case in [Words(seed).case(size), close(&mut Words(seed), size)] {
            on_each_machine!(check_estimates(&case));
        }
    }

    /// Who is among the best two is then known only by what the margins leave.
    #[test]
    fn close_utilities_decide_as_the_reference(seed: u64, small in 5_usize..100, large in 257_usize..1_100) {
        let mut words = Words(seed);
        let size = if words.chance(25) { large } else { small };
        check(&close(&mut words, size));
    }

    #[test]
    fn batches_decide_as_the_reference(
        seed: u64,
        small in 1_usize..40,
        large in 257_usize..1_100,
        count in 0..40_usize,
    ) {
        let mut words = Words(seed);
        let size = if words.chance(25) { large } else { small };
        check_batch(&mut words, size, count);
    }

    /// Sets of no bit, of one, of two and of more.
    #[test]
    fn planes_answer_for_sets(seed: u64, size in 0_usize..=32, bits in 0..6) {
        let mut words = Words(seed);
        let models = words.case(size).models;
        let set = (0..bits).fold(0, |set, _| set | 1_u64 << words.below(64));
        let offered = block::Planes::new(&models, |model| model.capabilities);
        let served = block::Planes::new(&models, |model| model.region_mask);
        let (all, any) = (offered.all_of(set), served.any_of(set));
        for (index, model) in models.iter().enumerate() {
            prop_assert_eq!(all >> index & 1 == 1, model.capabilities & set == set);
            prop_assert_eq!(any >> index & 1 == 1, set == 0 || model.region_mask & set != 0);
        }
    }

    /// Each operation of each machine, against its definition, model by model.
    #[test]
    fn lanes_do_what_they_say(
        wild: [[u16; 32]; 2],
        sparse: [u32; 2],
        byte: [u8; 32],
        bit: [u8; 32],
        sets: [[u32; 32]; 2],
        thin: [[u32; 32]; 2],
        mask: u64,
        bits: u32,
    ) {
        // Numbers that are not negative, some of them 0 and some of them equal.
        let mut numbers = wild.map(|column| column.map(|number| number >> 1));
        for (column, sparse) in numbers.iter_mut().zip(sparse) {
            for (model, number) in column.iter_mut().enumerate() {
                *number *= (sparse >> model & 1) as u16;
            }
        }
        let mut sets = Sets(sets);
        for (set, thin) in sets.0.as_flattened_mut().iter_mut().zip(thin.as_flattened()) {
            *set &= thin & thin.rotate_left(7);
        }
        let providers = Providers { byte: byte.map(|byte| byte & 0x87), bit };
        let few = mask & mask.rotate_left(5) & mask.rotate_left(9);
        let inputs = Inputs { wild, numbers, providers, sets, bits, masks: [mask, few] };
        on_each_machine!(check_numbers(&inputs));
        on_each_machine!(check_masks(&inputs));
    }

    #[test]
    fn columns_hold_the_catalog(seed: u64, size in 0_usize..1_100) {
        let Case { models, .. } = Words(seed).case(size);
        let widths = Summary::of(&models).widths;
        on_each_machine!(check_small(&models, &widths));
        on_each_machine!(check_large(&models, &widths));
    }
}

/// The worst that a search over millions of requests found for each margin of error. With a margin one smaller
/// the model would be taken for what it is not; `BELOW` has one to spare.
#[test]
fn error_margins_are_reached() {
    type Worst = (i64, [u16; 4], [(u32, u64); 3], u64);
    let worst: [Worst; 5] = [
        // Worth less than nothing at a margin of 6.
        (
            140_734_627_840_001,
            [10_000, 10_000, 6_103, 1],
            [(2_097_407, 67_026_943), (218_750, 528_616_521_726), (500_000, 57_266_929_663)],
            u64::MAX,
        ),
        // Worth something at a margin of -2.
        (
            83_748_606_565_252,
            [9_992, 9_989, 10_000, 0],
            [(4_096, 1_048_576), (4_096_000_004, 20_402_143_232), (1_024_000_001, 12_582_912)],
            u64::MAX,
        ),
        // The same with smaller numbers, which suit a catalog of one block.
        (
            40_892_874_299,
            [9_992, 9_989, 10_000, 0],
            [(4_096, 512), (4_096_000_004, 9_961_984), (1_024_000_001, 6_144)],
            u64::MAX,
        ),
        // Costs 29,404 and is estimated at 29,399.
        (
            20_188_493_348_633,
            [0, 10_000, 63, 16_082],
            [(1_897_947_517, 0), (1_765, 15_403_995), (68_596, 32_277)],
            29_403,
        ),
        // Costs hardly more than a unit and is estimated at two.
        (
            10_082_089_391_869,
            [5_064, 3_552, 4_999, 16_951],
            [
                (263_874_155, 238_925_893),
                (2_048_000_002, 536_870_912),
                (2_048_000_002, 536_870_912),
            ],
            2_199_023_257_700,
        ),
    ];
    for (value, [confidence, quality, risk, multiplier], [latency, input, output], budget) in worst
    {
        let mut case = close(&mut Words(1), 1);
        case.params.risk_penalty_multiplier_bps = multiplier;
        case.params.latency_penalty_microunits_per_ms = latency.1;
        case.input.business_value_microunits = value;
        case.input.budget_limit_microunits = budget;
        case.input.risk_bps = risk;
        case.input.confidence_bps = confidence;
        case.input.input_tokens = input.0;
        case.input.output_tokens = output.0;
        let model = &mut case.models[0];
        model.quality_bps = quality;
        model.p95_latency_ms = latency.0;
        model.input_cost_microunits_per_million_tokens = input.1;
        model.output_cost_microunits_per_million_tokens = output.1;
        on_each_machine!(check_estimates(&case));
        // In every layout.
        for size in [1, 5, 40, 300] {
            case.models = vec![case.models[0]; size];
            check(&case);
        }
    }
}

/// Where a unit of the estimate is a microunit: margins of 0 and all those around it.
#[test]
fn a_margin_of_nothing_is_enough() {
    for (size, value) in
        [2, 5, 40, 300].into_iter().flat_map(|size| (0..40).map(move |v| (size, v)))
    {
        let mut case = close(&mut Words(1), size);
        case.params.latency_penalty_microunits_per_ms = 0;
        case.input.business_value_microunits = value;
        case.input.confidence_bps = 10_000;
        case.input.risk_bps = 0;
        for model in &mut case.models {
            model.quality_bps = 10_000;
            model.input_cost_microunits_per_million_tokens = 0;
            model.output_cost_microunits_per_million_tokens = 0;
        }
        for budget in [0, 4, u64::MAX] {
            case.input.budget_limit_microunits = budget;
            check(&case);
            // A microunit less for each.
            let mut dearer = case.clone();
            for (cost, model) in (0..).zip(&mut dearer.models) {
                model.output_cost_microunits_per_million_tokens = cost;
            }
            check(&dearer);
        }
    }
}

/// Where nobody can pay, the decision says so without a trace, too.
#[test]
fn a_budget_that_refuses_all_is_the_reason_in_every_layout() {
    for (seed, size) in (0..8).flat_map(|seed| [1, 2, 3, 4, 5, 40, 300].map(|size| (seed, size))) {
        let mut case = close(&mut Words(seed), size);
        case.input.budget_limit_microunits = 0;
        check(&case);
    }
}

/// What a block takes is what its arithmetic holds and the policy does not refuse, up to every limit.
#[test]
fn a_block_takes_what_it_can_decide() {
    const BPS: [u16; 9] = [0, 1, 5_499, 5_500, 9_599, 9_600, (1 << 14) - 1, 1 << 14, u16::MAX];
    let mut case = close(&mut Words(1), 5);
    for (limit, least) in [(9_600, 5_500), (u16::MAX, 0), (0, u16::MAX), (1 << 14, 1 << 14)] {
        case.params.hard_risk_limit_bps = limit;
        case.params.minimum_confidence_bps = least;
        let summary = Summary::of(&case.models);
        let scale = PolicyScale::new(&case.params, &summary.widths).unwrap();
        let block = OneBlock::new::<Portable>(&case.params, &case.models, &summary, scale);
        for (risk, confidence) in BPS.into_iter().flat_map(|risk| BPS.map(|other| (risk, other))) {
            for quality in [0, (1 << 14) - 1, 1 << 14] {
                for value in [i64::MIN, -1, 0, (1 << 36) - 1, 1 << 36] {
                    let input = KernelInput {
                        risk_bps: risk,
                        confidence_bps: confidence,
                        minimum_quality_bps: quality,
                        business_value_microunits: value,
                        ..case.input
                    };
                    let fits = (risk | confidence | quality) >> 14 == 0 && Narrow::fits(value);
                    let taken = fits && request_refusal(&case.params, &input).is_none();
                    assert_eq!(block.takes(&input), taken, "{risk} {confidence} {quality} {value}");
                }
            }
        }
    }
}

/// Two models alike in all but how the cost is made up, of which the second alone is near the budget and computed
/// first: the earlier one is selected.
#[test]
fn position_breaks_the_last_tie_whoever_is_computed_first() {
    const UNIT: u64 = 1 << 17;
    let mut case = close(&mut Words(1), 40);
    case.params.latency_penalty_microunits_per_ms = 0;
    case.input.business_value_microunits = 4_000_000_000;
    case.input.risk_bps = 0;
    // A little over a million, whose multiplier then halves a column exactly.
    case.input.input_tokens = 1_000_001;
    case.input.output_tokens = 1_000_001;
    for (index, model) in case.models.iter_mut().enumerate() {
        // A price of 32 bits, so that a column loses 17.
        let prices = match index {
            0 => [2_000 * UNIT + UNIT - 1, 2_000 * UNIT + UNIT - 1],
            1 => [2_001 * UNIT + UNIT - 2, 2_000 * UNIT],
            _ => [u64::from(u32::MAX); 2],
        };
        model.model_id = 7;
        model.provider_id = 1;
        model.quality_bps = 9_000;
        model.enabled = u8::from(index < 2);
        [
            model.input_cost_microunits_per_million_tokens,
            model.output_cost_microunits_per_million_tokens,
        ] = prices;
    }
    let cost = reference::terms(&case.params, &case.models[0], &case.input).cost_microunits;
    for step in 0..40 {
        case.input.budget_limit_microunits = cost + step * UNIT;
        check(&case);
    }
}

/// A column keeps 15 of 16 bits.
#[test]
fn a_latency_that_lost_one_bit_is_compared_in_full() {
    for size in [5, 40, 300] {
        let mut case = close(&mut Words(1), size);
        case.input.max_p95_latency_ms = 40_000;
        for model in &mut case.models {
            model.p95_latency_ms = 40_000;
        }
        case.models[3].p95_latency_ms = 40_001;
        check(&case);
    }
}

/// All that tells models apart is the id, or the position where even that repeats.
#[test]
fn equal_models_are_ranked_by_the_rules_for_ties() {
    for (seed, size) in (0..40).flat_map(|seed| [1, 2, 3, 22, 32, 33].map(|size| (seed, size))) {
        let mut words = Words(seed);
        let mut case = close(&mut words, size);
        case.input.budget_limit_microunits = u64::MAX;
        let first = case.models[0];
        for model in &mut case.models {
            let id = if seed % 2 == 0 { 7 } else { model.model_id };
            *model = KernelModel { model_id: id, ..first };
        }
        check(&case);
        // Dearer by as much as it is better.
        let last = &mut case.models[size - 1];
        last.quality_bps += 1;
        check(&case);
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
    // With the smaller value everything fits the arithmetic of one block.
    let bits = if words.chance(50) { 31 } else { 40 };
    let value = (1 << bits) + words.upto((1 << bits) - 1);
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
        let lost = (1 << words.upto(bits - 16)) - 1;
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

/// One of many requests that are alike.
fn mixed(words: &mut Words, calm: bool, input: KernelInput, models: &[KernelModel]) -> KernelInput {
    let model = &models[words.below(models.len())];
    match words.upto(if calm { 6 } else { 9 }) {
        7 => KernelInput { risk_bps: 10_000, ..input },
        8 => KernelInput { business_value_microunits: i64::MAX, ..input },
        9 => KernelInput { minimum_quality_bps: 1 << 14 | 5_000, ..input },
        0 => KernelInput { business_value_microunits: 1 << 36, ..input },
        1 => KernelInput { max_p95_latency_ms: model.p95_latency_ms, ..input },
        2 => KernelInput { minimum_quality_bps: model.quality_bps, ..input },
        3 => KernelInput { budget_limit_microunits: words.upto(1 << 33), ..input },
        4 => KernelInput { required_capabilities: 1 << words.below(64), ..input },
        5 => KernelInput { output_tokens: u32::MAX, ..input },
        _ => input,
    }
}

fn check_estimates<L: Lanes>(lanes: L, case: &Case) {
    const ASKED_FOR: u32 = 0x5f5f_5f5f;
    let arithmetic = Arithmetic::new(&case.params, &case.input);
    let summary = Summary::of(&case.models);
    let Some(policy) = PolicyScale::new(&case.params, &summary.widths) else { return };
    if !Scale::fits(&case.input) || !summary.bps_fit() {
        return;
    }
    let scale = Scale::new(&case.input, FixedTerms::of(&arithmetic), &policy);
    let small = &small::<L>(&case.models, &summary.widths)[0];
    let estimate = Estimate::of(lanes, &scale, &small.pair[0]);
    let verdicts = estimate.verdicts(lanes);
    let [short, out] = estimate.outlook(lanes);
    let margins = lanes.store(estimate.margins);
    let slacks = lanes.store(estimate.slack(lanes, ASKED_FOR));
    let unit = 1_i128 << scale.unit;
    for (index, model) in case.models.iter().enumerate() {
        let exact = reference::terms(&case.params, model, &case.input);
        let bit = |bits: u32| bits >> index & 1 == 1;
        let over = exact.cost_microunits > case.input.budget_limit_microunits;
        assert!(over || !bit(verdicts.over_budget));
        assert!(!over || bit(verdicts.near_budget));
        let utility = i128::from(exact.utility_microunits);
        let eligible = !over && utility > 0;
        assert!(eligible || bit(short));
        assert!(!eligible || !bit(out));
        let slack = slacks[L::place(index)].cast_signed();
        assert!(slack <= 0 || (bit(ASKED_FOR) && !over && utility > 0));
        assert!(slack > -i16::from(SPREAD) || over || utility <= 0);
        if !bit(short) {
            let margin = i128::from(margins[L::place(index)]);
            assert!(utility > margin * unit);
        }
        // Whoever is below the bar by its margin is out, even one of whom nothing else is certain.
        if utility > 0 {
            let margin = i128::from(margins[L::place(index)].cast_signed());
            assert!(utility < (margin + i128::from(SPREAD)) * unit);
        }
    }
}
