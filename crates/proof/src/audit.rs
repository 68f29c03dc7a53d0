//! The audit bundle, and the record an audited log keeps for every decision.

mod canonical;
mod json;

use calybris_kernel::digest::{DigestDecodeError, HexDigest, decision_digest, input_digest};
use calybris_kernel::{Decided, KernelDecision, KernelInput, PolicySnapshot};

use crate::error::EvidenceError;
use crate::evidence::Evidence;
use crate::verify::{VerifyError, verified_audit_bundle};

/// The schema of a current [`AuditBundle`].
pub const AUDIT_SCHEMA: &str = "calybris.audit.v1";
/// The version of the evidence a bundle or an envelope carries.
pub const PROOF_VERSION: u32 = 1;

crate::json::text_constant! {
    /// The one digest algorithm of version 1.
    DigestAlgorithm = "sha256"
}

crate::json::text_constant! {
    /// Who made the bundle.
    CreatedBy = "calybris"
}

/// Which of the two forms a bundle has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditSchema {
    /// [`AUDIT_SCHEMA`], with all ten members.
    V1,
    /// The four members written before the schema was named: the digests and the replay result.
    Unversioned,
}

impl AuditSchema {
    /// The text in the bundle, empty where there is none.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => AUDIT_SCHEMA,
            Self::Unversioned => "",
        }
    }
}

impl PartialEq<str> for AuditSchema {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for AuditSchema {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

/// The digests of one audited decision and whether it replayed when it was audited.
///
/// Reads both forms of [`AuditSchema`] and no third; writes the form it was read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditBundle {
    /// The form.
    pub schema_version: AuditSchema,
    /// Of the digests.
    pub digest_algorithm: DigestAlgorithm,
    /// [`PROOF_VERSION`].
    pub proof_version: u32,
    /// The policy's epoch; 0 in the unversioned form, which does not carry it.
    pub policy_epoch: u64,
    /// The catalog's epoch; 0 in the unversioned form, which does not carry it.
    pub catalog_epoch: u64,
    /// The writer.
    pub created_by: CreatedBy,
    /// Digest of the policy.
    pub policy_digest_hex: HexDigest,
    /// Digest of the request.
    pub input_digest_hex: HexDigest,
    /// Digest of the decision.
    pub decision_digest_hex: HexDigest,
    /// Whether the decision replayed under the policy.
    pub replay_valid: bool,
}

impl AuditBundle {
    /// The policy's digest.
    ///
    /// # Errors
    /// None since the field is typed; the signature is that of a field that may hold any text.
    pub fn policy_digest(&self) -> Result<[u8; 32], DigestDecodeError> {
        Ok(self.policy_digest_hex.to_bytes())
    }

    /// The request's digest.
    ///
    /// # Errors
    /// As [`AuditBundle::policy_digest`].
    pub fn input_digest(&self) -> Result<[u8; 32], DigestDecodeError> {
        Ok(self.input_digest_hex.to_bytes())
    }

    /// The decision's digest.
    ///
    /// # Errors
    /// As [`AuditBundle::policy_digest`].
    pub fn decision_digest(&self) -> Result<[u8; 32], DigestDecodeError> {
        Ok(self.decision_digest_hex.to_bytes())
    }

    /// The policy and catalog epochs, none in the unversioned form.
    #[must_use]
    pub fn epochs(&self) -> Option<(u64, u64)> {
        match self.schema_version {
            AuditSchema::V1 => Some((self.policy_epoch, self.catalog_epoch)),
            AuditSchema::Unversioned => None,
        }
    }
}

impl From<&Evidence> for AuditBundle {
    fn from(evidence: &Evidence) -> Self {
        let (policy_epoch, catalog_epoch) = evidence.epochs();
        Self {
            schema_version: AuditSchema::V1,
            digest_algorithm: DigestAlgorithm,
            proof_version: PROOF_VERSION,
            policy_epoch,
            catalog_epoch,
            created_by: CreatedBy,
            policy_digest_hex: evidence.policy_digest(),
            input_digest_hex: evidence.input_digest(),
            decision_digest_hex: evidence.decision_digest(),
            replay_valid: evidence.replay_valid(),
        }
    }
}

/// The payload of an audited log entry: the evidence, what it is about, and the caller's own data.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditedRecord<M> {
    /// The evidence.
    pub audit: AuditBundle,
    /// The request.
    pub input: KernelInput,
    /// The decision.
    pub decision: KernelDecision,
    /// Whatever the caller keeps beside them.
    pub metadata: M,
}

impl<M> AuditedRecord<M> {
    /// A record of a decision just made. Nothing is decided again.
    #[must_use]
    pub fn decided(decided: &Decided, metadata: M) -> Self {
        let audit = AuditBundle::from(&Evidence::from(decided));
        Self { audit, input: *decided.input(), decision: *decided.decision(), metadata }
    }

    /// A record of a decision that replays.
    ///
    /// # Errors
    /// [`VerifyError::Mismatch`] when it does not.
    pub fn verified(
        snapshot: &PolicySnapshot,
        input: KernelInput,
        decision: KernelDecision,
        metadata: M,
    ) -> Result<Self, VerifyError> {
        let audit = verified_audit_bundle(snapshot, input, &decision)?;
        Ok(Self { audit, input, decision, metadata })
    }

    /// The policy and catalog epochs the record names: the bundle's, or the decision's where the bundle has none.
    #[must_use]
    pub fn epochs(&self) -> (u64, u64) {
        let decided = (self.decision.policy_epoch, self.decision.catalog_epoch);
        self.audit.epochs().unwrap_or(decided)
    }

    /// Checks what needs no policy: that the bundle's digests are those of the request and the decision beside it, and that the
    /// bundle does not itself deny the replay.
    ///
    /// # Errors
    /// [`EvidenceError::Digest`] names the digest; [`EvidenceError::Refused`].
    pub fn check_digests(&self) -> Result<(), EvidenceError> {
        let input = input_digest(&self.input).into();
        EvidenceError::digest("input_digest_hex", self.audit.input_digest_hex, input)?;
        let decision = decision_digest(&self.decision).into();
        EvidenceError::digest("decision_digest_hex", self.audit.decision_digest_hex, decision)?;
        if self.audit.replay_valid {
            return Ok(());
        }
        Err(EvidenceError::Refused("the record itself says that its decision did not replay"))
    }

    /// Recomputes everything the bundle claims under `snapshot`.
    #[must_use]
    pub fn replay(&self, snapshot: &PolicySnapshot) -> RecordVerdict {
        let evidence = Evidence::of(snapshot, self.input, &self.decision);
        RecordVerdict {
            replay_valid: evidence.replay_valid() && self.audit.replay_valid,
            policy_digest_match: self.audit.policy_digest_hex == evidence.policy_digest()
                && self.audit.epochs().is_none_or(|named| named == evidence.epochs()),
            input_digest_match: self.audit.input_digest_hex == evidence.input_digest(),
            decision_digest_match: self.audit.decision_digest_hex == evidence.decision_digest(),
        }
    }
}

/// What recomputing an audited record established.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordVerdict {
    /// The policy gives the recorded decision, and the record says so.
    pub replay_valid: bool,
    /// The record names this policy: its digest and, where it carries them, its epochs.
    pub policy_digest_match: bool,
    /// The record's digest is that of its request.
    pub input_digest_match: bool,
    /// The record's digest is that of its decision.
    pub decision_digest_match: bool,
}

impl RecordVerdict {
    /// Whether everything holds.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.replay_valid
            && self.policy_digest_match
            && self.input_digest_match
            && self.decision_digest_match
    }
}

#[cfg(test)]
mod tests;
