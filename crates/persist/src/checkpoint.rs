//! Snapshots as files.

use std::path::Path;

use calybris_budget::{
    BudgetEngine, BudgetSnapshot, ConservationStatus, LedgerState, OverrunPolicy, TenantLedger,
    TenantState, TenantStatus, conservation_status_for_snapshot,
};
use calybris_wal::storage::{Files, Storage};

use crate::error::PersistError;
use crate::files;

/// Writes a snapshot, replacing the file whole: after a crash it holds the old snapshot or the new one.
///
/// # Errors
/// [`PersistError::NotConserved`] when its amounts do not add up; [`PersistError::Busy`];
/// [`PersistError::Io`], and the file is as it was, unless only the last sync of its folder failed.
///
/// ```
/// use calybris_budget::BudgetEngine;
/// use calybris_persist::{PersistError, load_snapshot, save_snapshot};
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("ledger.json");
/// let engine = BudgetEngine::new();
/// engine.ensure_tenant("desk-1", 500);
/// let snapshot = engine.snapshot();
/// save_snapshot(&snapshot, &path)?;
/// assert_eq!(load_snapshot(&path)?, snapshot);
///
/// let mut forged = snapshot;
/// forged.tenants[0].remaining_microcents += 1;
/// assert!(matches!(save_snapshot(&forged, &path), Err(PersistError::NotConserved { .. })));
/// # Ok::<(), PersistError>(())
/// ```
pub fn save_snapshot(snapshot: &BudgetSnapshot, path: &Path) -> Result<(), PersistError> {
    save_snapshot_to(&Files, snapshot, path)
}

pub(crate) fn save_snapshot_to(
    storage: &dyn Storage,
    snapshot: &BudgetSnapshot,
    path: &Path,
) -> Result<(), PersistError> {
    check(snapshot, path)?;
    let mut bytes = serde_json::to_vec(snapshot)
        .map_err(|source| PersistError::Json { path: path.to_owned(), source })?;
    bytes.push(b'\n');
    files::replace(storage, path, &bytes)
}

/// Reads a snapshot.
///
/// # Errors
/// [`PersistError::Json`] for what is no whole snapshot, with line and column;
/// [`PersistError::NotConserved`]; [`PersistError::Io`].
pub fn load_snapshot(path: &Path) -> Result<BudgetSnapshot, PersistError> {
    load_snapshot_from(&Files, path)
}

pub(crate) fn load_snapshot_from(
    storage: &dyn Storage,
    path: &Path,
) -> Result<BudgetSnapshot, PersistError> {
    let bytes = files::read(storage, path)?;
    let snapshot = serde_json::from_slice(&bytes)
        .map_err(|source| PersistError::Json { path: path.to_owned(), source })?;
    check(&snapshot, path)?;
    Ok(snapshot)
}

fn check(snapshot: &BudgetSnapshot, path: &Path) -> Result<(), PersistError> {
    match conservation_status_for_snapshot(snapshot) {
        ConservationStatus::Balanced => Ok(()),
        status => Err(PersistError::NotConserved { path: path.to_owned(), status }),
    }
}

/// Saves what the ledger is now. The snapshot names no position in a log.
///
/// # Errors
/// [`PersistError::OpenHolds`] while holds are open; [`PersistError::MoreThanAmounts`] for a tenant with a
/// parent, a status, a debt, an overrun policy, windows or keys: that takes a
/// [`DurableLedger`](crate::DurableLedger). Nothing is written then. Otherwise as [`save_snapshot`]. A cap on
/// what is reserved is not written either; set it again after a restart.
///
/// ```
/// use calybris_budget::BudgetEngine;
/// use calybris_persist::{PersistError, checkpoint, restore};
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("ledger.json");
/// let engine = BudgetEngine::new();
/// engine.ensure_tenant("desk-1", 500);
/// checkpoint(&engine, &path)?;
///
/// let restarted = BudgetEngine::new();
/// restore(&restarted, &path)?;
/// assert_eq!(restarted.remaining_microcents("desk-1"), Some(500));
///
/// engine.try_reserve("desk-1", 20);
/// assert!(matches!(checkpoint(&engine, &path), Err(PersistError::OpenHolds { count: 1, .. })));
/// # Ok::<(), PersistError>(())
/// ```
pub fn checkpoint(engine: &BudgetEngine, path: &Path) -> Result<(), PersistError> {
    save_settled(engine, None, path)
}

/// Saves what the ledger is now as what it was after log entry `wal_sequence`. The caller sees to it that
/// the ledger includes the effects of exactly the entries up to there.
///
/// # Errors
/// As [`checkpoint`].
pub fn checkpoint_with_wal(
    engine: &BudgetEngine,
    path: &Path,
    wal_sequence: u64,
) -> Result<(), PersistError> {
    save_settled(engine, Some(wal_sequence), path)
}

fn save_settled(
    engine: &BudgetEngine,
    wal_high_watermark: Option<u64>,
    path: &Path,
) -> Result<(), PersistError> {
    // Looked at once: what is saved is of the instant that was found to have nothing beyond it.
    let LedgerState { tenants, .. } = engine.state();
    let count = tenants.iter().map(|tenant| tenant.holds.len() as u64).sum();
    if count > 0 {
        return Err(PersistError::OpenHolds { path: path.to_owned(), count });
    }
    let lost = |tenant| beyond_amounts(tenant).map(|what| (tenant.tenant_id.clone(), what));
    if let Some((tenant_id, what)) = tenants.iter().find_map(lost) {
        return Err(PersistError::MoreThanAmounts { path: path.to_owned(), tenant_id, what });
    }
    let snapshot = BudgetSnapshot {
        // Of a later instant: above every hold id that was given until the first.
        version: engine.snapshot().version,
        tenants: tenants.into_iter().map(amounts).collect(),
        active_reservations: 0,
        wal_high_watermark,
    };
    save_snapshot(&snapshot, path)
}

fn amounts(tenant: TenantState) -> TenantLedger {
    TenantLedger {
        tenant_id: tenant.tenant_id,
        initial_microcents: tenant.initial_microcents,
        remaining_microcents: tenant.remaining_microcents,
        reserved_microcents: tenant.reserved_microcents,
        committed_microcents: tenant.committed_microcents,
    }
}

/// What a snapshot of amounts would lose of a tenant. A cap is a setting, and not asked for.
fn beyond_amounts(tenant: &TenantState) -> Option<&'static str> {
    let found = [
        (tenant.parent_id.is_some(), "the parent"),
        (tenant.status != TenantStatus::Active, "the status"),
        (tenant.overdraft_microcents > 0, "the debt"),
        (tenant.overrun_policy != OverrunPolicy::Refuse, "the overrun policy"),
        (!tenant.windows.is_empty(), "the windows"),
        (!tenant.keys.is_empty(), "the idempotency keys"),
    ];
    found.into_iter().find(|(has, _)| *has).map(|(_, what)| what)
}

/// Reads a snapshot and makes the ledger what it says.
///
/// # Errors
/// As [`load_snapshot`]; [`PersistError::Restore`]. The ledger is as it was then.
pub fn restore(engine: &BudgetEngine, path: &Path) -> Result<BudgetSnapshot, PersistError> {
    let snapshot = load_snapshot(path)?;
    engine
        .restore_from_snapshot(snapshot.clone())
        .map_err(|source| PersistError::Restore { path: path.to_owned(), source })?;
    Ok(snapshot)
}
