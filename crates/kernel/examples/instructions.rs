//! What `cargo xtask bench-gate` counts the instructions of: `instructions NAME`, or `instructions list`.

use std::hint::black_box;

use calybris_kernel::{KernelInput, KernelModel, PolicySnapshot};

/// A name, the models of the catalog, and how the requests are decided.
const WORKLOADS: [(&str, u32, Way); 9] = [
    ("decide_4", 4, Way::Single),
    ("decide_22", 22, Way::Single),
    ("decide_256", 256, Way::Single),
    ("decide_1024", 1_024, Way::Single),
    ("decide_16384", 16_384, Way::Single),
    ("trace_22", 22, Way::Trace),
    ("trace_1024", 1_024, Way::Trace),
    ("batch_22", 22, Way::Batch),
    ("refuse_22", 22, Way::Refusal),
];
const REQUESTS: u64 = 64;

#[derive(Clone, Copy)]
enum Way {
    Single,
    Trace,
    Batch,
    Refusal,
}

fn main() {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    for (name, models, way) in WORKLOADS {
        if wanted == "list" {
            println!("{name}");
        } else if wanted == name {
            run(models, way);
        }
    }
}

fn run(models: u32, way: Way) {
    let mut words = Words(u64::from(models));
    let catalog = (1..=models).map(|id| model(&mut words, id)).collect();
    let policy = PolicySnapshot::new_unchecked(1, 1, 9_600, 5_500, 3_500, 2, catalog);
    let mut inputs: Vec<_> = (0..REQUESTS).map(|sequence| request(&mut words, sequence)).collect();
    if matches!(way, Way::Refusal) {
        inputs.iter_mut().for_each(|input| input.risk_bps = 9_900);
    }
    let mut decisions = policy.prescribe_batch(&inputs);
    measured(&policy, &inputs, &mut decisions, way);
    black_box(&decisions);
}

/// The only function that is counted.
#[inline(never)]
fn measured(
    policy: &PolicySnapshot,
    inputs: &[KernelInput],
    decisions: &mut [calybris_kernel::KernelDecision],
    way: Way,
) {
    if matches!(way, Way::Batch) {
        black_box(policy.prescribe_batch_into(black_box(inputs), decisions));
        return;
    }
    for (input, decision) in inputs.iter().zip(decisions) {
        *decision = match way {
            Way::Trace => black_box(policy.prescribe_with_trace(black_box(*input))).0,
            _ => policy.prescribe(black_box(*input)),
        };
    }
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
struct Words(u64);

impl Words {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included, as whatever type holds it.
    fn between<T: TryFrom<u64> + Default>(&mut self, low: u64, high: u64) -> T {
        T::try_from(low + self.next() % (high - low + 1)).unwrap_or_default()
    }
}

fn model(words: &mut Words, model_id: u32) -> KernelModel {
    KernelModel {
        model_id,
        provider_id: words.between(0, 63),
        quality_bps: words.between(5_000, 10_000),
        risk_ceiling_bps: words.between(0, 10_000),
        enabled: 1,
        p95_latency_ms: words.between(50, 4_000),
        capabilities: words.next() | words.next() | words.next(),
        region_mask: words.next() | words.next() | words.next(),
        input_cost_microunits_per_million_tokens: words.between(50_000, 15_000_000),
        output_cost_microunits_per_million_tokens: words.between(200_000, 60_000_000),
    }
}

fn request(words: &mut Words, sequence: u64) -> KernelInput {
    KernelInput {
        request_sequence: sequence,
        requested_model_id: words.between(1, 22),
        input_tokens: words.between(500, 20_000),
        output_tokens: words.between(100, 2_000),
        business_value_microunits: words.between(20_000, 400_000),
        budget_limit_microunits: words.between(20_000, 200_000),
        risk_bps: words.between(0, 1_500),
        confidence_bps: words.between(6_000, 10_000),
        minimum_quality_bps: words.between(4_000, 6_000),
        max_p95_latency_ms: words.between(3_000, 5_000),
        required_capabilities: 1 << words.between::<u32>(0, 63),
        allowed_provider_mask: words.next() | words.next() | words.next(),
        required_region_mask: 1 << words.between::<u32>(0, 63),
    }
}
