//! Decoders of JSON artifacts. What is read is written back and reads as the same value, and what
//! was written once is written the same way ever after.

use std::fmt::Debug;

use calybris_budget::{
    BudgetEngine, BudgetSnapshot, ConservationStatus, LedgerOperation, LedgerState,
};
use calybris_core::policy_document::PolicyDocument;
use calybris_core::prices::{PriceList, PriceOptions};
use calybris_kernel::digest::policy_digest;
use calybris_proof::chain::WalAnchor;
use calybris_proof::receipt::Receipt;
use calybris_proof::signature::SignedPolicy;
use calybris_proof::{AuditBundle, AuditedRecord, ProofEnvelope};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The head of a log: sequence 0 goes with `genesis` and with nothing else.
pub fn anchor(bytes: &[u8]) {
    if let Some(anchor) = round_trip::<WalAnchor>(bytes) {
        assert_eq!(anchor.sequence == 0, anchor.last_hash.is_genesis());
    }
}

/// Both forms of the audit bundle; the one without a schema names no epochs.
pub fn audit_bundle(bytes: &[u8]) {
    if let Some(bundle) = round_trip::<AuditBundle>(bytes) {
        let epochs = (bundle.policy_epoch, bundle.catalog_epoch);
        assert_eq!(bundle.epochs().unwrap_or_default(), epochs);
    }
}

/// The payload of an audited entry, with no metadata of its own.
pub fn audited_record(bytes: &[u8]) {
    round_trip::<AuditedRecord<()>>(bytes);
}

/// A ledger takes a snapshot whole, balances afterwards and numbers its next snapshot higher, or it
/// refuses the snapshot and stays empty.
pub fn budget_snapshot(bytes: &[u8]) {
    let Some(snapshot) = round_trip::<BudgetSnapshot>(bytes) else { return };
    let engine = BudgetEngine::new();
    if engine.restore_from_snapshot(snapshot.clone()).is_err() {
        return assert_eq!(engine.tenant_count(), 0);
    }
    assert_eq!(engine.verify_conservation(), ConservationStatus::Balanced);
    let restored = engine.snapshot();
    let mut tenants = snapshot.tenants;
    tenants.sort_by(|left, right| left.tenant_id.as_bytes().cmp(right.tenant_id.as_bytes()));
    assert_eq!(restored.tenants, tenants);
    assert!(restored.version > snapshot.version, "{} after {}", restored.version, snapshot.version);
}

/// A ledger takes a whole state and has it then, or refuses it; what is due can be given back.
pub fn ledger_state(bytes: &[u8]) {
    let Some(state) = round_trip::<LedgerState>(bytes) else { return };
    let Ok(engine) = BudgetEngine::from_state(&state) else { return };
    assert_eq!(engine.state(), state);
    let _ = engine.apply(&LedgerOperation::Expire { now: u64::MAX });
    check_ledger(&engine);
}

/// Operations in any order and with any numbers leave a ledger that balances and can be rebuilt.
pub fn ledger_operations(bytes: &[u8]) {
    let Some(operations) = round_trip::<Vec<LedgerOperation>>(bytes) else { return };
    let engine = BudgetEngine::new();
    for operation in &operations {
        let _ = engine.apply(operation);
    }
    check_ledger(&engine);
}

fn check_ledger(engine: &BudgetEngine) {
    assert_eq!(engine.verify_conservation(), ConservationStatus::Balanced);
    let state = engine.state();
    let rebuilt = BudgetEngine::from_state(&state).expect("a state that a ledger is in");
    assert_eq!(rebuilt.state(), state);
}

/// The proof envelope.
pub fn proof_envelope(bytes: &[u8]) {
    round_trip::<ProofEnvelope>(bytes);
}

/// The receipt; what its claims cover includes everything but the signature.
pub fn receipt(bytes: &[u8]) {
    let Some(receipt) = round_trip::<Receipt>(bytes) else { return };
    let mut other = receipt.clone();
    other.signature = None;
    assert_eq!(other.claims_digest(), receipt.claims_digest());
    other.replay_valid = !other.replay_valid;
    assert_ne!(other.claims_digest(), receipt.claims_digest());
}

/// The signature of a policy.
pub fn signed_policy(bytes: &[u8]) {
    round_trip::<SignedPolicy>(bytes);
}

/// A policy document makes the policy that it makes when it is written and read again, and neither
/// the order of its models nor their names change that.
pub fn policy_document(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(document) = PolicyDocument::from_json(text) else { return };
    let written = document.to_json().expect("plain data");
    assert_eq!(PolicyDocument::from_json(&written).expect("our own output"), document);
    let Ok(policy) = document.snapshot() else { return };
    let mut other = document;
    other.models.reverse();
    other.models.iter_mut().for_each(|named| named.name = None);
    let other = other.snapshot().expect("the same models");
    assert_eq!(policy_digest(&other), policy_digest(&policy));
}

/// Either kind of price list, with any bytes in it, is read without a panic; no price is listed and
/// refused at once.
pub fn price_list(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for read in [PriceList::from_genai_prices, PriceList::from_litellm] {
        let Ok(list) = read(text, &PriceOptions::default()) else { continue };
        for price in &list.prices {
            assert!(list.find(&price.provider, &price.model).is_some());
        }
    }
}

/// Reads a value, writes it and reads that: the same value, and the same bytes from then on.
pub(crate) fn round_trip<T: DeserializeOwned + Serialize + PartialEq + Debug>(
    bytes: &[u8],
) -> Option<T> {
    let value: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&value).expect("no map with other keys than text, no float");
    let again: T = serde_json::from_slice(&written).expect("our own output");
    assert_eq!(again, value);
    assert_eq!(serde_json::to_vec(&again).expect("as before"), written);
    Some(value)
}
