//! `calybris decide`: from a policy and requests to decisions, and to a verified log.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use calybris_core::kernel::{KernelDecision, KernelInput};
use calybris_core::proof::AuditedRecord;
use calybris_core::wal::WalWriter;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::commands::explain::candidates_table;
use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::log::Log;
use crate::policies::NamedPolicy;
use crate::show::{count, money, table};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Policy document
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Requests, one JSON object a line (`-` for standard input): the request's members, or `{"input": {…}, "metadata": …}`
    requests: PathBuf,
    /// Log to append the decisions to, each verified first: a file, or a folder of segments; made when there is none
    #[arg(long, value_name = "LOG")]
    log: Option<PathBuf>,
    /// Make the log a folder, and begin a segment where one has as many bytes
    #[arg(long, value_name = "BYTES", requires = "log")]
    segment_bytes: Option<u64>,
    /// File with the key of a keyed log, in hexadecimal; else the environment's `CALYBRIS_KEY`
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Print a table instead of JSON lines; not with `--json`
    #[arg(long)]
    table: bool,
    /// After each decision, say what became of every model; with `--json`, both in one line
    #[arg(long)]
    explain: bool,
}

const BUFFER_BYTES: usize = 1 << 20;

type Writer = WalWriter<AuditedRecord<Box<RawValue>>>;

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<Exit> {
    let as_table = arguments.table && !json;
    let policy = NamedPolicy::load(&arguments.policy)?;
    let requests = requests(&arguments.requests)?;
    let log = arguments.log.as_deref().map(|path| open(path, arguments)).transpose()?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let (mut rows, mut tally) = (Vec::new(), BTreeMap::new());
    let mut decide = |line: &str| -> Result<()> {
        let (input, metadata) = request(line).map_err(Failure::usage)?;
        let decided = policy.snapshot.decide_checked(input).map_err(Failure::usage)?;
        let decision = decided.decision();
        if let Some(log) = &log {
            log.append_decided(&decided, metadata)?;
        }
        *tally.entry(decision.action.as_str()).or_insert(0_u64) += 1;
        let mut text = String::new();
        if as_table {
            rows.push(row(&policy, &input, decision));
        } else if json && arguments.explain {
            let explanation = policy.snapshot.explain(input);
            text = serde_json::to_string(&explanation).map_err(Failure::usage)? + "\n";
        } else {
            text = serde_json::to_string(decision).map_err(Failure::usage)? + "\n";
        }
        if arguments.explain && !json {
            text.push_str(&candidates_table(&policy, input));
        }
        files::written(out.write_all(text.as_bytes()))
    };
    for (index, line) in requests.lines().enumerate() {
        let at = |mut failure: Box<Failure>| {
            let path = arguments.requests.display();
            failure.problem = format!("{path} line {}: {}", index + 1, failure.problem);
            failure
        };
        let line = line.map_err(|error| at(Failure::usage(error)))?;
        if !line.trim().is_empty() {
            decide(&line).map_err(at)?;
        }
    }
    if as_table {
        let header = ["request", "wanted", "action", "model", "reason", "cost", "utility"];
        files::written(out.write_all(table(5, &header, rows).as_bytes()))?;
    }
    files::written(out.flush())?;
    if let Some(log) = &log {
        log.flush_and_sync()?;
        files::note(&format!("log: {} entries, head {}", count(log.sequence()), log.last_hash()));
    }
    let tally: Vec<_> = tally.iter().map(|(name, n)| format!("{} {name}", count(*n))).collect();
    let decided = if tally.is_empty() { "nothing".into() } else { tally.join(", ") };
    files::note(&format!("decided: {decided}"));
    Ok(Exit::Verified)
}

/// The requests' file, or standard input for `-`.
fn requests(path: &Path) -> Result<Box<dyn BufRead>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let file = std::fs::File::open(path).map_err(|error| Failure::file(path, error))?;
    Ok(Box::new(BufReader::new(file)))
}

fn open(path: &Path, arguments: &Arguments) -> Result<Writer> {
    let log = Log::new(path, arguments.key_file.as_deref())?;
    let mut options = log.options().buffer_bytes(BUFFER_BYTES);
    if let Some(bytes) = arguments.segment_bytes {
        // What is buffered is written as one, into one segment.
        let buffer = usize::try_from(bytes / 4).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
        options = options.segment_bytes(bytes).buffer_bytes(buffer);
    }
    let writer = Writer::open_with(path, &options).map_err(|error| log.explained(error, None))?;
    if let Some(kept) = &writer.report().kept_tail {
        files::note(&format!(
            "log: its last line was only half written, as by a crash; it was moved to {}",
            kept.display()
        ));
    }
    Ok(writer)
}

/// A request alone, or with metadata, which is kept as it is written.
fn request(line: &str) -> serde_json::Result<(KernelInput, Box<RawValue>)> {
    #[derive(serde::Deserialize)]
    struct Probe {
        input: Option<IgnoredAny>,
    }
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct WithMetadata {
        input: KernelInput,
        #[serde(default)]
        metadata: Box<RawValue>,
    }
    if serde_json::from_str::<Probe>(line)?.input.is_some() {
        let WithMetadata { input, metadata } = serde_json::from_str(line)?;
        return Ok((input, metadata));
    }
    Ok((serde_json::from_str(line)?, Box::default()))
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
