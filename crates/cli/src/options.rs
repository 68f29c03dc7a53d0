//! The command line.

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::commands::{
    bundle, catalog, checkpoint, decide, diff, explain, export, head, key, policy, prove, repair,
    report, stats, verify,
};
use crate::exit::{Exit, Failure, Result};
use crate::files;

const EXIT_CODES: &str = "\
Exit codes:
  0  done; what was verified holds
  1  tampered: something contradicts the evidence
  2  usage: the command line or a file given with it cannot be used
  3  incomplete: something that should be there is missing
  4  cannot tell: a file could not be read, or a policy was not given
  5  a threshold of --fail-if was passed";

/// Decide, verify, explain, compare and report decision logs
#[derive(Debug, Parser)]
#[command(name = "calybris", version, after_help = EXIT_CODES)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print results and failures as JSON on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Decide requests under a policy, and log the decisions
    Decide(decide::Arguments),
    /// Verify a log: its chain, its audited records, their replay, its trusted head
    Verify(verify::Arguments),
    /// Say why a decision was made, and what would have changed it
    Explain(explain::Arguments),
    /// Replay a log under another policy and compare
    Diff(diff::Arguments),
    /// Count a log's decisions by outcome, reason, model and tenant
    Stats(stats::Arguments),
    /// Print a log's head as an anchor to keep elsewhere
    #[command(visible_alias = "anchor")]
    Head(head::Arguments),
    /// Sign a log's tree head, or check and co-sign a checkpoint
    Checkpoint(checkpoint::Arguments),
    /// Make a bundle that proves one decision is in the log
    Prove(prove::Arguments),
    /// Check such a bundle, with nothing else
    VerifyBundle(bundle::Arguments),
    /// Show what recovery would do to a damaged log; do it only when told
    Repair(repair::Arguments),
    /// Check, digest, format, sign or verify a policy document
    #[command(subcommand)]
    Policy(policy::Action),
    /// Show what others need to check a key's signatures
    #[command(subcommand)]
    Key(key::Action),
    /// Make a policy's catalog from a published price list
    #[command(subcommand)]
    Catalog(catalog::Action),
    /// Write a log's decisions as a table for other tools
    Export(export::Arguments),
    /// Write a page that people look at
    Report(report::Arguments),
    /// Print a script that completes this command in a shell
    Completions(CompletionArguments),
    /// Print the manual page, or write one for every command into a folder
    Man(ManArguments),
}

#[derive(clap::Args, Debug)]
pub(crate) struct CompletionArguments {
    /// The shell
    shell: clap_complete::Shell,
}

#[derive(clap::Args, Debug)]
pub(crate) struct ManArguments {
    /// Folder to write the pages to
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// Says what is wrong with the command line, or prints the help that was asked for.
pub(crate) fn refused(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // A closed standard output has seen enough.
        let _ = error.print();
        return Exit::Verified;
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let problem = text.split("\n\n").next().unwrap_or_default();
        Failure::usage(problem.strip_prefix("error: ").unwrap_or(problem).trim_end()).report(true);
    } else {
        let _ = error.print();
    }
    Exit::Usage
}

pub(crate) fn completions(arguments: &CompletionArguments) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Options::command(), "calybris", &mut script);
    files::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Verified)
}

pub(crate) fn man(arguments: &ManArguments) -> Result<Exit> {
    let command = Options::command();
    match &arguments.output {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|error| Failure::file(folder, error))?;
            clap_mangen::generate_to(command, folder)
                .map_err(|error| Failure::file(folder, error))?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command)
                .render(&mut page)
                .map_err(|error| Failure::new(Exit::CannotTell, error))?;
            files::print(&String::from_utf8_lossy(&page))?;
        }
    }
    Ok(Exit::Verified)
}
