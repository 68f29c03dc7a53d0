//! The decision path never calls the allocator. A binary of its own: it replaces the allocator.

#[cfg(test)]
#[expect(dead_code, reason = "only the random cases are used here")]
#[path = "suite/support/mod.rs"]
mod support;

#[cfg(test)]
mod tests {
    use allocation_counter::measure;
    use calybris_kernel::digest::{HexDigest, decision_digest, input_digest};
    use calybris_kernel::verify::verify_decision;
    use calybris_kernel::{KernelInput, Policy, PolicyParams, PolicySnapshot};

    use crate::support::cases::{Case, Words};

    #[test]
    fn deciding_verifying_and_digesting_never_allocate() {
        for (seed, size) in [(1, 1), (2, 4), (3, 22), (4, 64), (5, 65), (6, 1_024), (7, 9_000)] {
            let mut words = Words(seed);
            let Case { params, models, input } = words.case(size);
            let params =
                PolicyParams { hard_risk_limit_bps: 10_000, minimum_confidence_bps: 0, ..params };
            let policy = PolicySnapshot::from(Policy::new_unchecked(params, &models));
            let inputs: Vec<KernelInput> = (0..20).map(|_| words.case(size).input).collect();
            let mut decisions = vec![policy.prescribe(input); inputs.len()];
            let counted = measure(|| {
                for input in &inputs {
                    let decision = policy.prescribe(*input);
                    assert_eq!(policy.prescribe_with_trace(*input).0, decision);
                    assert_eq!(policy.as_policy().prescribe(*input), decision);
                    assert_eq!(policy.decide(*input).decision(), &decision);
                    assert!(
                        policy.prescribe_checked(*input).is_ok_and(|d| d == decision)
                            || input.validate().is_err()
                    );
                    assert!(policy.utility_for_model(*input, 3).is_none_or(|utility| utility > 0));
                    assert!(verify_decision(&policy, *input, &decision).is_valid());
                    let digest = HexDigest::new(&decision_digest(&decision));
                    assert_ne!(digest, HexDigest::new(&input_digest(input)));
                    assert_eq!(policy.clone().digest(), policy.digest());
                }
                assert_eq!(policy.prescribe_batch_into(&inputs, &mut decisions), inputs.len());
            });
            assert_eq!(counted.count_total, 0, "{size} models");
        }
        // The counter does count.
        assert_ne!(measure(|| drop(std::hint::black_box(vec![1_u8; 100]))).count_total, 0);
    }
}
