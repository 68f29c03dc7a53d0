//! The golden bytes written in `docs/format/` are those this crate computes.

use std::fs;

use calybris_kernel::digest::HexDigest;
use calybris_proof::chain::{ChainHash, ChainKey, link_hash};
use calybris_proof::checkpoint::Checkpoint;
use calybris_proof::merkle::{MerkleFrontier, MerkleTree};
use calybris_proof::outcome::{Disposition, Observation, Outcome, Strategy, identity_digest};
use calybris_proof::receipt::{Receipt, WalPosition};
use calybris_proof::signature::{SignedPolicy, Signer};
use calybris_proof::state::{StateTransition, state_digest};
use calybris_proof::{AuditBundle, Evidence};
use serde_json::Value;

use crate::cases::{Case, case, unhex};

fn page(name: &str) -> String {
    let path = format!("{}/../../docs/format/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(path).unwrap()
}

fn data(name: &str) -> Value {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn evidence() -> Evidence {
    let Case { snapshot, input, decision, .. } = case();
    Evidence::of(&snapshot, input, &decision)
}

#[track_caller]
fn states(page: &str, bytes: impl std::fmt::Display) {
    let bytes = bytes.to_string();
    assert!(page.contains(&bytes), "the page does not state {bytes}");
}

#[test]
fn the_log_page_states_what_is_computed() {
    let page = page("log-v1.md");
    let payloads = [r#"{"k":1,"v":"alpha"}"#, r#"{"k":2,"v":"beta \u00e9 \" \\"}"#];
    let mut previous = ChainHash::GENESIS;
    for (sequence, payload) in (1..).zip(payloads) {
        let hash = link_hash(&previous, payload.as_bytes(), None);
        states(
            &page,
            format_args!(
                r#"{{"sequence":{sequence},"previous_hash":"{previous}","entry_hash":"{hash}","data":{payload}}}"#
            ),
        );
        previous = hash;
    }
    let key: Vec<u8> = (0..32).collect();
    let key = ChainKey::new(&key).unwrap();
    states(&page, link_hash(&ChainHash::GENESIS, payloads[0].as_bytes(), Some(&key)));
}

#[test]
fn the_record_page_states_what_is_computed() {
    let page = page("audited-record-v1.md");
    let bundle = AuditBundle::from(&evidence());
    states(&page, bundle.policy_digest_hex);
    states(&page, bundle.input_digest_hex);
    states(&page, bundle.decision_digest_hex);
}

#[test]
fn the_signature_and_receipt_pages_state_what_is_computed() {
    let (snapshot, evidence) = (case().snapshot, evidence());
    let signature = page("signature-v1.md");
    let signer = Signer::new("risk-desk", &[9; 32]).unwrap();
    let signed = SignedPolicy::sign(&snapshot, &signer, 1_767_225_600_000);
    states(&signature, signed.public_key_hex);
    states(&signature, signed.signature_hex);

    let page = page("receipt-v1.md");
    states(&page, state_digest(0, b"genesis"));
    states(&page, Receipt::issue(&evidence, None, None).unwrap().claims_digest_hex);
    let values = data("receipt.json");
    let digest = |name: &str| HexDigest::parse(values[name].as_str().unwrap()).unwrap();
    let state = StateTransition {
        step: 1,
        state_digest_before_hex: digest("state_before"),
        state_digest_after_hex: digest("state_after"),
    };
    let wal = WalPosition { sequence: 5, entry_hash: digest("wal_entry_hash") };
    states(&page, Receipt::issue(&evidence, Some(state), Some(wal)).unwrap().claims_digest_hex);
}

#[test]
fn the_outcome_page_states_what_is_computed() {
    let evidence = evidence();
    let page = page("outcome-v1.md");
    states(&page, identity_digest(&evidence));
    let observation = Observation {
        observed_at_micros: 1_767_225_600_000_000,
        revision: 0,
        strategy: Strategy::MaximizeUtility,
        acted_model_id: 48,
        propensity_bps: Some(10_000),
        disposition: Disposition::Applied,
        realized_cost_microunits: Some(123),
        realized_latency_ms: Some(456),
        succeeded: Some(true),
    };
    states(&page, Outcome::bind(&evidence, observation).unwrap().digest());
}

#[test]
fn the_checkpoint_page_states_what_is_computed() {
    let page = page("checkpoint-v1.md");
    let leaves: Vec<Vec<u8>> = data("merkle.json")["leaves"]
        .as_array()
        .unwrap()
        .iter()
        .map(|leaf| unhex(leaf.as_str().unwrap()))
        .collect();
    let mut tree = MerkleTree::new();
    leaves.iter().for_each(|leaf| tree.append(leaf));
    states(&page, HexDigest::new(&tree.head().root));
    let empty = Checkpoint::new("example.com/decisions", MerkleFrontier::new().head()).unwrap();
    for line in empty.to_string().lines() {
        states(&page, line);
    }
}
