//! Bounds before exactness: what a model costs and is worth, to within a few units in 32,768.
//!
//! Every term of the utility is a column times a number that the request and the policy fix. That number
//! is brought to 15 bits, all with one unit of `2^unit` microunits, so that a term is one multiplication of
//! 16 bits. How far an estimate can be from the truth is bounded by the constants here; whatever they cannot
//! settle is computed exactly.

use super::columns::{BPS_WIDTH, Block, COLUMN_BITS, Widths};
use super::lanes::{Column, Lanes};
use crate::arithmetic::{Arithmetic, high_half};
use crate::{KernelInput, PolicyParams};

// A term is `c × m / 2^15`, rounded: what 15 bits hold of a column's number and of a multiplier. The truth is
// `(c + x)(m + y) / 2^15` with `x, y < 1`: more by less than `(c + m + 1) / 2^15`, which is at most 1 and the
// part of full scale that the term has, because `(FULL − c)(FULL − m) ≥ 0`. Rounding is ½ more. So `n` terms
// that fill the scale together are below the truth by less than `1.5 n + 1` units, and above it by ½ each at
// most. (The reciprocals below err by less than 2^-15 in all, which a rounding is short of ½.)

/// A cost is above the truth by two halves at most.
const COST_EXCESS: i8 = 1;
/// A cost of two terms is below the truth by less than 4, and by two roundings up to whole microunits: by 5
/// where a unit is a microunit and everything whole, by less than 5 where it is two or more.
const COST_SLACK: i8 = 5;
/// `utility > estimate − BELOW`: three losses are larger by less than 5.5, and the gain is smaller by ½. The risk
/// penalty loses less than a unit, and whole microunits are three roundings: together 8 where a unit is two
/// microunits, less where it is more. Where it is one, risk and latency penalty are exact.
const BELOW: i8 = 8;
const EXCESS: u16 = BELOW.unsigned_abs() as u16;
/// `utility < estimate + ABOVE`: the gain is larger by less than 1.5, as no column of quality loses a bit; three
/// losses are smaller by ½ each.
const ABOVE: i8 = 3;
/// `utility < margin + SPREAD`, of margins that it exceeds: a model whose margin is so much below another's is surely
/// worth less.
pub(crate) const SPREAD: i8 = BELOW + ABOVE;

/// The largest number of a column, where sums saturate.
const FULL: u16 = (1 << COLUMN_BITS) - 1;
/// [`Lanes::share`] divides by this power of two, so a multiplier is the worth of a column's unit times it.
const SHARE_BITS: u32 = 15;
/// `2^50 / 10^6`, for token prices: times a 32-bit count it stays below `2^63`.
const PER_MILLION: u64 = (1 << PER_MILLION_BITS) / crate::TOKENS_PER_PRICE;
const PER_MILLION_BITS: u32 = 50;
/// How far a product with [`PER_MILLION`] is shifted for a price column as wide as [`COLUMN_BITS`] plus this.
const PRICE_ROOM: u32 = PER_MILLION_BITS - SHARE_BITS;
/// `2^64 / 10^8` times what a quality column's multiplier has: the high half of a product remains.
#[expect(clippy::cast_possible_truncation, reason = "as asserted")]
const PER_BPS_SQUARED: u64 = {
    let exact = (1_u128 << (u64::BITS + SHARE_BITS + BPS_WIDTH - COLUMN_BITS))
        / crate::arithmetic::BPS_SQUARED as u128;
    assert!(exact < 1 << 63);
    exact as u64
};
/// Values below `2^47` microunits, 140 million units of money, times 16 bits of confidence fit `u64`, and
/// no utility can reach the clamp of `i64`, where utilities tie that an estimate would tell apart.
const MAX_VALUE: i64 = 1 << 47;

/// The part of the multipliers that the policy alone fixes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PolicyScale {
    /// How far the products of token counts are shifted down.
    input_price: u32,
    output_price: u32,
    latency: u64,
    /// What is at least as wide as the multiplier for latency and as a unit of one microunit.
    least: u64,
}

impl PolicyScale {
    /// None when a price or the latency penalty is too large for 64-bit multipliers.
    pub(crate) fn new(params: &PolicyParams, widths: &Widths) -> Option<Self> {
        let penalty = params.latency_penalty_microunits_per_ms;
        let latency_bits = SHARE_BITS + widths.latency - COLUMN_BITS;
        let price = |width: u32| (PRICE_ROOM + COLUMN_BITS).checked_sub(width);
        let latency = (penalty.leading_zeros() >= latency_bits).then(|| penalty << latency_bits)?;
        Some(Self {
            input_price: price(widths.input_price)?,
            output_price: price(widths.output_price)?,
            latency,
            least: latency | 1 << (SHARE_BITS - 1),
        })
    }
}

/// What the request and the policy fix of a utility.
#[derive(Clone, Copy)]
pub(crate) struct FixedTerms {
    /// Value times confidence, in microunits of a basis point.
    pub(crate) worth: u64,
    /// In microunits.
    pub(crate) risk_penalty: u64,
}

impl FixedTerms {
    /// Of a request that [`Scale::fits`].
    #[inline(always)]
    pub(crate) fn of(arithmetic: &Arithmetic<'_>) -> Self {
        Self {
            worth: arithmetic.value * u64::from(arithmetic.input.confidence_bps),
            risk_penalty: u64::try_from(arithmetic.risk_penalty).unwrap_or(u64::MAX),
        }
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
    /// The risk penalty, and what else an estimate may be above the truth.
    deduction: u16,
    /// A cost up to this, which may be negative, is within the budget.
    safe_budget: u16,
}

impl Scale {
    /// Whether a request is small enough for 64-bit multipliers and the columns' basis points.
    #[inline(always)]
    pub(crate) const fn fits(input: &KernelInput) -> bool {
        input.business_value_microunits < MAX_VALUE
            && (input.minimum_quality_bps | input.risk_bps) >> BPS_WIDTH == 0
    }

    #[inline(always)]
    pub(crate) fn new(input: &KernelInput, terms: FixedTerms, policy: &PolicyScale) -> Self {
        let price = |tokens: u32, shift| (u64::from(tokens) * PER_MILLION).wrapping_shr(shift);
        let input_price = price(input.input_tokens, policy.input_price);
        let output_price = price(input.output_tokens, policy.output_price);
        let quality = high_half(terms.worth, PER_BPS_SQUARED);
        // The unit in which the largest of them takes 15 bits, and at least a microunit.
        let largest = input_price | output_price | policy.least | quality;
        let unit = (u64::BITS - SHARE_BITS).wrapping_sub(largest.leading_zeros());
        #[expect(clippy::cast_possible_truncation, reason = "15 bits are left of the largest")]
        let multiplier = |amount: u64| amount.wrapping_shr(unit) as u16;
        let budget = in_units(input.budget_limit_microunits, unit, FULL);
        // Nothing costs more than all there is.
        let unlimited = input.budget_limit_microunits == u64::MAX;
        Self {
            unit,
            quality: multiplier(quality),
            input_price: multiplier(input_price),
            output_price: multiplier(output_price),
            latency: multiplier(policy.latency),
            // Who loses all there is has no margin, so that saturation does no harm.
            deduction: in_units(terms.risk_penalty, unit, FULL - EXCESS) + EXCESS,
            safe_budget: if unlimited {
                FULL
            } else {
                budget.wrapping_sub(COST_SLACK.unsigned_abs().into())
            },
        }
    }

    /// A positive utility in whole units.
    #[inline(always)]
    pub(crate) fn in_units(&self, utility_microunits: i64) -> u16 {
        in_units(utility_microunits.cast_unsigned(), self.unit, FULL)
    }
}

/// Whole units, or as many as there may be.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "15 bits are left")]
fn in_units(microunits: u64, unit: u32, most: u16) -> u16 {
    microunits.wrapping_shr(unit).min(u64::from(most)) as u16
}

/// What the estimate says of the cost of a block's models, a bit each.
#[derive(Clone, Copy)]
pub(crate) struct Verdicts {
    /// Certainly over the budget.
    pub(crate) over_budget: u32,
    /// Certainly or possibly over the budget.
    pub(crate) near_budget: u32,
}

/// The estimate of a block.
#[derive(Clone, Copy)]
pub(crate) struct Estimate<N> {
    /// Units of the budget that the cost surely leaves.
    pub(crate) left: N,
    /// Units that the utility surely exceeds.
    pub(crate) margins: N,
}

impl<N: Copy> Estimate<N> {
    #[inline(always)]
    pub(crate) fn of<L: Lanes<Numbers = N>>(lanes: L, scale: &Scale, block: &Block) -> Self {
        let input_cost = share(lanes, &block.input_price, scale.input_price);
        let output_cost = share(lanes, &block.output_price, scale.output_price);
        let cost = lanes.add(input_cost, output_cost);
        let latency_penalty = share(lanes, &block.latency, scale.latency);
        let gain = share(lanes, &block.quality, scale.quality);
        let gain = lanes.sub(gain, lanes.splat(scale.deduction));
        let margins = lanes.sub(gain, lanes.add(latency_penalty, cost));
        let left = lanes.sub(lanes.splat(scale.safe_budget), cost);
        Self { left, margins }
    }

    #[inline(always)]
    pub(crate) fn verdicts<L: Lanes<Numbers = N>>(&self, lanes: L) -> Verdicts {
        let [near_budget, over_budget] = lanes.negative(self.left, COST_SLACK + COST_EXCESS);
        Verdicts { over_budget, near_budget }
    }

    /// Who may not be eligible, for want of budget or worth, and who surely is not.
    #[inline(always)]
    pub(crate) fn outlook<L: Lanes<Numbers = N>>(&self, lanes: L) -> [u32; 2] {
        const { assert!(COST_SLACK + COST_EXCESS < SPREAD) };
        let [_, less] = lanes.sort(self.left, self.margins);
        lanes.negative(less, SPREAD - 1)
    }

    /// What each of `models` has to spare, the less of budget and worth: one unit is enough, and not to be short of
    /// [`SPREAD`] leaves a doubt. The others have nothing to spare.
    #[inline(always)]
    pub(crate) fn slack<L: Lanes<Numbers = N>>(&self, lanes: L, models: u32) -> N {
        const { assert!(COST_SLACK + COST_EXCESS < SPREAD) };
        let [_, less] = lanes.sort(lanes.select(self.left, models), self.margins);
        less
    }
}

/// A column times one number, as [`Lanes::share`].
#[inline(always)]
fn share<L: Lanes>(lanes: L, column: &Column, by: u16) -> L::Numbers {
    lanes.share(lanes.load(column), lanes.splat(by))
}
