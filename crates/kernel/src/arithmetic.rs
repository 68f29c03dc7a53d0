//! Cost and utility, exactly: in 64 bits where the numbers fit, in 128 where they do not.

use crate::{BASIS_POINTS, KernelInput, KernelModel, PolicyParams, TOKENS_PER_PRICE};

/// Both bps factors of a product at once.
pub(crate) const BPS_SQUARED: u64 = BASIS_POINTS * BASIS_POINTS;

/// The terms of one model's utility for one request, in microunits.
///
/// `utility = quality_adjusted − risk_penalty − cost − latency_penalty`, clamped to the `i64` range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct UtilityTerms {
    /// `floor(value × confidence_bps × quality_bps / 10^8)`.
    pub quality_adjusted_microunits: u128,
    /// `floor(value × risk_bps × risk_penalty_multiplier_bps / 10^8)`.
    pub risk_penalty_microunits: u128,
    /// Input and output cost, each rounded up.
    pub cost_microunits: u64,
    /// `p95_latency_ms × latency_penalty_microunits_per_ms`.
    pub latency_penalty_microunits: u128,
    /// What is left.
    pub utility_microunits: i64,
}

/// The arithmetic of one request under one policy; what no model changes is computed once.
#[derive(Clone, Copy)]
pub(crate) struct Arithmetic<'a> {
    pub(crate) params: &'a PolicyParams,
    pub(crate) input: &'a KernelInput,
    /// The business value, with a negative one counted as 0.
    pub(crate) value: u64,
    pub(crate) risk_penalty: u128,
}

impl<'a> Arithmetic<'a> {
    #[inline(always)]
    pub(crate) fn new(params: &'a PolicyParams, input: &'a KernelInput) -> Self {
        let value = input.business_value_microunits.max(0).unsigned_abs();
        let risk_penalty = share(value, input.risk_bps, params.risk_penalty_multiplier_bps);
        Self { params, input, value, risk_penalty }
    }

    /// As [`KernelModel::cost_microunits`].
    #[inline(always)]
    pub(crate) fn cost(&self, model: &KernelModel) -> u64 {
        model.cost_microunits(self.input.input_tokens, self.input.output_tokens)
    }

    /// The utility of `model` at `cost`: as [`Arithmetic::terms`], without a number of 128 bits where none is
    /// needed.
    #[inline(always)]
    pub(crate) fn utility(&self, model: &KernelModel, cost: u64) -> i64 {
        match self.narrow_utility(model, cost) {
            Some(utility) => utility,
            None => wide_utility(self.params, self.input, model, cost),
        }
    }

    /// None when a product or the sum of the losses does not fit.
    #[inline(always)]
    fn narrow_utility(&self, model: &KernelModel, cost: u64) -> Option<i64> {
        let factor = u64::from(self.input.confidence_bps) * u64::from(model.quality_bps);
        // Below 2^64 / 10^8 < 2^38, so that no loss an i64 can hold takes the difference out of range.
        let gain = self.value.checked_mul(factor)? / BPS_SQUARED;
        let penalty = self.params.latency_penalty_microunits_per_ms;
        let latency_penalty = u64::from(model.p95_latency_ms).checked_mul(penalty)?;
        let risk_penalty = u64::try_from(self.risk_penalty).ok()?;
        let loss = risk_penalty.checked_add(cost)?.checked_add(latency_penalty)?;
        Some(i64::try_from(gain).ok()? - i64::try_from(loss).ok()?)
    }

    /// The utility of `model` at `cost`. Every intermediate fits: value < 2^63, bps < 2^16, latency < 2^96.
    #[inline(always)]
    pub(crate) fn terms(&self, model: &KernelModel, cost: u64) -> UtilityTerms {
        let quality_adjusted = share(self.value, self.input.confidence_bps, model.quality_bps);
        let penalty = self.params.latency_penalty_microunits_per_ms;
        let latency_penalty = u128::from(model.p95_latency_ms) * u128::from(penalty);
        let losses = self.risk_penalty + u128::from(cost) + latency_penalty;
        UtilityTerms {
            quality_adjusted_microunits: quality_adjusted,
            risk_penalty_microunits: self.risk_penalty,
            cost_microunits: cost,
            latency_penalty_microunits: latency_penalty,
            utility_microunits: difference(quality_adjusted, losses),
        }
    }
}

/// The same arithmetic for a catalog and a request whose numbers all fit 64 bits, and whose products fit twice that: known
/// before any model is looked at, so that none is checked.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy)]
pub(crate) struct Narrow {
    /// Times what makes a product's upper half the cost.
    input_tokens: u64,
    output_tokens: u64,
    /// Value times confidence.
    pub(crate) worth: u64,
    pub(crate) risk_penalty: u64,
}

/// What [`Narrow`] needs of a model. Divided beforehand, so that a product's upper half is the quotient.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct NarrowModel {
    latency_penalty: u64,
    /// `price × 2^52 / 10^6`, rounded down: times tokens it is short of the cost by less than `2^32 / 2^52`, which is less
    /// than the least part of a microunit that there is, `10^-6`. So both are rounded up to the same number.
    input_price: u64,
    output_price: u64,
    /// `quality_bps × 2^77 / 10^8`, rounded up: times worth it exceeds the gain by less than `2^50 / 2^77`, which is less
    /// than the `10^-8` that a gain between two whole numbers is below the upper at least. So both are rounded down to the
    /// same number.
    quality: u64,
}

#[cfg(feature = "alloc")]
impl NarrowModel {
    /// Of a catalog that [`Narrow::suits`].
    pub(crate) fn new(params: &PolicyParams, model: &KernelModel) -> Self {
        let penalty = params.latency_penalty_microunits_per_ms;
        let price = |price| divided(price, [32, Narrow::PRICE_SHIFT - 32], TOKENS_PER_PRICE).0;
        let steps = [49, u64::BITS + Narrow::QUALITY_SHIFT - 49];
        let (quality, rest) = divided(model.quality_bps.into(), steps, BPS_SQUARED);
        Self {
            latency_penalty: penalty.wrapping_mul(model.p95_latency_ms.into()),
            input_price: price(model.input_cost_microunits_per_million_tokens),
            output_price: price(model.output_cost_microunits_per_million_tokens),
            quality: quality + u64::from(rest > 0),
        }
    }

    /// Who is worth less than nothing whatever the request. No two are worth the same, because a tie is a branch.
    pub(crate) const fn nobody(index: usize) -> Self {
        Self { latency_penalty: index as u64 + 1, input_price: 0, output_price: 0, quality: 0 }
    }
}

/// `number × 2^(first + second) / divisor` and what remains, in two steps that 64 bits hold.
#[cfg(feature = "alloc")]
const fn divided(number: u64, [first, second]: [u32; 2], divisor: u64) -> (u64, u64) {
    let number = number << first;
    let rest = (number % divisor) << second;
    (((number / divisor) << second) + rest / divisor, rest % divisor)
}

/// `a × b / 2^64`, rounded down.
#[cfg(feature = "alloc")]
#[inline(always)]
pub(crate) const fn high_half(a: u64, b: u64) -> u64 {
    ((a as u128).wrapping_mul(b as u128) >> 64) as u64
}

/// `a × b / 2^64`, rounded up.
#[cfg(feature = "alloc")]
#[inline(always)]
const fn high_half_up(a: u64, b: u64) -> u64 {
    ((a as u128).wrapping_mul(b as u128).wrapping_add(u64::MAX as u128) >> 64) as u64
}

#[cfg(feature = "alloc")]
impl Narrow {
    /// Basis points of so many bits, which 10,000 fits.
    pub(crate) const BPS_BITS: u32 = 14;
    /// Twice that leaves so many bits to a value: 68,719 units of money.
    const VALUE_BITS: u32 = u64::BITS - 2 * Self::BPS_BITS;
    /// Divided as a [`NarrowModel`] has it, such a price has 64.
    const PRICE_BITS: u32 = 31;
    const PRICE_SHIFT: u32 = 52;
    /// Of a product's upper half.
    const QUALITY_SHIFT: u32 = 13;
    /// The other losses have fewer than 48 bits, so that the sum of all has at most 62 and a difference its sign.
    const LATENCY_BITS: u32 = 61;

    /// Whether the policy is one for which [`Narrow::new`] asks all there is to ask of a request: by the
    /// catalog's highest quality and latency, and the bits of its highest price.
    pub(crate) fn suits(
        params: &PolicyParams,
        quality: u16,
        latency: u32,
        price_bits: u32,
    ) -> bool {
        let penalty = u64::from(latency).checked_mul(params.latency_penalty_microunits_per_ms);
        u64::from(quality) <= BASIS_POINTS
            && params.risk_penalty_multiplier_bps >> Self::BPS_BITS == 0
            && price_bits <= Self::PRICE_BITS
            && penalty.is_some_and(|penalty| penalty >> Self::LATENCY_BITS == 0)
    }

    /// Whether a request's value does, in one test: a negative one, which counts as 0, is rare enough to be left out.
    #[inline(always)]
    pub(crate) const fn fits(business_value_microunits: i64) -> bool {
        business_value_microunits.cast_unsigned() >> Self::VALUE_BITS == 0
    }

    /// Of a request whose value [`Narrow::fits`] and whose basis points have no more than [`Narrow::BPS_BITS`].
    #[inline(always)]
    pub(crate) fn new(params: &PolicyParams, input: &KernelInput) -> Self {
        let value = input.business_value_microunits.cast_unsigned();
        let risk =
            u64::from(input.risk_bps).wrapping_mul(params.risk_penalty_multiplier_bps.into());
        Self {
            input_tokens: u64::from(input.input_tokens) << (u64::BITS - Self::PRICE_SHIFT),
            output_tokens: u64::from(input.output_tokens) << (u64::BITS - Self::PRICE_SHIFT),
            worth: value.wrapping_mul(input.confidence_bps.into()),
            risk_penalty: value.wrapping_mul(risk) / BPS_SQUARED,
        }
    }

    /// As [`KernelModel::cost_microunits`].
    #[inline(always)]
    pub(crate) fn cost(&self, model: &NarrowModel) -> u64 {
        high_half_up(self.input_tokens, model.input_price)
            .wrapping_add(high_half_up(self.output_tokens, model.output_price))
    }

    /// As [`Arithmetic::utility`].
    #[inline(always)]
    pub(crate) fn utility(&self, model: &NarrowModel, cost: u64) -> i64 {
        let gain = high_half(self.worth, model.quality) >> Self::QUALITY_SHIFT;
        let loss = self.risk_penalty.wrapping_add(model.latency_penalty).wrapping_add(cost);
        gain.wrapping_sub(loss).cast_signed()
    }
}

/// Given what the arithmetic is made of and not itself, so that its numbers can stay in registers.
#[cold]
#[inline(never)]
fn wide_utility(params: &PolicyParams, input: &KernelInput, model: &KernelModel, cost: u64) -> i64 {
    Arithmetic::new(params, input).terms(model, cost).utility_microunits
}

/// `gain − loss`, clamped to the `i64` range.
#[inline(always)]
fn difference(gain: u128, loss: u128) -> i64 {
    const POSITIVE: u128 = (1 << 63) - 1;
    if (gain | loss) <= POSITIVE {
        #[expect(clippy::cast_possible_truncation, reason = "both are below 2^63")]
        return gain as i64 - loss as i64;
    }
    if gain >= loss {
        i64::try_from(gain - loss).unwrap_or(i64::MAX)
    } else {
        i64::try_from(loss - gain).map_or(i64::MIN, |loss| -loss)
    }
}

/// `ceil(tokens × price / 10^6)`, saturating. A 64-bit division by a constant is a multiplication.
#[inline(always)]
pub(crate) fn token_cost(tokens: u32, price: u64) -> u64 {
    let product = u64::from(tokens).checked_mul(price);
    match product.and_then(|product| product.checked_add(TOKENS_PER_PRICE - 1)) {
        Some(rounded_up) => rounded_up / TOKENS_PER_PRICE,
        None => wide_token_cost(tokens, price),
    }
}

#[cold]
fn wide_token_cost(tokens: u32, price: u64) -> u64 {
    let exact = (u128::from(tokens) * u128::from(price)).div_ceil(u128::from(TOKENS_PER_PRICE));
    u64::try_from(exact).unwrap_or(u64::MAX)
}

/// `floor(value × a × b / 10^8)`.
#[inline(always)]
fn share(value: u64, a: u16, b: u16) -> u128 {
    let factor = u64::from(a) * u64::from(b);
    match value.checked_mul(factor) {
        Some(product) => u128::from(product / BPS_SQUARED),
        None => wide_share(value, factor),
    }
}

#[cold]
fn wide_share(value: u64, factor: u64) -> u128 {
    u128::from(value) * u128::from(factor) / u128::from(BPS_SQUARED)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: PolicyParams = PolicyParams {
        policy_epoch: 1,
        catalog_epoch: 1,
        hard_risk_limit_bps: u16::MAX,
        minimum_confidence_bps: 0,
        risk_penalty_multiplier_bps: 0,
        latency_penalty_microunits_per_ms: 0,
    };
    const INPUT: KernelInput = KernelInput {
        request_sequence: 1,
        requested_model_id: 1,
        input_tokens: 0,
        output_tokens: 0,
        business_value_microunits: 0,
        budget_limit_microunits: u64::MAX,
        risk_bps: 0,
        confidence_bps: 10_000,
        minimum_quality_bps: 0,
        max_p95_latency_ms: 0,
        required_capabilities: 0,
        allowed_provider_mask: u64::MAX,
        required_region_mask: 0,
    };

    const MODEL: KernelModel = KernelModel {
        model_id: 1,
        provider_id: 0,
        quality_bps: 0,
        risk_ceiling_bps: 10_000,
        enabled: 1,
        p95_latency_ms: 0,
        capabilities: 0,
        region_mask: 0,
        input_cost_microunits_per_million_tokens: 0,
        output_cost_microunits_per_million_tokens: 0,
    };

    /// A value, a latency with its penalty, and a cost; basis points are all 10,000.
    fn check((value, latency, penalty, cost): (u64, u32, u64, u64), narrow: bool) {
        let params = PolicyParams { latency_penalty_microunits_per_ms: penalty, ..PARAMS };
        let business_value_microunits = i64::try_from(value).unwrap();
        let input = KernelInput { business_value_microunits, ..INPUT };
        let model = KernelModel { quality_bps: 10_000, p95_latency_ms: latency, ..MODEL };
        let arithmetic = Arithmetic::new(&params, &input);
        assert_eq!(arithmetic.narrow_utility(&model, cost).is_some(), narrow, "{value} {penalty}");
        let loss = i128::from(latency) * i128::from(penalty) + i128::from(cost);
        let exact = (i128::from(value) - loss).clamp(i64::MIN.into(), i64::MAX.into());
        assert_eq!(i128::from(arithmetic.utility(&model, cost)), exact);
        assert_eq!(i128::from(arithmetic.terms(&model, cost).utility_microunits), exact);
    }

    /// The last numbers that 64 bits hold, and the first that they do not.
    #[test]
    fn utilities_agree_on_both_sides_of_64_bits() {
        let most = u64::MAX / BPS_SQUARED;
        let signed = i64::MAX.unsigned_abs();
        for value in [0, 1, most] {
            check((value, 1, signed, 0), true);
            check((value, 1, signed + 1, 0), false);
            check((value, 1, signed - 1, 1), true);
            check((value, 1, signed, 1), false);
            check((value, 0, u64::MAX, signed), true);
            check((value, 0, 0, signed + 1), false);
            check((value, u32::MAX, signed / u64::from(u32::MAX), 0), true);
            check((value, u32::MAX, u64::MAX / u64::from(u32::MAX) + 1, 0), false);
            check((value, 1, u64::MAX, u64::MAX), false);
        }
        check((most + 1, 0, 0, 0), false);
        check((signed, 0, 0, 0), false);
    }

    /// Costs that are a millionth above a whole number, or none, and gains that are as much below one as can be: where a
    /// number divided beforehand errs most, and would be rounded to another.
    #[cfg(feature = "alloc")]
    #[test]
    fn numbers_divided_beforehand_are_rounded_as_the_quotients_are() {
        // One more than a multiple of a million; 9,999² times the value is one short of a multiple of 10^8.
        const TOKENS: u32 = 4_294_000_001;
        const VALUE: i64 = 68_700_000_000 - 20_001;
        for step in 0..2_000 {
            let input = KernelInput {
                input_tokens: TOKENS - 1_000_000 * (step % 7),
                output_tokens: u32::MAX - step,
                business_value_microunits: VALUE - 100_000_000 * i64::from(step % 600),
                confidence_bps: 9_999,
                ..INPUT
            };
            for rest in [0, 1, 2, 999_999] {
                let price = 1_000_000 * u64::from(2_146 - step) + rest;
                let model = KernelModel {
                    quality_bps: 9_999,
                    input_cost_microunits_per_million_tokens: price,
                    output_cost_microunits_per_million_tokens: (1 << 31) - 1 - u64::from(step),
                    ..MODEL
                };
                let narrow = Narrow::new(&PARAMS, &input);
                let narrow_model = NarrowModel::new(&PARAMS, &model);
                let cost = narrow.cost(&narrow_model);
                assert_eq!(cost, model.cost_microunits(input.input_tokens, input.output_tokens));
                let terms = Arithmetic::new(&PARAMS, &input).terms(&model, cost);
                assert_eq!(narrow.utility(&narrow_model, cost), terms.utility_microunits);
            }
        }
    }

    /// Gains as much below a whole number as can be, of the largest worths that there are: with a quality divided to half
    /// the precision each would be a microunit more.
    #[cfg(feature = "alloc")]
    #[test]
    fn gains_are_rounded_down_up_to_the_largest_worth() {
        for (quality_bps, value) in
            [(9_997, 68_632_433_349), (9_993, 68_660_145_721), (9_971, 68_646_077_243)]
        {
            let input = KernelInput {
                business_value_microunits: value,
                confidence_bps: (1 << 14) - 1,
                ..INPUT
            };
            let model = KernelModel { quality_bps, ..MODEL };
            let narrow_model = NarrowModel::new(&PARAMS, &model);
            let terms = Arithmetic::new(&PARAMS, &input).terms(&model, 0);
            let utility = Narrow::new(&PARAMS, &input).utility(&narrow_model, 0);
            assert_eq!(utility, terms.utility_microunits);
        }
    }

    /// What [`Narrow`] computes with the largest numbers it takes, and that it takes none larger.
    #[cfg(feature = "alloc")]
    #[test]
    fn narrow_arithmetic_agrees_up_to_its_limits() {
        const BPS: u16 = (1 << 14) - 1;
        let params = PolicyParams {
            risk_penalty_multiplier_bps: BPS,
            latency_penalty_microunits_per_ms: 1 << 29,
            ..PARAMS
        };
        let input = KernelInput {
            input_tokens: u32::MAX,
            output_tokens: u32::MAX,
            business_value_microunits: (1 << 36) - 1,
            risk_bps: BPS,
            confidence_bps: BPS,
            ..INPUT
        };
        let model = KernelModel {
            quality_bps: 10_000,
            p95_latency_ms: u32::MAX,
            input_cost_microunits_per_million_tokens: (1 << 31) - 1,
            output_cost_microunits_per_million_tokens: (1 << 31) - 1,
            ..MODEL
        };
        for model in [model, KernelModel { quality_bps: 10_000, ..MODEL }, MODEL] {
            let (narrow, exact) = (Narrow::new(&params, &input), Arithmetic::new(&params, &input));
            let narrow_model = NarrowModel::new(&params, &model);
            let cost = narrow.cost(&narrow_model);
            assert_eq!(cost, exact.cost(&model));
            let terms = exact.terms(&model, cost);
            assert_eq!(narrow.utility(&narrow_model, cost), terms.utility_microunits);
            assert_eq!(u128::from(narrow.risk_penalty), terms.risk_penalty_microunits);
        }
        assert!(Narrow::suits(&params, 10_000, u32::MAX, 31));
        assert!(!Narrow::suits(&params, 10_001, u32::MAX, 31));
        assert!(!Narrow::suits(&params, 10_000, u32::MAX, 32));
        let steeper = PolicyParams { latency_penalty_microunits_per_ms: (1 << 29) + 1, ..params };
        assert!(!Narrow::suits(&steeper, 10_000, u32::MAX, 31));
        let riskier = PolicyParams { risk_penalty_multiplier_bps: BPS + 1, ..params };
        assert!(!Narrow::suits(&riskier, 10_000, u32::MAX, 31));
        assert!(Narrow::fits(0) && Narrow::fits((1 << 36) - 1));
        assert!(!Narrow::fits(-1) && !Narrow::fits(i64::MIN) && !Narrow::fits(1 << 36));
    }
}
