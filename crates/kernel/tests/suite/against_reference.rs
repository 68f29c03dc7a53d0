//! Every answer of the kernel, compared with the plain reference on hostile random cases.

#[cfg(test)]
mod tests {
    use calybris_kernel::verify::{verify_borrowed, verify_decision};
    use calybris_kernel::{
        CandidateVerdict, KernelDecision, KernelInput, KernelModel, Policy, PolicyParams,
        PolicySnapshot,
    };
    use proptest::prelude::*;

    use crate::support::cases::{Case, Words};
    use crate::support::reference;

    /// Everything that can be asked about a case agrees with the reference.
    fn check(case: &Case) {
        let Case { params, models, input } = case;
        let expected = reference::decide(params, models, input);
        let borrowed = Policy::new_unchecked(*params, models);
        let owned = PolicySnapshot::from(borrowed);

        assert_eq!(owned.models(), models);
        assert_eq!(borrowed.prescribe(*input), expected.decision, "borrowed");
        assert_eq!(owned.prescribe(*input), expected.decision, "owned");
        let answer = (expected.decision, expected.trace);
        assert_eq!(borrowed.prescribe_with_trace(*input), answer, "borrowed trace");
        assert_eq!(owned.prescribe_with_trace(*input), answer, "owned trace");

        let explanation = owned.explain(*input);
        assert_eq!(explanation.decision, expected.decision, "explanation");
        assert_eq!(explanation.candidates, expected.candidates, "candidates");
        for model in models.iter().take(40) {
            // The first model of that id is meant, wherever ids repeat.
            let utility =
                expected.candidates.iter().find(|c| c.model_id == model.model_id).and_then(|c| {
                    match c.verdict {
                        CandidateVerdict::Scored { terms, eligible: true } => {
                            Some(terms.utility_microunits)
                        }
                        _ => None,
                    }
                });
            assert_eq!(borrowed.utility_for_model(*input, model.model_id), utility);
            assert_eq!(owned.utility_for_model(*input, model.model_id), utility);
        }
        assert_eq!(owned.utility_for_model(*input, u32::MAX), None);

        assert!(verify_decision(&owned, *input, &expected.decision).is_valid());
        assert!(verify_borrowed(&borrowed, *input, &expected.decision).is_valid());
        let policy_digest = reference::sha256(&reference::policy_bytes(params, models));
        assert_eq!(owned.digest(), policy_digest);

        let decided = owned.decide(*input);
        assert_eq!((decided.input(), decided.decision()), (input, &expected.decision), "decided");
        assert_eq!(decided.policy_digest(), &policy_digest);
        assert_eq!(owned.decide_checked(*input), input.validate().map(|()| decided));
    }

    proptest! {
        #[test]
        fn small_catalogs(seed: u64, size in 0_usize..40) {
            check(&Words(seed).case(size));
        }

        #[test]
        fn a_batch_is_its_single_decisions(seed: u64, size in 0_usize..80, count in 0_usize..24) {
            let mut words = Words(seed);
            let Case { params, models, .. } = words.case(size);
            let inputs: Vec<_> = (0..count).map(|_| words.case(size).input).collect();
            let owned = PolicySnapshot::from(Policy::new_unchecked(params, &models));
            let expected: Vec<KernelDecision> = inputs
                .iter()
                .map(|input| reference::decide(&params, &models, input).decision)
                .collect();
            prop_assert_eq!(owned.prescribe_batch(&inputs), expected.clone());

            let blank = PolicySnapshot::from(Policy::new_unchecked(params, &[])).prescribe(words.case(0).input);
            let mut decisions = vec![blank; count + 1];
            prop_assert_eq!(owned.prescribe_batch_into(&inputs, &mut decisions), count);
            prop_assert_eq!(&decisions[..count], expected.as_slice());
            prop_assert_eq!(decisions[count], blank);
            let half = count / 2;
            let written = owned.prescribe_batch_into(&inputs, &mut decisions[..half]);
            prop_assert_eq!(written, half);
        }

        #[test]
        fn the_order_of_a_checked_catalog_does_not_matter(seed: u64, size in 1_usize..30) {
            let mut words = Words(seed);
            let Case { params, mut models, input } = words.case(size);
            for (model_id, model) in (1..).step_by(7).zip(&mut models) {
                model.model_id = model_id;
            }
            let build = |models| PolicySnapshot::try_from_params(params, models);
            let Ok(sorted) = build(models.clone()) else { return Ok(()) };
            for index in 0..size {
                models.swap(index, words.below(size));
            }
            let shuffled = build(models).unwrap();
            prop_assert_eq!(shuffled.digest(), sorted.digest());
            prop_assert_eq!(shuffled.prescribe(input), sorted.prescribe(input));
            prop_assert_eq!(shuffled.explain(input), sorted.explain(input));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: ProptestConfig::default().cases / 4,
            ..ProptestConfig::default()
        })]

        /// Sizes around every boundary of the words and chunks that the columns are made of.
        #[test]
        fn catalogs_of_every_width(
            seed: u64,
            size in prop_oneof![
                62_usize..67, 126_usize..131, 254_usize..259, 510_usize..515, 1_020_usize..1_030
            ],
        ) {
            check(&Words(seed).case(size));
        }
    }

    /// The largest catalogs an index can and cannot name, and counts at their saturation.
    #[test]
    fn catalogs_at_the_edge_of_the_index() {
        for size in [65_535_usize, 65_536, 65_600] {
            for seed in 0..3 {
                let mut words = Words(seed + size as u64);
                let mut case = words.case(size);
                check(&case);
                // Only the very last model can be selected, and every other is counted once.
                let last = KernelModel { provider_id: 9, ..free(u32::MAX - 1) };
                case.models = vec![KernelModel { provider_id: 8, ..free(7) }; size];
                case.models[size - 1] = last;
                case.params = PolicyParams { hard_risk_limit_bps: 10_000, ..open() };
                case.input = KernelInput { allowed_provider_mask: 1 << 9, ..generous() };
                check(&case);
                case.input.allowed_provider_mask = u64::MAX;
                check(&case);
            }
        }
    }

    #[test]
    fn hostile_numbers_decide_and_never_panic() {
        let extreme = KernelModel {
            model_id: u32::MAX,
            provider_id: u16::MAX,
            quality_bps: u16::MAX,
            risk_ceiling_bps: u16::MAX,
            enabled: u8::MAX,
            p95_latency_ms: u32::MAX,
            capabilities: u64::MAX,
            region_mask: u64::MAX,
            input_cost_microunits_per_million_tokens: u64::MAX,
            output_cost_microunits_per_million_tokens: u64::MAX,
        };
        let models = vec![
            extreme,
            KernelModel { provider_id: 63, ..extreme },
            KernelModel { p95_latency_ms: 0, ..extreme },
            KernelModel { provider_id: 0, p95_latency_ms: 0, ..extreme },
            free(1),
            free(1),
            KernelModel { quality_bps: u16::MAX, ..free(0) },
            KernelModel { quality_bps: u16::MAX, ..free(0) },
        ];
        for limit in [0, 1, u16::MAX] {
            for multiplier in [0, u16::MAX] {
                for penalty in [0, u64::MAX] {
                    for value in [i64::MIN, -1, 0, 1, i64::MAX - 1, i64::MAX] {
                        for budget in [0, u64::MAX - 1, u64::MAX] {
                            for (tokens, bps) in [(0, 0), (1, 10_000), (u32::MAX, u16::MAX)] {
                                let params = PolicyParams {
                                    hard_risk_limit_bps: limit,
                                    risk_penalty_multiplier_bps: multiplier,
                                    latency_penalty_microunits_per_ms: penalty,
                                    ..open()
                                };
                                let input = KernelInput {
                                    request_sequence: u64::MAX,
                                    input_tokens: tokens,
                                    output_tokens: tokens,
                                    business_value_microunits: value,
                                    budget_limit_microunits: budget,
                                    confidence_bps: bps,
                                    minimum_quality_bps: 0,
                                    risk_bps: if tokens == 1 { 0 } else { bps.saturating_sub(1) },
                                    ..generous()
                                };
                                check(&Case { params, models: models.clone(), input });
                            }
                        }
                    }
                }
            }
        }
    }

    /// The rank is decided by utility, cost, quality, id and position, in this order.
    #[test]
    fn every_tie_is_broken_by_the_next_rule() {
        // A microunit of cost against a millisecond of latency: equal utility at different cost.
        let params = PolicyParams { latency_penalty_microunits_per_ms: 1, ..open() };
        let cheap = KernelModel { p95_latency_ms: 1, ..free(9) };
        let dear = KernelModel { input_cost_microunits_per_million_tokens: 1_000_000, ..free(3) };
        let select = |params: PolicyParams, models: &[KernelModel], input: KernelInput| {
            check(&Case { params, models: models.to_vec(), input });
            let decision =
                PolicySnapshot::from(Policy::new_unchecked(params, models)).prescribe(input);
            (decision.selected_model_index, decision.expected_utility_microunits)
        };
        let one_token = KernelInput { input_tokens: 1, ..generous() };
        assert_eq!(select(params, &[dear, cheap], one_token), (1, 999_999));

        // Quality that a value of one microunit cannot turn into utility.
        let input = KernelInput { business_value_microunits: 1, ..generous() };
        let fine = KernelModel { quality_bps: 20_000, ..free(9) };
        let finer = KernelModel { quality_bps: 20_001, ..free(10) };
        assert_eq!(select(open(), &[fine, finer], input).0, 1);

        assert_eq!(select(open(), &[free(6), free(5)], generous()).0, 1);
        assert_eq!(select(open(), &[free(5), free(5)], generous()).0, 0);
    }

    /// Utilities beyond `i64` are equal once clamped: then the cost decides, not the larger excess.
    #[test]
    fn clamped_utilities_tie() {
        let high = KernelModel { quality_bps: 60_000, ..free(1) };
        let higher = KernelModel {
            quality_bps: 65_000,
            input_cost_microunits_per_million_tokens: 5,
            ..free(2)
        };
        for value in [i64::MAX, i64::MAX / 5, i64::MAX / 6, i64::MAX / 7] {
            let input = KernelInput {
                business_value_microunits: value,
                input_tokens: 1_000_000,
                ..generous()
            };
            check(&Case { params: open(), models: vec![higher, high], input });
        }
    }

    #[test]
    fn policies_cross_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<PolicySnapshot>();
        shared::<Policy<'_>>();
    }

    fn open() -> PolicyParams {
        PolicyParams {
            policy_epoch: 1,
            catalog_epoch: 2,
            hard_risk_limit_bps: u16::MAX,
            minimum_confidence_bps: 0,
            risk_penalty_multiplier_bps: 0,
            latency_penalty_microunits_per_ms: 0,
        }
    }

    fn free(model_id: u32) -> KernelModel {
        KernelModel {
            model_id,
            provider_id: 0,
            quality_bps: 10_000,
            risk_ceiling_bps: 10_000,
            enabled: 1,
            p95_latency_ms: 0,
            capabilities: 0,
            region_mask: 0,
            input_cost_microunits_per_million_tokens: 0,
            output_cost_microunits_per_million_tokens: 0,
        }
    }

    fn generous() -> KernelInput {
        KernelInput {
            request_sequence: 1,
            requested_model_id: 5,
            input_tokens: 0,
            output_tokens: 0,
            business_value_microunits: 1_000_000,
            budget_limit_microunits: u64::MAX,
            risk_bps: 0,
            confidence_bps: 10_000,
            minimum_quality_bps: 0,
            max_p95_latency_ms: 0,
            required_capabilities: 0,
            allowed_provider_mask: u64::MAX,
            required_region_mask: 0,
        }
    }
}
