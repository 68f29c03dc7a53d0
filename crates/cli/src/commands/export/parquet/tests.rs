//! Row groups: bounded by rows and by text, and nothing lost between them.

use calybris_core::proof::chain::ChainHash;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;

use super::*;
use crate::policies::Policies;
use crate::record::Record;

/// Writes as many rows with this metadata, in parts, and returns the sizes of the row groups.
fn row_groups(rows: u64, metadata: &str) -> Vec<i64> {
    let record = include_str!("../../../../tests/data/record.json");
    let payload = record.trim_end().replace("METADATA", metadata);
    let policies = Policies::load(&[]).unwrap();
    let hash = ChainHash::GENESIS;
    let path = tempfile::NamedTempFile::new().unwrap();
    let mut table = Parquet::new(path.reopen().unwrap()).unwrap();
    let mut part = Rows::default();
    for sequence in 1..=rows {
        let record = Record::read(payload.as_bytes()).unwrap();
        Parquet::<std::fs::File>::add(
            &mut part,
            &Row { sequence, hash, record, policies: &policies },
        )
        .unwrap();
        if sequence % 10 == 0 {
            table.write(&mut part).unwrap();
        }
    }
    table.write(&mut part).unwrap();
    table.finish(&WalAnchor::new(0, hash, false).unwrap()).unwrap();

    let file = SerializedFileReader::new(path.reopen().unwrap()).unwrap();
    let sequences = file.get_row_iter(None).unwrap().map(|row| row.unwrap().get_ulong(0).unwrap());
    assert!(sequences.eq(1..=rows));
    file.metadata().row_groups().iter().map(RowGroupMetaData::num_rows).collect()
}

#[test]
fn a_row_group_has_so_many_rows() {
    assert_eq!(GROUP_ROWS, 65_536);
    assert_eq!(row_groups(65_541, "null"), [65_540, 1]);
    assert_eq!(row_groups(1, "null"), [1]);
    assert!(row_groups(0, "null").is_empty());
}

#[test]
fn a_row_group_has_so_much_text() {
    let large = format!("[\"{}\"]", "x".repeat(1 << 20));
    assert_eq!(row_groups(95, &large), [40, 40, 15]);
}
