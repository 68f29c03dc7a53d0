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
mod show;
mod tally;

use std::process::ExitCode;

use clap::Parser as _;

use crate::options::Command;

fn main() -> ExitCode {
    let done = match options::Options::parse().command {
        Command::Decide(arguments) => commands::decide::run(&arguments),
        Command::Verify(arguments) => commands::verify::run(&arguments),
        Command::Explain(arguments) => commands::explain::run(&arguments),
        Command::Diff(arguments) => commands::diff::run(&arguments),
        Command::Stats(arguments) => commands::stats::run(&arguments),
        Command::Head(arguments) => commands::head::run(&arguments),
        Command::Checkpoint(arguments) => commands::checkpoint::run(&arguments),
        Command::Prove(arguments) => commands::prove::run(&arguments),
        Command::VerifyBundle(arguments) => commands::bundle::run(&arguments),
        Command::Repair(arguments) => commands::repair::run(&arguments),
        Command::Policy(action) => commands::policy::run(&action),
        Command::Key(action) => commands::key::run(&action),
        Command::Catalog(action) => commands::catalog::run(&action),
        Command::Export(arguments) => commands::export::run(&arguments),
        Command::Report(arguments) => commands::report::run(&arguments),
        Command::Completions(arguments) => options::completions(&arguments),
        Command::Man(arguments) => options::man(&arguments),
    };
    let exit = done.unwrap_or_else(|failure| {
        eprintln!("{failure}");
        failure.verdict
    });
    ExitCode::from(exit as u8)
}
