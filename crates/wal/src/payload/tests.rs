//! The short way against the general one: the same value or the same words, for metadata of every kind.

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;

/// The worked decision with other metadata.
fn record<M>(metadata: M) -> AuditedRecord<M> {
    let vectors: Value =
        serde_json::from_str(include_str!("../../tests/data/vectors.json")).unwrap();
    let worked =
        crate::line::parse(vectors["audited_log"]["lines"][0].as_str().unwrap().as_bytes());
    let AuditedRecord { audit, input, decision, metadata: IgnoredAny } =
        decode(worked.unwrap().data).unwrap();
    AuditedRecord { audit, input, decision, metadata }
}

fn short<M: DeserializeOwned>(data: &[u8]) -> Option<AuditedRecord<M>> {
    let AuditedRecord { audit, input, decision, metadata } = AuditedRecord::from_canonical(data)?;
    Some(AuditedRecord { audit, input, decision, metadata: decode_metadata(metadata)? })
}

/// Both ways on the same bytes; says whether the short one can be taken.
fn both<M: DeserializeOwned>(data: &[u8], show: fn(&AuditedRecord<M>) -> String) -> bool {
    let short = short::<M>(data).map(|record| show(&record));
    let taken = short.is_some();
    if let Some(short) = short {
        let general = decode::<AuditedRecord<M>>(data).map(|record| show(&record));
        assert_eq!(Ok(short), general, "{}", data.escape_ascii());
    }
    taken
}

fn every_kind(data: &[u8]) -> bool {
    both::<u64>(data, |record| format!("{record:?}"));
    both::<()>(data, |record| format!("{record:?}"));
    both::<Option<String>>(data, |record| format!("{record:?}"));
    both::<Value>(data, |record| format!("{record:?}"));
    both::<Box<RawValue>>(data, |record| format!("{record:?}"));
    both::<IgnoredAny>(data, |record| format!("{record:?}"))
}

fn with_metadata(metadata: &str) -> Vec<u8> {
    let mut data = serde_json::to_vec(&record(())).unwrap();
    data.truncate(data.len() - "null}".len());
    data.extend_from_slice(metadata.as_bytes());
    data.push(b'}');
    data
}

#[test]
fn metadata_is_read_as_the_general_reader_reads_it() {
    for metadata in ["null", "7", "\"a\"", "{\"a\":[1,{}]}", " 7 ", "[\"[[[[{\"]", "1.5e3"] {
        assert!(every_kind(&with_metadata(metadata)), "{metadata}");
    }
    for metadata in ["", "7,", "7 8", "7,\"metadata\":7", "7}", "7,\"x\":1", "[", "nul", "\"\t\""] {
        assert!(!every_kind(&with_metadata(metadata)), "{metadata}");
    }
}

#[test]
fn nesting_is_refused_where_the_general_reader_refuses_it() {
    for depth in [1, 63, 64, 65, 125, 126, 127, 128, 129, 200] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            every_kind(&with_metadata(&nested));
        }
    }
}

#[test]
fn a_raw_value_of_several_lines_is_not_written() {
    let raw: Box<RawValue> = serde_json::from_str("[1,\n2]").unwrap();
    assert!(matches!(audited(&record(&raw)), Err(WalError::Unwritable { .. })));
    assert!(matches!(general(&record(&raw)), Err(WalError::Unwritable { .. })));
}

#[test]
fn metadata_that_does_not_serialize_is_refused_in_the_same_words() {
    let map = std::collections::BTreeMap::from([((1, 2), 3)]);
    let words = |outcome: Result<Vec<u8>, WalError>| outcome.unwrap_err().to_string();
    assert_eq!(words(audited(&record(&map))), words(general(&record(&map))));
}

proptest! {
    #[test]
    fn both_write_the_same_bytes(text in ".{0,40}", number: i64, list: Vec<u8>) {
        let record = record((text, number, list));
        prop_assert_eq!(audited(&record).unwrap(), general(&record).unwrap());
    }

    #[test]
    fn changed_bytes_are_read_the_same_both_ways(
        at: proptest::sample::Index,
        removed in 0..3_usize,
        put in proptest::collection::vec(any::<u8>(), 0..3),
    ) {
        let mut data = with_metadata("{\"desk\":[1,null,\"a\"]}");
        let at = at.index(data.len());
        let end = data.len().min(at + removed);
        data.splice(at..end, put);
        every_kind(&data);
    }
}
