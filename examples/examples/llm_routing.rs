//! Routing on published prices: who asks for what, what they get instead, and what that saves.
//!
//! `cargo run --release --example llm_routing [-- --trace FILE.csv] [--requests N]`

use std::collections::BTreeMap;
use std::process::ExitCode;

use calybris_core::kernel::{KernelDecision, KernelInput};
use calybris_core::verify::verify_decision;
use calybris_examples::catalog::{self, Catalog};
use calybris_examples::money::{thousands, usd_from_microdollars};
use calybris_examples::report::{Tally, heading, percent, table};
use calybris_examples::tenants::{self, TENANTS};
use calybris_examples::{Outcome, cli, requests};

fn main() -> ExitCode {
    calybris_examples::run(route)
}

fn route() -> Outcome {
    let arguments = cli::arguments("Routes requests over a catalog on published prices.")?;
    let catalog = catalog::load()?;
    let workload = requests::workload(&arguments)?;
    print_catalog(&catalog);

    let (mut outcomes, mut refusals) = (Tally::default(), Tally::default());
    let mut lines: BTreeMap<&str, Line> = BTreeMap::new();
    let mut one_refused = None;
    for row in &workload.rows {
        let (tenant, input) = tenants::request(&catalog, row)?;
        let decision = catalog.policy.prescribe_checked(input)?;
        // Anyone with the policy and the request can repeat the decision.
        if !verify_decision(&catalog.policy, input, &decision).is_valid() {
            return Err(format!("request {} does not replay", row.number).into());
        }
        outcomes.add(decision.action.to_string());
        let as_asked = catalog.cost_microdollars(input.requested_model_id, row);
        lines.entry(tenant.name).or_default().count(&catalog, &decision, as_asked);
        if decision.is_rejected() {
            refusals.add(decision.reason.to_string());
            if decision.evaluated_models > 0 {
                one_refused = Some(input);
            }
        }
    }

    heading(&format!(
        "{} requests ({}), tenants and values made up",
        thousands(outcomes.total()),
        workload.source
    ));
    outcomes.print("outcome");
    heading("By tenant: the cost of the requests served, as asked for and as routed");
    let tenant_row = |tenant: &tenants::Tenant| lines.get(tenant.name)?.row(tenant);
    table(
        &[
            "tenant",
            "asks for",
            "gets most often",
            "served",
            "refused",
            "as asked",
            "routed",
            "saved",
        ],
        3,
        TENANTS.iter().filter_map(tenant_row),
    );
    heading("Refused, by the gate that refused the most models");
    refusals.print("reason");
    if let Some(input) = one_refused {
        explain(&catalog, input);
    }
    Ok(())
}

/// What one tenant asked for and got.
#[derive(Default)]
struct Line {
    refused: u64,
    given: Tally,
    as_asked_microdollars: u64,
    routed_microdollars: u64,
}

impl Line {
    fn count(&mut self, catalog: &Catalog, decision: &KernelDecision, as_asked_microdollars: u64) {
        if decision.is_rejected() {
            self.refused += 1;
            return;
        }
        self.given.add(catalog.name(decision.selected_model_id));
        self.routed_microdollars += decision.estimated_cost_microunits;
        self.as_asked_microdollars += as_asked_microdollars;
    }

    fn row(&self, tenant: &tenants::Tenant) -> Option<Vec<String>> {
        let (asked, routed) = (self.as_asked_microdollars, self.routed_microdollars);
        let most_often = self.given.ranked();
        Some(vec![
            tenant.name.into(),
            most_often.first().map_or("-", |(name, _)| name).to_owned(),
            thousands(self.given.total()),
            thousands(self.refused),
            usd_from_microdollars(asked, 2),
            usd_from_microdollars(routed, 2),
            saved(asked, routed),
        ])
    }
}

/// What routing saved, as a share of what was asked for; negative where a better model was worth its price.
fn saved(asked: u64, routed: u64) -> String {
    let sign = if routed > asked { "-" } else { "" };
    format!("{sign}{}", percent(asked.abs_diff(routed), asked))
}

fn print_catalog(catalog: &Catalog) {
    heading(&format!(
        "{} models. Prices: published, as of {}, in USD per million tokens. Quality and latency: assumed.",
        catalog.policy.models().len(),
        catalog::PRICES_AS_OF
    ));
    let price = |microdollars| usd_from_microdollars(microdollars, 4);
    let rows = catalog.policy.models().iter().map(|model| {
        vec![
            catalog.name(model.model_id).to_owned(),
            catalog.provider(model.provider_id).to_owned(),
            price(model.input_cost_microunits_per_million_tokens),
            price(model.output_cost_microunits_per_million_tokens),
            percent(u64::from(model.quality_bps), 10_000),
            format!("{} ms", thousands(u64::from(model.p95_latency_ms))),
        ]
    });
    table(&["model", "provider", "input", "output", "quality", "p95"], 2, rows);
    println!("Not in the catalog:");
    for refused in &catalog.refused {
        println!("  {refused}");
    }
}

/// Why nothing was good enough: every model with what stopped it.
fn explain(catalog: &Catalog, input: KernelInput) {
    let (_, trace) = catalog.policy.prescribe_with_trace(input);
    let gates = trace.rejections;
    heading(&format!(
        "Request {}, refused: how many models each gate stopped",
        input.request_sequence
    ));
    let counts = [
        ("quality", gates.quality),
        ("latency", gates.latency),
        ("capability", gates.capability),
        ("provider", gates.provider),
        ("region", gates.region),
        ("risk ceiling", gates.risk_ceiling),
        ("budget", gates.budget),
        ("utility", gates.utility),
    ];
    let stopped = counts.iter().filter(|(_, count)| *count > 0);
    table(
        &["gate", "models"],
        1,
        stopped.map(|(gate, count)| vec![(*gate).to_owned(), count.to_string()]),
    );
}
