//! `calybris verify`: chain, audit, replay, trusted head and checkpoint, in one pass.

mod pass;

use std::path::PathBuf;

use calybris_core::wal::WalAnchor;

use crate::commands::checkpoint::CheckpointArgs;
use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::log::{Log, LogArgs};
use crate::policies::Policies;
use crate::record::Record;
use crate::verdict::Verdict;

use pass::{Checks, Part, Pass};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    against: Against,
    /// Item that must have been checked: what is left unchecked otherwise fails. Repeat it, or separate by commas
    #[arg(long, value_name = "ITEM", value_delimiter = ',')]
    #[arg(value_parser = ["audit", "replay", "anchor", "checkpoint"])]
    require: Vec<String>,
}

/// What the verifier trusts and holds the log against.
#[derive(clap::Args, Debug)]
pub(crate) struct Against {
    /// Policy document to replay the decisions under; repeat it for a log that spans policies
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Vec<PathBuf>,
    /// Trusted head, as `calybris head` prints it
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
    #[command(flatten)]
    checkpoint: CheckpointArgs,
}

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<Exit> {
    let policies = Policies::load(&arguments.against.policy)?;
    let log = arguments.log.open()?;
    let nothing = |(): &mut (), _: &Record<'_>| ();
    verify(&log, &policies, &arguments.against, &arguments.require, nothing, |()| ())?.print(json)
}

/// Verifies a log in one pass; `also` adds every audited record to parts, and `join` gets those in order.
pub(crate) fn verify<P: Default + Send>(
    log: &Log,
    policies: &Policies,
    against: &Against,
    required: &[String],
    also: impl Fn(&mut P, &Record<'_>) + Sync,
    mut join: impl FnMut(P) + Send,
) -> Result<Verdict> {
    let has_checkpoint = against.checkpoint.is_given();
    let checks = Checks { policies, anchor: against.anchor(log)?, has_checkpoint };
    let mut pass = Pass::new(log, &checks, against.checkpoint.load()?);
    let end = log.fold(
        |(part, others): &mut (Part, P), entry| {
            if let Some(record) = checks.entry(part, entry) {
                also(others, &record);
            }
        },
        |(part, others)| {
            pass.join(part);
            join(others);
        },
    );
    // What is given to check against has to be checked.
    let given = [
        ("replay", !policies.is_empty()),
        ("anchor", against.anchor.is_some()),
        ("checkpoint", has_checkpoint),
    ];
    let given = given.iter().filter(|(_, given)| *given).map(|(name, _)| (*name).to_owned());
    let required: Vec<_> = given.chain(required.iter().cloned()).collect();
    Ok(pass.verdict(end, &required))
}

impl Against {
    pub(crate) fn anchor(&self, log: &Log) -> Result<Option<WalAnchor>> {
        let Some(path) = &self.anchor else { return Ok(None) };
        let anchor: WalAnchor = files::json(path)?;
        if anchor.keyed != log.key().is_some() {
            let of = if anchor.keyed {
                "a keyed log: give its key"
            } else {
                "a log without a key, and a key was given"
            };
            return Err(Failure::usage(format_args!("{}: the anchor is of {of}", path.display())));
        }
        Ok(Some(anchor))
    }
}
