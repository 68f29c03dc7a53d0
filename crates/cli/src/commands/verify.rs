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

use pass::Pass;

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
    verify(&log, &policies, &arguments.against, &arguments.require, |_| ())?.print(json)
}

/// Verifies a log in one pass; `also` sees every audited record.
pub(crate) fn verify(
    log: &Log,
    policies: &Policies,
    against: &Against,
    required: &[String],
    mut also: impl FnMut(&Record<'_>),
) -> Result<Verdict> {
    let mut pass = Pass::new(log, policies, against.anchor(log)?, against.checkpoint.load()?);
    let end = log.visit(|entry| {
        if let Some(record) = pass.entry(&entry) {
            also(&record);
        }
    });
    let end = end.and_then(|head| log.check_head_file().map(|()| head));
    // What is given to check against has to be checked.
    let given = [
        ("replay", !policies.is_empty()),
        ("anchor", against.anchor.is_some()),
        ("checkpoint", against.checkpoint.is_given()),
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
