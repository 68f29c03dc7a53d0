//! Which lines are read, and how the rest are refused.

use super::*;

const HASH: &str = "a7acef39aa56cd6e769a5ebae74a7c9dcd30d9d8c15e391773d55334848117f4";

fn good() -> String {
    format!(r#"{{"sequence":1,"previous_hash":"genesis","entry_hash":"{HASH}","data":{{"k":1}}}}"#)
}

#[test]
fn canonical_layout_and_writer_agree() {
    for (sequence, previous) in [(1, "genesis"), (10, HASH), (u64::MAX, HASH)] {
        let mut out = Vec::new();
        write(&mut out, sequence, previous, HASH, b"[1,2.50,-0]");
        let line = out.strip_suffix(b"\n").unwrap();
        assert_eq!(line.len() as u64, length(sequence, previous, b"[1,2.50,-0]"));
        let data: &[u8] = b"[1,2.50,-0]";
        let expected =
            Line { sequence, previous_hash: previous, entry_hash: HASH, data, record: None };
        assert_eq!(canonical(line), Some(expected.clone()));
        assert_eq!(parse(line), Ok(expected));
    }
}

#[test]
fn any_order_and_whitespace_give_the_same_members() {
    let text = good();
    let expected = parse(text.as_bytes()).unwrap();
    let shuffled = format!(
        "\t{{ \"data\" : {{\"k\":1}} , \"entry_hash\":\"{HASH}\",\"sequence\" :1, \"previous_hash\": \"genesis\" }} \r"
    );
    assert!(canonical(shuffled.as_bytes()).is_none());
    assert_eq!(parse(shuffled.as_bytes()), Ok(expected.clone()));
    assert_eq!(any_order(&text), Ok(expected));
}

#[test]
fn everything_else_is_refused_with_the_place() {
    let cases = [
        ("{\"sequence\":1,", "{\"sequence\":01,", "a whole number up to 18446744073709551615"),
        ("{\"sequence\":1,", "{\"sequence\":-1,", "a whole number up to 18446744073709551615"),
        ("{\"sequence\":1,", "{\"sequence\":1.0,", "',' or '}'"),
        (
            "{\"sequence\":1,",
            "{\"sequence\":18446744073709551616,",
            "a whole number up to 18446744073709551615",
        ),
        ("{\"sequence\":1,", "{\"sequence\":1,\"sequence\":1,", "each member once"),
        ("\"data\":{\"k\":1}", "\"data\":{\"k\":1},\"data\":{\"k\":1}", "each member once"),
        (
            "\"data\":{\"k\":1}",
            "\"data\":{\"k\":1},\"more\":1",
            "sequence, previous_hash, entry_hash or data",
        ),
        ("\"data\":{\"k\":1}", "\"data\":{\"k\":1},", "a member name"),
        ("\"data\":{\"k\":1}", "\"data\":{\"k\":1}x", "',' or '}'"),
        ("\"data\":{\"k\":1}", "\"data\":", "a value"),
        ("\"sequence\"", "\"s\\u0065quence\"", "a member name"),
        ("\"genesis\"", "null", "a hash"),
        ("{\"sequence\":1,", "{", "all four members"),
        ("{\"sequence\"", "[\"sequence\"", "'{'"),
        (":{\"k\":1}}", ":{\"k\":1}}}", "the end"),
    ];
    for (from, to, what) in cases {
        let text = good().replacen(from, to, 1);
        match parse(text.as_bytes()).map_err(|fault| *fault) {
            Err(EntryFault::Malformed { expected, .. }) => assert_eq!(expected, what, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    let text = good().replace("\"k\"", "k");
    let at = text.find("k\":").unwrap_or_else(|| text.find("k:").unwrap()) as u64;
    assert_eq!(
        parse(text.as_bytes()),
        Err(EntryFault::Malformed { expected: "a member name", at }.into())
    );
    let mut bytes = good().into_bytes();
    bytes[20] = 0xFF;
    assert_eq!(parse(&bytes), Err(EntryFault::Malformed { expected: "UTF-8 text", at: 20 }.into()));
}

#[test]
fn blank_lines() {
    assert!(is_blank(b"") && is_blank(b" \t\r"));
    assert!(!is_blank(b"\0") && !is_blank(b"\x0b"));
}

#[test]
fn the_metadata_of_an_audited_record_is_scanned_like_any_value() {
    let worked: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/data/vectors.json")).unwrap();
    let text = worked["audited_log"]["lines"][0].as_str().unwrap();
    assert!(canonical(text.as_bytes()).is_some_and(|line| line.record.is_some()));
    let (before, _) = text.rsplit_once(",\"metadata\":").unwrap();
    for (metadata, accepted) in [
        ("null", true),
        (" null", true),
        ("null ", true),
        ("\"\u{e9}\"", true),
        ("null,\"metadata\":1", true),
        ("", false),
        ("null}", false),
        ("[1,]", false),
        ("\"\\x\"", false),
    ] {
        let text = format!("{before},\"metadata\":{metadata}}}}}");
        let slow = any_order(&text).ok();
        assert_eq!(slow.is_some(), accepted, "{metadata}");
        let quick = parse(text.as_bytes()).ok();
        assert_eq!(quick.map(|line| Line { record: None, ..line }), slow, "{metadata}");
    }
}

#[test]
fn a_byte_that_is_not_text_is_refused_wherever_it_is() {
    let worked: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/data/vectors.json")).unwrap();
    let text = worked["audited_log"]["lines"][0].as_str().unwrap();
    for text in [good(), text.replace("\"metadata\":null", "\"metadata\":\"a\"")] {
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = 0xFF;
            let at = std::str::from_utf8(&bytes).unwrap_err().valid_up_to() as u64;
            let fault = EntryFault::Malformed { expected: "UTF-8 text", at };
            assert_eq!(parse(&bytes), Err(fault.into()), "{}", bytes.escape_ascii());
        }
    }
}
