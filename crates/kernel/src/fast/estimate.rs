//! Bounds before exactness: what a model costs and is worth, to within a few units in 65,536.
//!
//! Every term of the utility is a column times a number that the request and the policy fix. That number
//! is brought to 16 bits, all with one unit of `2^unit` microunits, so that a term is one multiplication of
//! `u16` that keeps the high half. The estimate is never above the truth, and its distance below is
//! bounded by the constants here; whatever they cannot settle is computed exactly.

use super::columns::{Block, Shifts};
use super::lanes::Lanes;
use crate::PolicyParams;
use crate::arithmetic::Arithmetic;

/// A term is estimated from below by less than this many units: 1 for the bits its column lost, 1 for
/// those its multiplier lost, 1 for the last rounding, and far less than 1 for the reciprocals below.
const TERM_SLACK: u16 = 4;
/// Two terms, and two parts that are each rounded up to a whole microunit.
const COST_SLACK: u16 = 2 * TERM_SLACK + 2;
/// Cost, latency, and the risk penalty's own rounding.
const LOSS_SLACK: u16 = COST_SLACK + TERM_SLACK + 1;
/// `utility > margin − BELOW`: the loss may be larger, the gain smaller by its rounding to microunits.
pub(crate) const BELOW: u16 = LOSS_SLACK + 1;
/// `utility < margin + ABOVE`: the gain may be larger.
pub(crate) const ABOVE: u16 = TERM_SLACK;

/// Multipliers have 16 bits of fraction before they are brought to a common unit.
const FRACTION_BITS: u32 = 16;
/// `2^50 / 10^6`, for token prices: times a 32-bit count it stays below `2^62`.
const PER_MILLION: u64 = (1 << PER_MILLION_BITS) / crate::TOKENS_PER_PRICE;
const PER_MILLION_BITS: u32 = 50;
/// `2^(64 + 16) / 10^8`, for two basis-point factors: the high half of a product has the fraction.
const PER_BPS_SQUARED: u64 = {
    let exact = (1_u128 << (u64::BITS + FRACTION_BITS)) / crate::arithmetic::BPS_SQUARED as u128;
    assert!(exact < 1 << 63);
    high_half(exact << 64)
};
/// The widest shift of a price column that the multipliers have room for: prices below `2^50`.
const MAX_PRICE_SHIFT: u32 = PER_MILLION_BITS - FRACTION_BITS;
/// Values below `2^47` microunits, 140 million units of money, times 16 bits of confidence fit `u64`, and
/// no utility can reach the clamp of `i64`, where utilities tie that an estimate would tell apart.
const MAX_VALUE: u64 = 1 << 47;

/// The part of the multipliers that the policy alone fixes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PolicyScale {
    shifts: Shifts,
    latency: u64,
}

impl PolicyScale {
    /// None when a price or the latency penalty is too large for 64-bit multipliers.
    pub(crate) fn new(params: &PolicyParams, shifts: Shifts) -> Option<Self> {
        let penalty = params.latency_penalty_microunits_per_ms;
        let latency_bits = FRACTION_BITS + shifts.latency;
        let fits = shifts.input_price.max(shifts.output_price) <= MAX_PRICE_SHIFT
            && penalty.leading_zeros() >= latency_bits;
        fits.then(|| Self { shifts, latency: penalty << latency_bits })
    }
}

/// The numbers that turn columns into units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// A unit is `2^unit` microunits.
    pub(super) unit: u32,
    quality: u16,
    input_price: u16,
    output_price: u16,
    latency: u16,
    risk_penalty: u16,
    /// None when no cost can exceed the budget.
    budget: Option<u16>,
}

impl Scale {
    /// Whether a request is small enough for 64-bit multipliers.
    #[inline(always)]
    pub(crate) fn fits(arithmetic: &Arithmetic<'_>) -> bool {
        arithmetic.value < MAX_VALUE
    }

    #[inline(always)]
    pub(crate) fn new(arithmetic: &Arithmetic<'_>, policy: &PolicyScale) -> Self {
        let input = arithmetic.input;
        // Microunits per unit of each column.
        let tokens = |count: u32, shift: u32| {
            (u64::from(count) * PER_MILLION) >> MAX_PRICE_SHIFT.saturating_sub(shift)
        };
        let input_price = tokens(input.input_tokens, policy.shifts.input_price);
        let output_price = tokens(input.output_tokens, policy.shifts.output_price);
        let worth = arithmetic.value * u64::from(input.confidence_bps);
        let quality = high_half(u128::from(worth) * u128::from(PER_BPS_SQUARED));
        // The unit in which the largest of them takes 16 bits, and at least a microunit.
        let largest = quality | input_price | output_price | policy.latency;
        let unit = (u64::BITS - u16::BITS).saturating_sub(largest.leading_zeros());
        let units = |amount: u64| u16::try_from(amount >> unit).unwrap_or(u16::MAX);
        let risk_penalty = u64::try_from(arithmetic.risk_penalty).unwrap_or(u64::MAX);
        let budget = input.budget_limit_microunits;
        Self {
            unit,
            quality: units(quality),
            input_price: units(input_price),
            output_price: units(output_price),
            latency: units(policy.latency),
            risk_penalty: units(risk_penalty),
            budget: (budget != u64::MAX).then(|| units(budget)),
        }
    }

    /// A positive utility in whole units.
    #[inline(always)]
    pub(crate) fn in_units(&self, utility_microunits: i64) -> u16 {
        u16::try_from(utility_microunits >> self.unit).unwrap_or(u16::MAX)
    }
}

const fn high_half(product: u128) -> u64 {
    (product >> 64) as u64
}

/// What the estimate says of 32 models; a bit each.
#[derive(Clone, Copy)]
pub(crate) struct Estimate<V> {
    /// Certainly over the budget.
    pub(crate) over_budget: u32,
    /// Certainly or possibly over the budget.
    pub(crate) near_budget: u32,
    /// Certainly worth nothing.
    pub(crate) worthless: u32,
    /// Certainly worth something.
    pub(crate) worthy: u32,
    /// Estimated utility in units, 0 where it is negative.
    pub(crate) margin: [V; 2],
}

impl<V: Copy> Estimate<V> {
    #[inline(always)]
    pub(crate) fn of<L: Lanes<Vector = V>>(lanes: L, scale: &Scale, block: &Block) -> Self {
        let input_cost = lanes.scale_two(&block.input_price, scale.input_price);
        let output_cost = lanes.scale_two(&block.output_price, scale.output_price);
        let cost = lanes.add_two(input_cost, output_cost);
        let latency_penalty = lanes.scale_two(&block.latency, scale.latency);
        let risk_penalty = [lanes.splat(scale.risk_penalty); 2];
        let loss = lanes.add_two(lanes.add_two(cost, latency_penalty), risk_penalty);
        let gain = lanes.scale_two(&block.quality, scale.quality);
        let margin = lanes.sub_two(gain, loss);
        let (over_budget, near_budget) = match scale.budget {
            None => (0, 0),
            Some(budget) => (
                lanes.above(cost, budget),
                match budget.checked_sub(COST_SLACK) {
                    Some(surely_within) => lanes.above(cost, surely_within),
                    None => u32::MAX,
                },
            ),
        };
        Self {
            over_budget,
            near_budget,
            worthless: lanes.above(lanes.sub_two(loss, gain), ABOVE - 1),
            worthy: lanes.above(margin, BELOW - 1),
            margin,
        }
    }
}
