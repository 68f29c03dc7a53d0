//! What the examples share: a catalog on published prices, requests, and readable output.

pub mod catalog;
pub mod cli;
pub mod gateway;
pub mod money;
pub mod report;
pub mod requests;
pub mod tenants;

use std::error::Error;
use std::process::ExitCode;

/// What an example returns.
pub type Outcome = Result<(), Box<dyn Error>>;

/// Runs an example, printing its error as people read it.
pub fn run(example: impl FnOnce() -> Outcome) -> ExitCode {
    match example() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
