//! `calybris explain`: every candidate's verdict, and the smallest single change with another winner.

use std::collections::BTreeMap;
use std::path::PathBuf;

use calybris_core::kernel::{CandidateVerdict, Gate, KernelInput};
use serde_json::json;

use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::log::LogArgs;
use crate::nearest::{Change, nearest_changes};
use crate::policies::{NamedPolicy, Policies};
use crate::record::Record;
use crate::show::{count, money, table};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArgs,
    /// The entry's sequence
    sequence: u64,
    /// Policy document; repeat it for a log that spans policies
    #[arg(long, value_name = "FILE", required = true)]
    policy: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<Exit> {
    let policies = Policies::load(&arguments.policy)?;
    let log = arguments.log.open()?;
    let mut found = None;
    let end = log.fold(
        |found: &mut Option<_>, entry| {
            if entry.sequence == arguments.sequence {
                *found = Some((*entry.entry_hash, entry.data.to_vec()));
            }
        },
        |part| found = found.take().or(part),
    );
    let Some((entry_hash, payload)) = found else {
        return Err(end?.no_entry(arguments.sequence));
    };
    let at = |failure: Box<Failure>| failure.at(log.path(), arguments.sequence);
    let record = Record::read(&payload).map_err(|error| {
        let problem = format!("the entry is no audited record: {error}");
        at(Failure::new(Exit::CannotTell, problem))
    })?;
    let audited = &record.audited;
    let policy = policies.required_by(&audited.audit).map_err(at)?;
    let replayed = policies.replay(audited).map_err(at);
    let changes = nearest_changes(policy, &audited.input);
    if json {
        // A machine gets an explanation of what holds, or the failure: never both.
        replayed?;
        let head = end?.head;
        files::print_json(&json!({
            "sequence": arguments.sequence,
            "entry_hash": entry_hash,
            "head": head,
            "tenant": record.tenant,
            "policy_digest_hex": audited.audit.policy_digest_hex,
            "models": names(policy),
            "input": audited.input,
            "explanation": policy.snapshot.explain(audited.input),
            "nearest_changes": changes,
        }))?;
        return Ok(Exit::Verified);
    }
    // People get the tables even when the chain breaks elsewhere; the break is reported all the same.
    files::print(&explanation(arguments.sequence, &record, policy, &changes))?;
    replayed?;
    end.map(|_| Exit::Verified)
}

/// The models' names by id.
fn names(policy: &NamedPolicy) -> BTreeMap<u32, &str> {
    let named = policy.document.models.iter();
    named.filter_map(|named| Some((named.model.model_id, named.name.as_deref()?))).collect()
}

fn explanation(
    sequence: u64,
    record: &Record<'_>,
    policy: &NamedPolicy,
    changes: &[Change],
) -> String {
    let (input, decision) = (&record.audited.input, &record.audited.decision);
    let currency = policy.currency();
    let mut text = format!(
        "entry {sequence}, request {}, tenant {}\n  wanted   {}\n  decided  {} {}\n  because  {}\n",
        input.request_sequence,
        record.tenant,
        policy.model(input.requested_model_id),
        decision.action,
        policy.model(decision.selected_model_id),
        decision.reason,
    );
    if decision.is_executable() {
        text.push_str(&format!(
            "  cost     {}\n  utility  {}\n",
            money(decision.estimated_cost_microunits, currency),
            money(decision.expected_utility_microunits, currency),
        ));
    }
    if decision.counterfactual_model_id != 0 {
        let ahead = i128::from(decision.expected_utility_microunits)
            - i128::from(decision.counterfactual_utility_microunits);
        text.push_str(&format!(
            "  next     {}, {} behind\n",
            policy.model(decision.counterfactual_model_id),
            money(ahead, currency),
        ));
    }
    text.push('\n');
    text.push_str(&candidates_table(policy, *input));
    text.push_str(&changes_text(policy, changes));
    text
}

/// Every candidate with its gate or its utility terms.
pub(crate) fn candidates_table(policy: &NamedPolicy, input: KernelInput) -> String {
    let explanation = policy.snapshot.explain(input);
    let decision = explanation.decision;
    if explanation.candidates.is_empty() {
        let limits = policy.snapshot.params();
        return format!(
            "No model was looked at: {} (risk {} bps, refused from {}; confidence {} bps, refused below {}).\n",
            decision.reason,
            input.risk_bps,
            limits.hard_risk_limit_bps,
            input.confidence_bps,
            limits.minimum_confidence_bps,
        );
    }
    let mut scored = Vec::new();
    let mut refused = Vec::new();
    for candidate in &explanation.candidates {
        let name = policy.model(candidate.model_id);
        match candidate.verdict {
            CandidateVerdict::Scored { terms, eligible } => {
                let mark = match candidate.model_id {
                    id if id == decision.selected_model_id => "selected",
                    _ if eligible => "eligible",
                    _ => "refused: utility is not positive",
                };
                let number = |n: u128| money(i128::try_from(n).unwrap_or(i128::MAX), "");
                scored.push((
                    terms.utility_microunits,
                    vec![
                        name,
                        mark.into(),
                        number(terms.quality_adjusted_microunits),
                        number(terms.risk_penalty_microunits),
                        number(terms.cost_microunits.into()),
                        number(terms.latency_penalty_microunits),
                        money(terms.utility_microunits, ""),
                    ],
                ));
            }
            CandidateVerdict::OverBudget { cost_microunits, budget_limit_microunits } => {
                let cost = money(cost_microunits, policy.currency());
                let limit = money(budget_limit_microunits, policy.currency());
                refused.push(vec![name, "budget".into(), format!("costs {cost}, limit {limit}")]);
            }
            CandidateVerdict::GateFailed { gate, model_value, request_value } => {
                let why = gate_text(gate, model_value, request_value);
                refused.push(vec![name, gate.to_string(), why]);
            }
        }
    }
    scored.sort_by_key(|(utility, _)| std::cmp::Reverse(*utility));
    let mut text = String::new();
    if !scored.is_empty() {
        let rows = scored.into_iter().map(|(_, row)| row).collect();
        let header =
            ["model", "verdict", "quality adjusted", "− risk", "− cost", "− latency", "= utility"];
        text.push_str(&table(2, &header, rows));
    }
    if !refused.is_empty() {
        text.push_str(&table(3, &["model", "refused by", "because"], refused));
    }
    text
}

fn gate_text(gate: Gate, model: u64, request: u64) -> String {
    match gate {
        Gate::Disabled => "the policy disables it".into(),
        Gate::Quality => format!("quality {model} bps, at least {request} is asked for"),
        Gate::Latency => format!("p95 latency {model} ms, at most {request} is allowed"),
        Gate::Capability => format!("lacks capability bits {:#x}", request & !model),
        Gate::Provider => format!("provider {model} is not in the mask {request:#x}"),
        Gate::Region => format!("regions {model:#x}, one of {request:#x} is needed"),
        Gate::RiskCeiling => format!("may serve risk up to {model} bps, the request has {request}"),
        Gate::Budget | Gate::Utility => format!("{model} against {request}"),
    }
}

fn changes_text(policy: &NamedPolicy, changes: &[Change]) -> String {
    if changes.is_empty() {
        return "No single change of one number makes another model win.\n".into();
    }
    let row = |change: &Change| {
        vec![
            change.what.clone(),
            count(change.from),
            count(change.to),
            change.relative(),
            policy.model(change.winner),
        ]
    };
    let header = ["single change", "from", "to", "change", "winner"];
    let rows = changes.iter().map(row).collect();
    format!(
        "What else would have won, each by changing one number alone, smallest relative change first:\n{}",
        table(1, &header, rows)
    )
}
