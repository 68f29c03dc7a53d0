//! The copied prices are those of the crate they were copied from.

use std::time::{Duration, UNIX_EPOCH};

use calybris_core::prices::microunits_per_million;
use genai_prices::{PriceRequest, Usage, UsageKey};

use super::*;

/// 2026-11-01, in seconds.
const AS_OF: u64 = 1_793_491_200;

/// The crate computes in floats: close enough to compare with, rounded to a microdollar. It is asked for the 64th
/// part of a million tokens, because some models cost more beyond a threshold.
#[expect(clippy::float_arithmetic, reason = "the crate's interface is in floats")]
fn published(provider: &str, model: &str, key: UsageKey) -> Option<u64> {
    let usage = Usage::from([(key, 15_625.0)]);
    let request = PriceRequest::new(model, &usage)
        .with_provider_id(provider)
        .with_timestamp(UNIX_EPOCH + Duration::from_secs(AS_OF));
    let price = genai_prices::calculate(&request).ok()?.total_price;
    microunits_per_million(&format!("{:.6}", price * 64.0)).ok()
}

#[test]
fn every_price_of_the_catalog_is_the_published_one() {
    let catalog = load().unwrap();
    assert_eq!(catalog.policy.models().len(), 29);
    for model in catalog.policy.models() {
        let (provider, name) = (catalog.provider(model.provider_id), catalog.name(model.model_id));
        let ours = [
            model.input_cost_microunits_per_million_tokens,
            model.output_cost_microunits_per_million_tokens,
        ];
        let theirs = [UsageKey::INPUT_TOKENS, UsageKey::OUTPUT_TOKENS]
            .map(|key| published(provider, name, key).unwrap());
        assert_eq!(ours, theirs, "{provider}/{name}");
    }
}

#[test]
fn what_has_no_exact_price_is_listed() {
    assert_eq!(
        load().unwrap().refused,
        [
            "deepseek/deepseek-chat: price depends on the hour of the day",
            "huggingface_together/Qwen/Qwen3-VL-8B-Instruct: price 0.18000000000000002 is not a whole number of microunits",
            "openai/whisper-1: no input price per token",
        ]
    );
}

#[test]
fn names_and_ids_are_each_others_inverse() {
    let catalog = load().unwrap();
    for model in catalog.policy.models() {
        assert_eq!(catalog.id(catalog.name(model.model_id)).unwrap(), model.model_id);
    }
    assert_eq!(catalog.id("gpt-99").unwrap_err().to_string(), "no model \"gpt-99\" in the catalog");
}
