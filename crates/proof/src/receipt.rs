//! The receipt: the one artifact to hand to an outsider about one decision.

mod check;

use calybris_kernel::digest::{CanonicalHasher, HexDigest};

use crate::error::EvidenceError;
use crate::evidence::Evidence;
use crate::json::present;
use crate::signature::{Signature, Signer};
use crate::state::StateTransition;

pub use check::{
    DecisionFacts, Finding, Item, LedgerFacts, LogFacts, LogStanding, ReceiptContext,
    ReceiptVerdict, verify_receipt,
};

/// Opens the claims layout.
pub const RECEIPT_CLAIMS_TAG: &[u8] = b"calyrcp1\0";
/// Opens the message of a receipt signature.
pub const RECEIPT_SIGNATURE_TAG: &[u8] = b"calyrcs1\0";
/// The schema of a [`Receipt`], which its claims cover.
pub const RECEIPT_SCHEMA: &str = "calybris.receipt.v1";

crate::json::text_constant! {
    /// The one schema a receipt may name.
    ReceiptSchema = RECEIPT_SCHEMA
}

/// A position in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalPosition {
    /// The entry's sequence.
    pub sequence: u64,
    /// The entry's hash.
    pub entry_hash: HexDigest,
}

/// What is claimed about one decision, and who signs for it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`RECEIPT_SCHEMA`].
    pub schema_version: ReceiptSchema,
    /// The policy's epoch.
    pub policy_epoch: u64,
    /// The catalog's epoch.
    pub catalog_epoch: u64,
    /// Digest of the policy.
    pub policy_digest_hex: HexDigest,
    /// Digest of the request.
    pub input_digest_hex: HexDigest,
    /// Digest of the decision.
    pub decision_digest_hex: HexDigest,
    /// Whether the decision replayed under the policy.
    pub replay_valid: bool,
    /// The state it led to.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub state: Option<StateTransition>,
    /// Its entry in the log.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub wal: Option<WalPosition>,
    /// Digest of everything above.
    pub claims_digest_hex: HexDigest,
    /// Who signs for it.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

impl Receipt {
    /// An unsigned receipt for a decision that replays.
    ///
    /// # Errors
    /// [`EvidenceError::Refused`] for a decision that does not.
    pub fn issue(
        evidence: &Evidence,
        state: Option<StateTransition>,
        wal: Option<WalPosition>,
    ) -> Result<Self, EvidenceError> {
        if !evidence.replay_valid() {
            return Err(EvidenceError::Refused("the decision does not replay under its policy"));
        }
        let (policy_epoch, catalog_epoch) = evidence.epochs();
        let mut receipt = Self {
            schema_version: ReceiptSchema,
            policy_epoch,
            catalog_epoch,
            policy_digest_hex: evidence.policy_digest(),
            input_digest_hex: evidence.input_digest(),
            decision_digest_hex: evidence.decision_digest(),
            replay_valid: true,
            state,
            wal,
            claims_digest_hex: HexDigest::new(&[0; 32]),
            signature: None,
        };
        receipt.claims_digest_hex = receipt.claims_digest();
        Ok(receipt)
    }

    /// Signs the claims as they are now.
    #[must_use]
    pub fn sign(mut self, signer: &Signer, signed_at_epoch_ms: u64) -> Self {
        let claims = self.claims_digest();
        self.claims_digest_hex = claims;
        self.signature =
            Some(signer.sign(RECEIPT_SIGNATURE_TAG, &claims.to_bytes(), signed_at_epoch_ms));
        self
    }

    /// The digest of the claims, recomputed.
    #[must_use]
    pub fn claims_digest(&self) -> HexDigest {
        let mut layout = CanonicalHasher::new(RECEIPT_CLAIMS_TAG)
            .u64(RECEIPT_SCHEMA.len() as u64)
            .bytes(RECEIPT_SCHEMA.as_bytes())
            .u64(self.policy_epoch)
            .u64(self.catalog_epoch)
            .bytes(&self.policy_digest_hex.to_bytes())
            .bytes(&self.input_digest_hex.to_bytes())
            .bytes(&self.decision_digest_hex.to_bytes())
            .u8(self.replay_valid.into());
        layout = match &self.state {
            None => layout.u8(0),
            Some(state) => layout
                .u8(1)
                .u64(state.step)
                .bytes(&state.state_digest_before_hex.to_bytes())
                .bytes(&state.state_digest_after_hex.to_bytes()),
        };
        layout = match &self.wal {
            None => layout.u8(0),
            Some(wal) => layout.u8(1).u64(wal.sequence).bytes(&wal.entry_hash.to_bytes()),
        };
        layout.finish().into()
    }
}

#[cfg(test)]
mod tests;
