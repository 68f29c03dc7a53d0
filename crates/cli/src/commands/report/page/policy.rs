//! A policy in words, and its catalog as a table.

use calybris_core::kernel::digest::HexDigest;

use super::{escape, section};
use crate::policies::NamedPolicy;
use crate::show::{count, money};

pub(super) fn in_words(policy: &NamedPolicy) -> String {
    let params = policy.snapshot.params();
    let currency = escape(policy.currency());
    let description = policy
        .document
        .description
        .as_deref()
        .map_or_else(String::new, |text| format!("<p>{}</p>", escape(text)));
    let rules = [
        format!("A request with a risk of {} or more is refused outright.", bps(params.hard_risk_limit_bps)),
        format!("A request with a confidence below {} is refused outright.", bps(params.minimum_confidence_bps)),
        format!(
            "Risk costs {} of the value at risk; a millisecond of latency costs {} microunits.",
            bps(params.risk_penalty_multiplier_bps),
            count(params.latency_penalty_microunits_per_ms)
        ),
        "Of the models that pass every gate the one worth most is chosen: value × confidence × quality, less risk, cost and latency.".into(),
    ];
    let rules: String = rules.iter().map(|rule| format!("<li>{rule}</li>")).collect();
    let rows: String = policy
        .snapshot
        .models()
        .iter()
        .map(|model| {
            let state = if model.enabled == 0 { "disabled" } else { "enabled" };
            format!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{} ms</td><td>{}</td><td>{}</td><td>{state}</td></tr>",
                escape(&policy.model(model.model_id)),
                model.model_id,
                bps(model.quality_bps),
                bps(model.risk_ceiling_bps),
                count(model.p95_latency_ms),
                price(model.input_cost_microunits_per_million_tokens),
                price(model.output_cost_microunits_per_million_tokens),
            )
        })
        .collect();
    section(
        &format!("Policy epoch {}, catalog epoch {}", params.policy_epoch, params.catalog_epoch),
        &format!(
            "{description}<ul>{rules}</ul>\
             <div class=\"scroll\" style=\"margin:12px 0\"><table><tr><th>model</th><th>id</th><th>quality</th><th>risk ceiling</th><th>p95 latency</th>\
             <th>input / M tokens</th><th>output / M tokens</th><th></th></tr>{rows}</table></div>\
             <p class=\"soft\">Prices in {currency}. Digest <span class=\"mono\">{}</span></p>",
            HexDigest::new(&policy.snapshot.digest()),
        ),
    )
}

fn price(microunits: u64) -> String {
    money(microunits, "")
}

fn bps(value: u16) -> String {
    format!("{}.{:02} %", value / 100, value % 100)
}
