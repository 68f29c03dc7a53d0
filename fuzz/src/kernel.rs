//! The kernel against the plain reference of its own tests, on policies and requests made of bytes.

#[path = "../../crates/kernel/tests/suite/support/reference.rs"]
mod reference;

use calybris_kernel::digest::{decision_digest, input_digest};
use calybris_kernel::verify::verify_decision;
use calybris_kernel::{KernelInput, KernelModel, Policy, PolicyParams, PolicySnapshot};
use reference::sha256;

/// The bytes are what the digests cover, without the tags: the parameters of a policy, a request, and
/// as many models as are left. What is missing is zero. Nothing is checked first: any policy and any
/// request has its answer.
pub fn kernel(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let (params, input) = (bytes.params(), bytes.request());
    let models: Vec<KernelModel> =
        std::iter::from_fn(|| (!bytes.0.is_empty()).then(|| bytes.model())).collect();

    let expected = reference::decide(&params, &models, &input);
    let answer = (expected.decision, expected.trace);
    let borrowed = Policy::new_unchecked(params, &models);
    let owned = PolicySnapshot::from(borrowed);
    assert_eq!(owned.prescribe(input), expected.decision);
    assert_eq!(owned.prescribe_with_trace(input), answer);
    assert_eq!(borrowed.prescribe_with_trace(input), answer);
    assert_eq!(owned.explain(input).candidates, expected.candidates);
    assert!(verify_decision(&owned, input, &expected.decision).is_valid());

    assert_eq!(owned.digest(), sha256(&reference::policy_bytes(&params, &models)));
    assert_eq!(input_digest(&input), sha256(&reference::input_bytes(&input)));
    let decision = &expected.decision;
    assert_eq!(decision_digest(decision), sha256(&reference::decision_bytes(decision)));
}

/// Little-endian numbers off the front; zeros once there are no more.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_at(self.0.len().min(N));
        self.0 = rest;
        std::array::from_fn(|index| head.get(index).copied().unwrap_or_default())
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.next())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.next())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.next())
    }

    fn params(&mut self) -> PolicyParams {
        PolicyParams {
            policy_epoch: self.u64(),
            catalog_epoch: self.u64(),
            hard_risk_limit_bps: self.u16(),
            minimum_confidence_bps: self.u16(),
            risk_penalty_multiplier_bps: self.u16(),
            latency_penalty_microunits_per_ms: self.u64(),
        }
    }

    fn request(&mut self) -> KernelInput {
        KernelInput {
            request_sequence: self.u64(),
            requested_model_id: self.u32(),
            input_tokens: self.u32(),
            output_tokens: self.u32(),
            business_value_microunits: i64::from_le_bytes(self.next()),
            budget_limit_microunits: self.u64(),
            risk_bps: self.u16(),
            confidence_bps: self.u16(),
            minimum_quality_bps: self.u16(),
            max_p95_latency_ms: self.u32(),
            required_capabilities: self.u64(),
            allowed_provider_mask: self.u64(),
            required_region_mask: self.u64(),
        }
    }

    fn model(&mut self) -> KernelModel {
        KernelModel {
            model_id: self.u32(),
            provider_id: self.u16(),
            quality_bps: self.u16(),
            risk_ceiling_bps: self.u16(),
            enabled: u8::from_le_bytes(self.next()),
            p95_latency_ms: self.u32(),
            capabilities: self.u64(),
            region_mask: self.u64(),
            input_cost_microunits_per_million_tokens: self.u64(),
            output_cost_microunits_per_million_tokens: self.u64(),
        }
    }
}
