//! The inputs of the comparison, in both crates' types.

use calybris_kernel::{KernelInput, KernelModel, PolicySnapshot};
use published::kernel as other;

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub struct Words(pub u64);

impl Words {
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(bound)) >> 64) as u64
    }

    fn chance(&mut self, probability: f64) -> bool {
        (self.below(1 << 32) as f64) < probability * (1_u64 << 32) as f64
    }
}

/// A catalog and requests for it.
pub struct Family {
    pub models: Vec<KernelModel>,
    pub inputs: Vec<KernelInput>,
}

pub const PARAMS: (u64, u64, u16, u16, u16, u64) = (1, 1, 9_600, 5_500, 3_500, 2);

impl Family {
    /// Rising ids, models alike but for price and quality, requests that all of them may serve.
    pub fn alike(models: u32, requests: u64) -> Self {
        let model = |id: u32| KernelModel {
            model_id: id,
            provider_id: (id % 60) as u16,
            quality_bps: 7_000 + (id % 2_000) as u16,
            risk_ceiling_bps: 9_500,
            enabled: 1,
            p95_latency_ms: 200 + id % 900,
            capabilities: 7,
            region_mask: u64::MAX,
            input_cost_microunits_per_million_tokens: 2_500_000 + u64::from(id),
            output_cost_microunits_per_million_tokens: 10_000_000,
        };
        let input = |sequence: u64| KernelInput {
            request_sequence: sequence,
            requested_model_id: 1 + (sequence % 20) as u32,
            input_tokens: 1_000 + (sequence % 5_000) as u32,
            output_tokens: 500,
            business_value_microunits: 5_000_000,
            budget_limit_microunits: u64::MAX,
            risk_bps: 500,
            confidence_bps: 9_000,
            minimum_quality_bps: 0,
            max_p95_latency_ms: 0,
            required_capabilities: 0,
            allowed_provider_mask: u64::MAX,
            required_region_mask: 0,
        };
        Self {
            models: (1..=models).map(model).collect(),
            inputs: (0..requests).map(input).collect(),
        }
    }

    /// Rising ids, every model alike but for price and quality, one loose gate.
    pub fn friendly(size: usize, requests: usize) -> Self {
        let models = (1..=size as u32)
            .map(|id| KernelModel {
                model_id: id,
                provider_id: (id % 8) as u16,
                quality_bps: 7_000 + (id % 2_500) as u16,
                risk_ceiling_bps: 9_500,
                enabled: 1,
                p95_latency_ms: 200 + id % 300,
                capabilities: 0b1111,
                region_mask: u64::MAX,
                input_cost_microunits_per_million_tokens: 100_000 + u64::from(id % 97) * 10_000,
                output_cost_microunits_per_million_tokens: 400_000 + u64::from(id % 89) * 40_000,
            })
            .collect();
        let inputs = (0..requests as u64)
            .map(|sequence| KernelInput {
                request_sequence: sequence,
                requested_model_id: 1 + (sequence % size as u64) as u32,
                input_tokens: 1_000 + (sequence % 50) as u32,
                output_tokens: 300,
                business_value_microunits: 50_000,
                budget_limit_microunits: 40_000,
                risk_bps: 500,
                confidence_bps: 9_000,
                minimum_quality_bps: 6_500,
                max_p95_latency_ms: 0,
                required_capabilities: 0b1,
                allowed_provider_mask: u64::MAX,
                required_region_mask: 0,
            })
            .collect();
        Self { models, inputs }
    }

    /// Models and requests drawn at random over all gates; about `eligible` of the models pass.
    /// Each of eight gates passes with the eighth root of that, independently of the others, so that
    /// no branch on a gate can be predicted.
    pub fn random(size: usize, requests: usize, eligible: f64, seed: u64) -> Self {
        let mut words = Words(seed);
        let pass = eligible.powf(1.0 / 8.0);
        let w = &mut words;
        let models: Vec<_> = (1..=size as u32)
            .map(|id| KernelModel {
                model_id: id,
                provider_id: w.below(64) as u16,
                quality_bps: 5_000 + w.below(5_000) as u16,
                risk_ceiling_bps: w.below(10_000) as u16,
                enabled: u8::from(w.chance(0.98)),
                p95_latency_ms: 50 + w.below(4_000) as u32,
                capabilities: mask(w, pass),
                region_mask: mask(w, pass),
                input_cost_microunits_per_million_tokens: 50_000 + w.below(15_000_000),
                output_cost_microunits_per_million_tokens: 200_000 + w.below(60_000_000),
            })
            .collect();
        let inputs = (0..requests as u64)
            .map(|sequence| request(&mut words, &models, sequence, pass))
            .collect();
        Self { models, inputs }
    }

    /// This project's policy.
    pub fn ours(&self) -> PolicySnapshot {
        let (a, b, c, d, e, f) = PARAMS;
        PolicySnapshot::try_new(a, b, c, d, e, f, self.models.clone()).expect("a valid policy")
    }

    /// The peer's.
    pub fn theirs(&self) -> other::PolicySnapshot {
        let (a, b, c, d, e, f) = PARAMS;
        other::PolicySnapshot::try_new(a, b, c, d, e, f, self.peer_models()).expect("valid")
    }

    pub fn peer_models(&self) -> Vec<other::KernelModel> {
        self.models.iter().map(peer_model).collect()
    }

    pub fn peer_inputs(&self) -> Vec<other::KernelInput> {
        self.inputs.iter().map(peer_input).collect()
    }
}

/// A word whose bits are set with the given probability.
fn mask(words: &mut Words, probability: f64) -> u64 {
    (0..64).fold(0, |mask, bit| mask | u64::from(words.chance(probability)) << bit)
}

fn request(w: &mut Words, models: &[KernelModel], sequence: u64, pass: f64) -> KernelInput {
    // The thresholds vary from request to request around the wanted share.
    let share =
        |w: &mut Words| (pass + (w.below(2_000) as f64 / 10_000.0 - 0.1) * (1.0 - pass)).min(1.0);
    let (quality, risk, latency) = (share(w), share(w), share(w));
    let mut input = KernelInput {
        request_sequence: sequence,
        requested_model_id: 1 + w.below(models.len() as u64) as u32,
        input_tokens: 500 + w.below(20_000) as u32,
        output_tokens: 100 + w.below(2_000) as u32,
        business_value_microunits: 0,
        budget_limit_microunits: u64::MAX,
        risk_bps: (10_000.0 * (1.0 - risk)) as u16,
        confidence_bps: 6_000 + w.below(4_000) as u16,
        minimum_quality_bps: 5_000 + (5_000.0 * (1.0 - quality)) as u16,
        max_p95_latency_ms: 50 + (4_000.0 * latency) as u32,
        required_capabilities: 1 << w.below(64),
        allowed_provider_mask: mask(w, pass),
        required_region_mask: 1 << w.below(64),
    };
    let sample: Vec<_> = (0..200).map(|_| models[w.below(models.len() as u64) as usize]).collect();
    let cost = |m: &KernelModel| {
        (f64::from(input.input_tokens) * m.input_cost_microunits_per_million_tokens as f64
            + f64::from(input.output_tokens) * m.output_cost_microunits_per_million_tokens as f64)
            / 1e6
    };
    let mut costs: Vec<f64> = sample.iter().map(cost).collect();
    costs.sort_by(f64::total_cmp);
    let at = |sorted: &[f64], share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
    let budget = at(&costs, share(w));
    // The value at which a model within the budget breaks even.
    let mut values: Vec<f64> = sample
        .iter()
        .filter(|m| cost(m) <= budget)
        .map(|m| {
            let gain = f64::from(input.confidence_bps) * f64::from(m.quality_bps) / 1e8;
            let risk = f64::from(input.risk_bps) * f64::from(PARAMS.4) / 1e8;
            let loss = cost(m) + f64::from(m.p95_latency_ms) * PARAMS.5 as f64;
            if gain > risk { loss / (gain - risk) } else { 1e12 }
        })
        .collect();
    values.sort_by(f64::total_cmp);
    input.budget_limit_microunits = budget as u64;
    input.business_value_microunits = at(&values, share(w)) as i64;
    input
}

pub fn peer_model(m: &KernelModel) -> other::KernelModel {
    other::KernelModel {
        model_id: m.model_id,
        provider_id: m.provider_id,
        quality_bps: m.quality_bps,
        risk_ceiling_bps: m.risk_ceiling_bps,
        enabled: m.enabled,
        p95_latency_ms: m.p95_latency_ms,
        capabilities: m.capabilities,
        region_mask: m.region_mask,
        input_cost_microunits_per_million_tokens: m.input_cost_microunits_per_million_tokens,
        output_cost_microunits_per_million_tokens: m.output_cost_microunits_per_million_tokens,
    }
}

pub fn peer_input(q: &KernelInput) -> other::KernelInput {
    other::KernelInput {
        request_sequence: q.request_sequence,
        requested_model_id: q.requested_model_id,
        input_tokens: q.input_tokens,
        output_tokens: q.output_tokens,
        business_value_microunits: q.business_value_microunits,
        budget_limit_microunits: q.budget_limit_microunits,
        risk_bps: q.risk_bps,
        confidence_bps: q.confidence_bps,
        minimum_quality_bps: q.minimum_quality_bps,
        max_p95_latency_ms: q.max_p95_latency_ms,
        required_capabilities: q.required_capabilities,
        allowed_provider_mask: q.allowed_provider_mask,
        required_region_mask: q.required_region_mask,
    }
}
