//! What opening a ledger found, for people and for programs.

use std::fmt;
use std::path::PathBuf;

use calybris_budget::finance::ConservationProof;
use calybris_budget::{HoldState, LedgerState, TenantState};
use calybris_kernel::digest::HexDigest;
use calybris_wal::WalReport;

/// How many holds are printed; all of them are listed.
const PRINTED_HOLDS: usize = 20;
/// How many characters of a tenant's name are printed.
const PRINTED_NAME: usize = 64;

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
        let replayed = counted(self.operations_replayed, "operation");
        writeln!(f, "replayed {replayed}, each with its recorded outcome")?;
        let held: i128 = self.open_holds.iter().map(|it| i128::from(it.amount_microcents)).sum();
        let holds = counted(self.open_holds.len() as u64, "hold");
        writeln!(f, "open     {holds}, {held} microcents")?;
        for open in self.open_holds.iter().take(PRINTED_HOLDS) {
            let ListedHold { tenant_id, hold, amount_microcents: amount, deadline, .. } = open;
            write!(f, "         {hold} of {}: {amount}", printed(tenant_id))?;
            match deadline {
                Some(deadline) => writeln!(f, ", until {deadline}")?,
                None => writeln!(f, ", without a deadline")?,
            }
        }
        if self.open_holds.len() > PRINTED_HOLDS {
            writeln!(f, "         and {} more", self.open_holds.len() - PRINTED_HOLDS)?;
        }
        let tenants = counted(self.conservation.tenant_count as u64, "tenant");
        writeln!(f, "balanced {tenants}, every one of them")?;
        write!(f, "state    {}", self.state_digest_hex)
    }
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// A name without control characters, and only the beginning of one that fills the screen.
fn printed(name: &str) -> String {
    match name.char_indices().nth(PRINTED_NAME) {
        Some((end, _)) => format!("{:?}...", name.get(..end).unwrap_or_default()),
        None => format!("{name:?}"),
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
