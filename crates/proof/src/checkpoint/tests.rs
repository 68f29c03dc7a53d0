//! The published example, quorums, other logs, and every changed byte.

use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use proptest::prelude::*;

use super::*;
use crate::merkle::MerkleTree;

const ORIGIN: &str = "example.com/decisions";
const TIME: u64 = 1_767_225_600;

/// The example of C2SP tlog-cosignature.
const PUBLISHED: &str = "example.com/behind-the-sofa\n20852163\n\
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
    \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
    \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

fn signer(name: &str, seed: u8) -> Signer {
    Signer::new(name, &[seed; 32]).unwrap()
}

fn witnesses(quorum: usize) -> (Vec<Signer>, Witnesses) {
    let signers: Vec<_> = (1..=3).map(|i| signer(&format!("witness.example/{i}"), i)).collect();
    let key = |signer| VerifierKey::of(signer, KeyKind::Cosignature).unwrap();
    let keys = signers.iter().map(key).collect();
    (signers, Witnesses { keys, quorum })
}

fn log() -> (Signer, VerifierKey) {
    let log = signer(ORIGIN, 9);
    let key = VerifierKey::of(&log, KeyKind::Ed25519).unwrap();
    (log, key)
}

fn head() -> TreeHead {
    let mut tree = MerkleTree::new();
    tree.append(b"entry");
    tree.head()
}

#[test]
fn the_published_example_is_read_and_written_byte_for_byte() {
    let note = SignedNote::parse(PUBLISHED).unwrap();
    assert_eq!(format!("{note}"), PUBLISHED);
    let checkpoint: Checkpoint = note.text().parse().unwrap();
    assert_eq!(checkpoint.origin(), "example.com/behind-the-sofa");
    assert_eq!(checkpoint.head().size, 20_852_163);
    assert_eq!(format!("{checkpoint}"), note.text());
    // The cosignature opens with its time.
    let cosignature = &note.signatures()[1];
    assert_eq!(cosignature.signature[..8], 1_679_315_147_u64.to_be_bytes());
    assert_eq!(cosignature.signature.len(), 72);
}

#[test]
fn a_quorum_of_distinct_known_witnesses_is_needed() {
    let (log, key) = log();
    let (signers, known) = witnesses(2);
    let mut note = Checkpoint::new(ORIGIN, head()).unwrap().sign(&log).unwrap();
    let verify = |note: &SignedNote, witnesses: &Witnesses| {
        let read = SignedNote::parse(&format!("{note}")).unwrap();
        verify_checkpoint(&read, ORIGIN, &key, witnesses)
    };
    let quorum = |found| EvidenceError::Quorum { found, needed: 2 };
    assert_eq!(verify(&note, &known).unwrap_err(), quorum(0));
    cosign(&mut note, &signers[0], TIME).unwrap();
    // The same witness again, and one nobody knows, are no second voice.
    cosign(&mut note, &signers[0], TIME + 5).unwrap();
    cosign(&mut note, &signer("stranger.example", 77), TIME).unwrap();
    assert_eq!(verify(&note, &known).unwrap_err(), quorum(1));
    let twice = Witnesses { keys: vec![known.keys[0].clone(), known.keys[0].clone()], quorum: 2 };
    assert_eq!(verify(&note, &twice).unwrap_err(), quorum(1));
    cosign(&mut note, &signers[2], TIME).unwrap();
    let verified = verify(&note, &known).unwrap();
    assert_eq!(*verified.checkpoint.head(), head());
    let expected = vec![("witness.example/1".into(), TIME + 5), ("witness.example/3".into(), TIME)];
    assert_eq!(verified.cosigned_by, expected);
    // The log's own key is no witness, though its signature is there and holds.
    let own = Witnesses { keys: vec![key.clone()], quorum: 1 };
    assert_eq!(verify(&note, &own).unwrap_err(), EvidenceError::Quorum { found: 0, needed: 1 });
}

#[test]
fn one_witness_under_two_keys_or_two_names_is_one_voice() {
    let (log, key) = log();
    let cosigner = |signer: &Signer| VerifierKey::of(signer, KeyKind::Cosignature).unwrap();
    let rotated = [signer("witness.example/1", 1), signer("witness.example/1", 2)];
    let renamed = [signer("witness.example/1", 1), signer("witness.example/2", 1)];
    let own = [signer("witness.example/1", 1), signer(ORIGIN, 9)];
    for (voices, first, second) in [(rotated, 5, 0), (renamed, 0, 5), (own, 0, 5)]
        .map(|(voices, first, second)| (voices, TIME + first, TIME + second))
    {
        let mut note = Checkpoint::new(ORIGIN, head()).unwrap().sign(&log).unwrap();
        cosign(&mut note, &voices[0], first).unwrap();
        cosign(&mut note, &voices[1], second).unwrap();
        let known = |quorum| Witnesses { keys: voices.iter().map(cosigner).collect(), quorum };
        let alone = verify_checkpoint(&note, ORIGIN, &key, &known(1)).unwrap();
        assert_eq!(alone.cosigned_by.len(), 1, "{voices:?}");
        let refused = verify_checkpoint(&note, ORIGIN, &key, &known(2)).unwrap_err();
        assert_eq!(refused, EvidenceError::Quorum { found: 1, needed: 2 }, "{voices:?}");
    }
}

#[test]
fn another_log_and_another_key_are_refused() {
    let (log, key) = log();
    let note = Checkpoint::new(ORIGIN, head()).unwrap().sign(&log).unwrap();
    let none = Witnesses::default();
    assert!(verify_checkpoint(&note, ORIGIN, &key, &none).is_ok());
    assert!(verify_checkpoint(&note, "example.com/other", &key, &none).is_err());
    let thief = VerifierKey::of(&signer(ORIGIN, 8), KeyKind::Ed25519).unwrap();
    assert!(verify_checkpoint(&note, ORIGIN, &thief, &none).is_err());
}

#[test]
fn malformed_checkpoints_are_refused() {
    let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    for text in [
        String::new(),
        "origin\n".into(),
        "origin\n1\n".into(),
        format!("\n1\n{root}\n"),
        format!("origin\n+1\n{root}\n"),
        format!("origin\n01\n{root}\n"),
        format!("origin\n-1\n{root}\n"),
        format!("origin\n18446744073709551616\n{root}\n"),
        format!("origin\n1\n{}\n", &root[1..]),
        format!("origin\n1\n{root}"),
        format!("origin\n1\n{root}\n\n"),
        format!("origin\n1\n{root}\r\n"),
        format!("origin\n1\n{root}\nextension\r\n"),
        format!("origin\n1\n{}\n", root.replace("FU=", "FV=")),
    ] {
        assert!(text.parse::<Checkpoint>().is_err(), "{text:?}");
    }
    let extended = format!("origin\n1\n{root}\nextension line\n");
    assert_eq!(format!("{}", extended.parse::<Checkpoint>().unwrap()), extended);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn a_checkpoint_that_verifies_cannot_be_changed_in_any_byte(
        at in any::<proptest::sample::Index>(),
        to in any::<u8>(),
    ) {
        let (log, key) = log();
        let (signers, known) = witnesses(2);
        let mut note = Checkpoint::new(ORIGIN, head()).unwrap().sign(&log).unwrap();
        cosign(&mut note, &signers[0], TIME).unwrap();
        cosign(&mut note, &signers[1], TIME).unwrap();
        let mut bytes = format!("{note}").into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        let still = String::from_utf8(bytes).ok().and_then(|text| SignedNote::parse(&text).ok());
        let still = still.is_some_and(|note| verify_checkpoint(&note, ORIGIN, &key, &known).is_ok());
        prop_assert!(!still);
    }
}
