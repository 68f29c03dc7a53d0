//! A frozen view of all tenants, and the check that no money appeared or vanished in it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::account::Balances;

/// Set in the version of every snapshot; the other bits are the next free hold id.
pub const SNAPSHOT_VERSION_TAG: u64 = 1 << 63;

/// The highest version an engine goes on from. Versions and hold ids only rise, so one close to the end of
/// its range would leave none for what follows. Restoring a snapshot uses up 2^23 ids for each of its tenants,
/// so a million tenants get here after half a million restores; a [`LedgerState`](crate::LedgerState) uses up none.
pub const MAX_SNAPSHOT_VERSION: u64 = SNAPSHOT_VERSION_TAG | (1 << 62);

/// All tenants at one instant.
///
/// ```
/// # use calybris_budget::BudgetEngine;
/// let engine = BudgetEngine::new();
/// engine.ensure_tenant("desk-1", 500);
/// let snapshot = engine.snapshot();
/// assert_eq!(snapshot.tenants[0].remaining_microcents, 500);
/// assert!(engine.snapshot().version > snapshot.version);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetSnapshot {
    /// [`SNAPSHOT_VERSION_TAG`] plus a hold id above every one given so far. Rises with every
    /// snapshot, across restores of one too.
    pub version: u64,
    /// By the bytes of their ids.
    pub tenants: Vec<TenantLedger>,
    /// Open holds of all tenants.
    pub active_reservations: u64,
    /// The log sequence this snapshot includes, for one that belongs to a log.
    #[serde(default)]
    pub wal_high_watermark: Option<u64>,
}

impl BudgetSnapshot {
    pub(crate) fn total_initial(&self) -> i128 {
        self.tenants.iter().map(|tenant| i128::from(tenant.initial_microcents)).sum()
    }

    pub(crate) fn total_committed(&self) -> i128 {
        self.tenants.iter().map(|tenant| i128::from(tenant.committed_microcents)).sum()
    }
}

/// One tenant in a snapshot. Amounts in microcents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantLedger {
    /// The name the tenant was opened with.
    pub tenant_id: String,
    /// Everything ever granted.
    pub initial_microcents: i64,
    /// What can still be reserved.
    pub remaining_microcents: i64,
    /// The sum of the open holds.
    pub reserved_microcents: i64,
    /// What was spent, over the whole life of the tenant.
    pub committed_microcents: i64,
}

impl TenantLedger {
    /// An overdraft has no place in this form; the other four amounts balance without it.
    pub(crate) fn new(tenant_id: String, balances: Balances) -> Self {
        Self {
            tenant_id,
            initial_microcents: balances.initial_microcents,
            remaining_microcents: balances.remaining_microcents,
            reserved_microcents: balances.reserved_microcents,
            committed_microcents: balances.committed_microcents,
        }
    }

    /// `remaining + reserved + committed`, exactly.
    fn accounted(&self) -> i128 {
        i128::from(self.remaining_microcents)
            + i128::from(self.reserved_microcents)
            + i128::from(self.committed_microcents)
    }
}

/// Whether `remaining + reserved + committed == initial` and `remaining >= 0` for every tenant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConservationStatus {
    /// It holds for all of them.
    #[error("balanced")]
    Balanced,
    /// The first tenant, in snapshot order, for which it does not.
    #[error(
        "tenant {tenant_id:?} does not balance: remaining + reserved + committed exceeds initial \
         by {delta_microcents} microcents, or remaining is negative"
    )]
    Violation {
        /// Whose amounts do not add up.
        tenant_id: String,
        /// `remaining + reserved + committed - initial`, clamped to the range of `i64`.
        delta_microcents: i64,
    },
    /// The amounts of some tenant add up to more than an `i64` holds.
    #[error("the amounts of a tenant add up to more than an i64 holds")]
    AggregateOverflow,
}

/// Checks every tenant of a snapshot.
///
/// ```
/// use calybris_budget::{BudgetEngine, ConservationStatus, conservation_status_for_snapshot};
/// let engine = BudgetEngine::new();
/// engine.ensure_tenant("desk-1", 500);
/// let mut snapshot = engine.snapshot();
/// assert_eq!(conservation_status_for_snapshot(&snapshot), ConservationStatus::Balanced);
/// snapshot.tenants[0].committed_microcents += 1;
/// let status = conservation_status_for_snapshot(&snapshot);
/// assert!(matches!(status, ConservationStatus::Violation { delta_microcents: 1, .. }));
/// ```
#[must_use]
pub fn conservation_status_for_snapshot(snapshot: &BudgetSnapshot) -> ConservationStatus {
    for tenant in &snapshot.tenants {
        let Ok(accounted) = i64::try_from(tenant.accounted()) else {
            return ConservationStatus::AggregateOverflow;
        };
        if accounted != tenant.initial_microcents || tenant.remaining_microcents < 0 {
            let delta = i128::from(accounted) - i128::from(tenant.initial_microcents);
            return ConservationStatus::Violation {
                tenant_id: tenant.tenant_id.clone(),
                delta_microcents: clamped(delta),
            };
        }
    }
    ConservationStatus::Balanced
}

/// The nearest amount an `i64` holds.
pub(crate) fn clamped(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(if amount < 0 { i64::MIN } else { i64::MAX })
}

/// Why a snapshot cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The version lacks bit 63, so it does not say which hold ids are taken.
    #[error(
        "snapshot version {version} lacks bit 63: it does not say which reservation ids are taken"
    )]
    UntaggedVersion {
        /// The version found.
        version: u64,
    },
    /// The version leaves too few versions and hold ids to go on with.
    #[error("snapshot version {version} is above {MAX_SNAPSHOT_VERSION}: its hold ids are used up")]
    ExhaustedVersion {
        /// The version found.
        version: u64,
    },
    /// Open holds are counted but not listed in this form of a snapshot.
    #[error(
        "the snapshot counts {count} open reservations but cannot list them; settle them before \
         the snapshot is taken, or use a full ledger state"
    )]
    ActiveReservations {
        /// How many.
        count: u64,
    },
    /// An amount that can never be negative is.
    #[error("tenant {tenant_id:?} has a negative {field}: {value}")]
    NegativeAmount {
        /// Whose.
        tenant_id: String,
        /// The member.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// A tenant is listed twice.
    #[error("tenant {tenant_id:?} is listed twice")]
    DuplicateTenant {
        /// Which.
        tenant_id: String,
    },
    /// The amounts do not add up.
    #[error("the snapshot is not conserved: {0}")]
    NotConserved(ConservationStatus),
    /// The amounts of a tenant add up to more than an `i64` holds.
    #[error(
        "the amounts of tenant {tenant_id:?} add up to {accounted_microcents}, more than {}",
        i64::MAX
    )]
    Overflow {
        /// Whose.
        tenant_id: String,
        /// `remaining + reserved + committed`.
        accounted_microcents: i128,
    },
    /// Tenants, present and past, beyond what one ledger holds.
    #[error("the ledger cannot hold {tenants} more tenants")]
    TooManyTenants {
        /// How many the snapshot has.
        tenants: usize,
    },
}

/// Refuses what an engine cannot have written or cannot go on from.
pub(crate) fn check_restorable(snapshot: &BudgetSnapshot) -> Result<(), RestoreError> {
    if snapshot.version & SNAPSHOT_VERSION_TAG == 0 {
        return Err(RestoreError::UntaggedVersion { version: snapshot.version });
    }
    if snapshot.version > MAX_SNAPSHOT_VERSION {
        return Err(RestoreError::ExhaustedVersion { version: snapshot.version });
    }
    let mut seen = BTreeSet::new();
    for tenant in &snapshot.tenants {
        let tenant_id = || tenant.tenant_id.clone();
        let fields = [
            ("initial_microcents", tenant.initial_microcents),
            ("remaining_microcents", tenant.remaining_microcents),
            ("reserved_microcents", tenant.reserved_microcents),
            ("committed_microcents", tenant.committed_microcents),
        ];
        if let Some((field, value)) = fields.into_iter().find(|(_, value)| *value < 0) {
            return Err(RestoreError::NegativeAmount { tenant_id: tenant_id(), field, value });
        }
        let accounted_microcents = tenant.accounted();
        if accounted_microcents > i64::MAX.into() {
            return Err(RestoreError::Overflow { tenant_id: tenant_id(), accounted_microcents });
        }
        if !seen.insert(tenant.tenant_id.as_str()) {
            return Err(RestoreError::DuplicateTenant { tenant_id: tenant_id() });
        }
    }
    match conservation_status_for_snapshot(snapshot) {
        ConservationStatus::Balanced => {}
        status => return Err(RestoreError::NotConserved(status)),
    }
    let holding = snapshot.tenants.iter().filter(|tenant| tenant.reserved_microcents > 0).count();
    match snapshot.active_reservations.max(holding as u64) {
        0 => Ok(()),
        count => Err(RestoreError::ActiveReservations { count }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(version: u64) -> Option<RestoreError> {
        let (tenants, active_reservations, wal_high_watermark) = (Vec::new(), 0, None);
        let snapshot = BudgetSnapshot { version, tenants, active_reservations, wal_high_watermark };
        check_restorable(&snapshot).err()
    }

    #[test]
    fn only_a_version_to_go_on_from_is_restored() {
        let untagged = SNAPSHOT_VERSION_TAG - 1;
        assert_eq!(refusal(untagged), Some(RestoreError::UntaggedVersion { version: untagged }));
        assert_eq!(refusal(SNAPSHOT_VERSION_TAG), None);
        assert_eq!(refusal(MAX_SNAPSHOT_VERSION), None);
        let version = MAX_SNAPSHOT_VERSION + 1;
        assert_eq!(refusal(version), Some(RestoreError::ExhaustedVersion { version }));
    }
}
