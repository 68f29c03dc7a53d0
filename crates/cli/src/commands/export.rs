//! `calybris export`: decisions as a table, for tools made for analysis.

mod columns;
mod comma;
#[cfg(feature = "parquet")]
mod parquet;
mod target;

use std::io;
use std::path::PathBuf;

use calybris_core::proof::chain::WalAnchor;

use crate::exit::{Exit, Failure, Result};
use crate::log::{Log, LogArgs};
use crate::policies::Policies;
use crate::show::count;

use columns::Row;
use target::Target;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    format: Format,
    /// Policy document, for model names
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
}

#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct Format {
    /// Write comma-separated values (RFC 4180); `-` is standard output
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    #[cfg_attr(
        feature = "parquet",
        doc = "Write Parquet, for DuckDB, Polars, DataFusion, Spark; `-` is standard output"
    )]
    #[cfg_attr(
        not(feature = "parquet"),
        doc = "Write Parquet (not in this build: `cargo install calybris-cli --features parquet`)"
    )]
    #[arg(long, value_name = "FILE")]
    parquet: Option<PathBuf>,
}

/// A format that tables are written in: rows are gathered in parts, and parts are written in order.
trait Table {
    /// Rows in their final form.
    type Part: Default + Send;

    fn add(part: &mut Self::Part, row: &Row<'_>) -> io::Result<()>;

    fn write(&mut self, part: &mut Self::Part) -> io::Result<()>;

    /// Ends the table, which is of the log up to this head.
    fn finish(self, head: &WalAnchor) -> io::Result<()>;
}

/// The rows of a part.
const PART_ROWS: u64 = 1_024;

pub(crate) fn run(arguments: &Arguments) -> Result<Exit> {
    let source =
        Source { log: arguments.log.open()?, policies: Policies::load(&arguments.policy)? };
    match &arguments.format {
        Format { csv: Some(path), .. } => {
            Target::new(path, &source.log)?.fill(|out| source.write(comma::Csv::new(out)?))
        }
        #[cfg(feature = "parquet")]
        Format { parquet: Some(path), .. } => {
            Target::new(path, &source.log)?.fill(|out| source.write(parquet::Parquet::new(out)?))
        }
        _ => Err(Failure::usage(
            "this build of calybris writes no Parquet: `cargo install calybris-cli --features parquet` does",
        )),
    }
}

/// Where rows come from.
struct Source {
    log: Log,
    policies: Policies,
}

impl Source {
    fn write<T: Table>(&self, mut table: T) -> std::result::Result<(), target::Error> {
        let (mut rows, mut other) = (0_u64, 0_u64);
        let (mut part, mut written) = (T::Part::default(), Ok(()));
        let head = self.log.visit_records(|sequence, hash, record| match record {
            Ok(record) if written.is_ok() => {
                rows += 1;
                let row = Row { sequence, hash, record, policies: &self.policies };
                written = T::add(&mut part, &row);
                if written.is_ok() && rows % PART_ROWS == 0 {
                    written = table.write(&mut part);
                }
            }
            Ok(_) => {}
            Err(_) => other += 1,
        })?;
        written?;
        table.write(&mut part)?;
        table.finish(&head)?;
        eprintln!(
            "exported {} decisions; {} entries are no audited records",
            count(rows),
            count(other)
        );
        Ok(())
    }
}
