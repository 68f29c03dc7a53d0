//! `calybris head`: the anchor to keep where the log's owner cannot reach.

use std::path::PathBuf;

use crate::exit::{Exit, Failure, Result};
use crate::files;
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
    let anchor = arguments.log.open()?.visit(drop)?;
    let json =
        serde_json::to_string(&anchor).map_err(|error| Failure::new(Exit::CannotTell, error))?;
    files::write(arguments.output.as_deref(), &format!("{json}\n"))?;
    Ok(Exit::Verified)
}
