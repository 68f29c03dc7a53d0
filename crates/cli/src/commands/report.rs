//! `calybris report`: one self-contained page about a log.

mod charts;
mod gather;
mod page;

use std::path::PathBuf;

use crate::commands::verify::Against;
use crate::exit::{Exit, Result};
use crate::files;
use crate::log::LogArgs;
use crate::policies::Policies;

use gather::Gathered;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    against: Against,
    /// Ledger snapshot, for the conservation of budgets
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Where to write the page
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit> {
    let policies = Policies::load(&arguments.against.policy)?;
    let log = arguments.log.open()?;
    let gathered = Gathered::of(&log, &policies, &arguments.against, arguments.ledger.as_deref())?;
    log.write(Some(&arguments.output), &page::render(&gathered, &policies))?;
    files::note(&format!("wrote {}\n{}", arguments.output.display(), gathered.verdict.summary()));
    Ok(gathered.verdict.exit)
}
