//! A policy someone answers for, and the memory that keeps an old one from coming back.

use alloc::string::String;

use calybris_kernel::PolicySnapshot;
use calybris_kernel::digest::HexDigest;

use super::{Signature, SignatureHex, Signer, TrustedKeys};
use crate::error::EvidenceError;

/// Opens the message of a policy signature.
pub const POLICY_SIGNATURE_TAG: &[u8] = b"calysig1\0";

/// A signature over a policy's digest.
///
/// ```
/// use calybris_proof::signature::{Signer, SignedPolicy, TrustedKey, TrustedKeys};
/// # use calybris_kernel::{KernelModel, PolicySnapshot};
/// # let model = KernelModel { model_id: 1, provider_id: 0, quality_bps: 9_000, risk_ceiling_bps: 9_000,
/// #     enabled: 1, p95_latency_ms: 100, capabilities: 0, region_mask: 1,
/// #     input_cost_microunits_per_million_tokens: 0, output_cost_microunits_per_million_tokens: 0 };
/// # let policy = PolicySnapshot::try_new(2, 1, 9_600, 0, 0, 0, vec![model])?;
/// # let older = PolicySnapshot::try_new(1, 1, 9_600, 0, 0, 0, vec![model])?;
///
/// let signer = Signer::new("risk-desk", &[9; 32])?;
/// let trusted = TrustedKeys::new([TrustedKey::new("risk-desk", signer.public_key())]);
/// let signed = SignedPolicy::sign(&policy, &signer, 1_767_225_600_000);
/// let seen = signed.admit(&policy, &trusted, None)?;
/// // A signed policy of an older epoch stays refused, however well it is signed.
/// let signed = SignedPolicy::sign(&older, &signer, 1_767_225_600_001);
/// assert!(signed.admit(&older, &trusted, Some(&seen)).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedPolicy {
    /// Digest of the policy.
    pub policy_digest_hex: HexDigest,
    /// The signer's name.
    pub signer_id: String,
    /// When, in milliseconds of the Unix epoch, as the signer says.
    pub signed_at_epoch_ms: u64,
    /// The signer's public key.
    pub public_key_hex: HexDigest,
    /// The signature.
    pub signature_hex: SignatureHex,
}

impl SignedPolicy {
    /// Signs a policy.
    #[must_use]
    pub fn sign(snapshot: &PolicySnapshot, signer: &Signer, signed_at_epoch_ms: u64) -> Self {
        let made = signer.sign(POLICY_SIGNATURE_TAG, &snapshot.digest(), signed_at_epoch_ms);
        Self {
            policy_digest_hex: HexDigest::new(&snapshot.digest()),
            signer_id: made.signer_id,
            signed_at_epoch_ms: made.signed_at_epoch_ms,
            public_key_hex: made.public_key_hex,
            signature_hex: made.signature_hex,
        }
    }

    /// Checks that this is `snapshot`, signed by a trusted key while valid.
    ///
    /// # Errors
    /// What does not hold: the digest, the key, its validity, the signature.
    pub fn verify(
        &self,
        snapshot: &PolicySnapshot,
        trusted: &TrustedKeys,
    ) -> Result<(), EvidenceError> {
        let expected = HexDigest::new(&snapshot.digest());
        EvidenceError::digest("policy_digest_hex", self.policy_digest_hex, expected)?;
        let signature = Signature {
            signer_id: self.signer_id.clone(),
            signed_at_epoch_ms: self.signed_at_epoch_ms,
            public_key_hex: self.public_key_hex,
            signature_hex: self.signature_hex,
        };
        signature.verify(POLICY_SIGNATURE_TAG, &snapshot.digest(), trusted)
    }

    /// Verifies, then refuses a policy older than the last one seen. Keep what is returned.
    ///
    /// # Errors
    /// As [`SignedPolicy::verify`], and [`EvidenceError::Rollback`].
    pub fn admit(
        &self,
        snapshot: &PolicySnapshot,
        trusted: &TrustedKeys,
        last_seen: Option<&PolicyWatermark>,
    ) -> Result<PolicyWatermark, EvidenceError> {
        self.verify(snapshot, trusted)?;
        let found = PolicyWatermark::of(snapshot);
        if let Some(last_seen) = last_seen {
            found.after(last_seen)?;
        }
        Ok(found)
    }
}

/// The newest policy admitted so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyWatermark {
    /// Its policy epoch.
    pub policy_epoch: u64,
    /// Its catalog epoch.
    pub catalog_epoch: u64,
    /// Its digest.
    pub policy_digest_hex: HexDigest,
}

impl PolicyWatermark {
    /// The mark a policy leaves.
    #[must_use]
    pub fn of(snapshot: &PolicySnapshot) -> Self {
        Self {
            policy_epoch: snapshot.policy_epoch(),
            catalog_epoch: snapshot.catalog_epoch(),
            policy_digest_hex: HexDigest::new(&snapshot.digest()),
        }
    }

    /// Neither epoch may fall, and the same two epochs are the same policy.
    fn after(&self, last_seen: &Self) -> Result<(), EvidenceError> {
        let epochs = |mark: &Self| (mark.policy_epoch, mark.catalog_epoch);
        let (found, last) = (epochs(self), epochs(last_seen));
        let why = if found.0 < last.0 {
            "its policy epoch is older"
        } else if found.1 < last.1 {
            "its catalog epoch is older"
        } else if found == last && self.policy_digest_hex != last_seen.policy_digest_hex {
            "it is another policy under the same epochs"
        } else {
            return Ok(());
        };
        Err(EvidenceError::Rollback { found, last_seen: last, why })
    }
}
