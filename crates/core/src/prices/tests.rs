//! Prices: exact, refused, or rounded by the rule that was asked for and listed.

use proptest::prelude::*;

use super::*;

const GENAI: &str = r#"[
  {"id": "openai", "name": "OpenAI", "models": [
    {"id": "gpt-4o", "prices": {"input_mtok": 2.5, "cache_read_mtok": 1.25, "output_mtok": 10}},
    {"id": "gpt-5.4", "prices": {
      "input_mtok": {"base": 2.5, "tiers": [{"start": 272000, "price": 5}]},
      "output_mtok": {"base": 15, "tiers": [{"start": 272000, "price": 22.5}]}}},
    {"id": "o3", "prices": [
      {"prices": {"input_mtok": 10, "output_mtok": 40}},
      {"constraint": {"start_date": "2025-06-10"}, "prices": {"input_mtok": 2, "output_mtok": 8}}]},
    {"id": "whisper-1", "prices": {"audio_hours": 0.36}},
    {"id": "embedding", "prices": {"input_mtok": 0.13}}
  ]},
  {"id": "together", "models": [
    {"id": "qwen", "prices": {"input_mtok": 0.18000000000000002, "output_mtok": 1}},
    {"id": "night", "prices": [
      {"constraint": {"start_time": "00:30:00Z", "end_time": "16:30:00Z"},
       "prices": {"input_mtok": 1, "output_mtok": 1}},
      {"prices": {"input_mtok": 2, "output_mtok": 2}}]},
    {"id": "odd", "prices": {"input_mtok": {"price": 1}, "output_mtok": 1}}
  ]}
]"#;

const LITELLM: &str = r#"{
  "sample_spec": {"input_cost_per_token": 0.0, "litellm_provider": "one of many"},
  "gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 2.5e-06,
    "output_cost_per_token": 1e-05, "mode": "chat"},
  "gemini": {"litellm_provider": "vertex", "input_cost_per_token": 1.25e-06,
    "input_cost_per_token_above_200k_tokens": 2.5e-06, "output_cost_per_token": 1e-05},
  "tts-1": {"litellm_provider": "openai", "input_cost_per_character": 1.5e-05},
  "broken": 3
}"#;

fn options(as_of: Option<&str>, tiers: TierRule) -> PriceOptions {
    PriceOptions { as_of: as_of.map(str::to_owned), tiers, ..PriceOptions::default() }
}

fn price_of(list: &PriceList, provider: &str, model: &str) -> Option<(u64, u64)> {
    let price = list.find(provider, model)?;
    Some((price.input_microunits_per_million, price.output_microunits_per_million))
}

#[test]
fn published_decimals_convert_exactly() {
    for (text, expected) in [
        ("2.50", 2_500_000),
        ("0.075", 75_000),
        ("10", 10_000_000),
        ("0.000001", 1),
        ("0", 0),
        ("-0.0", 0),
        ("0.10000000000", 100_000),
        ("1.5E2", 150_000_000),
        ("15000000e-7", 1_500_000),
        ("18446744073709.551615", u64::MAX),
    ] {
        assert_eq!(microunits_per_million(text), Ok(expected), "{text}");
    }
    for (text, expected) in [("2.5e-06", 2_500_000), ("7.5e-08", 75_000), ("0.000003", 3_000_000)] {
        assert_eq!(microunits_per_million_from_token(text), Ok(expected), "{text}");
    }
}

#[test]
fn anything_else_is_refused_by_name() {
    for (text, expected) in [
        ("", "price \"\" is not a decimal number"),
        (".5", "price \".5\" is not a decimal number"),
        ("1.2.3", "price \"1.2.3\" is not a decimal number"),
        ("1e", "price \"1e\" is not a decimal number"),
        ("NaN", "price \"NaN\" is not a decimal number"),
        ("2,50", "price \"2,50\" is not a decimal number"),
        ("+1", "price \"+1\" is not a decimal number"),
        ("-1", "price -1 is negative"),
        ("0.0000001", "price 0.0000001 is not a whole number of microunits"),
        ("1e-99", "price 1e-99 is not a whole number of microunits"),
        ("1e99", "price 1e99 is more than 18446744073709551615 microunits"),
        (
            "18446744073709.551616",
            "price 18446744073709.551616 is more than 18446744073709551615 microunits",
        ),
    ] {
        assert_eq!(microunits_per_million(text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn every_shape_of_genai_prices_is_read_or_refused() {
    let list = PriceList::from_genai_prices(GENAI, &PriceOptions::default()).unwrap();
    assert_eq!(price_of(&list, "openai", "gpt-4o"), Some((2_500_000, 10_000_000)));
    assert_eq!(list.prices.len(), 1);
    let refused: Vec<_> = list.refused.iter().map(ToString::to_string).collect();
    assert_eq!(
        refused,
        [
            "openai/gpt-5.4: price rises with the length of the prompt",
            "openai/o3: price depends on the date",
            "openai/whisper-1: no input price per token",
            "openai/embedding: no output price per token",
            "together/qwen: price 0.18000000000000002 is not a whole number of microunits",
            "together/night: price depends on the hour of the day",
            "together/odd: missing field `base` at line 1 column 12",
        ]
    );
}

#[test]
fn tiers_and_dates_follow_the_options() {
    let read = |options| PriceList::from_genai_prices(GENAI, &options).unwrap();
    let base = read(options(Some("2025-06-09"), TierRule::Base));
    assert_eq!(price_of(&base, "openai", "gpt-5.4"), Some((2_500_000, 15_000_000)));
    assert_eq!(price_of(&base, "openai", "o3"), Some((10_000_000, 40_000_000)));
    let highest = read(options(Some("2025-06-10"), TierRule::Highest));
    assert_eq!(price_of(&highest, "openai", "gpt-5.4"), Some((5_000_000, 22_500_000)));
    assert_eq!(price_of(&highest, "openai", "o3"), Some((2_000_000, 8_000_000)));
    let error = PriceList::from_genai_prices(GENAI, &options(Some("today"), TierRule::Base));
    assert_eq!(error.unwrap_err().to_string(), "as_of is \"today\", a day as YYYY-MM-DD is needed");
}

#[test]
fn litellm_prices_are_per_token() {
    let list = PriceList::from_litellm(LITELLM, &PriceOptions::default()).unwrap();
    assert_eq!(price_of(&list, "openai", "gpt-4o"), Some((2_500_000, 10_000_000)));
    let refused: Vec<_> = list.refused.iter().map(ToString::to_string).collect();
    assert_eq!(refused.len(), 3, "{refused:?}");
    assert!(refused.contains(&"vertex/gemini: price rises with the length of the prompt".into()));
    assert!(refused.contains(&"openai/tts-1: no input price per token".into()));
    let highest = PriceList::from_litellm(LITELLM, &options(None, TierRule::Highest)).unwrap();
    assert_eq!(price_of(&highest, "vertex", "gemini"), Some((2_500_000, 10_000_000)));
}

fn rounded(list: &PriceList) -> Vec<String> {
    list.rounded.iter().map(ToString::to_string).collect()
}

#[test]
fn a_price_that_is_too_fine_is_rounded_by_the_rule_and_listed() {
    let options = |rounding| PriceOptions { rounding, ..PriceOptions::default() };
    let read = |rounding| PriceList::from_genai_prices(GENAI, &options(rounding)).unwrap();
    let exact = read(Rounding::Refuse);
    assert_eq!((price_of(&exact, "together", "qwen"), exact.rounded.len()), (None, 0));
    for (rounding, became) in [(Rounding::Up, 180_001), (Rounding::Nearest, 180_000)] {
        let list = read(rounding);
        assert_eq!(price_of(&list, "together", "qwen"), Some((became, 1_000_000)));
        let line = format!(
            "together/qwen: input price 0.18000000000000002 became {became} microunits per million tokens"
        );
        // Prices that are exact stay as they are, and everything else that is refused stays refused.
        assert_eq!(rounded(&list), [line]);
        assert_eq!(price_of(&list, "openai", "gpt-4o"), Some((2_500_000, 10_000_000)));
        assert_eq!(list.refused.len(), exact.refused.len() - 1);
    }
}

#[test]
fn the_rounding_of_a_tier_is_listed_when_the_tier_is_chosen() {
    let json = r#"{"m": {"litellm_provider": "p", "input_cost_per_token": 1e-06,
        "input_cost_per_token_above_128k_tokens": 2.0000000000004e-06, "output_cost_per_token": 1.5e-12}}"#;
    let read = |tiers, rounding| {
        let options = PriceOptions { tiers, rounding, ..PriceOptions::default() };
        PriceList::from_litellm(json, &options).unwrap()
    };
    let input = "p/m: input price 2.0000000000004e-06 became 2000001 microunits per million tokens";
    let output = "p/m: output price 1.5e-12 became 2 microunits per million tokens";
    assert_eq!(rounded(&read(TierRule::Highest, Rounding::Up)), [input, output]);
    assert_eq!(rounded(&read(TierRule::Base, Rounding::Nearest)), [output]);
    assert_eq!(read(TierRule::Base, Rounding::Refuse).refused.len(), 1);
}

#[test]
fn what_is_no_list_is_an_error() {
    for json in ["", "{}", "[{}]", "3"] {
        assert!(PriceList::from_genai_prices(json, &PriceOptions::default()).is_err(), "{json}");
    }
    assert!(PriceList::from_litellm("[]", &PriceOptions::default()).is_err());
}

proptest! {
    /// Whatever way a whole number of microunits is written, it comes back.
    #[test]
    fn any_price_survives_its_spellings(value: u64, zeros in 0_usize..5, exponent in -8_i32..8) {
        let plain = format!("{}.{:06}{}", value / 1_000_000, value % 1_000_000, "0".repeat(zeros));
        prop_assert_eq!(microunits_per_million(&plain), Ok(value));
        let scientific = format!("{value}e{}", exponent - 6);
        let expected = match u32::try_from(exponent) {
            Ok(up) => value.checked_mul(10_u64.pow(up)),
            Err(_) => {
                let down = 10_u64.pow(exponent.unsigned_abs());
                (value % down == 0).then(|| value / down)
            }
        };
        prop_assert_eq!(microunits_per_million(&scientific).ok(), expected);
    }

    /// Up is the least whole number not below, nearest the one at most half away, halves up; both are exact
    /// where the price is, and say so.
    #[test]
    fn rounding_is_what_its_rule_says(value in 0..u64::MAX / 2, places in 0_u32..12) {
        let unit = 10_u64.pow(places);
        let (whole, rest) = (value / unit, value % unit);
        let text = format!("{value}e-{}", places + 6);
        let price = |rounding| decimal::scaled(&text, decimal::PER_MILLION, rounding).unwrap();
        let (up, nearest) = (price(Rounding::Up), price(Rounding::Nearest));
        prop_assert_eq!(up.microunits, whole + u64::from(rest > 0));
        prop_assert_eq!(nearest.microunits, whole + u64::from(rest > 0 && rest * 2 >= unit));
        for price in [up, nearest] {
            prop_assert_eq!(price.rounded_from, (rest > 0).then_some(text.as_str()));
        }
    }

    #[test]
    fn no_text_panics(text in "[-+0-9.eE]{0,24}|.{0,12}") {
        let _ = microunits_per_million(&text);
        let _ = microunits_per_million_from_token(&text);
        for rounding in [Rounding::Up, Rounding::Nearest] {
            let _ = decimal::scaled(&text, decimal::PER_TOKEN, rounding);
        }
    }
}
