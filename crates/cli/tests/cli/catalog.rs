//! `catalog import`: prices exact, refused and listed, or rounded by the stated rule and listed.

use serde_json::Value;

use crate::support::{Folder, Ran, USAGE};

const GENAI_PRICES: &str = r#"[{"id": "openai", "models": [
    {"id": "gpt-4o", "prices": {"input_mtok": 2.5, "output_mtok": 10}},
    {"id": "odd", "prices": {"input_mtok": 0.18000000000000002, "output_mtok": 1}}]}]"#;

const LITELLM: &str = r#"{
    "gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05},
    "odd": {"litellm_provider": "openai", "input_cost_per_token": 1.8000000000000002e-07, "output_cost_per_token": 1e-06}}"#;

const LISTS: [(&str, &str, &str); 2] = [
    ("genai-prices", GENAI_PRICES, "0.18000000000000002"),
    ("litellm", LITELLM, "1.8000000000000002e-07"),
];

fn import(folder: &Folder, format: &str, list: &str, options: &[&str]) -> Ran {
    folder.write("prices.json", list);
    let import = ["catalog", "import", "prices.json", "--format", format, "-o", "p.json"];
    folder.run(&[&import[..], options].concat())
}

/// The input price of every imported model, in a policy that the command accepts.
fn input_prices(folder: &Folder) -> Vec<u64> {
    folder.run(&["policy", "check", "p.json"]).ok();
    let policy: Value = serde_json::from_str(&folder.read("p.json")).unwrap();
    let price = |model: &Value| model["input_cost_microunits_per_million_tokens"].as_u64();
    policy["models"].as_array().unwrap().iter().map(|model| price(model).unwrap()).collect()
}

#[test]
fn a_price_is_exact_or_the_model_is_refused_and_listed() {
    let folder = Folder::new();
    for (format, list, published) in LISTS {
        let refused = format!("refused  openai/odd: price {published} is not a whole number");
        import(&folder, format, list, &[]).ok().says(&refused).says("refused 1");
        assert_eq!(input_prices(&folder), [2_500_000]);
        assert!(folder.read("p.json").contains("Prices imported exactly"));
    }
}

#[test]
fn a_rounded_price_is_listed_with_what_it_was_and_became() {
    let folder = Folder::new();
    for (format, list, published) in LISTS {
        for (rule, became) in [("up", 180_001), ("nearest", 180_000)] {
            let rounded = format!("rounded  openai/odd: input price {published} became {became} ");
            let ran = import(&folder, format, list, &["--round", rule]).ok().says(&rounded);
            ran.says("imported 2 models, 1 of their prices rounded, refused 0");
            assert_eq!(input_prices(&folder), [2_500_000, became]);
            assert!(folder.read("p.json").contains("rounded"), "the document says so");
        }
    }
    // What was not chosen is not listed.
    let ran = import(&folder, "litellm", LITELLM, &["--round", "up", "--model", "gpt-4o"]).ok();
    assert!(!ran.err.contains("odd"), "{ran:?}");
    import(&folder, "litellm", LITELLM, &["--round", "down"]).ends(USAGE).says("nearest");
}

#[test]
fn what_gives_no_price_is_refused() {
    let folder = Folder::new();
    import(&folder, "litellm", LITELLM, &["--model", "odd"])
        .ends(USAGE)
        .says("refused  openai/odd")
        .says("prices.json: no usable price of what was asked for, 1 refused");
    for list in ["", "[]", "{}", "3", "[{}]"] {
        import(&folder, "genai-prices", list, &[]).ends(USAGE).says("prices.json");
    }
}
