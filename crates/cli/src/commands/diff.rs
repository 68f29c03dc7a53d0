//! `calybris diff`: what another policy would have decided about the same requests.

use std::collections::BTreeMap;
use std::path::PathBuf;

use calybris_core::kernel::KernelDecision;
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::limits::{Limit, Metric};
use crate::log::{Log, LogArgs};
use crate::policies::{NamedPolicy, Policies};
use crate::record::Record;
use crate::show::{count, money, percent, table};
use crate::tally::{as_text, group};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Policy document the decisions were made under; repeat it for a log that spans policies
    #[arg(long, value_name = "FILE", required = true)]
    old: Vec<PathBuf>,
    /// Policy document to replay the requests under
    #[arg(long, value_name = "FILE")]
    new: PathBuf,
    #[command(flatten)]
    log: LogArgs,
    /// Exit with 5 when METRIC>LIMIT holds; METRIC is changed, refused, admitted, unreplayable (LIMIT a
    /// count, or a share such as 2.5%) or cost (LIMIT a rise in percent). Repeat it for several.
    #[arg(long, value_name = "METRIC>LIMIT")]
    fail_if: Vec<Limit>,
}

/// What became different, for one model, tenant or reason.
#[derive(Clone, Debug, Default, Serialize)]
struct Moved {
    decisions: u64,
    changed: u64,
    refused: u64,
    admitted: u64,
    #[serde(serialize_with = "as_text", rename = "old_cost_microunits")]
    old_cost: i128,
    #[serde(serialize_with = "as_text", rename = "new_cost_microunits")]
    new_cost: i128,
}

#[derive(Default)]
struct Difference {
    total: Moved,
    unreplayable: BTreeMap<&'static str, u64>,
    tenants: BTreeMap<String, Moved>,
    models: BTreeMap<u32, Moved>,
    reasons: BTreeMap<(&'static str, &'static str), Moved>,
}

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<Exit> {
    let old = Policies::load(&arguments.old)?;
    let new = NamedPolicy::load(&arguments.new)?;
    let log = arguments.log.open()?;
    let difference = Difference::of(&log, &old, &new)?;
    let passed: Vec<_> =
        arguments.fail_if.iter().filter(|limit| difference.passes(limit)).collect();
    if json {
        files::print_json(&difference.json(&passed))?;
    } else {
        files::print(&difference.text(&old, &new))?;
    }
    for limit in &passed {
        files::note(&format!("threshold passed: {limit}"));
    }
    if !passed.is_empty() {
        return Ok(Exit::Threshold);
    }
    difference.complete(&arguments.fail_if)?;
    Ok(Exit::Verified)
}

impl Moved {
    fn add(&mut self, old: &KernelDecision, new: &KernelDecision) {
        self.decisions += 1;
        self.changed += u64::from(old.selected_model_id != new.selected_model_id);
        self.refused += u64::from(old.is_executable() && new.is_rejected());
        self.admitted += u64::from(old.is_rejected() && new.is_executable());
        self.old_cost += i128::from(old.estimated_cost_microunits);
        self.new_cost += i128::from(new.estimated_cost_microunits);
    }

    fn join(&mut self, later: &Self) {
        self.decisions += later.decisions;
        self.changed += later.changed;
        self.refused += later.refused;
        self.admitted += later.admitted;
        self.old_cost += later.old_cost;
        self.new_cost += later.new_cost;
    }

    fn row(&self, name: String, currency: &str) -> Vec<String> {
        vec![
            name,
            count(self.decisions),
            count(self.changed),
            count(self.refused),
            count(self.admitted),
            money(self.old_cost, currency),
            money(self.new_cost, currency),
            money(self.new_cost - self.old_cost, currency),
        ]
    }
}

impl Difference {
    fn of(log: &Log, old: &Policies, new: &NamedPolicy) -> Result<Self> {
        let mut difference = Self::default();
        log.fold_records(
            |part: &mut Self, _, record| match record {
                Ok(record) => part.add(&record, old, new),
                Err(_) => part.skip("is no audited record"),
            },
            |part| difference.join(part),
        )?;
        Ok(difference)
    }

    fn add(&mut self, record: &Record<'_>, old: &Policies, new: &NamedPolicy) {
        let audited = &record.audited;
        let Some(policy) = old.named_by(&audited.audit) else {
            return self.skip("names a policy that was not given with --old");
        };
        if !audited.replay(&policy.snapshot).is_valid() {
            return self.skip("does not replay under the policy it names");
        }
        let (before, after) = (audited.decision, new.snapshot.prescribe(audited.input));
        self.total.add(&before, &after);
        group(&mut self.tenants, &record.tenant).add(&before, &after);
        self.models.entry(before.selected_model_id).or_default().add(&before, &after);
        if before.reason != after.reason {
            let reasons = (before.reason.as_str(), after.reason.as_str());
            self.reasons.entry(reasons).or_default().add(&before, &after);
        }
    }

    /// Adds the difference of what follows.
    fn join(&mut self, later: Self) {
        self.total.join(&later.total);
        for (why, records) in later.unreplayable {
            *self.unreplayable.entry(why).or_default() += records;
        }
        for (name, moved) in &later.tenants {
            group(&mut self.tenants, name).join(moved);
        }
        for (id, moved) in &later.models {
            self.models.entry(*id).or_default().join(moved);
        }
        for (reasons, moved) in &later.reasons {
            self.reasons.entry(*reasons).or_default().join(moved);
        }
    }

    fn skip(&mut self, why: &'static str) {
        *self.unreplayable.entry(why).or_default() += 1;
    }

    fn unreplayable(&self) -> u64 {
        self.unreplayable.values().sum()
    }

    /// Refuses to pass for want of replayed records: none at all, or some missing while limits are asked for and
    /// none of them is on what is missing.
    fn complete(&self, limits: &[Limit]) -> Result<()> {
        let missing = self.unreplayable();
        let bounded = limits.iter().any(|limit| limit.metric == Metric::Unreplayable);
        if self.total.decisions > 0 && (missing == 0 || limits.is_empty() || bounded) {
            return Ok(());
        }
        if missing == 0 {
            return Err(Failure::new(Exit::CannotTell, "the log has no decision to replay"));
        }
        let problem =
            format!("{} records could not be replayed, so the limits say nothing", count(missing));
        Err(Failure::new(Exit::CannotTell, problem)
            .meaning("Give the policies they name with --old, or bound them with --fail-if 'unreplayable>N'."))
    }

    fn passes(&self, limit: &Limit) -> bool {
        let total = &self.total;
        match limit.metric {
            Metric::Changed => limit.passed_by(total.changed, total.decisions),
            Metric::Refused => limit.passed_by(total.refused, total.decisions),
            Metric::Admitted => limit.passed_by(total.admitted, total.decisions),
            Metric::Unreplayable => {
                limit.passed_by(self.unreplayable(), total.decisions + self.unreplayable())
            }
            Metric::Cost => limit.passed_by_rise(total.old_cost, total.new_cost),
        }
    }

    fn json(&self, passed: &[&Limit]) -> Value {
        let reasons = self.reasons.iter();
        let reasons =
            reasons.map(|((from, to), moved)| json!({ "from": from, "to": to, "moved": moved }));
        json!({
            "kind": "replay, not a forecast",
            "total": self.total,
            "not_replayed": self.unreplayable,
            "tenants": self.tenants,
            "models_before": self.models,
            "reasons": reasons.collect::<Vec<_>>(),
            "thresholds_passed": passed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }

    fn text(&self, old: &Policies, new: &NamedPolicy) -> String {
        let (total, currency) = (&self.total, new.currency());
        let share = |part| percent(part, total.decisions);
        let mut text = format!(
            "{} decisions replayed under the new policy\n  another model    {} ({})\n  now refused      {} ({})\n  now admitted     {} ({})\n  cost             {} before, {} after, {} moved\n",
            count(total.decisions),
            count(total.changed),
            share(total.changed),
            count(total.refused),
            share(total.refused),
            count(total.admitted),
            share(total.admitted),
            money(total.old_cost, currency),
            money(total.new_cost, currency),
            money(total.new_cost - total.old_cost, currency),
        );
        for (why, records) in &self.unreplayable {
            text.push_str(&format!("  not replayed     {}: the record {why}\n", count(*records)));
        }
        let section = |title: &str, rows: Vec<Vec<String>>| {
            if rows.is_empty() {
                return String::new();
            }
            let header = [
                title,
                "decisions",
                "changed",
                "refused",
                "admitted",
                "old cost",
                "new cost",
                "moved",
            ];
            format!("\n{}", table(1, &header, rows))
        };
        let tenants = self.tenants.iter().map(|(name, moved)| moved.row(name.clone(), currency));
        let models = self.models.iter().map(|(id, moved)| moved.row(old.model(*id), currency));
        let reasons = self.reasons.iter();
        let reasons =
            reasons.map(|((from, to), moved)| moved.row(format!("{from} → {to}"), currency));
        text.push_str(&section("tenant", tenants.collect()));
        text.push_str(&section("model before", models.collect()));
        text.push_str(&section("reason before → after", reasons.collect()));
        text.push_str(
            "\nThis is a replay of recorded requests, not a forecast: other decisions would have led to other requests.\n",
        );
        text
    }
}
