//! `calybris stats`: a log's decisions by outcome, reason, model and tenant.

use std::path::PathBuf;

use serde_json::json;

use crate::exit::{Exit, Result};
use crate::files;
use crate::log::{LogArgs, Whole};
use crate::policies::Policies;
use crate::show::{count, money, percent, table};
use crate::tally::{Sum, Tally};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArgs,
    /// Policy document, for model names and the currency
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<Exit> {
    let policies = Policies::load(&arguments.policy)?;
    let (tally, whole) = Tally::of(&arguments.log.open()?)?;
    if json {
        let (head, retired) = (whole.head, whole.after());
        files::print_json(&json!({ "head": head, "retired": retired, "tally": tally }))?;
        return Ok(Exit::Verified);
    }
    files::print(&text(&tally, &whole, &policies))?;
    Ok(Exit::Verified)
}

fn text(tally: &Tally, whole: &Whole, policies: &Policies) -> String {
    let currency = policies.currency();
    let total = &tally.total;
    let mut text = format!(
        "{} entries, head {}\n{} decisions: {} executed as requested, {} substituted, {} rejected\nspend {}\n",
        count(whole.entries()),
        whole.head.last_hash,
        count(total.decisions),
        count(total.executed),
        count(total.substituted),
        count(total.rejected),
        money(total.cost_microunits, currency),
    );
    if whole.after() > 0 {
        text.push_str(&format!("entries up to {} were retired\n", count(whole.after())));
    }
    if tally.other > 0 {
        text.push_str(&format!("{} entries are no audited records\n", count(tally.other)));
    }
    let section = |title: &str, sums: Vec<(String, &Sum)>| {
        let rows = sums.into_iter().map(|(name, sum)| row(name, sum, total, currency)).collect();
        let header = [title, "decisions", "share", "substituted", "rejected", "spend", "utility"];
        format!("\n{}", table(1, &header, rows))
    };
    let named = |(name, sum)| (String::from(name), sum);
    text.push_str(&section("reason", tally.reasons.iter().map(|(n, s)| named((*n, s))).collect()));
    let models = tally.models.iter().map(|(id, sum)| (policies.model(*id), sum)).collect();
    text.push_str(&section("model", models));
    text.push_str(&section("tenant", tally.tenants.iter().map(|(n, s)| named((n, s))).collect()));
    text
}

fn row(name: String, sum: &Sum, total: &Sum, currency: &str) -> Vec<String> {
    vec![
        name,
        count(sum.decisions),
        percent(sum.decisions, total.decisions),
        count(sum.substituted),
        count(sum.rejected),
        money(sum.cost_microunits, currency),
        money(sum.utility_microunits, currency),
    ]
}
