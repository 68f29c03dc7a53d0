//! Decoders of text: digests, chain hashes, prices, signed notes and the keys that verify them.

use calybris_core::prices::microunits_per_million;
use calybris_kernel::digest::HexDigest;
use calybris_proof::chain::ChainHash;
use calybris_proof::checkpoint::Checkpoint;
use calybris_proof::note::{SignedNote, VerifierKey};

/// A digest is 64 lowercase hexadecimal characters and prints as it was written.
pub fn hex_digest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match HexDigest::parse(text) {
        Ok(digest) => {
            assert!(is_digest(text), "accepted {text:?}");
            assert_eq!(&*digest, text);
            assert_eq!(HexDigest::new(&digest.to_bytes()), digest);
        }
        Err(error) => assert!(!is_digest(text), "refused {text:?}: {error}"),
    }
}

/// A chain hash is a digest or `genesis`, and prints as it was written.
pub fn chain_hash(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<ChainHash>() {
        Ok(hash) => {
            assert!(is_digest(text) || text == "genesis", "accepted {text:?}");
            assert_eq!(hash.as_str(), text);
            assert_eq!(hash.digest().is_none(), hash.is_genesis());
        }
        Err(error) => {
            assert!(!is_digest(text) && text != "genesis", "refused {text:?}: {error}");
        }
    }
}

/// A price without an exponent is its digits moved six places, or is refused because that is not
/// whole or does not fit; a price with one never panics.
pub fn decimal_price(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let price = microunits_per_million(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if digits(whole) && digits(fraction) {
        let kept = fraction.trim_end_matches('0');
        let scaled: Option<u64> =
            (kept.len() <= 6).then(|| format!("{whole}{kept:0<6}").parse().ok()).flatten();
        assert_eq!(price.as_ref().ok(), scaled.as_ref(), "{text:?}: {price:?}");
    }
}

/// A signed note prints as it was written, and so does the checkpoint that it may hold: what is
/// verified is what is shown.
pub fn signed_note(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(note) = SignedNote::parse(text) else { return };
    assert_eq!(note.to_string(), text);
    if let Ok(checkpoint) = note.text().parse::<Checkpoint>() {
        assert_eq!(checkpoint.to_string(), note.text());
    }
}

/// A verifier's key prints as it was written.
pub fn verifier_key(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
