//! The worked decisions of the specification, reproduced digest for digest.

#[cfg(test)]
mod vectors {
    use calybris_kernel::digest::{HexDigest, decision_digest, input_digest, policy_digest};
    use calybris_kernel::{
        KernelDecision, KernelInput, KernelModel, Policy, PolicyParams, PolicySnapshot,
        RejectionHistogram,
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
        #[serde(flatten)]
        params: PolicyParams,
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
            let policy = PolicySnapshot::from(Policy::new_unchecked(p.params, &p.models));
            let (decision, trace) = policy.prescribe_with_trace(input);
            assert_eq!(decision, expect.decision, "case {number}");
            assert_eq!(trace.rejections, expect.rejections, "case {number}");
            assert_eq!(HexDigest::from(policy_digest(&policy)), expect.policy_digest);
            assert_eq!(HexDigest::from(input_digest(&input)), expect.input_digest);
            assert_eq!(HexDigest::from(decision_digest(&decision)), expect.decision_digest);
        }
    }
}
