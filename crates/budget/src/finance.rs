//! Evidence about the ledger: its digest, the conservation proof and the financial certificate.

use calybris_kernel::digest::{CanonicalHasher, HexDigest, LEDGER_DIGEST_TAG};
use serde::{Deserialize, Serialize};

use crate::{
    engine::BudgetEngine,
    snapshot::{BudgetSnapshot, ConservationStatus, clamped, conservation_status_for_snapshot},
};

/// Microcents in one cent.
pub const MICROCENTS_PER_CENT: i64 = 1_000_000;

const WATERMARK_TAG: &[u8] = b"calybris.ledger.wal-watermark.v1\0";

/// The canonical digest of a snapshot: SHA-256 over the layout in `docs/format/ledger-v1.md`.
///
/// The order of `tenants` does not matter; every value does.
///
/// ```
/// use calybris_budget::{BudgetEngine, finance::ledger_digest};
/// let engine = BudgetEngine::new();
/// engine.ensure_tenant("desk-1", 100);
/// let snapshot = engine.snapshot();
/// let mut altered = snapshot.clone();
/// altered.tenants[0].remaining_microcents += 1;
/// assert_ne!(ledger_digest(&snapshot), ledger_digest(&altered));
/// ```
#[must_use]
pub fn ledger_digest(snapshot: &BudgetSnapshot) -> [u8; 32] {
    let mut tenants: Vec<_> = snapshot.tenants.iter().collect();
    tenants.sort_by(|a, b| a.tenant_id.cmp(&b.tenant_id));
    let mut hasher = CanonicalHasher::new(LEDGER_DIGEST_TAG)
        .u64(snapshot.version)
        .u64(tenants.len() as u64)
        .u64(snapshot.active_reservations);
    for tenant in tenants {
        hasher = hasher
            .u32(u32::try_from(tenant.tenant_id.len()).unwrap_or(u32::MAX))
            .bytes(tenant.tenant_id.as_bytes())
            .i64(tenant.initial_microcents)
            .i64(tenant.remaining_microcents)
            .i64(tenant.reserved_microcents)
            .i64(tenant.committed_microcents);
    }
    if let Some(watermark) = snapshot.wal_high_watermark {
        hasher = hasher.bytes(WATERMARK_TAG).u64(watermark);
    }
    hasher.finish()
}

/// One frozen snapshot that balances, bound to its digest and its totals.
///
/// The totals are sums over all tenants. In a hierarchy an amount spent is one at the tenant and at each of its
/// ancestors, and counts at each of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConservationProof {
    /// The digest of the snapshot.
    pub ledger_digest_hex: HexDigest,
    /// Its version.
    pub snapshot_version: u64,
    /// How many tenants it has.
    pub tenant_count: usize,
    /// Open holds of all of them.
    pub active_reservations: u64,
    /// The sum of what was ever granted to each of them; 0 when the totals are not representable.
    pub total_initial_microcents: i64,
    /// The sum of what each of them has committed; 0 when the totals are not representable.
    pub total_committed_microcents: i64,
    /// Whether both totals fit in an `i64`.
    pub aggregate_totals_representable: bool,
}

/// What [`ConservationProof`] says, whether or not the snapshot balances, and what was committed since
/// the certificate before: a total like the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinancialCertificate {
    /// The digest of the snapshot.
    pub ledger_digest_hex: HexDigest,
    /// Its version.
    pub snapshot_version: u64,
    /// How many tenants it has.
    pub tenant_count: usize,
    /// Open holds of all of them.
    pub active_reservations: u64,
    /// The sum of what was ever granted to each of them; 0 when the totals are not representable.
    pub total_initial_microcents: i64,
    /// The sum of what each of them has committed; 0 when the totals are not representable.
    pub total_committed_microcents: i64,
    /// Whether both totals fit in an `i64`.
    pub aggregate_totals_representable: bool,
    /// Whether every tenant balances.
    pub conservation_balanced: bool,
    /// Committed since the certificate before, clamped to the range of `i64`.
    pub committed_since_last_certificate: i64,
}

/// Both totals, or nothing when one of them does not fit.
fn totals(snapshot: &BudgetSnapshot) -> Option<(i64, i64)> {
    let initial = i64::try_from(snapshot.total_initial()).ok()?;
    Some((initial, i64::try_from(snapshot.total_committed()).ok()?))
}

/// Takes a snapshot and proves that it balances.
///
/// ```
/// use calybris_budget::{BudgetEngine, finance::prove_conservation};
/// let engine = BudgetEngine::new();
/// engine.ensure_tenant("desk-1", i64::MAX);
/// let proof = prove_conservation(&engine)?;
/// assert_eq!(proof.total_initial_microcents, i64::MAX);
///
/// engine.ensure_tenant("desk-2", 1);
/// let proof = prove_conservation(&engine)?;
/// assert!(!proof.aggregate_totals_representable);
/// assert_eq!(proof.total_initial_microcents, 0);
/// # Ok::<(), calybris_budget::ConservationStatus>(())
/// ```
///
/// # Errors
/// What is wrong, when it does not balance.
pub fn prove_conservation(engine: &BudgetEngine) -> Result<ConservationProof, ConservationStatus> {
    prove_snapshot(&engine.snapshot())
}

/// Proves that a snapshot balances.
///
/// # Errors
/// What is wrong, when it does not.
pub fn prove_snapshot(snapshot: &BudgetSnapshot) -> Result<ConservationProof, ConservationStatus> {
    match conservation_status_for_snapshot(snapshot) {
        ConservationStatus::Balanced => {}
        unbalanced => return Err(unbalanced),
    }
    let totals = totals(snapshot);
    let (total_initial_microcents, total_committed_microcents) = totals.unwrap_or_default();
    Ok(ConservationProof {
        ledger_digest_hex: HexDigest::new(&ledger_digest(snapshot)),
        snapshot_version: snapshot.version,
        tenant_count: snapshot.tenants.len(),
        active_reservations: snapshot.active_reservations,
        total_initial_microcents,
        total_committed_microcents,
        aggregate_totals_representable: totals.is_some(),
    })
}

/// Takes a snapshot, certifies it, and starts counting the next certificate's spend from it.
///
/// ```
/// use calybris_budget::{BudgetEngine, finance::certify_ledger};
/// let engine = BudgetEngine::new();
/// engine.ensure_tenant("desk-1", 100);
/// let (_, id) = engine.try_reserve("desk-1", 30);
/// engine.commit(id.unwrap_or(0), 25);
/// assert_eq!(certify_ledger(&engine).committed_since_last_certificate, 25);
/// assert_eq!(certify_ledger(&engine).committed_since_last_certificate, 0);
/// ```
#[must_use]
pub fn certify_ledger(engine: &BudgetEngine) -> FinancialCertificate {
    engine.ledger.certify(|snapshot, since| {
        let status = conservation_status_for_snapshot(snapshot);
        certify_snapshot(snapshot, status == ConservationStatus::Balanced, clamped(since))
    })
}

/// The certificate of a snapshot, with what the caller found out about it.
#[must_use]
pub fn certify_snapshot(
    snapshot: &BudgetSnapshot,
    conservation_balanced: bool,
    committed_since_last_certificate: i64,
) -> FinancialCertificate {
    let totals = totals(snapshot);
    let (total_initial_microcents, total_committed_microcents) = totals.unwrap_or_default();
    FinancialCertificate {
        ledger_digest_hex: HexDigest::new(&ledger_digest(snapshot)),
        snapshot_version: snapshot.version,
        tenant_count: snapshot.tenants.len(),
        active_reservations: snapshot.active_reservations,
        total_initial_microcents,
        total_committed_microcents,
        aggregate_totals_representable: totals.is_some(),
        conservation_balanced,
        committed_since_last_certificate,
    }
}
