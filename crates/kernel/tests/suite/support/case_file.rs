//! Reads `oracle_cases.bin`, without an allocator: `make_cases.py` describes and writes the file.

use calybris_kernel::{KernelInput, KernelModel, PolicyParams, RejectionHistogram};

/// What is left of the file.
#[derive(Clone, Copy)]
pub(crate) struct CaseFile<'a>(&'a [u8]);

/// A request and what is known of its decision.
pub(crate) struct KnownCase {
    pub(crate) input: KernelInput,
    pub(crate) rejections: RejectionHistogram,
    pub(crate) input_digest: [u8; 32],
    pub(crate) decision_digest: [u8; 32],
}

/// A policy, up to its models; `models` and then `requests` follow in the file.
pub(crate) struct KnownPolicy {
    pub(crate) params: PolicyParams,
    pub(crate) models: u32,
}

impl<'a> CaseFile<'a> {
    /// Opens a file and says how many policies it holds.
    pub(crate) fn open(bytes: &'a [u8]) -> (Self, u32) {
        let mut file = Self(bytes);
        let policies = file.u32();
        (file, policies)
    }

    pub(crate) fn policy(&mut self) -> KnownPolicy {
        let params = PolicyParams {
            policy_epoch: self.u64(),
            catalog_epoch: self.u64(),
            hard_risk_limit_bps: self.u16(),
            minimum_confidence_bps: self.u16(),
            risk_penalty_multiplier_bps: self.u16(),
            latency_penalty_microunits_per_ms: self.u64(),
        };
        KnownPolicy { params, models: self.u32() }
    }

    pub(crate) fn model(&mut self) -> KernelModel {
        KernelModel {
            model_id: self.u32(),
            provider_id: self.u16(),
            quality_bps: self.u16(),
            risk_ceiling_bps: self.u16(),
            enabled: self.array::<1>()[0],
            p95_latency_ms: self.u32(),
            capabilities: self.u64(),
            region_mask: self.u64(),
            input_cost_microunits_per_million_tokens: self.u64(),
            output_cost_microunits_per_million_tokens: self.u64(),
        }
    }

    /// The policy's digest and the number of its requests.
    pub(crate) fn requests(&mut self) -> ([u8; 32], u32) {
        (self.array(), self.u32())
    }

    pub(crate) fn case(&mut self) -> KnownCase {
        KnownCase {
            input: KernelInput {
                request_sequence: self.u64(),
                requested_model_id: self.u32(),
                input_tokens: self.u32(),
                output_tokens: self.u32(),
                business_value_microunits: i64::from_le_bytes(self.array()),
                budget_limit_microunits: self.u64(),
                risk_bps: self.u16(),
                confidence_bps: self.u16(),
                minimum_quality_bps: self.u16(),
                max_p95_latency_ms: self.u32(),
                required_capabilities: self.u64(),
                allowed_provider_mask: self.u64(),
                required_region_mask: self.u64(),
            },
            rejections: RejectionHistogram {
                disabled: self.u16(),
                quality: self.u16(),
                latency: self.u16(),
                capability: self.u16(),
                provider: self.u16(),
                region: self.u16(),
                risk_ceiling: self.u16(),
                budget: self.u16(),
                utility: self.u16(),
            },
            input_digest: self.array(),
            decision_digest: self.array(),
        }
    }

    pub(crate) fn is_read(&self) -> bool {
        self.0.is_empty()
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().expect("the case file is cut short");
        self.0 = rest;
        *head
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }
}
