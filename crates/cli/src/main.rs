//! The `calybris` command: decide, verify, explain, compare and report decision logs.
#![doc = include_str!("../README.md")]

mod commands;
mod decision_bundle;
mod exit;
mod files;
mod limits;
mod log;
mod nearest;
mod options;
mod policies;
mod record;
mod show;
mod tally;
mod verdict;

use std::process::ExitCode;

use clap::Parser as _;

use crate::options::{Command, Options};

fn main() -> ExitCode {
    let Options { command, json } = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => return ExitCode::from(options::refused(&error) as u8),
    };
    let done = match command {
        Command::Decide(arguments) => commands::decide::run(&arguments, json),
        Command::Verify(arguments) => commands::verify::run(&arguments, json),
        Command::Explain(arguments) => commands::explain::run(&arguments, json),
        Command::Diff(arguments) => commands::diff::run(&arguments, json),
        Command::Stats(arguments) => commands::stats::run(&arguments, json),
        Command::Head(arguments) => commands::head::run(&arguments),
        Command::Checkpoint(arguments) => commands::checkpoint::run(&arguments),
        Command::Prove(arguments) => commands::prove::run(&arguments),
        Command::VerifyBundle(arguments) => commands::bundle::run(&arguments, json),
        Command::Repair(arguments) => commands::repair::run(&arguments, json),
        Command::Policy(action) => commands::policy::run(&action, json),
        Command::Key(action) => commands::key::run(&action, json),
        Command::Catalog(action) => commands::catalog::run(&action),
        Command::Export(arguments) => commands::export::run(&arguments),
        Command::Report(arguments) => commands::report::run(&arguments),
        Command::Completions(arguments) => options::completions(&arguments),
        Command::Man(arguments) => options::man(&arguments),
    };
    let exit = done.unwrap_or_else(|failure| {
        failure.report(json);
        failure.verdict
    });
    ExitCode::from(exit as u8)
}
