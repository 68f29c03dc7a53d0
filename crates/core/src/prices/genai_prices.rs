//! The genai-prices format: providers, models, and prices per million tokens as a number, as tiers by prompt
//! length, or as a list of prices by date.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::decimal::{Converted, PER_MILLION, scaled};
use super::{PriceList, PriceListError, PriceOptions, RefusalReason, malformed, number_text};

#[derive(Deserialize)]
struct Provider<'a> {
    id: String,
    #[serde(borrow)]
    models: Vec<Model<'a>>,
}

#[derive(Deserialize)]
struct Model<'a> {
    id: String,
    #[serde(borrow)]
    prices: &'a RawValue,
}

#[derive(Deserialize)]
struct Prices<'a> {
    #[serde(borrow)]
    input_mtok: Option<&'a RawValue>,
    #[serde(borrow)]
    output_mtok: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Conditional<'a> {
    #[serde(default)]
    constraint: Constraint,
    #[serde(borrow)]
    prices: Prices<'a>,
}

/// A start date applies from that day on; hours of the day come as start and end time.
#[derive(Default, Deserialize)]
struct Constraint {
    start_date: Option<String>,
    start_time: Option<String>,
}

#[derive(Deserialize)]
struct Tiered<'a> {
    #[serde(borrow)]
    base: &'a RawValue,
    #[serde(borrow)]
    tiers: Vec<Tier<'a>>,
}

#[derive(Deserialize)]
struct Tier<'a> {
    #[serde(borrow)]
    price: &'a RawValue,
}

pub(super) fn read(json: &str, options: &PriceOptions) -> Result<PriceList, PriceListError> {
    let providers: Vec<Provider<'_>> = serde_json::from_str(json)?;
    let mut list = PriceList::default();
    for provider in &providers {
        for model in &provider.models {
            list.push(&provider.id, &model.id, model_price(model.prices, options));
        }
    }
    Ok(list)
}

fn model_price<'a>(
    raw: &'a RawValue,
    options: &PriceOptions,
) -> Result<(Converted<'a>, Converted<'a>), RefusalReason> {
    let prices = if raw.get().starts_with('[') {
        prices_in_force(raw, options)?
    } else {
        serde_json::from_str(raw.get()).map_err(|error| malformed(&error))?
    };
    let price = |direction, raw: Option<&'a RawValue>| {
        direction_price(raw.ok_or(RefusalReason::Missing { direction })?, options)
    };
    Ok((price("input", prices.input_mtok)?, price("output", prices.output_mtok)?))
}

/// The last entry whose start date is not after the chosen day; the one without a date holds before all others.
fn prices_in_force<'a>(
    raw: &'a RawValue,
    options: &PriceOptions,
) -> Result<Prices<'a>, RefusalReason> {
    let entries: Vec<Conditional<'a>> =
        serde_json::from_str(raw.get()).map_err(|error| malformed(&error))?;
    if entries.iter().any(|entry| entry.constraint.start_time.is_some()) {
        return Err(RefusalReason::Hourly);
    }
    let as_of = options.as_of.as_deref().ok_or(RefusalReason::Dated)?;
    let in_force = entries
        .into_iter()
        .filter(|entry| entry.constraint.start_date.as_deref().is_none_or(|start| start <= as_of));
    // Days written as YYYY-MM-DD order as text.
    let latest = in_force.max_by(|a, b| a.constraint.start_date.cmp(&b.constraint.start_date));
    latest.map(|entry| entry.prices).ok_or(RefusalReason::Dated)
}

fn direction_price<'a>(
    raw: &'a RawValue,
    options: &PriceOptions,
) -> Result<Converted<'a>, RefusalReason> {
    let convert = |raw: &'a RawValue| {
        scaled(number_text(raw), PER_MILLION, options.rounding).map_err(RefusalReason::Price)
    };
    if !raw.get().starts_with('{') {
        return convert(raw);
    }
    let tiered: Tiered<'_> = serde_json::from_str(raw.get()).map_err(|error| malformed(&error))?;
    options.tiers.choose(convert(tiered.base)?, tiered.tiers.iter().map(|tier| convert(tier.price)))
}
