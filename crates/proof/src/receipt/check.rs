//! Checking a receipt item by item: what was established, what was refuted, what was not looked at.

use core::fmt;

use alloc::string::ToString as _;

use calybris_kernel::digest::HexDigest;
use calybris_kernel::{KernelDecision, KernelInput, PolicySnapshot};

use super::{RECEIPT_SIGNATURE_TAG, Receipt, WalPosition};
use crate::audit::AuditBundle;
use crate::envelope::ProofEnvelope;
use crate::error::EvidenceError;
use crate::evidence::Evidence;
use crate::merkle::{InclusionProof, TreeHead};
use crate::signature::TrustedKeys;
use crate::state::StateTransition;

/// One thing a receipt can establish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Item {
    /// The claims digest covers the claims as they stand.
    Claims,
    /// The decision replays from the policy and the request at hand, and the receipt is about them.
    Replay,
    /// A trusted key signed the claims.
    Signature,
    /// The decision is in the log at hand, at the place the receipt names.
    Log,
    /// The state transition is the one at hand.
    State,
    /// The decision's envelope names the ledger at hand, which is conserved. An envelope is signed by
    /// nobody: the parts agree, no more.
    Ledger,
}

impl Item {
    /// Every item, in the order a verdict lists them.
    pub const ALL: [Self; 6] =
        [Self::Claims, Self::Replay, Self::Signature, Self::Log, Self::State, Self::Ledger];

    /// The name in `snake_case`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claims => "claims",
            Self::Replay => "replay",
            Self::Signature => "signature",
            Self::Log => "log",
            Self::State => "state",
            Self::Ledger => "ledger",
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a check of one item found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Finding {
    /// It holds.
    Established,
    /// It is false.
    Refuted(EvidenceError),
    /// It could not be checked, and why.
    NotChecked(&'static str),
}

impl Finding {
    fn from_check(check: Result<(), EvidenceError>) -> Self {
        check.map_or_else(Self::Refuted, |()| Self::Established)
    }
}

/// The policy, request and decision a receipt is checked against.
#[derive(Clone, Copy, Debug)]
pub struct DecisionFacts<'a> {
    /// The policy.
    pub policy: &'a PolicySnapshot,
    /// The request.
    pub input: KernelInput,
    /// The decision.
    pub decision: &'a KernelDecision,
}

/// What the verifier knows about the log: an entry, what it says, and why it counts.
#[derive(Clone, Copy, Debug)]
pub struct LogFacts<'a> {
    /// The entry, its hash recomputed by the verifier from its payload.
    pub entry: WalPosition,
    /// The bundle of the record in that payload, which [`AuditedRecord::check_digests`] accepts. Without it a
    /// receipt could name an entry about another decision.
    ///
    /// [`AuditedRecord::check_digests`]: crate::AuditedRecord::check_digests
    pub audit: &'a AuditBundle,
    /// Why the entry is one of the log's.
    pub standing: LogStanding<'a>,
}

/// Why an entry is one of the log's.
#[derive(Clone, Copy, Debug)]
pub enum LogStanding<'a> {
    /// The verifier has verified the log's chain through it up to a head it trusts.
    VerifiedChain,
    /// A proof shows it under a tree head the verifier trusts, such as a checkpoint's.
    Inclusion {
        /// The proof.
        proof: &'a InclusionProof,
        /// The trusted head.
        head: &'a TreeHead,
    },
}

/// What the verifier knows about the ledger.
#[derive(Clone, Copy, Debug)]
pub struct LedgerFacts<'a> {
    /// The envelope that binds the decision to a ledger; the receipt itself names none.
    pub envelope: &'a ProofEnvelope,
    /// The version of the ledger snapshot at hand.
    pub snapshot_version: u64,
    /// Its digest, recomputed by the verifier.
    pub ledger_digest: HexDigest,
    /// Whether every tenant of it balances.
    pub conserved: bool,
}

/// Everything the verifier has at hand. What is left out is not checked, and fails where it is required.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReceiptContext<'a> {
    /// For [`Item::Replay`].
    pub decision: Option<DecisionFacts<'a>>,
    /// For [`Item::Signature`].
    pub trusted_keys: Option<&'a TrustedKeys>,
    /// For [`Item::Log`].
    pub log: Option<LogFacts<'a>>,
    /// For [`Item::State`].
    pub state: Option<StateTransition>,
    /// For [`Item::Ledger`].
    pub ledger: Option<LedgerFacts<'a>>,
}

/// What a receipt established, item by item.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a verdict that is not asked with `require` decides nothing"]
pub struct ReceiptVerdict([Finding; 6]);

impl ReceiptVerdict {
    /// The finding about one item.
    pub fn finding(&self, item: Item) -> &Finding {
        let [claims, replay, signature, log, state, ledger] = &self.0;
        match item {
            Item::Claims => claims,
            Item::Replay => replay,
            Item::Signature => signature,
            Item::Log => log,
            Item::State => state,
            Item::Ledger => ledger,
        }
    }

    /// Every item with its finding.
    pub fn items(&self) -> impl Iterator<Item = (Item, &Finding)> {
        Item::ALL.into_iter().zip(&self.0)
    }

    /// Demands that every required item is established, and that nothing at all is refuted.
    /// The claims are always required.
    ///
    /// # Errors
    /// [`EvidenceError::Unmet`] names the first item that fails and why.
    pub fn require(&self, required: &[Item]) -> Result<(), EvidenceError> {
        for (item, finding) in self.items() {
            let why = match finding {
                Finding::Established => continue,
                Finding::Refuted(error) => error.to_string(),
                Finding::NotChecked(_) if item != Item::Claims && !required.contains(&item) => {
                    continue;
                }
                Finding::NotChecked(why) => (*why).into(),
            };
            return Err(EvidenceError::Unmet { item: item.as_str(), why });
        }
        Ok(())
    }
}

/// Checks every item the context allows. Nothing is assumed: ask the verdict with
/// [`ReceiptVerdict::require`].
///
/// ```
/// use calybris_proof::receipt::{Item, Receipt, ReceiptContext, verify_receipt};
/// use calybris_proof::signature::{Signer, TrustedKey, TrustedKeys};
/// # use calybris_proof::Evidence;
/// # use calybris_kernel::{KernelInput, KernelModel, PolicySnapshot};
/// # let model = KernelModel { model_id: 1, provider_id: 0, quality_bps: 9_000, risk_ceiling_bps: 9_000,
/// #     enabled: 1, p95_latency_ms: 100, capabilities: 0, region_mask: 1,
/// #     input_cost_microunits_per_million_tokens: 0, output_cost_microunits_per_million_tokens: 0 };
/// # let policy = PolicySnapshot::try_new(1, 1, 9_600, 0, 0, 0, vec![model])?;
/// # let input = KernelInput { request_sequence: 1, requested_model_id: 1, input_tokens: 0, output_tokens: 0,
/// #     business_value_microunits: 100, budget_limit_microunits: 0, risk_bps: 0, confidence_bps: 10_000,
/// #     minimum_quality_bps: 0, max_p95_latency_ms: 0, required_capabilities: 0,
/// #     allowed_provider_mask: u64::MAX, required_region_mask: 0 };
/// # let decision = policy.prescribe(input);
///
/// let signer = Signer::new("gateway", &[7; 32])?;
/// let evidence = Evidence::of(&policy, input, &decision);
/// let receipt = Receipt::issue(&evidence, None, None)?.sign(&signer, 1_767_225_600_000);
///
/// let trusted = TrustedKeys::new([TrustedKey::new("gateway", signer.public_key())]);
/// let context = ReceiptContext { trusted_keys: Some(&trusted), ..ReceiptContext::default() };
/// let verdict = verify_receipt(&receipt, &context);
/// verdict.require(&[Item::Signature])?;
/// // The policy and the request were not at hand, so nothing is known about the replay.
/// assert!(verdict.require(&[Item::Signature, Item::Replay]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify_receipt(receipt: &Receipt, context: &ReceiptContext<'_>) -> ReceiptVerdict {
    ReceiptVerdict([
        claims(receipt),
        context.decision.map_or(
            Finding::NotChecked("the policy, the request and the decision are not at hand"),
            |facts| Finding::from_check(replay(receipt, &facts)),
        ),
        signature(receipt, context.trusted_keys),
        log(receipt, context.log),
        state(receipt, context.state),
        context.ledger.map_or(Finding::NotChecked("no ledger is at hand"), |facts| {
            Finding::from_check(ledger(receipt, &facts))
        }),
    ])
}

fn claims(receipt: &Receipt) -> Finding {
    let recomputed = receipt.claims_digest();
    Finding::from_check(EvidenceError::digest(
        "claims_digest_hex",
        receipt.claims_digest_hex,
        recomputed,
    ))
}

fn replay(receipt: &Receipt, facts: &DecisionFacts<'_>) -> Result<(), EvidenceError> {
    let evidence = Evidence::of(facts.policy, facts.input, facts.decision);
    let digests = [evidence.policy_digest(), evidence.input_digest(), evidence.decision_digest()];
    same_decision(receipt, digests)?;
    let (policy_epoch, catalog_epoch) = evidence.epochs();
    EvidenceError::number("policy_epoch", receipt.policy_epoch, policy_epoch)?;
    EvidenceError::number("catalog_epoch", receipt.catalog_epoch, catalog_epoch)?;
    if !evidence.replay_valid() {
        return Err(EvidenceError::Refused("the decision does not replay under the policy"));
    }
    if !receipt.replay_valid {
        return Err(EvidenceError::Refused("the receipt itself says the decision did not replay"));
    }
    Ok(())
}

fn signature(receipt: &Receipt, trusted: Option<&TrustedKeys>) -> Finding {
    let Some(signature) = &receipt.signature else {
        return Finding::NotChecked("the receipt is not signed");
    };
    let Some(trusted) = trusted else {
        return Finding::NotChecked("no trusted key is at hand");
    };
    // Over the claims as they stand, whatever digest the receipt states.
    let claims = receipt.claims_digest().to_bytes();
    Finding::from_check(signature.verify(RECEIPT_SIGNATURE_TAG, &claims, trusted))
}

fn log(receipt: &Receipt, facts: Option<LogFacts<'_>>) -> Finding {
    let Some(claimed) = receipt.wal else {
        return Finding::NotChecked("the receipt names no log position");
    };
    let Some(facts) = facts else {
        return Finding::NotChecked("no log is at hand");
    };
    Finding::from_check(logged(receipt, claimed, &facts))
}

fn logged(
    receipt: &Receipt,
    claimed: WalPosition,
    facts: &LogFacts<'_>,
) -> Result<(), EvidenceError> {
    let LogFacts { entry, audit, standing } = facts;
    EvidenceError::number("wal.sequence", claimed.sequence, entry.sequence)?;
    EvidenceError::digest("wal.entry_hash", claimed.entry_hash, entry.entry_hash)?;
    let logged = [audit.policy_digest_hex, audit.input_digest_hex, audit.decision_digest_hex];
    same_decision(receipt, logged)?;
    match standing {
        LogStanding::VerifiedChain => Ok(()),
        LogStanding::Inclusion { proof, head } => {
            // Sequences count from 1, leaves from 0.
            let sequence = proof.leaf_index.saturating_add(1);
            EvidenceError::number("wal.sequence", claimed.sequence, sequence)?;
            proof.verify(&claimed.entry_hash.to_bytes(), head)
        }
    }
}

/// Refuses facts about another decision, by their digests of policy, request and decision.
fn same_decision(
    receipt: &Receipt,
    [policy, input, decision]: [HexDigest; 3],
) -> Result<(), EvidenceError> {
    EvidenceError::digest("policy_digest_hex", receipt.policy_digest_hex, policy)?;
    EvidenceError::digest("input_digest_hex", receipt.input_digest_hex, input)?;
    EvidenceError::digest("decision_digest_hex", receipt.decision_digest_hex, decision)
}

fn state(receipt: &Receipt, known: Option<StateTransition>) -> Finding {
    let Some(claimed) = receipt.state else {
        return Finding::NotChecked("the receipt names no state transition");
    };
    let Some(known) = known else {
        return Finding::NotChecked("no state transition is at hand");
    };
    Finding::from_check(same_transition(&claimed, &known))
}

fn same_transition(
    claimed: &StateTransition,
    known: &StateTransition,
) -> Result<(), EvidenceError> {
    EvidenceError::number("state.step", claimed.step, known.step)?;
    let (claims, knows) = (claimed.state_digest_before_hex, known.state_digest_before_hex);
    EvidenceError::digest("state.state_digest_before_hex", claims, knows)?;
    let (claims, knows) = (claimed.state_digest_after_hex, known.state_digest_after_hex);
    EvidenceError::digest("state.state_digest_after_hex", claims, knows)
}

fn ledger(receipt: &Receipt, facts: &LedgerFacts<'_>) -> Result<(), EvidenceError> {
    let envelope = facts.envelope;
    let digests =
        [envelope.policy_digest_hex, envelope.input_digest_hex, envelope.decision_digest_hex];
    same_decision(receipt, digests)?;
    if !envelope.replay_valid {
        return Err(EvidenceError::Refused("the envelope itself says the decision did not replay"));
    }
    if let (Some(claimed), Some(sequence)) = (receipt.wal, envelope.wal_sequence) {
        EvidenceError::number("wal.sequence", claimed.sequence, sequence)?;
    }
    if let (Some(claimed), Some(entry_hash)) = (receipt.wal, envelope.wal_entry_hash) {
        EvidenceError::digest("wal.entry_hash", claimed.entry_hash, entry_hash)?;
    }
    let (Some(version), Some(digest)) =
        (envelope.budget_snapshot_version, envelope.ledger_digest_hex)
    else {
        return Err(EvidenceError::Refused("the envelope names no ledger"));
    };
    EvidenceError::number("ledger snapshot version", version, facts.snapshot_version)?;
    EvidenceError::digest("ledger_digest_hex", digest, facts.ledger_digest)?;
    if facts.conserved {
        Ok(())
    } else {
        Err(EvidenceError::Refused("the ledger is not conserved"))
    }
}
