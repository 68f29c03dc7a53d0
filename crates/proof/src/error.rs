//! What evidence can get wrong, with the place, the value and the bound.
//!
//! Two errors stay beside this one, each all that can happen to its caller: [`ChainError`] is what a key or a link of
//! a log can be, and what the log's own error contains; [`VerifyError`] is that a decision does not replay, by the name
//! that `verified_audit_bundle` is published with. Either function would else name twenty reasons it cannot give.
//!
//! [`ChainError`]: crate::chain::ChainError
//! [`VerifyError`]: crate::verify::VerifyError

use alloc::string::String;

use calybris_kernel::digest::HexDigest;

/// Why a piece of evidence does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// A transition out of its place in a state chain.
    #[error("state transition has step {found}, step {expected} follows")]
    StepOutOfOrder {
        /// The step found.
        found: u64,
        /// The step that follows.
        expected: u64,
    },
    /// Step 0 is the genesis; nothing leads to it.
    #[error("state transition has step 0, which is the genesis; transitions start at 1")]
    StepZero,
    /// A transition does not start where the one before it ended.
    #[error(
        "state transition {step} starts from {}, the state before it is {}",
        HexDigest::new(found),
        HexDigest::new(expected)
    )]
    StateBroken {
        /// The transition.
        step: u64,
        /// What it starts from.
        found: [u8; 32],
        /// Where the one before it ended.
        expected: [u8; 32],
    },
    /// A state chain is shorter or longer than the step it should end at.
    #[error("state chain ends at step {found}, the trusted last step is {expected}")]
    TrajectoryEnd {
        /// The last step found.
        found: u64,
        /// The trusted last step.
        expected: u64,
    },
    /// An outcome breaks a rule of its format.
    #[error("outcome: {rule}")]
    Outcome {
        /// The rule.
        rule: &'static str,
    },
    /// A digest is not the one recomputed from what it covers.
    #[error("{what} is {}, recomputed it is {}", HexDigest::new(found), HexDigest::new(expected))]
    Digest {
        /// Which digest.
        what: &'static str,
        /// The digest stated.
        found: [u8; 32],
        /// The digest recomputed.
        expected: [u8; 32],
    },
    /// Two numbers that must agree.
    #[error("{what} is {found}, {expected} is needed")]
    Number {
        /// Which number.
        what: &'static str,
        /// Its value.
        found: u64,
        /// The value needed.
        expected: u64,
    },
    /// A fact that must hold and does not.
    #[error("{0}")]
    Refused(&'static str),
    /// A leaf or a tree size outside the tree.
    #[error("{what} is {found}, the tree has {size} leaves")]
    OutsideTree {
        /// Which number.
        what: &'static str,
        /// Its value.
        found: u64,
        /// Leaves in the tree.
        size: u64,
    },
    /// A Merkle proof has too few or too many hashes.
    #[error("merkle proof has {found} hashes, which is not the length for these sizes")]
    ProofLength {
        /// Hashes in the proof.
        found: usize,
    },
    /// A text of the wrong form.
    #[error("{what}: {why}")]
    Format {
        /// What was being read.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A signer or key name that cannot be one.
    #[error("signer name {name:?} is not allowed: {why}")]
    SignerName {
        /// The name.
        name: String,
        /// The rule.
        why: &'static str,
    },
    /// Bytes that are no Ed25519 public key.
    #[error("public key {public_key} of {signer_id:?} is not the encoding of a point of the curve")]
    PublicKey {
        /// Who claims it.
        signer_id: String,
        /// The key.
        public_key: HexDigest,
    },
    /// A signature by a key nobody said to trust.
    #[error("key {public_key} of {signer_id:?} is not among the trusted keys")]
    UntrustedKey {
        /// Who claims it.
        signer_id: String,
        /// The key.
        public_key: HexDigest,
    },
    /// A signature dated outside its key's validity.
    #[error(
        "signature of {signer_id:?} is dated {signed_at_epoch_ms}, outside its key's validity ({not_before_epoch_ms} to {})",
        not_after_epoch_ms.map_or_else(|| String::from("no end"), |end| alloc::format!("{end}"))
    )]
    KeyNotValid {
        /// The signer.
        signer_id: String,
        /// When it claims to have signed, in milliseconds of the Unix epoch.
        signed_at_epoch_ms: u64,
        /// First valid millisecond.
        not_before_epoch_ms: u64,
        /// Last valid millisecond.
        not_after_epoch_ms: Option<u64>,
    },
    /// A signature that does not match its message.
    #[error("signature of {signer_id:?} does not match what it signs")]
    BadSignature {
        /// The signer.
        signer_id: String,
    },
    /// A policy older than one already seen, or another one under the same epochs.
    #[error(
        "policy of epochs {found:?} cannot follow {last_seen:?} (policy epoch, catalog epoch): {why}"
    )]
    Rollback {
        /// Policy and catalog epoch presented.
        found: (u64, u64),
        /// Policy and catalog epoch last seen.
        last_seen: (u64, u64),
        /// Which rule it breaks.
        why: &'static str,
    },
    /// Too few witnesses co-signed a checkpoint.
    #[error("checkpoint is co-signed by {found} of the known witnesses, {needed} are needed")]
    Quorum {
        /// Valid co-signatures of distinct witnesses.
        found: usize,
        /// The quorum.
        needed: usize,
    },
    /// A requirement that was not established.
    #[error("{item} is required and not established: {why}")]
    Unmet {
        /// The item.
        item: &'static str,
        /// Why not.
        why: String,
    },
}

impl EvidenceError {
    /// Refuses a stated digest that is not the recomputed one.
    pub(crate) fn digest(
        what: &'static str,
        found: HexDigest,
        expected: HexDigest,
    ) -> Result<(), Self> {
        if found == expected {
            return Ok(());
        }
        Err(Self::Digest { what, found: found.to_bytes(), expected: expected.to_bytes() })
    }

    /// Refuses a number that is not the needed one.
    pub(crate) fn number(what: &'static str, found: u64, expected: u64) -> Result<(), Self> {
        if found == expected { Ok(()) } else { Err(Self::Number { what, found, expected }) }
    }
}
