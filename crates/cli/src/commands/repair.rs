//! `calybris repair`: what opening would do to a damaged log, and doing it only when told.

use std::path::PathBuf;

use calybris_core::wal::{Verdict, WalOptions, WalReport, WalWriter, inspect};
use serde_json::value::RawValue;

use crate::exit::{Exit, Result};
use crate::files;
use crate::log::LogArgs;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArgs,
    /// Trusted head, as `calybris head` prints it: what it covers is never cut
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
    /// Do it; without this nothing is touched
    #[arg(long)]
    apply: bool,
}

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<Exit> {
    let log = arguments.log.open()?;
    let mut options = log.options();
    if let Some(path) = &arguments.anchor {
        options = options.anchor(files::json(path)?);
    }
    let found = inspect(log.path(), &options)?;
    let done = match found.verdict {
        Verdict::EndLine | Verdict::CutTail if arguments.apply => {
            Some(apply(log.path(), &options)?)
        }
        _ => None,
    };
    let report = done.as_ref().unwrap_or(&found);
    if json {
        files::print_json(&serde_json::json!({ "applied": done.is_some(), "report": report }))?;
    } else {
        files::print(&format!("{report}\n"))?;
        if done.is_none() && found.verdict == Verdict::CutTail {
            files::print(
                "nothing was touched: --apply does it\n\
                 a crash leaves such a tail, and so does cutting a file: --anchor tells them apart\n",
            )?;
        }
    }
    Ok(match found.verdict {
        Verdict::Open => Exit::Verified,
        Verdict::EndLine | Verdict::CutTail if done.is_some() => Exit::Verified,
        Verdict::EndLine | Verdict::CutTail => Exit::Incomplete,
        _ => refusal(&found),
    })
}

/// Opening the log for writing is what repairs it, under its lock.
fn apply(path: &std::path::Path, options: &WalOptions) -> Result<WalReport> {
    let writer = WalWriter::<Box<RawValue>>::open_with(path, options)?;
    Ok(writer.report().clone())
}

/// Entries that are missing are no tampering with those that are there.
fn refusal(report: &WalReport) -> Exit {
    match report.trust {
        calybris_core::wal::Trust::Missing => Exit::Incomplete,
        _ => Exit::Tampered,
    }
}
