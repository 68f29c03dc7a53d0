//! Random policies and requests, from one seed, made to hurt: extremes, ties, thresholds hit exactly.

use calybris_kernel::{KernelInput, KernelModel, PolicyParams};

use super::reference;

/// One policy and one request.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) params: PolicyParams,
    pub(crate) models: Vec<KernelModel>,
    pub(crate) input: KernelInput,
}

/// A source of words: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub(crate) struct Words(pub(crate) u64);

impl Words {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound`, both included.
    pub(crate) fn upto(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * (u128::from(bound) + 1)) >> 64) as u64
    }

    /// An index into `length` things.
    pub(crate) fn below(&mut self, length: usize) -> usize {
        self.upto(length as u64 - 1) as usize
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.upto(99) < percent
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A number of at most `bits` bits, of any magnitude, often at an edge.
    pub(crate) fn wide(&mut self, bits: u32) -> u64 {
        let all = u64::MAX >> (64 - bits);
        let some = u64::MAX >> (63 - self.upto(u64::from(bits) - 1));
        match self.upto(5) {
            0 => 0,
            1 => 1,
            2 => all,
            3 => all - 1,
            _ => self.upto(some.min(all)),
        }
    }

    fn bps(&mut self, unchecked: bool) -> u16 {
        let any = self.upto(10_000) as u16;
        let usual = 4_000 + self.upto(5_900) as u16;
        let beyond = if unchecked { self.wide(16) as u16 } else { any };
        self.pick(&[0, 1, 9_999, 10_000, any, usual, usual, usual, beyond])
    }

    /// A case with `size` models.
    pub(crate) fn case(&mut self, size: usize) -> Case {
        let unchecked = self.chance(25);
        let mut params = self.params(unchecked);
        let mut models: Vec<_> =
            (0..size).map(|index| self.model(index as u32 + 1, unchecked)).collect();
        match self.upto(3) {
            0 => self.narrow(&mut params, &mut models),
            1 => self.tie(&mut models),
            _ => {}
        }
        if unchecked {
            models.sort_by_key(|model| model.capabilities ^ u64::from(model.p95_latency_ms));
        }
        let mut case = Case { params, models, input: self.request(size, unchecked) };
        for _ in 0..self.upto(2) {
            self.aim(&mut case);
        }
        case
    }

    fn params(&mut self, unchecked: bool) -> PolicyParams {
        let limit = self.bps(unchecked);
        let confidence = self.bps(unchecked);
        let multiplier = self.upto(50_000) as u16;
        let penalty = self.upto(50);
        let wide_penalty = self.wide(64);
        PolicyParams {
            policy_epoch: self.wide(64),
            catalog_epoch: self.wide(64),
            hard_risk_limit_bps: self.pick(&[9_600, 10_000, 10_000, 10_000, limit]),
            minimum_confidence_bps: self.pick(&[0, 0, 0, 5_500, confidence]),
            risk_penalty_multiplier_bps: self.pick(&[0, 3_500, 50_000, multiplier]),
            latency_penalty_microunits_per_ms: self.pick(&[0, penalty, penalty, wide_penalty]),
        }
    }

    fn model(&mut self, model_id: u32, unchecked: bool) -> KernelModel {
        let extreme = self.chance(15);
        let bits = [self.next() & 15, self.next(), u64::MAX, 0, self.next() | self.next()];
        KernelModel {
            model_id: if unchecked && self.chance(30) { self.upto(5) as u32 } else { model_id * 3 },
            provider_id: if unchecked && self.chance(10) {
                self.wide(16) as u16
            } else {
                self.upto(63) as u16
            },
            quality_bps: self.bps(unchecked),
            risk_ceiling_bps: if self.chance(50) { 10_000 } else { self.bps(unchecked) },
            enabled: match self.upto(19) {
                0 | 1 => 0,
                2 if unchecked => self.wide(8) as u8,
                _ => 1,
            },
            p95_latency_ms: if extreme { self.wide(32) } else { self.upto(4_000) } as u32,
            capabilities: self.pick(&bits),
            region_mask: self.pick(&bits),
            input_cost_microunits_per_million_tokens: if extreme {
                self.wide(64)
            } else {
                self.upto(90_000_000)
            },
            output_cost_microunits_per_million_tokens: if extreme {
                self.wide(64)
            } else {
                self.upto(400_000_000)
            },
        }
    }

    fn request(&mut self, size: usize, unchecked: bool) -> KernelInput {
        let extreme = self.chance(20);
        let mask = self.next();
        let region = 1 << self.upto(63);
        let value = (self.wide(63) as i64).wrapping_mul(if self.chance(20) { -1 } else { 1 });
        let usual_value = self.upto(90_000_000) as i64;
        KernelInput {
            request_sequence: self.wide(64),
            requested_model_id: self.upto(size as u64 * 3 + 1) as u32,
            input_tokens: if extreme { self.wide(32) } else { self.upto(200_000) } as u32,
            output_tokens: if extreme { self.wide(32) } else { self.upto(20_000) } as u32,
            business_value_microunits: self.pick(&[
                usual_value,
                usual_value,
                usual_value,
                value,
                if extreme { i64::MIN } else { i64::MAX },
            ]),
            budget_limit_microunits: match self.upto(3) {
                0 => self.wide(64),
                1 => u64::MAX,
                _ => self.upto(80_000_000),
            },
            risk_bps: if self.chance(70) { self.upto(3_000) as u16 } else { self.bps(unchecked) },
            confidence_bps: if self.chance(70) { 9_000 } else { self.bps(unchecked) },
            minimum_quality_bps: if self.chance(50) { 0 } else { self.bps(unchecked) },
            max_p95_latency_ms: match self.upto(3) {
                0 | 1 => 0,
                2 => self.wide(32) as u32,
                _ => self.upto(4_000) as u32,
            },
            required_capabilities: match self.upto(5) {
                0 => mask,
                1 | 2 => mask & 7,
                _ => 0,
            },
            allowed_provider_mask: if self.chance(50) { u64::MAX } else { mask },
            required_region_mask: self.pick(&[0, 0, 0, region, mask, u64::MAX]),
        }
    }

    /// Numbers so small that every value and difference is met again and again.
    fn narrow(&mut self, params: &mut PolicyParams, models: &mut [KernelModel]) {
        params.latency_penalty_microunits_per_ms = self.upto(2);
        for model in models {
            model.quality_bps = self.pick(&[0, 5_000, 10_000]);
            model.p95_latency_ms = self.upto(3) as u32;
            model.input_cost_microunits_per_million_tokens = self.upto(4);
            model.output_cost_microunits_per_million_tokens = self.upto(4) * 1_000_000;
        }
    }

    /// Models that share most of what decides their rank.
    fn tie(&mut self, models: &mut [KernelModel]) {
        let Some(first) = models.first().copied() else { return };
        for model in models {
            if self.chance(90) {
                model.quality_bps = first.quality_bps;
            }
            if self.chance(90) {
                model.p95_latency_ms = first.p95_latency_ms;
            }
            if self.chance(90) {
                model.input_cost_microunits_per_million_tokens =
                    first.input_cost_microunits_per_million_tokens;
                model.output_cost_microunits_per_million_tokens =
                    first.output_cost_microunits_per_million_tokens;
            }
        }
    }

    /// Moves one number of the request onto, just below or just above what one model has.
    fn aim(&mut self, case: &mut Case) {
        if case.models.is_empty() {
            return;
        }
        let model = case.models[self.below(case.models.len())];
        let step = self.upto(2);
        let near = |exact: u64| exact.saturating_add(step).saturating_sub(1);
        let input = &mut case.input;
        match self.upto(6) {
            0 => input.minimum_quality_bps = near(model.quality_bps.into()).min(65_535) as u16,
            1 => input.risk_bps = near(model.risk_ceiling_bps.into()).min(65_535) as u16,
            2 => {
                let latency = near(model.p95_latency_ms.into());
                input.max_p95_latency_ms = latency.min(u64::from(u32::MAX)) as u32;
            }
            3 => input.required_capabilities = model.capabilities ^ (step & 1),
            4 => {
                let cost = reference::terms(&case.params, &model, input).cost_microunits;
                input.budget_limit_microunits = near(cost);
            }
            _ => {
                // The smallest value at which this model is worth anything, by bisection.
                let worth = |value: u64| {
                    let input = KernelInput { business_value_microunits: value as i64, ..*input };
                    reference::terms(&case.params, &model, &input).utility_microunits > 0
                };
                let (mut low, mut high) = (0, i64::MAX as u64);
                while low < high {
                    let middle = low + (high - low) / 2;
                    if worth(middle) { high = middle } else { low = middle + 1 }
                }
                input.business_value_microunits = near(low).min(i64::MAX as u64) as i64;
            }
        }
    }
}
