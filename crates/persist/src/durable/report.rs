//! What opening a ledger found, for people and for programs.

use std::fmt;
use std::path::PathBuf;

use calybris_budget::finance::ConservationProof;
use calybris_budget::{HoldState, LedgerState, TenantState};
use calybris_kernel::digest::HexDigest;
use calybris_wal::WalReport;

/// How many holds are printed; all of them are listed.
const PRINTED_HOLDS: usize = 20;

/// What opening a ledger found. Prints as a few lines.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerReport {
    /// The ledger.
    pub directory: PathBuf,
    /// The log as it was found: its entries, all verified, and what a crash had left after them.
    pub log: WalReport,
    /// The last entry the restored checkpoint includes; 0 when there was none to restore.
    pub checkpoint_sequence: u64,
    /// Operations replayed after it.
    pub operations_replayed: u64,
    /// Checkpoints that were not whole.
    pub rejected_checkpoints: Vec<RejectedCheckpoint>,
    /// Holds that are open, by tenant and id: their callers may still settle them.
    pub open_holds: Vec<ListedHold>,
    /// The digest of the recovered state.
    pub state_digest_hex: HexDigest,
    /// That every tenant balances.
    pub conservation: ConservationProof,
}

/// A checkpoint that was not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedCheckpoint {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// A hold that was open when the ledger stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedHold {
    /// Whose.
    pub tenant_id: String,
    /// Its id.
    pub hold: u64,
    /// What is set aside.
    pub amount_microcents: i64,
    /// When it was made, in caller time.
    pub began: u64,
    /// From when on it may be given back.
    pub deadline: Option<u64>,
}

impl fmt::Display for LedgerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ledger   {}", self.directory.display())?;
        writeln!(f, "{}", self.log)?;
        for RejectedCheckpoint { path, reason } in &self.rejected_checkpoints {
            writeln!(f, "rejected {}: {reason}", path.display())?;
        }
        match self.checkpoint_sequence {
            0 => writeln!(f, "restored nothing, there was no checkpoint")?,
            sequence => writeln!(f, "restored the checkpoint after entry {sequence}")?,
        }
        writeln!(
            f,
            "replayed {} operations, each with its recorded outcome",
            self.operations_replayed
        )?;
        let held: i128 = self.open_holds.iter().map(|it| i128::from(it.amount_microcents)).sum();
        writeln!(f, "open     {} holds of {held} microcents", self.open_holds.len())?;
        for open in self.open_holds.iter().take(PRINTED_HOLDS) {
            let ListedHold { tenant_id, hold, amount_microcents: amount, deadline, .. } = open;
            write!(f, "         {hold} of {tenant_id:?}: {amount}")?;
            match deadline {
                Some(deadline) => writeln!(f, ", until {deadline}")?,
                None => writeln!(f, ", without a deadline")?,
            }
        }
        if self.open_holds.len() > PRINTED_HOLDS {
            writeln!(f, "         and {} more", self.open_holds.len() - PRINTED_HOLDS)?;
        }
        writeln!(f, "balanced {} tenants, every one of them", self.conservation.tenant_count)?;
        write!(f, "state    {}", self.state_digest_hex)
    }
}

pub(super) fn open_holds(state: &LedgerState) -> Vec<ListedHold> {
    let of_tenant = |tenant: &TenantState| {
        let tenant_id = tenant.tenant_id.clone();
        let listed = |hold: &HoldState| ListedHold {
            tenant_id: tenant_id.clone(),
            hold: hold.hold,
            amount_microcents: hold.amount_microcents,
            began: hold.began,
            deadline: hold.deadline,
        };
        tenant.holds.iter().map(listed).collect::<Vec<_>>()
    };
    state.tenants.iter().flat_map(of_tenant).collect()
}
