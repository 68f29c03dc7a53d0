//! The worked log, keyed and not, and what keys, hashes and anchors refuse.

use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use super::*;

const LOG: &str = include_str!("../../tests/data/log.json");

#[derive(serde::Deserialize)]
struct Vectors {
    payloads: Vec<String>,
    lines: Vec<String>,
    key_hex: String,
    keyed_lines: Vec<String>,
}

/// The line the log writes for one entry.
fn line(sequence: usize, previous: &ChainHash, hash: &ChainHash, payload: &str) -> String {
    format!(
        r#"{{"sequence":{sequence},"previous_hash":"{previous}","entry_hash":"{hash}","data":{payload}}}"#
    )
}

#[test]
fn worked_log_is_reproduced_with_and_without_a_key() {
    let vectors: Vectors = serde_json::from_str(LOG).unwrap();
    let secret = crate::tests::unhex(&vectors.key_hex);
    let key = ChainKey::new(&secret).unwrap();
    for (key, lines) in [(None, &vectors.lines), (Some(&key), &vectors.keyed_lines)] {
        assert_eq!(lines.len(), vectors.payloads.len());
        let mut previous = ChainHash::GENESIS;
        for (index, (payload, expected)) in vectors.payloads.iter().zip(lines).enumerate() {
            let hash = link_hash(&previous, payload.as_bytes(), key);
            assert_eq!(&line(index + 1, &previous, &hash, payload), expected);
            previous = hash;
        }
    }
}

#[test]
fn a_key_needs_32_bytes_and_is_never_printed() {
    for found in [0, 1, 31] {
        assert_eq!(ChainKey::new(&vec![1; found]).unwrap_err(), ChainError::KeyTooShort { found });
    }
    assert_eq!(
        format!("{}", ChainKey::new(&[1; 31]).unwrap_err()),
        "chain key has 31 bytes, at least 32 are needed"
    );
    let key = ChainKey::new(&[0xAB; 64]).unwrap();
    assert_eq!(format!("{key:?}"), "ChainKey(redacted)");
}

#[test]
fn hashes_read_back_and_refuse_every_other_spelling() {
    let hash = ChainHash::from([0x5A; 32]);
    for hash in [ChainHash::GENESIS, hash] {
        assert_eq!(hash.as_str().parse::<ChainHash>().unwrap(), hash);
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<ChainHash>(&json).unwrap(), hash);
        assert_eq!(hash, String::from(hash));
    }
    let upper = "5A".repeat(32);
    for text in ["", "Genesis", "genesis ", &hash[1..], &upper] {
        assert!(text.parse::<ChainHash>().is_err(), "{text}");
    }
    assert_eq!(hash.digest(), Some([0x5A; 32]));
    assert_eq!(ChainHash::GENESIS.digest(), None);
}

#[test]
fn a_hash_is_used_like_its_text() {
    let (one, other) = (ChainHash::from([1; 32]), ChainHash::from([2; 32]));
    let (text, wrong): (String, String) = (one.into(), other.into());
    assert!(one == text && one == *text && one == text.as_str());
    assert!(text == one && *text == one && text.as_str() == one);
    assert!(one != wrong && one != *wrong && one != wrong.as_str());
    assert!(wrong != one && *wrong != one && wrong.as_str() != one);
    assert_eq!((&one[..4], one.as_ref(), one.len()), ("0101", &*text, 64));
    assert_eq!(format!("{one:?} {:>9}", ChainHash::GENESIS), format!("{text:?}   genesis"));
    let error = serde_json::from_str::<ChainHash>("7").unwrap_err();
    assert!(format!("{error}").contains("expected \"genesis\" or 64 lowercase"), "{error}");
}

#[test]
fn constant_time_equality_agrees_with_equality() {
    let mut bytes = [0x11; 32];
    let hash = ChainHash::from(bytes);
    assert!(hash.ct_eq(&hash) && ChainHash::GENESIS.ct_eq(&ChainHash::GENESIS));
    assert!(!hash.ct_eq(&ChainHash::GENESIS));
    bytes[31] ^= 1;
    assert!(!hash.ct_eq(&ChainHash::from(bytes)));
}

#[test]
fn an_anchor_has_one_form() {
    let head = WalAnchor::new(5, ChainHash::from([2; 32]), true).unwrap();
    let json = serde_json::to_string(&head).unwrap();
    let digest = "02".repeat(32);
    let expected = format!(
        r#"{{"schema_version":"calybris.wal-anchor.v1","sequence":5,"last_hash":"{digest}","keyed":true}}"#
    );
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_str::<WalAnchor>(&json).unwrap(), head);
    for (from, to) in [
        ("v1", "v2"),
        ("\"keyed\":true", "\"keyed\":true,\"extra\":1"),
        (",\"keyed\":true", ""),
        ("\"sequence\":5", "\"sequence\":0"),
        (digest.as_str(), "genesis"),
    ] {
        let changed = json.replace(from, to);
        assert_ne!(changed, json);
        assert!(serde_json::from_str::<WalAnchor>(&changed).is_err(), "{changed}");
    }
}
