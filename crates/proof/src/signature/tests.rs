//! The worked signature, key validity, rollback, and every changed byte.

use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::tests::{case, unhex};

pub(crate) const SIGNED_AT: u64 = 1_767_225_600_000;

pub(crate) fn signer() -> Signer {
    Signer::new("risk-desk", &[9; 32]).unwrap()
}

pub(crate) fn trusted() -> TrustedKeys {
    TrustedKeys::new([TrustedKey::new("risk-desk", signer().public_key())])
}

#[derive(serde::Deserialize)]
struct Vector {
    seed_hex: String,
    public_key_hex: String,
    signer_id: String,
    signed_at_epoch_ms: u64,
    signature_hex: String,
}

#[test]
fn worked_signature_is_reproduced() {
    let vector: Vector =
        serde_json::from_str(include_str!("../../tests/data/signed_policy.json")).unwrap();
    let seed = unhex(&vector.seed_hex).try_into().unwrap();
    let signer = Signer::new(vector.signer_id, &seed).unwrap();
    let case = case();
    let signed = SignedPolicy::sign(&case.snapshot, &signer, vector.signed_at_epoch_ms);
    assert_eq!(signed.public_key_hex, vector.public_key_hex);
    assert_eq!(std::format!("{}", signed.signature_hex), vector.signature_hex);
    let json = serde_json::to_string(&signed).unwrap();
    let read: SignedPolicy = serde_json::from_str(&json).unwrap();
    read.verify(&case.snapshot, &trusted()).unwrap();
    assert!(serde_json::from_str::<SignedPolicy>(&json.replacen('{', "{\"x\":1,", 1)).is_err());
}

#[test]
fn only_a_trusted_key_within_its_time_counts() {
    let case = case();
    let signed = SignedPolicy::sign(&case.snapshot, &signer(), SIGNED_AT);
    let verify = |keys: &TrustedKeys| signed.verify(&case.snapshot, keys);
    assert!(matches!(verify(&TrustedKeys::default()), Err(EvidenceError::UntrustedKey { .. })));
    let mut other_name = trusted();
    other_name.keys[0].signer_id = "someone".into();
    assert!(matches!(verify(&other_name), Err(EvidenceError::UntrustedKey { .. })));
    for (from, until, valid) in [
        (SIGNED_AT, Some(SIGNED_AT), true),
        (0, Some(SIGNED_AT - 1), false),
        (SIGNED_AT + 1, None, false),
    ] {
        let mut keys = trusted();
        keys.keys[0].not_before_epoch_ms = from;
        keys.keys[0].not_after_epoch_ms = until;
        assert_eq!(verify(&keys).is_ok(), valid);
        // A second key of the same name takes over.
        keys.keys.push(trusted().keys[0].clone());
        assert!(verify(&keys).is_ok());
    }
    // A thief who signs under the name with another key.
    let thief = Signer::new("risk-desk", &[8; 32]).unwrap();
    let forged = SignedPolicy::sign(&case.snapshot, &thief, SIGNED_AT);
    let refused = forged.verify(&case.snapshot, &trusted());
    assert!(matches!(refused, Err(EvidenceError::UntrustedKey { .. })));
}

#[test]
fn an_older_policy_and_a_twin_are_refused() {
    use calybris_kernel::PolicySnapshot;
    let models = case().snapshot.models().to_vec();
    let policy = |policy_epoch, catalog_epoch, penalty| {
        PolicySnapshot::try_new(policy_epoch, catalog_epoch, 9_600, 0, 0, penalty, models.clone())
            .unwrap()
    };
    let admit = |snapshot: &PolicySnapshot, seen: Option<&PolicyWatermark>| {
        SignedPolicy::sign(snapshot, &signer(), SIGNED_AT).admit(snapshot, &trusted(), seen)
    };
    let seen = admit(&policy(5, 5, 0), None).unwrap();
    for (policy_epoch, catalog_epoch, penalty, admitted) in
        [(5, 5, 0, true), (5, 5, 1, false), (4, 9, 0, false), (9, 4, 0, false), (5, 6, 1, true)]
    {
        let result = admit(&policy(policy_epoch, catalog_epoch, penalty), Some(&seen));
        assert_eq!(result.is_ok(), admitted, "{policy_epoch} {catalog_epoch} {penalty}");
    }
}

#[test]
fn names_are_bounded_and_weak_keys_refused() {
    for name in ["", "a\nb", &"x".repeat(257)] {
        assert!(matches!(Signer::new(name, &[1; 32]), Err(EvidenceError::SignerName { .. })));
    }
    assert!(Signer::new("x".repeat(256), &[1; 32]).is_ok());
    // The neutral element is a point of small order: any signature would do.
    let mut weak = [0; 32];
    weak[0] = 1;
    assert!(verify_bytes("weak", &weak, b"any", &[0; 64]).is_err());
}

/// Encodings of y from p to 2^255 − 1 name points that have a shorter encoding; dalek reads them.
#[test]
fn a_public_key_has_one_encoding() {
    let read: Vec<_> = (0xed..=0xff)
        .flat_map(|low| [(low, 0x7f), (low, 0xff)])
        .map(|(low, high)| {
            let mut key = [0xff; 32];
            (key[0], key[31]) = (low, high);
            key
        })
        .filter(|key| VerifyingKey::from_bytes(key).is_ok())
        .collect();
    assert!(read.len() > 10, "{}", read.len());
    for key in read {
        let refused = verify_bytes("k", &key, b"any", &[0; 64]);
        assert!(matches!(refused, Err(EvidenceError::PublicKey { .. })), "{key:x?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_signed_policy_that_verifies_cannot_be_changed_in_any_byte(
        at in any::<proptest::sample::Index>(),
        to in any::<u8>(),
    ) {
        let case = case();
        let signed = SignedPolicy::sign(&case.snapshot, &signer(), SIGNED_AT);
        let mut json = serde_json::to_vec(&signed).unwrap();
        let at = at.index(json.len());
        prop_assume!(json[at] != to);
        json[at] = to;
        let still = serde_json::from_slice::<SignedPolicy>(&json)
            .is_ok_and(|read| read.verify(&case.snapshot, &trusted()).is_ok());
        prop_assert!(!still, "{}", String::from_utf8_lossy(&json));
    }
}

/// Every signature encoding differs from the one made in one bit, and none verifies.
#[test]
fn no_single_bit_of_a_signature_is_free() {
    let signer = signer();
    let key = signer.public_key().to_bytes();
    let made = signer.sign_bytes(b"message");
    verify_bytes("risk-desk", &key, b"message", &made).unwrap();
    let flips: Vec<_> = (0..512).collect();
    for bit in flips {
        let mut changed = made;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(verify_bytes("risk-desk", &key, b"message", &changed).is_err(), "bit {bit}");
    }
}
