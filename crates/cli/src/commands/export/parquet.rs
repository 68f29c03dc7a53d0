//! Parquet: row groups of bounded size, so that memory does not grow with the log.

use std::io::{self, Write};
use std::sync::Arc;

use calybris_core::proof::chain::WalAnchor;
use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};

use super::Table;
use super::columns::{COLUMNS, Row, Value};

/// A row group is ended at this many rows, or at this many bytes of text.
const GROUP_ROWS: usize = 1 << 16;
const GROUP_TEXT_BYTES: usize = 32 << 20;

/// A table that is written as row groups.
pub(super) struct Parquet<W: Write + Send> {
    file: SerializedFileWriter<W>,
    /// What the next row group has so far.
    group: Rows,
}

/// Rows, column by column.
pub(super) struct Rows {
    count: usize,
    text_bytes: usize,
    columns: Vec<Column>,
}

/// The values of one column; unsigned ones keep their bits.
enum Column {
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Bool(Vec<bool>),
    /// Texts one after the other, and the length of each.
    Text(Vec<u8>, Vec<usize>),
}

impl<W: Write + Send> Parquet<W> {
    pub(super) fn new(out: W) -> io::Result<Self> {
        let file = SerializedFileWriter::new(out, schema()?, properties()).map_err(failed)?;
        Ok(Self { file, group: Rows::default() })
    }

    fn end_group(&mut self) -> io::Result<()> {
        let mut group = self.file.next_row_group().map_err(failed)?;
        for column in std::mem::take(&mut self.group).columns {
            column.write(&mut group).map_err(failed)?;
        }
        group.close().map_err(failed)?;
        Ok(())
    }
}

impl<W: Write + Send> Table for Parquet<W> {
    type Part = Rows;

    fn add(rows: &mut Rows, row: &Row<'_>) -> io::Result<()> {
        rows.count += 1;
        for ((_, value), column) in COLUMNS.iter().zip(&mut rows.columns) {
            match (value, column) {
                (Value::U16(get), Column::Int32(values)) => values.push(get(row).into()),
                (Value::U32(get), Column::Int32(values)) => {
                    values.push(i32::from_le_bytes(get(row).to_le_bytes()));
                }
                (Value::U64(get), Column::Int64(values)) => {
                    values.push(i64::from_le_bytes(get(row).to_le_bytes()));
                }
                (Value::I64(get), Column::Int64(values)) => values.push(get(row)),
                (Value::Bool(get), Column::Bool(values)) => values.push(get(row)),
                (Value::Text(get), Column::Text(texts, lengths)) => {
                    let text = get(row);
                    texts.extend_from_slice(text.as_bytes());
                    lengths.push(text.len());
                    rows.text_bytes += text.len();
                }
                _ => return Err(io::Error::other("a column's values are of another type")),
            }
        }
        Ok(())
    }

    fn write(&mut self, part: &mut Rows) -> io::Result<()> {
        self.group.append(part);
        if self.group.count >= GROUP_ROWS || self.group.text_bytes >= GROUP_TEXT_BYTES {
            self.end_group()?;
        }
        Ok(())
    }

    fn finish(mut self, head: &WalAnchor) -> io::Result<()> {
        if self.group.count > 0 {
            self.end_group()?;
        }
        let anchor = serde_json::to_string(head)?;
        self.file.append_key_value_metadata(KeyValue::new("calybris.head".into(), anchor));
        self.file.finish().map_err(failed)?;
        self.file.inner_mut().flush()
    }
}

impl Default for Rows {
    fn default() -> Self {
        let column = |(_, value): &(_, Value)| match value {
            Value::U16(_) | Value::U32(_) => Column::Int32(Vec::new()),
            Value::U64(_) | Value::I64(_) => Column::Int64(Vec::new()),
            Value::Bool(_) => Column::Bool(Vec::new()),
            Value::Text(_) => Column::Text(Vec::new(), Vec::new()),
        };
        Self { count: 0, text_bytes: 0, columns: COLUMNS.iter().map(column).collect() }
    }
}

impl Rows {
    /// Takes the rows of a part, which is empty afterwards.
    fn append(&mut self, part: &mut Self) {
        self.count += std::mem::take(&mut part.count);
        self.text_bytes += std::mem::take(&mut part.text_bytes);
        for columns in self.columns.iter_mut().zip(&mut part.columns) {
            match columns {
                (Column::Int32(all), Column::Int32(more)) => all.append(more),
                (Column::Int64(all), Column::Int64(more)) => all.append(more),
                (Column::Bool(all), Column::Bool(more)) => all.append(more),
                (Column::Text(all, all_lengths), Column::Text(more, lengths)) => {
                    all.append(more);
                    all_lengths.append(lengths);
                }
                // Both are made from `COLUMNS`.
                _ => {}
            }
        }
    }
}

impl Column {
    fn write<W: Write + Send>(
        self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        match self {
            Self::Int32(values) => write_values::<Int32Type, W>(group, &values),
            Self::Int64(values) => write_values::<Int64Type, W>(group, &values),
            Self::Bool(values) => write_values::<BoolType, W>(group, &values),
            Self::Text(texts, lengths) => {
                let (texts, mut start) = (ByteArray::from(texts), 0);
                let slice = |length| {
                    let text = texts.slice(start, length);
                    start += length;
                    text
                };
                let values: Vec<_> = lengths.into_iter().map(slice).collect();
                write_values::<ByteArrayType, W>(group, &values)
            }
        }
    }
}

fn write_values<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    let column = group.next_column()?;
    let mut column = column.ok_or_else(|| ParquetError::General("a column too many".into()))?;
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}

/// The schema in Parquet's own notation.
fn schema() -> io::Result<TypePtr> {
    let column = |(name, value): &(&str, Value)| {
        let (physical, logical) = match value {
            Value::U16(_) => ("INT32", "(INTEGER(16,false))"),
            Value::U32(_) => ("INT32", "(INTEGER(32,false))"),
            Value::U64(_) => ("INT64", "(INTEGER(64,false))"),
            Value::I64(_) => ("INT64", "(INTEGER(64,true))"),
            Value::Bool(_) => ("BOOLEAN", ""),
            Value::Text(_) => ("BYTE_ARRAY", "(STRING)"),
        };
        format!("REQUIRED {physical} {name} {logical};")
    };
    let columns: String = COLUMNS.iter().map(column).collect();
    parse_message_type(&format!("message decisions {{ {columns} }}")).map(Arc::new).map_err(failed)
}

fn properties() -> WriterPropertiesPtr {
    let properties = WriterProperties::builder()
        .set_created_by(concat!("calybris version ", env!("CARGO_PKG_VERSION")).into())
        .set_compression(Compression::SNAPPY)
        .set_sorting_columns(Some(vec![SortingColumn {
            column_idx: 0,
            descending: false,
            nulls_first: false,
        }]));
    // No value of these comes twice.
    let unique = ["sequence", "entry_hash"].map(ColumnPath::from);
    let properties = unique.into_iter().fold(properties, |properties, column| {
        properties.set_column_dictionary_enabled(column, false)
    });
    Arc::new(properties.build())
}

/// What went wrong in the output, or else in Parquet.
fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests;
