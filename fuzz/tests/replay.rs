//! Every target, on stable: over each of its seeds, and over random edits of them.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

/// Edited inputs for each target; the environment's `PROPTEST_CASES` asks for more.
const CASES: u32 = 2_000;

/// A test for each target, and the list of them.
macro_rules! replay {
    ($($target:ident),+ $(,)?) => {
        const TARGETS: &[&str] = &[$(stringify!($target)),+];
        $(#[test]
        fn $target() {
            check(stringify!($target), calybris_fuzz::$target);
        })+
    };
}

replay!(
    anchor,
    audit_bundle,
    audited_record,
    budget_snapshot,
    chain_hash,
    decimal_price,
    hex_digest,
    kernel,
    ledger_folder,
    ledger_operations,
    ledger_state,
    log,
    log_payload,
    policy_document,
    price_list,
    proof_envelope,
    receipt,
    signed_note,
    signed_policy,
    verifier_key,
);

#[test]
fn every_target_is_replayed() {
    let names = |folder: &str| -> Vec<String> {
        let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        list(Path::new(folder)).into_iter().map(stem).collect()
    };
    let sorted = {
        let mut targets = TARGETS.to_vec();
        targets.sort_unstable();
        targets
    };
    assert_eq!(names("fuzz_targets"), sorted);
    assert_eq!(names("corpus"), sorted);
}

fn check(target: &str, run: fn(&[u8])) {
    let corpus = list(&Path::new("corpus").join(target));
    let seeds: Vec<Vec<u8>> = corpus.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(!seeds.is_empty(), "no seed for {target}");
    seeds.iter().for_each(|seed| run(seed));
    let cases =
        if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { CASES };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let input = prop_oneof![8 => edited(seeds), 1 => prop::collection::vec(any::<u8>(), 0..512)];
    let verdict = TestRunner::new(config).run(&input, |bytes| {
        run(&bytes);
        Ok(())
    });
    verdict.unwrap();
}

/// The files of a folder, in order.
fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// One seed with a few edits.
fn edited(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec(any::<(Index, Index, u8, u8)>(), 1..6);
    (prop::sample::select(seeds), edits).prop_map(|(mut bytes, edits)| {
        edits.into_iter().for_each(|edit| apply(&mut bytes, edit));
        bytes
    })
}

/// One edit at a position: a byte set, a bit flipped, a byte put in, or a stretch removed, repeated
/// or moved to the end. Bytes are drawn from those that mean something in JSON and in hexadecimal as
/// often as from all.
fn apply(bytes: &mut Vec<u8>, (at, to, kind, value): (Index, Index, u8, u8)) {
    const TELLING: &[u8] = b"{}[]\",:\\ \n09afAF-.eE\0";
    let byte = if value < 128 { TELLING[usize::from(value) % TELLING.len()] } else { value };
    if bytes.is_empty() {
        return bytes.push(byte);
    }
    let (at, to) = (at.index(bytes.len()), to.index(bytes.len()));
    let stretch = at.min(to)..at.max(to);
    match kind % 6 {
        0 => bytes[at] = byte,
        1 => bytes[at] ^= 1 << (value % 8),
        2 => bytes.insert(at, byte),
        3 => drop(bytes.drain(stretch)),
        4 => bytes.extend_from_within(stretch),
        _ => {
            let moved: Vec<u8> = bytes.drain(stretch).collect();
            bytes.extend(moved);
        }
    }
}
