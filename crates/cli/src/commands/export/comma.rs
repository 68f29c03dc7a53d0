//! Comma-separated values, as RFC 4180 has them.

use std::io::{self, Write};

use calybris_core::proof::chain::WalAnchor;

use super::Table;
use super::columns::{COLUMNS, Row, Value};

/// A table that is written to `out`.
pub(super) struct Csv<W>(W);

/// Lines of the table.
pub(super) struct Lines(csv::Writer<Vec<u8>>);

impl Default for Lines {
    fn default() -> Self {
        Self(csv::Writer::from_writer(Vec::new()))
    }
}

impl Lines {
    fn take(&mut self) -> io::Result<Vec<u8>> {
        std::mem::take(self).0.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

impl<W: Write> Csv<W> {
    /// With the line of the columns' names.
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        let mut header = Lines::default();
        header.0.write_record(COLUMNS.iter().map(|(name, _)| name))?;
        out.write_all(&header.take()?)?;
        Ok(Self(out))
    }
}

impl<W: Write + Send> Table for Csv<W> {
    type Part = Lines;

    fn add(Lines(lines): &mut Lines, row: &Row<'_>) -> io::Result<()> {
        for (_, value) in &COLUMNS {
            match value {
                Value::U16(get) => lines.write_field(get(row).to_string()),
                Value::U32(get) => lines.write_field(get(row).to_string()),
                Value::U64(get) => lines.write_field(get(row).to_string()),
                Value::I64(get) => lines.write_field(get(row).to_string()),
                Value::Bool(get) => lines.write_field(get(row).to_string()),
                Value::Text(get) => lines.write_field(&*get(row)),
            }?;
        }
        Ok(lines.write_record(None::<&[u8]>)?)
    }

    fn write(&mut self, lines: &mut Lines) -> io::Result<()> {
        self.0.write_all(&lines.take()?)
    }

    fn finish(mut self, _: &WalAnchor) -> io::Result<()> {
        self.0.flush()
    }
}
