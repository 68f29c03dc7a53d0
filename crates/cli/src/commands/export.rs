//! `calybris export`: decisions as a table, for tools made for analysis.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use calybris_core::proof::AuditedRecord;
use calybris_core::proof::chain::ChainHash;
use serde_json::Value;

use crate::exit::{Exit, Failure, Result};
use crate::log::{LogArgs, tenant};
use crate::policies::Policies;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArgs,
    /// Write comma-separated values (RFC 4180); `-` is standard output
    #[arg(long, value_name = "FILE", required = true)]
    csv: PathBuf,
    /// Policy document, for model names
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
}

/// The columns, in order. Amounts are microunits, as in the log.
const COLUMNS: [&str; 29] = [
    "sequence",
    "entry_hash",
    "tenant",
    "policy_digest",
    "policy_epoch",
    "catalog_epoch",
    "request_sequence",
    "requested_model_id",
    "requested_model",
    "input_tokens",
    "output_tokens",
    "business_value_microunits",
    "budget_limit_microunits",
    "risk_bps",
    "confidence_bps",
    "minimum_quality_bps",
    "max_p95_latency_ms",
    "action",
    "reason",
    "selected_model_id",
    "selected_model",
    "estimated_cost_microunits",
    "expected_utility_microunits",
    "counterfactual_model_id",
    "counterfactual_utility_microunits",
    "evaluated_models",
    "eligible_models",
    "replay_valid",
    "metadata",
];

pub(crate) fn run(arguments: &Arguments) -> Result<Exit> {
    let policies = Policies::load(&arguments.policy)?;
    let log = arguments.log.open()?;
    let output: Box<dyn Write> = if arguments.csv.as_os_str() == "-" {
        Box::new(std::io::stdout().lock())
    } else {
        let file =
            File::create(&arguments.csv).map_err(|error| Failure::file(&arguments.csv, error))?;
        Box::new(BufWriter::new(file))
    };
    let mut table = csv::Writer::from_writer(output);
    let mut written = table.write_record(COLUMNS);
    let (mut rows, mut other) = (0_u64, 0_u64);
    log.visit_records::<Value>(|sequence, hash, record| match record {
        Ok(record) if written.is_ok() => {
            rows += 1;
            written = table.write_record(row(sequence, &hash, &record, &policies));
        }
        Ok(_) => {}
        Err(_) => other += 1,
    })?;
    let flushed = written.and_then(|()| table.flush().map_err(Into::into));
    match flushed {
        // Whoever read the output has seen enough.
        Err(error) if is_closed(&error) => {}
        other => other.map_err(|error| Failure::file(&arguments.csv, error))?,
    }
    eprintln!("exported {rows} decisions; {other} entries are no audited records");
    Ok(Exit::Verified)
}

fn is_closed(error: &csv::Error) -> bool {
    matches!(error.kind(), csv::ErrorKind::Io(io) if io.kind() == std::io::ErrorKind::BrokenPipe)
}

fn row(
    sequence: u64,
    hash: &ChainHash,
    record: &AuditedRecord<Value>,
    policies: &Policies,
) -> [String; 29] {
    let (input, decision) = (&record.input, &record.decision);
    [
        sequence.to_string(),
        hash.to_string(),
        tenant(&record.metadata).to_owned(),
        record.audit.policy_digest_hex.to_string(),
        decision.policy_epoch.to_string(),
        decision.catalog_epoch.to_string(),
        input.request_sequence.to_string(),
        input.requested_model_id.to_string(),
        policies.model(input.requested_model_id),
        input.input_tokens.to_string(),
        input.output_tokens.to_string(),
        input.business_value_microunits.to_string(),
        input.budget_limit_microunits.to_string(),
        input.risk_bps.to_string(),
        input.confidence_bps.to_string(),
        input.minimum_quality_bps.to_string(),
        input.max_p95_latency_ms.to_string(),
        decision.action.to_string(),
        decision.reason.to_string(),
        decision.selected_model_id.to_string(),
        policies.model(decision.selected_model_id),
        decision.estimated_cost_microunits.to_string(),
        decision.expected_utility_microunits.to_string(),
        decision.counterfactual_model_id.to_string(),
        decision.counterfactual_utility_microunits.to_string(),
        decision.evaluated_models.to_string(),
        decision.eligible_models.to_string(),
        record.audit.replay_valid.to_string(),
        record.metadata.to_string(),
    ]
}
