//! The worked decisions of the specification, reproduced digest for digest.

#[cfg(test)]
mod vectors {
    use calybris_kernel::digest::{HexDigest, decision_digest, input_digest, policy_digest};
    use calybris_kernel::{
        KernelDecision, KernelInput, KernelModel, PolicySnapshot, RejectionHistogram,
    };
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        policy: PolicyCase,
        input: KernelInput,
        expect: Expected,
    }

    #[derive(Deserialize)]
    struct PolicyCase {
        policy_epoch: u64,
        catalog_epoch: u64,
        hard_risk_limit_bps: u16,
        minimum_confidence_bps: u16,
        risk_penalty_multiplier_bps: u16,
        latency_penalty_microunits_per_ms: u64,
        models: Vec<KernelModel>,
    }

    #[derive(Deserialize)]
    struct Expected {
        decision: KernelDecision,
        rejections: RejectionHistogram,
        policy_digest: HexDigest,
        input_digest: HexDigest,
        decision_digest: HexDigest,
    }

    #[test]
    fn every_worked_decision_is_reproduced() {
        let lines = include_str!("data/decisions.jsonl").lines();
        let cases: Vec<Case> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(cases.len(), 52);
        for (number, Case { policy: p, input, expect }) in cases.into_iter().enumerate() {
            let policy = PolicySnapshot::new_unchecked(
                p.policy_epoch,
                p.catalog_epoch,
                p.hard_risk_limit_bps,
                p.minimum_confidence_bps,
                p.risk_penalty_multiplier_bps,
                p.latency_penalty_microunits_per_ms,
                p.models,
            );
            let (decision, trace) = policy.prescribe_with_trace(input);
            assert_eq!(decision, expect.decision, "case {number}");
            assert_eq!(trace.rejections, expect.rejections, "case {number}");
            assert_eq!(HexDigest::from(policy_digest(&policy)), expect.policy_digest);
            assert_eq!(HexDigest::from(input_digest(&input)), expect.input_digest);
            assert_eq!(HexDigest::from(decision_digest(&decision)), expect.decision_digest);
        }
    }
}
