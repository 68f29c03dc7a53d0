//! Requests: token counts of a trace, or made up from a seed.

use std::error::Error;
use std::path::Path;

use serde::Deserialize;

use crate::catalog::LONGEST_PROMPT_TOKENS;
use crate::cli::Arguments;

/// The seed of the made-up requests.
pub const SEED: u64 = 20_260_101;
/// How many requests are made up unless the caller says otherwise.
pub const MADE_UP: usize = 10_000;

/// One request: its number, from 1, and its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Position, from 1.
    pub number: u64,
    /// Prompt tokens.
    pub context_tokens: u32,
    /// Completion tokens.
    pub generated_tokens: u32,
}

/// Requests and where they come from, for the heading.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The requests.
    pub rows: Vec<Row>,
    /// Where they come from.
    pub source: String,
}

/// The requests that were asked for: the trace if there is one, else made-up ones.
///
/// # Errors
/// When the trace cannot be read, naming the file and the line.
pub fn workload(arguments: &Arguments) -> Result<Workload, Box<dyn Error>> {
    match &arguments.trace {
        Some(path) => {
            let mut rows = read_trace(path)?;
            rows.truncate(arguments.requests.unwrap_or(usize::MAX));
            Ok(Workload { rows, source: format!("token counts of {}", path.display()) })
        }
        None => Ok(Workload {
            rows: made_up(arguments.requests.unwrap_or(MADE_UP)),
            source: format!("token counts made up from seed {SEED}"),
        }),
    }
}

#[derive(Deserialize)]
struct TraceRow {
    #[serde(rename = "ContextTokens")]
    context_tokens: u32,
    #[serde(rename = "GeneratedTokens")]
    generated_tokens: u32,
}

/// Reads `TIMESTAMP,ContextTokens,GeneratedTokens`, as in Microsoft's public traces of LLM requests.
///
/// # Errors
/// Names the file and the line.
pub fn read_trace(path: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let named = |error: &dyn Error| format!("{}: {error}", path.display());
    let mut reader = csv::Reader::from_path(path).map_err(|error| named(&error))?;
    let mut rows = Vec::new();
    for (row, number) in reader.deserialize::<TraceRow>().zip(1..) {
        let TraceRow { context_tokens, generated_tokens } = row.map_err(|error| named(&error))?;
        if context_tokens > LONGEST_PROMPT_TOKENS {
            let error = format!(
                "{}: row {number} has {context_tokens} context tokens, prices are for at most {LONGEST_PROMPT_TOKENS}",
                path.display()
            );
            return Err(error.into());
        }
        rows.push(Row { number, context_tokens, generated_tokens });
    }
    Ok(rows)
}

/// Made-up requests: of 10 prompts, six have 50 to 1,199 tokens, three 1,200 to 3,999, one 4,000 to 11,999;
/// answers have 10 to 599.
#[must_use]
pub fn made_up(count: usize) -> Vec<Row> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let row = |number| {
        let context_tokens = match random.u32(0..10) {
            0..6 => random.u32(50..1_200),
            6..9 => random.u32(1_200..4_000),
            _ => random.u32(4_000..12_000),
        };
        Row { number, context_tokens, generated_tokens: random.u32(10..600) }
    };
    (1..).take(count).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_and_its_faults_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.csv");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_trace(&path).map_err(|error| error.to_string())
        };
        let header = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
        let rows = read(&format!("{header}2023-11-16 18:17:03.9799600,4808,10\n")).unwrap();
        assert_eq!(rows, [Row { number: 1, context_tokens: 4_808, generated_tokens: 10 }]);
        for (text, expected) in [
            ("a,b\n1,2\n", "missing field"),
            (&format!("{header}x,-1,2\n"), "line: 2"),
            (&format!("{header}x,1\n"), "line: 2"),
            (&format!("{header}x,100001,2\n"), "row 1 has 100001 context tokens"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains("trace.csv") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn made_up_requests_are_always_the_same() {
        assert_eq!(made_up(500), made_up(1_000)[..500]);
        assert_eq!(made_up(3)[2].number, 3);
    }
}
