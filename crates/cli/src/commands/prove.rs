//! `calybris prove`: a bundle that shows one decision to be in the log.

use std::path::PathBuf;

use calybris_proof::AuditedRecord;
use calybris_proof::checkpoint::Checkpoint;
use calybris_proof::merkle::MerkleTree;
use serde::de::IgnoredAny;

use crate::commands::checkpoint::read_note;
use crate::decision_bundle::{BUNDLE_SCHEMA, BundleEntry, DecisionBundle};
use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::log::LogArgs;
use crate::policies::Policies;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArgs,
    /// The entry's sequence
    sequence: u64,
    /// Policy document to include, so that the decision can be replayed from the bundle alone
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// Signed checkpoint to prove the entry under
    #[arg(long, value_name = "FILE", required_unless_present = "origin")]
    checkpoint: Option<PathBuf>,
    /// Sign a new checkpoint under this name instead
    #[arg(long, value_name = "NAME", conflicts_with = "checkpoint")]
    origin: Option<String>,
    /// File with the seed of the signing key, in hexadecimal; else `CALYBRIS_SIGNING_KEY`
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// Where to write the bundle; standard output when left out
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit> {
    let policies = Policies::load(&arguments.policy)?;
    let log = arguments.log.open()?;
    let keyed = log.key().is_some();
    let mut tree = MerkleTree::new();
    let mut found = None;
    let head = log.visit(|entry| {
        tree.append(&entry.entry_hash.digest().unwrap_or_default());
        if entry.sequence == arguments.sequence {
            found = Some(BundleEntry {
                sequence: entry.sequence,
                previous_hash: entry.previous_hash,
                entry_hash: entry.entry_hash,
                payload: entry.data.get().into(),
                keyed,
            });
        }
    })?;
    let Some(entry) = found else {
        return Err(Failure::usage(format_args!(
            "there is no entry {}: the log ends at {}",
            arguments.sequence, head.sequence
        )));
    };
    let note = match (&arguments.checkpoint, &arguments.origin) {
        (Some(path), _) => read_note(path)?,
        (None, Some(origin)) => {
            let signer = files::signer(origin, arguments.signing_key.as_deref())?;
            Checkpoint::new(origin, tree.head())?.sign(&signer)?
        }
        (None, None) => return Err(Failure::usage("give --checkpoint or --origin")),
    };
    let checkpoint: Checkpoint = note.text().parse()?;
    let size = checkpoint.head().size;
    if tree.head_at(size).ok() != Some(*checkpoint.head()) {
        return Err(Failure::new(Exit::Tampered, "the log does not contain the checkpoint")
            .meaning("The checkpoint is of another log, or history up to it was rewritten."));
    }
    let inclusion =
        tree.inclusion_proof(entry.sequence.saturating_sub(1), size).map_err(|error| {
            Failure::usage(format_args!("the checkpoint is older than the entry: {error}"))
        })?;
    let record = serde_json::from_str::<AuditedRecord<IgnoredAny>>(&entry.payload).ok();
    let policy = record.as_ref().and_then(|record| policies.named_by(&record.audit));
    if policy.is_none() && !policies.is_empty() {
        return Err(Failure::usage("no policy given is the one the entry names"));
    }
    let bundle = DecisionBundle {
        schema_version: BUNDLE_SCHEMA.into(),
        entry,
        inclusion,
        checkpoint: note.to_string(),
        policy: policy.map(|policy| policy.document.clone()),
    };
    let json = serde_json::to_string_pretty(&bundle)
        .map_err(|error| Failure::new(Exit::CannotTell, error))?;
    files::write(arguments.output.as_deref(), &format!("{json}\n"))?;
    Ok(Exit::Verified)
}
