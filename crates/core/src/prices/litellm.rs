//! The LiteLLM format: one flat object, prices per token, longer prompts as `…_above_200k_tokens`.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::decimal::{Converted, PER_TOKEN, scaled};
use super::{PriceList, PriceListError, PriceOptions, RefusalReason, malformed, number_text};

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

fn model_price<'a>(
    entry: &Entry<'a>,
    options: &PriceOptions,
) -> Result<(Converted<'a>, Converted<'a>), RefusalReason> {
    let convert = |raw: &'a RawValue| {
        scaled(number_text(raw), PER_TOKEN, options.rounding).map_err(RefusalReason::Price)
    };
    let price = |direction, member: &str| {
        let raw = entry.get(member).ok_or(RefusalReason::Missing { direction })?;
        let base = convert(raw)?;
        let above = [member, "_above_"].concat();
        let longer = || entry.iter().filter(|(name, _)| name.starts_with(&above));
        if longer().next().is_none() {
            return Ok(base);
        }
        options.tiers.choose(base, longer().map(|(_, raw)| convert(raw)))
    };
    Ok((price("input", "input_cost_per_token")?, price("output", "output_cost_per_token")?))
}
