//! `calybris prove`: a bundle that shows one decision to be in the log.

use std::path::PathBuf;

use calybris_core::proof::checkpoint::Checkpoint;
use calybris_core::proof::merkle::{InclusionPath, InclusionProof, MerkleFrontier, TreeHead};

use crate::commands::checkpoint::read_note;
use crate::decision_bundle::{BUNDLE_SCHEMA, BundleEntry, DecisionBundle};
use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::log::{Log, LogArgs};
use crate::policies::Policies;
use crate::record::Record;

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
    let note = match (&arguments.checkpoint, &arguments.origin) {
        (Some(path), _) => read_note(path)?,
        (None, Some(origin)) => {
            let signer = files::signer(origin, arguments.signing_key.as_deref())?;
            Checkpoint::new(origin, log.tree_at(None)?.1)?.sign(&signer)?
        }
        (None, None) => return Err(Failure::usage("give --checkpoint or --origin")),
    };
    let checkpoint: Checkpoint = note.text().parse()?;
    let (entry, inclusion) = include(&log, arguments.sequence, checkpoint.head())?;
    let record = Record::read(entry.payload.as_bytes()).ok();
    let policy = record.as_ref().and_then(|record| policies.named_by(&record.audited.audit));
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
    log.write(arguments.output.as_deref(), &format!("{json}\n"))?;
    Ok(Exit::Verified)
}

/// The entry, and the proof that it is under a head the log is shown to have had.
fn include(log: &Log, sequence: u64, head: &TreeHead) -> Result<(BundleEntry, InclusionProof)> {
    let size = head.size;
    let mut path = InclusionPath::new(sequence.wrapping_sub(1), size).map_err(|_| {
        Failure::usage(format_args!("there is no entry {sequence}: the checkpoint has {size}"))
    })?;
    let mut tree = MerkleFrontier::new();
    let (mut found, mut root) = (None, None);
    let whole = log.fold(
        |(leaves, found): &mut (Vec<_>, Option<_>), entry| {
            leaves.push(entry.entry_hash.digest().unwrap_or_default());
            if entry.sequence == sequence {
                *found = Some(BundleEntry {
                    sequence,
                    previous_hash: *entry.previous_hash,
                    entry_hash: *entry.entry_hash,
                    payload: String::from_utf8_lossy(entry.data).into_owned(),
                    keyed: log.key().is_some(),
                });
            }
        },
        |(leaves, part)| {
            for leaf in &leaves {
                path.append(leaf);
                tree.append(leaf);
                if tree.len() == size {
                    root = Some(tree.root());
                }
            }
            found = found.take().or(part);
        },
    )?;
    whole.require_beginning()?;
    match (found, root, path.finish()) {
        (Some(entry), Some(root), Ok(proof)) if root == head.root => Ok((entry, proof)),
        (Some(_), Some(_), Ok(_)) => {
            Err(Failure::new(Exit::Tampered, "the log does not contain the checkpoint")
                .meaning("The checkpoint is of another log, or history up to it was rewritten."))
        }
        _ => Err(Failure::new(Exit::Incomplete, "the log ends before the checkpoint")
            .meaning("The log is an older copy, or its end was cut off.")),
    }
}
