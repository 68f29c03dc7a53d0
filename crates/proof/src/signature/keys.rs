//! Whose signatures count, and when.

use alloc::string::String;
use alloc::vec::Vec;

use calybris_kernel::digest::HexDigest;

use crate::error::EvidenceError;
use crate::json::present;

crate::json::text_constant! {
    /// The schema of [`TrustedKeys`].
    TrustedKeysSchema = "calybris.trusted-keys.v1"
}

/// A public key that may sign under a name, within a time.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// The name it signs under.
    pub signer_id: String,
    /// The key.
    pub public_key_hex: HexDigest,
    /// First valid millisecond of the Unix epoch; 0 when left out.
    #[serde(default)]
    pub not_before_epoch_ms: u64,
    /// Last valid millisecond of the Unix epoch; no end when left out.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub not_after_epoch_ms: Option<u64>,
}

impl TrustedKey {
    /// A key without a limit in time.
    #[must_use]
    pub fn new(signer_id: impl Into<String>, public_key_hex: HexDigest) -> Self {
        let (not_before_epoch_ms, not_after_epoch_ms) = (0, None);
        Self {
            signer_id: signer_id.into(),
            public_key_hex,
            not_before_epoch_ms,
            not_after_epoch_ms,
        }
    }
}

/// The keys a verifier trusts, kept by the verifier: never taken from what is being verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKeys {
    schema_version: TrustedKeysSchema,
    /// The keys; one name may have several, for rotation.
    pub keys: Vec<TrustedKey>,
}

impl TrustedKeys {
    /// A set of keys.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = TrustedKey>) -> Self {
        Self { schema_version: TrustedKeysSchema, keys: keys.into_iter().collect() }
    }

    /// Checks that `public_key` may sign as `signer_id` at the given time.
    pub(super) fn admit(
        &self,
        signer_id: &str,
        public_key: &HexDigest,
        signed_at_epoch_ms: u64,
    ) -> Result<(), EvidenceError> {
        let matching =
            |key: &&TrustedKey| key.signer_id == signer_id && key.public_key_hex == *public_key;
        let mut refusal =
            EvidenceError::UntrustedKey { signer_id: signer_id.into(), public_key: *public_key };
        for key in self.keys.iter().filter(matching) {
            let last = key.not_after_epoch_ms.unwrap_or(u64::MAX);
            if (key.not_before_epoch_ms..=last).contains(&signed_at_epoch_ms) {
                return Ok(());
            }
            refusal = EvidenceError::KeyNotValid {
                signer_id: signer_id.into(),
                signed_at_epoch_ms,
                not_before_epoch_ms: key.not_before_epoch_ms,
                not_after_epoch_ms: key.not_after_epoch_ms,
            };
        }
        Err(refusal)
    }
}
