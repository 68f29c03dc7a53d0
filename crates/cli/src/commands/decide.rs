//! `calybris decide`: from a policy and requests to decisions, and to a verified log.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use calybris_kernel::{KernelDecision, KernelInput};
use calybris_proof::AuditedRecord;
use calybris_wal::{WalOptions, WalWriter};
use serde_json::Value;

use crate::commands::explain::candidates_table;
use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::policies::NamedPolicy;
use crate::show::{count, money, table};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Policy document
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Requests, one JSON object a line: the request's members, or `{"input": {…}, "metadata": …}`
    requests: PathBuf,
    /// Log to append the decisions to, each verified first; made when there is none
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// File with the key of a keyed log, in hexadecimal; else the environment's `CALYBRIS_KEY`
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Print a table instead of JSON lines
    #[arg(long)]
    table: bool,
    /// After each decision, say what became of every model
    #[arg(long)]
    explain: bool,
}

type Log = WalWriter<AuditedRecord<Value>>;

pub(crate) fn run(arguments: &Arguments) -> Result<Exit> {
    let policy = NamedPolicy::load(&arguments.policy)?;
    let log = arguments.log.as_deref().map(|path| open(path, arguments)).transpose()?;
    let file = std::fs::File::open(&arguments.requests)
        .map_err(|error| Failure::file(&arguments.requests, error))?;
    let mut rows = Vec::new();
    let mut tally = BTreeMap::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let bad = |error: &dyn std::fmt::Display| {
            let path = arguments.requests.display();
            Failure::usage(format_args!("{path} line {}: {error}", index + 1))
        };
        let line = line.map_err(|error| bad(&error))?;
        if line.trim().is_empty() {
            continue;
        }
        let (input, metadata) = request(&line).map_err(|error| bad(&error))?;
        let decision = policy.snapshot.prescribe_checked(input).map_err(|error| bad(&error))?;
        if let Some(log) = &log {
            log.append_verified_audited(&policy.snapshot, input, decision, metadata)?;
        }
        *tally.entry(decision.action.as_str()).or_insert(0_u64) += 1;
        if arguments.table {
            rows.push(row(&policy, &input, &decision));
        } else {
            let json = serde_json::to_string(&decision).map_err(|error| bad(&error))?;
            files::print(&format!("{json}\n"))?;
        }
        if arguments.explain {
            files::print(&candidates_table(&policy, input))?;
        }
    }
    if arguments.table {
        let header = ["request", "wanted", "action", "model", "reason", "cost", "utility"];
        files::print(&table(5, &header, rows))?;
    }
    if let Some(log) = &log {
        log.flush_and_sync()?;
        eprintln!("log: {} entries, head {}", log.sequence(), log.last_hash());
    }
    let tally: Vec<_> = tally.iter().map(|(action, n)| format!("{} {action}", count(*n))).collect();
    eprintln!("decided: {}", tally.join(", "));
    Ok(Exit::Verified)
}

fn open(path: &Path, arguments: &Arguments) -> Result<Log> {
    let mut options = WalOptions::new().buffer_bytes(1 << 20);
    if let Some(key) = files::key(arguments.key_file.as_deref())? {
        options = options.key(&key);
    }
    Ok(Log::open_with(path, &options)?)
}

fn request(line: &str) -> serde_json::Result<(KernelInput, Value)> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct WithMetadata {
        input: KernelInput,
        #[serde(default)]
        metadata: Value,
    }
    let value: Value = serde_json::from_str(line)?;
    if value.get("input").is_some() {
        let WithMetadata { input, metadata } = serde_json::from_str(line)?;
        return Ok((input, metadata));
    }
    Ok((serde_json::from_str(line)?, Value::Null))
}

fn row(policy: &NamedPolicy, input: &KernelInput, decision: &KernelDecision) -> Vec<String> {
    vec![
        input.request_sequence.to_string(),
        policy.model(input.requested_model_id),
        decision.action.to_string(),
        policy.model(decision.selected_model_id),
        decision.reason.to_string(),
        money(decision.estimated_cost_microunits, policy.currency()),
        money(decision.expected_utility_microunits, policy.currency()),
    ]
}
