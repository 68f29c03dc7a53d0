//! The arguments the examples take.

use std::error::Error;
use std::path::PathBuf;

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// A trace to read requests from.
    pub trace: Option<PathBuf>,
    /// How many requests at most.
    pub requests: Option<usize>,
}

/// Reads `--trace FILE.csv` and `--requests N`; `--help` prints `about` and ends the program.
///
/// # Errors
/// On an unknown argument or a value that is no number, naming it.
pub fn arguments(about: &str) -> Result<Arguments, Box<dyn Error>> {
    parse(lexopt::Parser::from_env(), about)
}

fn parse(mut parser: lexopt::Parser, about: &str) -> Result<Arguments, Box<dyn Error>> {
    use lexopt::prelude::{Long, Short, ValueExt as _};

    let mut arguments = Arguments::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("trace") => arguments.trace = Some(parser.value()?.into()),
            Long("requests") => arguments.requests = Some(parser.value()?.parse()?),
            Long("help") | Short('h') => {
                println!("{about}\n");
                println!(
                    "  --trace FILE.csv  requests from a trace: TIMESTAMP,ContextTokens,GeneratedTokens"
                );
                println!("  --requests N      stop after N requests");
                std::process::exit(0);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_and_unknown_ones_named() {
        let parse = |args: &[&str]| super::parse(lexopt::Parser::from_args(args), "");
        let arguments = parse(&["--trace", "a.csv", "--requests=7"]).unwrap();
        assert_eq!(arguments, Arguments { trace: Some("a.csv".into()), requests: Some(7) });
        for (bad, name) in [(["--tracee"], "tracee"), (["--requests=x"], "\"x\"")] {
            assert!(parse(&bad).unwrap_err().to_string().contains(name));
        }
    }
}
