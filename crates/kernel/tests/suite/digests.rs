//! The canonical digests: equal to a plain hash of the documented bytes, and moved by every field.

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use calybris_kernel::digest::{
        HexDigest, borrowed_policy_digest, decision_digest, digest_to_hex, input_digest,
    };
    use calybris_kernel::{
        KernelAction, KernelDecision, KernelInput, KernelModel, KernelReason, Policy, PolicyParams,
        PolicySnapshot,
    };
    use proptest::prelude::*;

    use crate::support::cases::{Case, Words};
    use crate::support::reference;

    proptest! {
        #[test]
        fn digests_cover_the_documented_bytes(seed: u64, size in 0_usize..40) {
            let Case { params, models, input } = Words(seed).case(size);
            let policy = Policy::new_unchecked(params, &models);
            let policy_bytes = reference::policy_bytes(&params, &models);
            prop_assert_eq!(borrowed_policy_digest(&policy), reference::sha256(&policy_bytes));
            let input_bytes = reference::input_bytes(&input);
            prop_assert_eq!(input_digest(&input), reference::sha256(&input_bytes));
            let decision = policy.prescribe(input);
            let decision_bytes = reference::decision_bytes(&decision);
            prop_assert_eq!(decision_digest(&decision), reference::sha256(&decision_bytes));
        }

        #[test]
        fn a_digest_prints_and_parses(bytes: [u8; 32]) {
            let text = digest_to_hex(&bytes);
            let plain: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(&text, &plain);
            prop_assert_eq!(HexDigest::parse(&text).unwrap().to_bytes(), bytes);
        }
    }

    #[test]
    fn whichever_thread_needs_a_digest_first_all_get_it() {
        let mut case = Words(7).case(3_000);
        case.models.sort_by_key(|model| model.model_id);
        let borrowed = Policy::new_unchecked(case.params, &case.models);
        let expected = reference::sha256(&reference::policy_bytes(&case.params, &case.models));
        let owned = PolicySnapshot::from(borrowed);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| assert_eq!(owned.digest(), expected)));
            }
        });
        assert_eq!(owned.clone().digest(), expected);
    }

    #[test]
    fn a_digest_has_one_spelling() {
        let text = "0123456789abcdef".repeat(4);
        assert!(HexDigest::parse(&text).is_ok());
        let error = |text: &str| HexDigest::parse(text).unwrap_err().to_string();
        assert_eq!(error(&text[1..]), "digest has 63 characters, 64 are needed");
        assert_eq!(error(&format!("{text}0")), "digest has 65 characters, 64 are needed");
        for wrong in ["A", "g", "/", ":", "`", " "] {
            let message = error(&format!("{}{wrong}", &text[1..]));
            let expected = "at position 63, only 0-9 and a-f are allowed";
            assert!(message.ends_with(expected), "{message}");
        }
    }

    /// Sets one field to a different value.
    macro_rules! changed {
        ($base:expr, $($field:ident),+ $(,)?) => {
            [$({ let mut other = $base; other.$field ^= 1; (stringify!($field), other) }),+]
        };
    }

    const PARAMS: PolicyParams = PolicyParams {
        policy_epoch: 2,
        catalog_epoch: 4,
        hard_risk_limit_bps: 6,
        minimum_confidence_bps: 8,
        risk_penalty_multiplier_bps: 10,
        latency_penalty_microunits_per_ms: 12,
    };
    const MODEL: KernelModel = KernelModel {
        model_id: 2,
        provider_id: 4,
        quality_bps: 6,
        risk_ceiling_bps: 8,
        enabled: 0,
        p95_latency_ms: 10,
        capabilities: 12,
        region_mask: 14,
        input_cost_microunits_per_million_tokens: 16,
        output_cost_microunits_per_million_tokens: 18,
    };

    #[test]
    fn every_field_of_a_policy_moves_its_digest() {
        let digest = |params: PolicyParams, models: &[KernelModel]| {
            borrowed_policy_digest(&Policy::new_unchecked(params, models))
        };
        let second = KernelModel { model_id: 40, ..MODEL };
        let mut seen = BTreeSet::from([digest(PARAMS, &[MODEL, second])]);
        for (field, params) in changed!(
            PARAMS,
            policy_epoch,
            catalog_epoch,
            hard_risk_limit_bps,
            minimum_confidence_bps,
            risk_penalty_multiplier_bps,
            latency_penalty_microunits_per_ms,
        ) {
            assert!(seen.insert(digest(params, &[MODEL, second])), "{field}");
        }
        for (field, model) in changed!(
            MODEL,
            model_id,
            provider_id,
            quality_bps,
            risk_ceiling_bps,
            enabled,
            p95_latency_ms,
            capabilities,
            region_mask,
            input_cost_microunits_per_million_tokens,
            output_cost_microunits_per_million_tokens,
        ) {
            assert!(seen.insert(digest(PARAMS, &[model, second])), "{field} of the first");
            let last = KernelModel { model_id: model.model_id + 38, ..model };
            assert!(seen.insert(digest(PARAMS, &[MODEL, last])), "{field} of the last");
        }
        assert!(seen.insert(digest(PARAMS, &[MODEL])), "number of models");
    }

    #[test]
    fn every_field_of_a_request_moves_its_digest() {
        let base = KernelInput {
            request_sequence: 2,
            requested_model_id: 4,
            input_tokens: 6,
            output_tokens: 8,
            business_value_microunits: -10,
            budget_limit_microunits: 12,
            risk_bps: 14,
            confidence_bps: 16,
            minimum_quality_bps: 18,
            max_p95_latency_ms: 20,
            required_capabilities: 22,
            allowed_provider_mask: 24,
            required_region_mask: 26,
        };
        let mut seen = BTreeSet::from([input_digest(&base)]);
        for (field, input) in changed!(
            base,
            request_sequence,
            requested_model_id,
            input_tokens,
            output_tokens,
            business_value_microunits,
            budget_limit_microunits,
            risk_bps,
            confidence_bps,
            minimum_quality_bps,
            max_p95_latency_ms,
            required_capabilities,
            allowed_provider_mask,
            required_region_mask,
        ) {
            assert!(seen.insert(input_digest(&input)), "{field}");
        }
    }

    #[test]
    fn every_field_of_a_decision_moves_its_digest() {
        let base = KernelDecision {
            request_sequence: 2,
            action: KernelAction::Substitute,
            reason: KernelReason::AlternativeMaximizesUtility,
            selected_model_id: 4,
            selected_model_index: 6,
            estimated_cost_microunits: 8,
            expected_utility_microunits: 10,
            counterfactual_model_id: 12,
            counterfactual_utility_microunits: -14,
            evaluated_models: 16,
            eligible_models: 18,
            policy_epoch: 20,
            catalog_epoch: 22,
        };
        let mut seen = BTreeSet::from([decision_digest(&base)]);
        for (field, decision) in changed!(
            base,
            request_sequence,
            selected_model_id,
            selected_model_index,
            estimated_cost_microunits,
            expected_utility_microunits,
            counterfactual_model_id,
            counterfactual_utility_microunits,
            evaluated_models,
            eligible_models,
            policy_epoch,
            catalog_epoch,
        ) {
            assert!(seen.insert(decision_digest(&decision)), "{field}");
        }
        for &action in KernelAction::ALL.iter().filter(|action| **action != base.action) {
            assert!(seen.insert(decision_digest(&KernelDecision { action, ..base })));
        }
        for &reason in KernelReason::ALL.iter().filter(|reason| **reason != base.reason) {
            assert!(seen.insert(decision_digest(&KernelDecision { reason, ..base })));
        }
    }
}
