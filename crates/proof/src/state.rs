//! State chains: which state followed which, step by step, as digests.

use calybris_kernel::digest::{CanonicalHasher, HexDigest};

use crate::error::EvidenceError;

/// Opens the state layout.
pub const STATE_DIGEST_TAG: &[u8] = b"calystt1\0";

/// The digest of the caller's state at `step`. Step 0 is the genesis.
#[must_use]
pub fn state_digest(step: u64, state: &[u8]) -> HexDigest {
    CanonicalHasher::new(STATE_DIGEST_TAG).u64(step).bytes(state).finish().into()
}

/// One step of a state chain.
///
/// ```
/// use calybris_proof::state::{StateTransition, state_digest, verify_trajectory};
///
/// let one = StateTransition::new(1, b"empty", b"one order")?;
/// let two = StateTransition::new(2, b"one order", b"two orders")?;
/// let genesis = state_digest(0, b"empty");
/// assert_eq!(verify_trajectory(&genesis, 2, [one, two])?, state_digest(2, b"two orders"));
/// // A step left out is found.
/// assert!(verify_trajectory(&genesis, 2, [two]).is_err());
/// # Ok::<(), calybris_proof::EvidenceError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateTransition {
    /// The step it leads to, from 1.
    #[serde(deserialize_with = "positive")]
    pub step: u64,
    /// Digest of the state before, at the step before.
    pub state_digest_before_hex: HexDigest,
    /// Digest of the state after, at this step.
    pub state_digest_after_hex: HexDigest,
}

impl StateTransition {
    /// The transition to `step` between two states.
    ///
    /// # Errors
    /// [`EvidenceError::StepZero`].
    pub fn new(step: u64, before: &[u8], after: &[u8]) -> Result<Self, EvidenceError> {
        let previous = step.checked_sub(1).ok_or(EvidenceError::StepZero)?;
        Ok(Self {
            step,
            state_digest_before_hex: state_digest(previous, before),
            state_digest_after_hex: state_digest(step, after),
        })
    }

    /// Checks that this transition directly follows `step` and `digest`.
    fn follows(&self, step: u64, digest: HexDigest) -> Result<(), EvidenceError> {
        let found = self.step;
        match step.checked_add(1) {
            Some(expected) if expected == found => {}
            expected => {
                let expected = expected.unwrap_or(u64::MAX);
                return Err(EvidenceError::StepOutOfOrder { found, expected });
            }
        }
        if self.state_digest_before_hex == digest {
            return Ok(());
        }
        Err(EvidenceError::StateBroken {
            step: found,
            found: self.state_digest_before_hex.to_bytes(),
            expected: digest.to_bytes(),
        })
    }
}

fn positive<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match serde::Deserialize::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom(EvidenceError::StepZero)),
        step => Ok(step),
    }
}

/// Checks that every transition starts where the one before it ended.
///
/// A segment says nothing about what came before or after it; for that there is [`verify_trajectory`].
///
/// # Errors
/// The first transition out of place, by step.
pub fn verify_segment(
    transitions: impl IntoIterator<Item = StateTransition>,
) -> Result<(), EvidenceError> {
    let mut last: Option<StateTransition> = None;
    for transition in transitions {
        if let Some(last) = last {
            transition.follows(last.step, last.state_digest_after_hex)?;
        }
        last = Some(transition);
    }
    Ok(())
}

/// Checks a complete chain, from a trusted genesis digest through every step to a trusted last one.
/// Returns the digest of the last state.
///
/// # Errors
/// The first transition out of place, or a chain that ends elsewhere.
pub fn verify_trajectory(
    genesis: &HexDigest,
    last_step: u64,
    transitions: impl IntoIterator<Item = StateTransition>,
) -> Result<HexDigest, EvidenceError> {
    let (mut step, mut digest) = (0, *genesis);
    for transition in transitions {
        transition.follows(step, digest)?;
        (step, digest) = (transition.step, transition.state_digest_after_hex);
    }
    if step == last_step {
        Ok(digest)
    } else {
        Err(EvidenceError::TrajectoryEnd { found: step, expected: last_step })
    }
}

#[cfg(test)]
mod tests;
