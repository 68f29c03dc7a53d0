//! Replaying an audited log: every digest and decision recomputed.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use calybris_kernel::PolicySnapshot;
use calybris_kernel::digest::HexDigest;
use calybris_proof::audit::{AuditBundle, AuditedRecord, RecordVerdict};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::error::{EntryFault, Fault, WalError};
use crate::fold::VerifiedEntry;
use crate::options::WalOptions;
use crate::payload::{decode, decode_metadata};
use crate::reader::{VerifiedWal, scan};
use crate::scan::{Progress, Visit};

/// What recomputing one entry established. In a list returned by a replay everything holds: a replay stops
/// with an error at the first entry where something does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalReplayVerdict {
    /// The entry.
    pub sequence: u64,
    /// The policy gives the recorded decision, and the record says so.
    pub replay_valid: bool,
    /// The record names this policy: its digest and epochs.
    pub policy_digest_match: bool,
    /// The record's digest is that of its request.
    pub input_digest_match: bool,
    /// The record's digest is that of its decision.
    pub decision_digest_match: bool,
}

impl WalReplayVerdict {
    fn valid(sequence: u64) -> Self {
        Self {
            sequence,
            replay_valid: true,
            policy_digest_match: true,
            input_digest_match: true,
            decision_digest_match: true,
        }
    }
}

/// Replays an unkeyed audited log under one policy, whatever its metadata.
///
/// # Errors
/// [`WalError::Entry`] at the first line that breaks the chain, is no audited record or does not replay;
/// [`WalError::Io`].
pub fn replay_audited_wal(
    path: &Path,
    snapshot: &PolicySnapshot,
) -> Result<Vec<WalReplayVerdict>, WalError> {
    replay::<IgnoredAny>(path, None, &mut |_| Some(snapshot.clone()))
}

/// Replays an audited log under one policy; the metadata must decode as `M`.
///
/// # Errors
/// As [`replay_audited_wal`]; [`WalError::Key`] for a key of fewer than 32 bytes.
pub fn replay_audited_wal_keyed<M: DeserializeOwned>(
    path: &Path,
    snapshot: &PolicySnapshot,
    key: Option<&[u8]>,
) -> Result<Vec<WalReplayVerdict>, WalError> {
    replay::<M>(path, key, &mut |_| Some(snapshot.clone()))
}

/// Replays an audited log that spans policies: `resolver` finds the policy a bundle names. It is asked once
/// for a run of entries that name the same one, and more often where the log is replayed in parallel.
///
/// # Errors
/// As [`replay_audited_wal_keyed`], also where the resolver finds nothing or another policy.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("log");
/// use calybris_kernel::{KernelInput, KernelModel, PolicySnapshot};
/// use calybris_proof::audit::{AuditBundle, AuditedRecord};
/// use calybris_wal::{WalWriter, replay_audited_wal_with_resolver};
///
/// # let model = KernelModel { model_id: 1, provider_id: 0, quality_bps: 9_000, risk_ceiling_bps: 9_500, enabled: 1, p95_latency_ms: 200, capabilities: 0, region_mask: 1, input_cost_microunits_per_million_tokens: 2_500_000, output_cost_microunits_per_million_tokens: 10_000_000 };
/// # let input = KernelInput { request_sequence: 1, requested_model_id: 1, input_tokens: 1_000, output_tokens: 500, business_value_microunits: 5_000_000, budget_limit_microunits: u64::MAX, risk_bps: 500, confidence_bps: 9_000, minimum_quality_bps: 0, max_p95_latency_ms: 0, required_capabilities: 0, allowed_provider_mask: u64::MAX, required_region_mask: 0 };
/// let policies: Vec<_> = (1..=2)
///     .map(|epoch| PolicySnapshot::try_new(epoch, 1, 9_600, 5_500, 3_500, 2, vec![model]).unwrap())
///     .collect();
/// let log = WalWriter::<AuditedRecord<()>>::open(&path)?;
/// for policy in &policies {
///     log.append_verified_audited(policy, input, policy.prescribe(input), ())?;
/// }
/// let find = |audit: &AuditBundle| {
///     policies.iter().find(|policy| audit.policy_digest_hex.to_bytes() == policy.digest()).cloned()
/// };
/// assert_eq!(replay_audited_wal_with_resolver::<(), _>(&path, None, find)?.len(), 2);
///
/// let only_the_first = |_: &AuditBundle| Some(policies[0].clone());
/// let error = replay_audited_wal_with_resolver::<(), _>(&path, None, only_the_first).unwrap_err();
/// assert_eq!(error.sequence(), Some(2));
/// # Ok::<(), calybris_wal::WalError>(())
/// ```
pub fn replay_audited_wal_with_resolver<M, R>(
    path: &Path,
    key: Option<&[u8]>,
    mut resolver: R,
) -> Result<Vec<WalReplayVerdict>, WalError>
where
    M: DeserializeOwned,
    R: FnMut(&AuditBundle) -> Option<PolicySnapshot> + Send,
{
    replay::<M>(path, key, &mut resolver)
}

/// Replays an audited log as `options` say, in constant memory and telling how far it has come.
///
/// # Errors
/// As [`replay_audited_wal_with_resolver`] and [`verify_wal_with`](crate::verify_wal_with).
pub fn replay_audited_wal_with<M, R>(
    path: &Path,
    options: &WalOptions,
    mut resolver: R,
    progress: Option<&mut dyn FnMut(Progress)>,
) -> Result<VerifiedWal, WalError>
where
    M: DeserializeOwned,
    R: FnMut(&AuditBundle) -> Option<PolicySnapshot> + Send,
{
    replay_with::<M>(path, options, &mut resolver, progress)
}

fn replay<M: DeserializeOwned>(
    path: &Path,
    key: Option<&[u8]>,
    resolver: &mut Resolver<'_>,
) -> Result<Vec<WalReplayVerdict>, WalError> {
    let options = key.map_or_else(WalOptions::new, |key| WalOptions::new().key(key));
    let VerifiedWal { after, sequence, .. } = replay_with::<M>(path, &options, resolver, None)?;
    Ok((after..sequence).map(|before| WalReplayVerdict::valid(before + 1)).collect())
}

fn replay_with<M: DeserializeOwned>(
    path: &Path,
    options: &WalOptions,
    resolver: &mut Resolver<'_>,
    progress: Option<&mut dyn FnMut(Progress)>,
) -> Result<VerifiedWal, WalError> {
    let resolver = &Mutex::new(resolver);
    let visitor = || {
        let mut policy = None;
        let visit = move |entry: &VerifiedEntry<'_>| {
            let decodes = |metadata: &[u8]| decode_metadata::<M>(metadata).is_some();
            let verdict = match entry.record {
                Some(record) if decodes(record.metadata) => verdict(record, &mut policy, resolver)?,
                _ => verdict(&decode::<AuditedRecord<M>>(entry.data)?, &mut policy, resolver)?,
            };
            if verdict.is_valid() {
                return Ok(());
            }
            Err(EntryFault::Replay { reason: differences(&verdict) }.into())
        };
        let visit: Box<dyn Visit> = Box::new(Each(visit));
        visit
    };
    scan(path, options, Some(&visitor), progress)
}

/// Recomputes a record under the policy it names: that of the record before, or else the resolver's.
fn verdict<M>(
    record: &AuditedRecord<M>,
    policy: &mut Option<(HexDigest, PolicySnapshot)>,
    resolver: &Mutex<&mut Resolver<'_>>,
) -> Result<RecordVerdict, Fault> {
    let named = record.audit.policy_digest_hex;
    let known = policy.take().filter(|(digest, _)| *digest == named);
    let (_, snapshot) = match known {
        Some(known) => policy.insert(known),
        None => policy.insert((named, resolve(resolver, &record.audit)?)),
    };
    Ok(record.replay(snapshot))
}

/// A closure that is called for every entry.
struct Each<F>(F);

impl<F: FnMut(&VerifiedEntry<'_>) -> Result<(), Fault> + Send> Visit for Each<F> {
    fn entry(&mut self, entry: &VerifiedEntry<'_>) -> Result<(), Fault> {
        (self.0)(entry)
    }
}

type Resolver<'r> = dyn FnMut(&AuditBundle) -> Option<PolicySnapshot> + Send + 'r;

fn resolve(
    resolver: &Mutex<&mut Resolver<'_>>,
    audit: &AuditBundle,
) -> Result<PolicySnapshot, Fault> {
    let mut resolver = resolver.lock().unwrap_or_else(PoisonError::into_inner);
    (*resolver)(audit).ok_or_else(|| {
        let policy_digest = audit.policy_digest_hex.to_string();
        EntryFault::PolicyMissing { policy_digest }.into()
    })
}

fn differences(verdict: &RecordVerdict) -> String {
    let checks = [
        (verdict.policy_digest_match, "it names another policy"),
        (verdict.input_digest_match, "its input digest is another request's"),
        (verdict.decision_digest_match, "its decision digest is another decision's"),
        (verdict.replay_valid, "the policy decides otherwise, or it says so itself"),
    ];
    let failed: Vec<_> = checks.iter().filter(|(holds, _)| !holds).map(|(_, what)| *what).collect();
    failed.join("; ")
}
