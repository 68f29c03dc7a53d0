//! `calybris head`: the anchor to keep where the log's owner cannot reach.

use std::path::PathBuf;

use crate::exit::{Exit, Failure, Result};
use crate::log::LogArgs;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArgs,
    /// Where to write it; standard output when left out
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit> {
    let log = arguments.log.open()?;
    let whole = log.fold(|(): &mut (), _| (), |()| ())?;
    let json = serde_json::to_string(&whole.head)
        .map_err(|error| Failure::new(Exit::CannotTell, error))?;
    log.write(arguments.output.as_deref(), &format!("{json}\n"))?;
    Ok(Exit::Verified)
}
