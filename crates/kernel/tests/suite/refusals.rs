//! What a checked policy and a checked request refuse, and in which words.

#[cfg(test)]
mod tests {
    use calybris_kernel::{
        KernelInput, KernelModel, Policy, PolicyError, PolicyParams, PolicySnapshot,
    };

    const PARAMS: PolicyParams = PolicyParams {
        policy_epoch: 1,
        catalog_epoch: 1,
        hard_risk_limit_bps: 10_000,
        minimum_confidence_bps: 10_000,
        risk_penalty_multiplier_bps: 50_000,
        latency_penalty_microunits_per_ms: u64::MAX,
    };
    /// Every bounded field at its bound.
    const MODEL: KernelModel = KernelModel {
        model_id: 7,
        provider_id: 63,
        quality_bps: 10_000,
        risk_ceiling_bps: 10_000,
        enabled: 1,
        p95_latency_ms: u32::MAX,
        capabilities: u64::MAX,
        region_mask: u64::MAX,
        input_cost_microunits_per_million_tokens: u64::MAX,
        output_cost_microunits_per_million_tokens: u64::MAX,
    };

    /// The error of every way to build or validate, once they agree.
    fn refusal(params: PolicyParams, models: &[KernelModel]) -> String {
        let checked = PolicySnapshot::try_from_params(params, models.to_vec()).unwrap_err();
        let unchecked = PolicySnapshot::from(Policy::new_unchecked(params, models));
        assert_eq!(unchecked.models(), models, "kept as given");
        assert_eq!(unchecked.validate(), Err(checked));
        assert_eq!(Policy::try_new(params, models), Err(checked));
        assert_eq!(Policy::new_unchecked(params, models).validate(), Err(checked));
        checked.to_string()
    }

    #[test]
    fn a_policy_at_every_bound_is_accepted() {
        let disabled = KernelModel { model_id: 8, enabled: 0, ..MODEL };
        let snapshot = PolicySnapshot::try_from_params(PARAMS, vec![disabled, MODEL]).unwrap();
        assert_eq!(snapshot.validate(), Ok(()));
        assert_eq!(snapshot.models(), [MODEL, disabled], "sorted by id");
        assert!(Policy::try_new(PARAMS, &[MODEL, disabled]).is_ok());
        let many: Vec<_> = (1..=65_535).map(|model_id| KernelModel { model_id, ..MODEL }).collect();
        assert!(PolicySnapshot::try_from_params(PARAMS, many).is_ok());
    }

    #[test]
    fn the_parameters_are_bounded() {
        let params = PolicyParams { hard_risk_limit_bps: 10_001, ..PARAMS };
        assert_eq!(
            refusal(params, &[MODEL]),
            "hard_risk_limit_bps is 10001, at most 10000 is allowed"
        );
        let params = PolicyParams { minimum_confidence_bps: 65_535, ..PARAMS };
        assert_eq!(
            refusal(params, &[MODEL]),
            "minimum_confidence_bps is 65535, at most 10000 is allowed"
        );
        let params = PolicyParams { risk_penalty_multiplier_bps: 50_001, ..PARAMS };
        assert_eq!(
            refusal(params, &[MODEL]),
            "risk_penalty_multiplier_bps is 50001, at most 50000 is allowed"
        );
    }

    #[test]
    fn the_catalog_is_neither_empty_nor_too_large() {
        assert_eq!(refusal(PARAMS, &[]), "catalog is empty: a policy needs at least one model");
        let many: Vec<_> = (1..=65_536).map(|model_id| KernelModel { model_id, ..MODEL }).collect();
        assert_eq!(refusal(PARAMS, &many), "catalog has 65536 models, at most 65535 are allowed");
    }

    #[test]
    fn every_field_of_a_model_is_bounded() {
        let with = |model| refusal(PARAMS, &[KernelModel { model_id: 3, ..MODEL }, model]);
        assert_eq!(
            with(KernelModel { model_id: 0, ..MODEL }),
            "model at index 1 has model_id 0, which means \"no model\""
        );
        assert_eq!(
            with(KernelModel { provider_id: 64, ..MODEL }),
            "model 7: provider_id is 64, at most 63 is allowed"
        );
        assert_eq!(
            with(KernelModel { enabled: 2, ..MODEL }),
            "model 7: enabled is 2, at most 1 is allowed"
        );
        assert_eq!(
            with(KernelModel { quality_bps: 10_001, ..MODEL }),
            "model 7: quality_bps is 10001, at most 10000 is allowed"
        );
        assert_eq!(
            with(KernelModel { risk_ceiling_bps: 10_001, ..MODEL }),
            "model 7: risk_ceiling_bps is 10001, at most 10000 is allowed"
        );
    }

    #[test]
    fn a_model_must_be_enabled_and_ids_unique() {
        let disabled = KernelModel { enabled: 0, ..MODEL };
        let other = KernelModel { model_id: 8, ..disabled };
        assert_eq!(refusal(PARAMS, &[disabled, other]), "none of the 2 models is enabled");
        let other = KernelModel { model_id: 5, quality_bps: 1, ..MODEL };
        assert_eq!(refusal(PARAMS, &[MODEL, other, MODEL]), "model_id 7 appears more than once");
    }

    #[test]
    fn a_borrowed_catalog_must_be_sorted() {
        let later = KernelModel { model_id: 8, ..MODEL };
        let error = Policy::try_new(PARAMS, &[later, MODEL]).unwrap_err();
        assert_eq!(error, PolicyError::UnsortedCatalog { index: 1, model_id: 7 });
        assert_eq!(Policy::new_unchecked(PARAMS, &[later, MODEL]).validate(), Ok(()));
    }

    #[test]
    fn a_request_is_bounded_and_decides_all_the_same() {
        let policy = PolicySnapshot::try_from_params(PARAMS, vec![MODEL]).unwrap();
        let good = KernelInput {
            request_sequence: 1,
            requested_model_id: 7,
            input_tokens: 0,
            output_tokens: 0,
            business_value_microunits: i64::MIN,
            budget_limit_microunits: 0,
            risk_bps: 10_000,
            confidence_bps: 10_000,
            minimum_quality_bps: 10_000,
            max_p95_latency_ms: 0,
            required_capabilities: 0,
            allowed_provider_mask: 0,
            required_region_mask: 0,
        };
        assert_eq!(good.validate(), Ok(()));
        assert_eq!(policy.prescribe_checked(good), Ok(policy.prescribe(good)));
        for (input, message) in [
            (
                KernelInput { risk_bps: 10_001, ..good },
                "request risk_bps is 10001, at most 10000 is allowed",
            ),
            (
                KernelInput { confidence_bps: 65_535, ..good },
                "request confidence_bps is 65535, at most 10000 is allowed",
            ),
            (
                KernelInput { minimum_quality_bps: 10_001, ..good },
                "request minimum_quality_bps is 10001, at most 10000 is allowed",
            ),
        ] {
            assert_eq!(input.validate().unwrap_err().to_string(), message);
            assert_eq!(policy.prescribe_checked(input).unwrap_err().to_string(), message);
            assert_eq!(
                policy.as_policy().prescribe_checked(input).unwrap_err().to_string(),
                message
            );
            assert!(policy.prescribe(input).is_rejected());
        }
    }
}
