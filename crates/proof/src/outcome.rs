//! What became of a decision: acted on how, at what cost, and bound to that decision alone.

use calybris_kernel::digest::{CanonicalHasher, HexDigest};

use crate::error::EvidenceError;
use crate::evidence::Evidence;
use crate::json::present;

/// Opens the identity layout.
pub const IDENTITY_DIGEST_TAG: &[u8] = b"calyidn1\0";
/// Opens the selection layout.
pub const SELECTION_DIGEST_TAG: &[u8] = b"calysel1\0";
/// Opens the outcome layout.
pub const OUTCOME_DIGEST_TAG: &[u8] = b"calyout1\0";

/// Certainty in basis points.
const CERTAIN_BPS: u16 = 10_000;

crate::json::text_constant! {
    /// The schema of an [`Outcome`].
    OutcomeSchema = "calybris.outcome.v1"
}

/// How the model acted on was chosen. Discriminants are the digest's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Strategy {
    /// The decision was followed.
    MaximizeUtility = 0,
    /// Another model was tried, with a known probability.
    Explore = 1,
    /// A person chose.
    Human = 2,
}

/// What happened to the decision. Discriminants are the digest's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Disposition {
    /// It ran to its end.
    Applied = 0,
    /// It never ran.
    Abandoned = 1,
    /// It is running.
    InFlight = 2,
}

/// What was observed about one decision. Checked when it is bound by [`Outcome::bind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// When, in microseconds of the Unix epoch.
    pub observed_at_micros: u64,
    /// Counts the observations of one decision; a later one replaces an earlier.
    pub revision: u32,
    /// How the model was chosen.
    pub strategy: Strategy,
    /// The model acted on. No rule ties it to the decision's: compare the two where they must agree.
    pub acted_model_id: u32,
    /// The probability of this choice in basis points: 10,000 when utility was maximised, 1 to 10,000
    /// when exploring, none when a person chose.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub propensity_bps: Option<u16>,
    /// What happened.
    pub disposition: Disposition,
    /// What it cost, in microunits.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub realized_cost_microunits: Option<u64>,
    /// How long it took, in milliseconds.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub realized_latency_ms: Option<u32>,
    /// Whether it did what was wanted.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<bool>,
}

impl Observation {
    /// The digest of how the model was chosen.
    #[must_use]
    pub fn selection_digest(&self) -> HexDigest {
        let layout = CanonicalHasher::new(SELECTION_DIGEST_TAG)
            .u8(self.strategy as u8)
            .u32(self.acted_model_id);
        optional(layout, self.propensity_bps, CanonicalHasher::u16).finish().into()
    }

    fn digest(&self, identity: &HexDigest) -> HexDigest {
        let layout = CanonicalHasher::new(OUTCOME_DIGEST_TAG)
            .bytes(&identity.to_bytes())
            .u64(self.observed_at_micros)
            .u32(self.revision)
            .bytes(&self.selection_digest().to_bytes())
            .u8(self.disposition as u8);
        let layout = optional(layout, self.realized_cost_microunits, CanonicalHasher::u64);
        let layout = optional(layout, self.realized_latency_ms, CanonicalHasher::u32);
        optional(layout, self.succeeded.map(u8::from), CanonicalHasher::u8).finish().into()
    }

    fn check(&self, rejected: bool) -> Result<(), EvidenceError> {
        let propensity = match self.strategy {
            Strategy::MaximizeUtility => self.propensity_bps == Some(CERTAIN_BPS),
            Strategy::Explore => {
                self.propensity_bps.is_some_and(|p| (1..=CERTAIN_BPS).contains(&p))
            }
            Strategy::Human => self.propensity_bps.is_none(),
        };
        let measured =
            self.realized_cost_microunits.is_some() || self.realized_latency_ms.is_some();
        let rules = [
            (
                propensity,
                "propensity_bps is 10000 when utility is maximised, 1 to 10000 when exploring, absent when a person chose",
            ),
            (
                self.disposition != Disposition::Applied || measured || self.succeeded.is_some(),
                "an applied decision needs a measurement: cost, latency or success",
            ),
            (
                self.disposition != Disposition::Abandoned
                    || !(measured || self.succeeded.is_some()),
                "an abandoned decision has no measurement",
            ),
            (
                self.disposition != Disposition::InFlight || self.succeeded.is_none(),
                "a decision in flight has not succeeded or failed yet",
            ),
            (
                !rejected || self.disposition == Disposition::Abandoned,
                "a rejected decision can only be abandoned",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(EvidenceError::Outcome { rule }),
            None => Ok(()),
        }
    }
}

/// A presence byte, then the value when there is one.
fn optional<T>(
    layout: CanonicalHasher,
    value: Option<T>,
    append: fn(CanonicalHasher, T) -> CanonicalHasher,
) -> CanonicalHasher {
    match value {
        Some(value) => append(layout.u8(1), value),
        None => layout.u8(0),
    }
}

/// What identifies one decision: its policy, its request, itself, and the request's sequence.
#[must_use]
pub fn identity_digest(evidence: &Evidence) -> HexDigest {
    CanonicalHasher::new(IDENTITY_DIGEST_TAG)
        .bytes(evidence.replayed.policy_digest())
        .bytes(&evidence.input_digest)
        .bytes(&evidence.decision_digest)
        .u64(evidence.replayed.input().request_sequence)
        .finish()
        .into()
}

/// An observation bound to the decision it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    schema_version: OutcomeSchema,
    identity_digest_hex: HexDigest,
    observation: Observation,
    outcome_digest_hex: HexDigest,
}

impl Outcome {
    /// Binds what was observed to a decision that replays.
    ///
    /// # Errors
    /// [`EvidenceError::Outcome`] names the rule an observation breaks; a decision that does not replay
    /// is [`EvidenceError::Refused`].
    pub fn bind(evidence: &Evidence, observation: Observation) -> Result<Self, EvidenceError> {
        if !evidence.replay_valid() {
            return Err(EvidenceError::Refused("the decision does not replay under its policy"));
        }
        observation.check(evidence.decision.is_rejected())?;
        let identity_digest_hex = identity_digest(evidence);
        let outcome_digest_hex = observation.digest(&identity_digest_hex);
        let schema_version = OutcomeSchema;
        Ok(Self { schema_version, identity_digest_hex, observation, outcome_digest_hex })
    }

    /// Checks an outcome that was read against the decision it claims to be about.
    ///
    /// # Errors
    /// As [`Outcome::bind`], and [`EvidenceError::Digest`] for an identity or digest that is not the
    /// recomputed one.
    pub fn verify(&self, evidence: &Evidence) -> Result<(), EvidenceError> {
        let bound = Self::bind(evidence, self.observation)?;
        EvidenceError::digest(
            "identity_digest_hex",
            self.identity_digest_hex,
            bound.identity_digest_hex,
        )?;
        EvidenceError::digest(
            "outcome_digest_hex",
            self.outcome_digest_hex,
            bound.outcome_digest_hex,
        )
    }

    /// What was observed.
    #[must_use]
    pub fn observation(&self) -> &Observation {
        &self.observation
    }

    /// The identity of the decision.
    #[must_use]
    pub fn identity_digest(&self) -> HexDigest {
        self.identity_digest_hex
    }

    /// The digest of the outcome.
    #[must_use]
    pub fn digest(&self) -> HexDigest {
        self.outcome_digest_hex
    }
}

#[cfg(test)]
mod tests;
