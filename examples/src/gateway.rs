//! The gateway of the example: decide, hold, call, log, charge.
//!
//! Two things outlive it: a log with one entry a request, the audited decision and how it ended, and the ledger. A
//! call that returned is logged before it is charged. So after a crash a charge that the ledger lacks is in the log,
//! under a hold that is still open; a request that is not in the log had no answer, and is asked again under its key.

mod counts;

use std::collections::{BTreeSet, VecDeque};
use std::error::Error;
use std::path::{Path, PathBuf};

use calybris_core::budget::{
    Applied, Call, HoldAction, LedgerOperation, Receipt, RefusalReason, TenantAction,
};
use calybris_core::config::EngineConfig;
use calybris_core::kernel::Decided;
use calybris_core::persistence::DurableLedger;
use calybris_core::wal::{AuditedRecord, WalWriter, visit_verified_wal};
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::catalog::Catalog;
use crate::money::{MICROCENTS_PER_CENT, microcents};
use crate::requests::Row;
use crate::tenants::{self, TENANTS, Tenant};

pub use counts::Counts;

/// How many requests come in together, and how many are at the providers at a time. They share the waits for the disk.
const AT_A_TIME: usize = 16;
/// Answers are bounded to the next multiple of this many tokens; that is what a hold is made for.
const ANSWER_BOUND_TOKENS: u32 = 256;
/// The time of the ledger: a request comes every second, and is given a minute.
const SECOND_MS: u64 = 1_000;
const PATIENCE_MS: u64 = 60 * SECOND_MS;

/// Where the gateway keeps what must survive it.
#[derive(Clone, Debug)]
pub struct Files {
    /// The log of decisions.
    pub log: PathBuf,
    /// The ledger's folder.
    pub ledger: PathBuf,
}

impl Files {
    /// Both in one folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { log: folder.join("decisions.jsonl"), ledger: folder.join("ledger") }
    }
}

/// What a log entry says beside the decision.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Who asked.
    pub tenant: String,
    /// How long the answer was, or would have been.
    pub generated_tokens: u32,
    /// How it ended.
    pub ending: Ending,
}

/// How a request ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The policy refused it.
    Rejected,
    /// The ledger refused it.
    Unaffordable {
        /// In words.
        why: String,
    },
    /// It ran, and this is to be charged.
    Charged {
        /// The hold that was made for it.
        hold: u64,
        /// What it cost.
        microcents: i64,
    },
}

type Record = AuditedRecord<Note>;

/// A request on its way.
#[derive(Debug)]
struct Request {
    row: Row,
    tenant: &'static Tenant,
    decided: Decided,
}

/// The gateway.
#[derive(Debug)]
pub struct Gateway<'a> {
    catalog: &'a Catalog,
    ledger: DurableLedger,
    log: WalWriter<Record>,
    /// At the providers, with their holds.
    calls: VecDeque<(Request, u64)>,
}

/// What was in the folder besides the ledger.
#[derive(Debug, Default)]
pub struct Found {
    /// Requests that had ended.
    pub ended: BTreeSet<u64>,
    /// Calls that had returned and were logged, and are charged now.
    pub charged: usize,
}

impl<'a> Gateway<'a> {
    /// Starts, or goes on where the gateway before it was stopped: nothing has to be known about how.
    ///
    /// # Errors
    /// When log or ledger cannot be opened or do not belong together.
    pub fn open(catalog: &'a Catalog, files: &Files) -> Result<(Self, Found), Box<dyn Error>> {
        let ledger = DurableLedger::open(&files.ledger)?;
        let log = EngineConfig::new().open_wal(&files.log)?;
        for tenant in &TENANTS {
            let granted = tenant.budget_cents * MICROCENTS_PER_CENT;
            ledger.open_tenant(tenant.name, None, granted, Call::default())??;
        }
        let mut open: BTreeSet<_> = ledger.report().open_holds.iter().map(|it| it.hold).collect();
        let (mut found, mut due) = (Found::default(), Vec::new());
        visit_verified_wal::<Record, _>(&files.log, |entry| {
            found.ended.insert(entry.data.input.request_sequence);
            match entry.data.metadata.ending {
                Ending::Charged { hold, microcents } if open.remove(&hold) => {
                    due.push((hold, microcents));
                }
                _ => {}
            }
        })?;
        found.charged = due.len();
        let gateway = Self { catalog, ledger, log, calls: VecDeque::new() };
        gateway.charge(&due)?;
        Ok((gateway, found))
    }

    /// Serves requests; the last ones are still at the providers when it returns.
    ///
    /// # Errors
    /// When a request is refused before it is decided, or the disk fails.
    pub fn serve(&mut self, rows: &[Row]) -> Outcome {
        for rows in rows.chunks(AT_A_TIME) {
            self.take(rows)?;
            self.settle(AT_A_TIME)?;
        }
        Ok(())
    }

    /// Decides requests, and sends off those that may run and whose hold is on the disk.
    fn take(&mut self, rows: &[Row]) -> Outcome {
        let mut asked = Vec::new();
        for row in rows {
            let bound = row.generated_tokens.next_multiple_of(ANSWER_BOUND_TOKENS);
            let (tenant, input) =
                tenants::request(self.catalog, &Row { generated_tokens: bound, ..*row })?;
            let decided = self.catalog.policy.decide_checked(input)?;
            let request = Request { row: *row, tenant, decided };
            if request.decided.decision().is_rejected() {
                self.note(request, Ending::Rejected)?;
            } else {
                let reserve = request.reserve()?;
                asked.push((request, self.ledger.submit(&reserve)?));
            }
        }
        for (request, pending) in asked {
            match pending.wait()? {
                Ok(Applied::Receipt(Receipt { hold: Some(hold), .. })) => {
                    self.calls.push_back((request, hold));
                }
                Ok(other) => return Err(format!("a hold was answered with {other:?}").into()),
                Err(refusal) => {
                    let why = words(&refusal.reason).to_owned();
                    self.note(request, Ending::Unaffordable { why })?;
                }
            }
        }
        Ok(())
    }

    /// The oldest calls return, until so many are left: log what they cost, and then charge it.
    fn settle(&mut self, left: usize) -> Outcome {
        let mut due = Vec::new();
        while self.calls.len() > left {
            let Some((request, hold)) = self.calls.pop_front() else { break };
            let model = request.decided.decision().selected_model_id;
            let microcents = microcents(self.catalog.cost_microdollars(model, &request.row))?;
            due.push((hold, microcents));
            self.note(request, Ending::Charged { hold, microcents })?;
        }
        self.log.flush_and_sync()?;
        self.charge(&due)
    }

    /// Spends what calls cost, and gives back the rest of their holds.
    fn charge(&self, due: &[(u64, i64)]) -> Outcome {
        let commit = |(hold, actual_microcents): &(u64, i64)| {
            let action = HoldAction::Commit { actual_microcents: *actual_microcents };
            self.ledger.submit(&LedgerOperation::Hold { hold: *hold, action, now: 0, key: None })
        };
        let charges: Vec<_> = due.iter().map(commit).collect::<Result<_, _>>()?;
        for charge in charges {
            charge.wait()??;
        }
        Ok(())
    }

    fn note(&self, request: Request, ending: Ending) -> Outcome {
        let (tenant, generated_tokens) =
            (request.tenant.name.to_owned(), request.row.generated_tokens);
        self.log.append_decided(&request.decided, Note { tenant, generated_tokens, ending })?;
        Ok(())
    }

    /// Waits for all calls.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn finish(&mut self) -> Outcome {
        self.settle(0)
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> &DurableLedger {
        &self.ledger
    }
}

impl Request {
    /// Sets aside what it may cost. Asked again after a crash, it is the same request, and the hold is there already.
    fn reserve(&self) -> Result<LedgerOperation, Box<dyn Error>> {
        let now = self.row.number.saturating_mul(SECOND_MS);
        let amount_microcents = microcents(self.decided.decision().estimated_cost_microunits)?;
        let deadline = Some(now.saturating_add(PATIENCE_MS));
        Ok(LedgerOperation::Tenant {
            tenant: self.tenant.name.to_owned(),
            action: TenantAction::Reserve { amount_microcents, deadline },
            now,
            key: Some(format!("request-{}", self.row.number)),
        })
    }
}

fn words(reason: &RefusalReason) -> &'static str {
    match reason {
        RefusalReason::Insufficient { .. } => "tenant's budget is spent",
        RefusalReason::ExposureLimit { .. } => "too much on hold",
        _ => "refused by the ledger",
    }
}
