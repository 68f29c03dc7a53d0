//! The fast path against the reference on every machine and at every bound of its estimates.

use proptest::prelude::*;

use super::columns::{Chunk, Planes, Shifts, Summary, WORD, chunks};
use super::estimate::{ABOVE, BELOW, Estimate, PolicyScale, Scale};
use super::lanes::{Lanes, Portable};
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

    /// Brings the columns and the multipliers to both sides of the limits of the estimate.
    #[test]
    fn every_tier_decides_as_the_reference(seed: u64, size in 9_usize..40, bit in 0_u32..64) {
        let mut words = Words(seed);
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
        let case = Words(seed).case(size);
        let arithmetic = Arithmetic::new(&case.params, &case.input);
        let shifts = Summary::of(&case.models).shifts;
        let Some(policy) = PolicyScale::new(&case.params, shifts) else { return Ok(()) };
        if !Scale::fits(&arithmetic) {
            return Ok(());
        }
        let scale = Scale::new(&arithmetic, &policy);
        let chunk: &Chunk<1> = &chunks(&case.models, &shifts)[0];
        let estimate = Estimate::of(Portable, &scale, &chunk.blocks[0][0]);
        let unit = 1_i128 << scale.unit;
        for (index, model) in case.models.iter().enumerate() {
            let exact = reference::terms(&case.params, model, &case.input);
            let bit = |bits: u32| bits >> index & 1 == 1;
            let over = exact.cost_microunits > case.input.budget_limit_microunits;
            prop_assert!(over || !bit(estimate.over_budget));
            prop_assert!(!over || bit(estimate.near_budget));
            let utility = i128::from(exact.utility_microunits);
            prop_assert!(utility <= 0 || !bit(estimate.worthless));
            prop_assert!(utility > 0 || !bit(estimate.worthy));
            if bit(estimate.worthy) {
                let margin = i128::from(estimate.margin[index / 16][index % 16]);
                prop_assert!(utility > (margin - i128::from(BELOW)) * unit);
                prop_assert!(utility < (margin + i128::from(ABOVE)) * unit);
            }
        }
    }

    #[test]
    fn lanes_agree(a: [u16; 16], b: [u16; 16], bits: u16, zeros: u16) {
        let blank = |row: [u16; 16]| {
            let mut row = row;
            for (lane, value) in row.iter_mut().enumerate() {
                *value *= zeros >> lane & 1;
            }
            row
        };
        let plain = every_operation(Portable, &a, &blank(b), bits);
        let second = Portable.second_largest(Portable.load(&a));
        #[cfg(all(feature = "simd", target_arch = "x86_64"))]
        if let Machine::Avx2(lanes) = Machine::detect() {
            prop_assert_eq!(every_operation(lanes, &a, &blank(b), bits), plain.clone());
            prop_assert!(lanes.second_largest(lanes.load(&a)) <= second);
        }
        let mut sorted = a;
        sorted.sort_unstable();
        prop_assert_eq!(second, sorted[14]);
        for (lane, nonzero) in blank(b).into_iter().map(|value| value != 0).enumerate() {
            prop_assert_eq!(plain.1 >> (lane + 16) & 1 == 1, nonzero);
        }
    }

    #[test]
    fn columns_hold_the_catalog(seed: u64, size in 0_usize..600) {
        let Case { models, .. } = Words(seed).case(size);
        let shifts = Summary::of(&models).shifts;
        check_columns::<1>(&models, &shifts);
        check_columns::<8>(&models, &shifts);
    }
}

fn every_operation<L: Lanes>(
    lanes: L,
    a: &[u16; 16],
    b: &[u16; 16],
    bits: u16,
) -> (Vec<[u16; 16]>, u32) {
    let (x, y) = (lanes.load(a), lanes.load(b));
    let rows = [
        lanes.splat(bits),
        lanes.mul_high(x, y),
        lanes.add(x, y),
        lanes.sub(x, y),
        lanes.max(x, y),
        lanes.select(bits, x),
    ];
    (rows.map(|row| lanes.store(row)).to_vec(), lanes.nonzero(x, y))
}

fn check_columns<const W: usize>(models: &[KernelModel], shifts: &Shifts) {
    let chunks = chunks::<W>(models, shifts);
    assert_eq!(chunks.len(), models.len().div_ceil(W * WORD));
    for (index, model) in models.iter().enumerate() {
        let chunk = &chunks[index / (W * WORD)];
        let (word, bit) = (index / WORD % W, index % WORD);
        let set = |words: &[u64; W]| words[word] >> bit & 1 == 1;
        let mask = |planes: &Planes<W>| {
            (0..64).fold(0_u64, |mask, plane| mask | u64::from(set(&planes[plane])) << plane)
        };
        assert_eq!(set(&chunk.enabled), model.enabled != 0);
        assert_eq!(mask(&chunk.capability), model.capabilities);
        assert_eq!(mask(&chunk.region), model.region_mask);
        for (group, rows) in chunk.provider.iter().enumerate() {
            for (value, row) in rows.iter().enumerate() {
                let provider = usize::from(model.provider_id);
                let admitted = provider / 4 == group && value >> (provider % 4) & 1 == 1;
                assert_eq!(set(row), admitted);
            }
        }
        let block = &chunk.blocks[word][bit / 32];
        let lane = |column: &[[u16; 16]; 2]| u64::from(column[bit % 32 / 16][bit % 16]);
        assert_eq!(lane(&block.quality), u64::from(model.quality_bps));
        assert_eq!(lane(&block.risk_ceiling), u64::from(model.risk_ceiling_bps));
        assert_eq!(lane(&block.latency), u64::from(model.p95_latency_ms) >> shifts.latency);
        let input = model.input_cost_microunits_per_million_tokens;
        assert_eq!(lane(&block.input_price), input >> shifts.input_price);
        let output = model.output_cost_microunits_per_million_tokens;
        assert_eq!(lane(&block.output_price), output >> shifts.output_price);
    }
}
