//! `calybris export`: decisions as a table, for tools made for analysis.

mod columns;
mod comma;
#[cfg(feature = "parquet")]
mod parquet;
mod target;

use std::io;
use std::path::PathBuf;

use calybris_core::proof::chain::WalAnchor;
use calybris_core::wal::VerifiedEntry;

use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::log::{Log, LogArgs};
use crate::policies::Policies;
use crate::record::Record;
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
trait Table: Send {
    /// Rows in their final form.
    type Part: Default + Send;

    fn add(part: &mut Self::Part, row: &Row<'_>) -> io::Result<()>;

    fn write(&mut self, part: &mut Self::Part) -> io::Result<()>;

    /// Ends the table, which is of the log up to this head.
    fn finish(self, head: &WalAnchor) -> io::Result<()>;
}

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
        let (mut rows, mut other, mut written) = (0_u64, 0_u64, Ok(()));
        let whole = self.log.fold_records(
            |part: &mut Part<T::Part>, entry, record| part.add::<T>(self, entry, record),
            |mut part| {
                rows += part.rows;
                other += part.other;
                let done = part.added.and_then(|()| table.write(&mut part.table));
                // The first failure counts, and nothing is written after it.
                written = std::mem::replace(&mut written, Ok(())).and(done);
            },
        )?;
        written?;
        table.finish(&whole.head)?;
        let (rows, other) = (count(rows), count(other));
        files::note(&format!("exported {rows} decisions; {other} entries are no audited records"));
        Ok(())
    }
}

/// Rows of entries that follow one another.
struct Part<P> {
    table: P,
    rows: u64,
    other: u64,
    added: io::Result<()>,
}

impl<P: Default> Default for Part<P> {
    fn default() -> Self {
        Self { table: P::default(), rows: 0, other: 0, added: Ok(()) }
    }
}

impl<P> Part<P> {
    fn add<T: Table<Part = P>>(
        &mut self,
        source: &Source,
        entry: &VerifiedEntry<'_>,
        record: std::result::Result<Record<'_>, String>,
    ) {
        let Ok(record) = record else {
            self.other += 1;
            return;
        };
        self.rows += 1;
        let (sequence, hash, policies) = (entry.sequence, *entry.entry_hash, &source.policies);
        if self.added.is_ok() {
            self.added = T::add(&mut self.table, &Row { sequence, hash, record, policies });
        }
    }
}
