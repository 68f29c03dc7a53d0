//! The LiteLLM format: one flat object, prices per token, longer prompts as `…_above_200k_tokens`.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{
    PriceList, PriceListError, PriceOptions, RefusalReason, malformed,
    microunits_per_million_from_token, number_text,
};

/// The entry that documents the format.
const SAMPLE: &str = "sample_spec";

type Entry<'a> = BTreeMap<&'a str, &'a RawValue>;

pub(super) fn read(json: &str, options: &PriceOptions) -> Result<PriceList, PriceListError> {
    let models: BTreeMap<String, &RawValue> = serde_json::from_str(json)?;
    let mut list = PriceList::default();
    for (model, raw) in models.iter().filter(|(model, _)| *model != SAMPLE) {
        match serde_json::from_str::<Entry<'_>>(raw.get()) {
            Ok(entry) => {
                let provider = entry.get("litellm_provider").map_or("", |raw| number_text(raw));
                list.push(provider, model, model_price(&entry, options));
            }
            Err(error) => list.push("", model, Err(malformed(&error))),
        }
    }
    Ok(list)
}

fn model_price(entry: &Entry<'_>, options: &PriceOptions) -> Result<(u64, u64), RefusalReason> {
    let price = |direction, member: &str| {
        let raw = entry.get(member).ok_or(RefusalReason::Missing { direction })?;
        let base = exact(raw)?;
        let above = [member, "_above_"].concat();
        let longer = || entry.iter().filter(|(name, _)| name.starts_with(&above));
        if longer().next().is_none() {
            return Ok(base);
        }
        options.tiers.choose(base, longer().map(|(_, raw)| exact(raw)))
    };
    Ok((price("input", "input_cost_per_token")?, price("output", "output_cost_per_token")?))
}

fn exact(raw: &RawValue) -> Result<u64, RefusalReason> {
    microunits_per_million_from_token(number_text(raw)).map_err(RefusalReason::Price)
}
