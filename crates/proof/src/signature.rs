//! Ed25519 signatures (RFC 8032) by named keys: who may sign, until when, and over which policy.

mod hex;
mod keys;
mod policy;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use calybris_kernel::digest::HexDigest;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::error::EvidenceError;

pub use hex::SignatureHex;
pub use keys::{TrustedKey, TrustedKeys, TrustedKeysSchema};
pub use policy::{POLICY_SIGNATURE_TAG, PolicyWatermark, SignedPolicy};

/// The most bytes a signer's name may have.
pub const MAX_SIGNER_ID_BYTES: usize = 256;

/// A name and the secret key that signs under it.
///
/// ```
/// use calybris_proof::signature::Signer;
///
/// let signer = Signer::new("risk-desk", &[9; 32])?;
/// assert_eq!(
///     signer.public_key(),
///     "fd1724385aa0c75b64fb78cd602fa1d991fdebf76b13c58ed702eac835e9f618"
/// );
/// assert!(format!("{signer:?}").contains("redacted"));
/// assert!(Signer::new("", &[9; 32]).is_err());
/// # Ok::<(), calybris_proof::EvidenceError>(())
/// ```
#[derive(Clone)]
pub struct Signer {
    id: String,
    key: SigningKey,
}

impl Signer {
    /// A signer from its 32-byte seed (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// [`EvidenceError::SignerName`] unless the name has 1 to [`MAX_SIGNER_ID_BYTES`] bytes and no
    /// control character.
    pub fn new(id: impl Into<String>, seed: &[u8; 32]) -> Result<Self, EvidenceError> {
        let id = checked_id(id.into())?;
        Ok(Self { id, key: SigningKey::from_bytes(seed) })
    }

    /// The name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> HexDigest {
        HexDigest::new(self.key.verifying_key().as_bytes())
    }

    /// Signs a message as it is.
    pub(crate) fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    /// Signs `tag ‖ body ‖ signed_at_epoch_ms ‖ signer_id`.
    pub(crate) fn sign(&self, tag: &[u8], body: &[u8; 32], signed_at_epoch_ms: u64) -> Signature {
        let message = message(tag, body, signed_at_epoch_ms, &self.id);
        Signature {
            signer_id: self.id.clone(),
            signed_at_epoch_ms,
            public_key_hex: self.public_key(),
            signature_hex: SignatureHex::new(&self.sign_bytes(&message)),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("id", &self.id).field("key", &"redacted").finish()
    }
}

fn checked_id(id: String) -> Result<String, EvidenceError> {
    let why = if id.is_empty() {
        "it is empty"
    } else if id.len() > MAX_SIGNER_ID_BYTES {
        "it has more than 256 bytes"
    } else if id.contains(char::is_control) {
        "it has a control character"
    } else {
        return Ok(id);
    };
    Err(EvidenceError::SignerName { name: id, why })
}

/// A signature and who claims to have made it, when.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The signer's name.
    pub signer_id: String,
    /// When, in milliseconds of the Unix epoch, as the signer says.
    pub signed_at_epoch_ms: u64,
    /// The signer's public key.
    pub public_key_hex: HexDigest,
    /// The signature.
    pub signature_hex: SignatureHex,
}

impl Signature {
    /// Checks the signature itself and that a trusted key made it while valid.
    pub(crate) fn verify(
        &self,
        tag: &[u8],
        body: &[u8; 32],
        trusted: &TrustedKeys,
    ) -> Result<(), EvidenceError> {
        trusted.admit(&self.signer_id, &self.public_key_hex, self.signed_at_epoch_ms)?;
        let message = message(tag, body, self.signed_at_epoch_ms, &self.signer_id);
        let signature = self.signature_hex.to_bytes();
        verify_bytes(&self.signer_id, &self.public_key_hex.to_bytes(), &message, &signature)
    }
}

fn message(tag: &[u8], body: &[u8; 32], signed_at_epoch_ms: u64, signer_id: &str) -> Vec<u8> {
    [tag, body, &signed_at_epoch_ms.to_le_bytes(), signer_id.as_bytes()].concat()
}

/// Strict verification: small-order keys and non-canonical encodings are refused, so that nobody without
/// the key can turn one valid signature into another.
pub(crate) fn verify_bytes(
    signer_id: &str,
    public_key: &[u8; 32],
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), EvidenceError> {
    // Dalek reads any encoding of a point and checks the signature's for being canonical, not the key's.
    let canonical = |key: &VerifyingKey| key.to_edwards().compress().to_bytes() == *public_key;
    let key = VerifyingKey::from_bytes(public_key).ok().filter(canonical).ok_or_else(|| {
        let public_key = HexDigest::new(public_key);
        EvidenceError::PublicKey { signer_id: signer_id.into(), public_key }
    })?;
    let signature = ed25519_dalek::Signature::from_bytes(signature);
    key.verify_strict(message, &signature)
        .map_err(|_| EvidenceError::BadSignature { signer_id: signer_id.into() })
}

#[cfg(test)]
pub(crate) mod tests;
