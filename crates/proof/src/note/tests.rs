//! The Go project's published note and key, and every malformed note.

use std::format;

use super::*;
use crate::signature::Signer;

const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
/// Published beside [`KEY`]: kind 1, then the seed.
const SECRET: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn the_published_note_is_read_verified_and_signed_again() {
    let key: VerifierKey = KEY.parse().unwrap();
    assert_eq!(format!("{key}"), KEY);
    let note = SignedNote::parse(NOTE).unwrap();
    assert_eq!(format!("{note}"), NOTE);
    note.verify(&key).unwrap();

    let secret = Base64::decode_vec(SECRET).unwrap();
    let signer = Signer::new("PeterNeumann", secret[1..].try_into().unwrap()).unwrap();
    let mut again = SignedNote::new(note.text()).unwrap();
    again.sign(&signer).unwrap();
    assert_eq!(format!("{again}"), NOTE);
}

#[test]
fn a_changed_text_or_signature_and_a_missing_one_are_refused() {
    let key: VerifierKey = KEY.parse().unwrap();
    for (from, to) in [("answer", "solution"), ("x08go/ZJ", "x08go/ZK")] {
        let changed = SignedNote::parse(&NOTE.replace(from, to)).unwrap();
        assert!(matches!(changed.verify(&key), Err(EvidenceError::BadSignature { .. })), "{to}");
    }
    let mut other = SignedNote::new("text\n").unwrap();
    other.sign(&Signer::new("someone", &[3; 32]).unwrap()).unwrap();
    assert!(matches!(other.verify(&key), Err(EvidenceError::Format { .. })));
    // A second signature, by a key nobody knows, changes nothing.
    let mut both = SignedNote::parse(NOTE).unwrap();
    both.sign(&Signer::new("someone", &[3; 32]).unwrap()).unwrap();
    SignedNote::parse(&format!("{both}")).unwrap().verify(&key).unwrap();
}

#[test]
fn a_witness_s_key_signs_no_plain_note() {
    let signer = Signer::new("witness.example/1", &[3; 32]).unwrap();
    let key = VerifierKey::of(&signer, KeyKind::Cosignature).unwrap();
    let mut note = SignedNote::new("text\n").unwrap();
    let signature = signer.sign_bytes(note.text().as_bytes()).to_vec();
    note.push(NoteSignature { name: key.name().into(), key_id: key.id(), signature }).unwrap();
    assert!(matches!(note.verify(&key), Err(EvidenceError::Format { .. })));
}

#[test]
fn malformed_notes_and_keys_are_refused() {
    let good = "— n AAAAAAA=\n";
    for note in [
        "",
        "text\n",
        "text\n\n",
        "\n\n— n AAAAAAA=\n",
        "text\n\n- n AAAAAAA=\n",
        "text\n\n— n AAAAAAA=",
        "text\n\n— n  AAAAAAA=\n",
        "text\n\n— a+b AAAAAAA=\n",
        "text\n\n— n AAAAAA==\n",
        "text\n\n— n AAAAAAA\n",
        "text\n\n— n AAAAAAB=\n",
        "text\n\n— n AAAAA\nAA=\n",
        "text\n\n— n AAAAAAA=\r\n",
        "text\n\n— n AAAAAAA= \n",
        "text\n\n— n AAAAAAA=\n\n",
        "text\n\n— n\u{a0}m AAAAAAA=\n",
        "text\n\n—\u{a0}n AAAAAAA=\n",
        "text\n\n—n AAAAAAA=\n",
        "text\r\n\r\n— n AAAAAAA=\r\n",
        "te\txt\n\n— n AAAAAAA=\n",
    ] {
        assert!(SignedNote::parse(note).is_err(), "{note:?}");
    }
    SignedNote::parse(&format!("text\n\n{good}")).unwrap();
    assert!(SignedNote::parse(&format!("text\n\n{}", good.repeat(101))).is_err());
    SignedNote::parse(&format!("text\n\n{}", good.repeat(100))).unwrap();
    let long = |bytes: usize| {
        let signature = format!("\n{good}");
        SignedNote::parse(&format!("{}\n{signature}", "x".repeat(bytes - 1 - signature.len())))
    };
    long(MAX_NOTE_BYTES).unwrap();
    let error = long(MAX_NOTE_BYTES + 1).unwrap_err();
    assert_eq!(format!("{error}"), "signed note: it is longer than 1000000 bytes");
    // The fifth line of the note: two of text, a blank one, a signature that can be read.
    let error = SignedNote::parse(&format!("a\nb\n\n{good}— n\n")).unwrap_err();
    assert_eq!(format!("{error}"), "signed note: line 5 is not a signature");
    for key in ["", "a+b", "a b+00000000+AQ==", &KEY.replace("c74f", "c74e"), &KEY[..40]] {
        assert!(key.parse::<VerifierKey>().is_err(), "{key:?}");
    }
}
