//! The gateway of the example: decide, hold, call, settle, log.
//!
//! One log entry a request, written when the request is settled, with the audited decision and the charge. The ledger
//! is rebuilt from the last checkpoint and the charges after it.

mod counts;

use std::collections::VecDeque;
use std::error::Error;
use std::path::{Path, PathBuf};

use calybris_core::budget::{BudgetEngine, BudgetReservation, BudgetSettlement};
use calybris_core::config::EngineConfig;
use calybris_core::kernel::Decided;
use calybris_core::persistence::{RecoveryPlan, checkpoint_with_wal, recovery_plan, restore};
use calybris_core::wal::{AuditedRecord, WalWriter, visit_verified_wal};
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::catalog::Catalog;
use crate::money::{MICROCENTS_PER_CENT, microcents};
use crate::requests::Row;
use crate::tenants::{self, TENANTS, Tenant};

pub use counts::Counts;

/// How many requests are at the providers at a time.
const IN_FLIGHT: usize = 16;
/// Answers are bounded to the next multiple of this many tokens; that is what a hold is made for.
const ANSWER_BOUND_TOKENS: u32 = 256;

/// Where the gateway keeps what must survive it.
#[derive(Clone, Debug)]
pub struct Files {
    /// The log.
    pub log: PathBuf,
    /// The checkpoint.
    pub checkpoint: PathBuf,
}

impl Files {
    /// Both in one folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { log: folder.join("decisions.jsonl"), checkpoint: folder.join("ledger.json") }
    }
}

/// What a log entry says beside the decision.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charge {
    /// Who paid.
    pub tenant: String,
    /// How much; 0 where nothing ran, because the policy or the ledger refused.
    pub charged_microcents: i64,
}

impl Charge {
    /// The sum of all charges in a log.
    ///
    /// # Errors
    /// When the log does not verify.
    pub fn total(log: &Path) -> Result<i64, Box<dyn Error>> {
        let mut total = 0_i64;
        visit_verified_wal::<AuditedRecord<Self>, _>(log, |entry| {
            total = total.saturating_add(entry.data.metadata.charged_microcents);
        })?;
        Ok(total)
    }
}

/// A request at a provider.
#[derive(Debug)]
struct Call {
    tenant: &'static Tenant,
    decided: Decided,
    hold: u64,
    cost_microdollars: u64,
}

/// The gateway.
#[derive(Debug)]
pub struct Gateway<'a> {
    catalog: &'a Catalog,
    ledger: BudgetEngine,
    log: WalWriter<AuditedRecord<Charge>>,
    calls: VecDeque<Call>,
    counts: Counts,
}

/// What was lost and what was not when the plug was pulled.
#[derive(Debug)]
pub struct Crash {
    /// Requests at the providers.
    pub in_flight: usize,
    /// What was on hold for them.
    pub held_microcents: i64,
    /// What had been spent.
    pub spent_microcents: i64,
    /// The example's own counts, which a real gateway would have in its metrics.
    pub counts: Counts,
}

/// The ledger as it was.
#[derive(Debug)]
pub struct Recovered {
    /// What was found.
    pub plan: RecoveryPlan,
    /// The ledger.
    pub ledger: BudgetEngine,
    /// What had been spent.
    pub spent_microcents: i64,
}

impl<'a> Gateway<'a> {
    /// Starts on an empty folder, with every tenant's budget granted.
    ///
    /// # Errors
    /// When the log cannot be opened.
    pub fn open(catalog: &'a Catalog, files: &Files) -> Result<Self, Box<dyn Error>> {
        let (config, ledger) = (EngineConfig::new(), BudgetEngine::new());
        for tenant in &TENANTS {
            let granted = tenant.budget_cents * MICROCENTS_PER_CENT;
            config.ensure_tenant(&ledger, tenant.name, granted)?;
        }
        Self::resume(catalog, files, ledger, Counts::default())
    }

    /// Goes on with a recovered ledger.
    ///
    /// # Errors
    /// When the log cannot be opened.
    pub fn resume(
        catalog: &'a Catalog,
        files: &Files,
        ledger: BudgetEngine,
        counts: Counts,
    ) -> Result<Self, Box<dyn Error>> {
        let log = EngineConfig::new().open_wal(&files.log)?;
        Ok(Self { catalog, ledger, log, calls: VecDeque::new(), counts })
    }

    /// Takes a request: decides it, and if it may run, holds what it may cost and sends it off.
    ///
    /// # Errors
    /// When the request is refused before it is decided, or the decision cannot be logged.
    pub fn request(&mut self, row: &Row) -> Outcome {
        let bound = row.generated_tokens.next_multiple_of(ANSWER_BOUND_TOKENS);
        let asked = Row { generated_tokens: bound, ..*row };
        let (tenant, input) = tenants::request(self.catalog, &asked)?;
        let decided = self.catalog.policy.decide_checked(input)?;
        let decision = decided.decision();
        if decision.is_rejected() {
            self.counts.rejected(tenant, decision);
            return self.append(tenant, &decided, 0);
        }
        let bound_microcents = microcents(decision.estimated_cost_microunits)?;
        let (answer, hold) = self.ledger.try_reserve(tenant.name, bound_microcents);
        let Some(hold) = hold else {
            self.counts.unaffordable(tenant, refusal(answer));
            return self.append(tenant, &decided, 0);
        };
        let model = decision.selected_model_id;
        let cost_microdollars = self.catalog.cost_microdollars(model, row);
        self.counts.served(tenant, decision, row, cost_microdollars);
        self.calls.push_back(Call { tenant, decided, hold, cost_microdollars });
        if self.calls.len() > IN_FLIGHT { self.settle_oldest() } else { Ok(()) }
    }

    /// The oldest call returns: spend what it cost, give back the rest of its hold, log it.
    fn settle_oldest(&mut self) -> Outcome {
        let Some(call) = self.calls.pop_front() else { return Ok(()) };
        let charged = microcents(call.cost_microdollars)?;
        match self.ledger.commit(call.hold, charged) {
            BudgetSettlement::Committed { .. } => {}
            refused => return Err(format!("{}: {refused:?}", call.tenant.name).into()),
        }
        self.append(call.tenant, &call.decided, charged)
    }

    fn append(&self, tenant: &Tenant, decided: &Decided, charged_microcents: i64) -> Outcome {
        let charge = Charge { tenant: tenant.name.to_owned(), charged_microcents };
        self.log.append_decided(decided, charge)?;
        Ok(())
    }

    /// Waits for all calls and saves the ledger with its place in the log.
    ///
    /// # Errors
    /// When it cannot be saved.
    pub fn checkpoint(&mut self, files: &Files) -> Outcome {
        self.finish()?;
        checkpoint_with_wal(&self.ledger, &files.checkpoint, self.log.sequence())?;
        Ok(())
    }

    /// Waits for all calls and for the disk.
    ///
    /// # Errors
    /// When the log cannot be synced.
    pub fn finish(&mut self) -> Outcome {
        while !self.calls.is_empty() {
            self.settle_oldest()?;
        }
        self.log.flush_and_sync()?;
        Ok(())
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> &BudgetEngine {
        &self.ledger
    }

    /// Prints what was decided, refused and spent.
    pub fn report(&self) {
        self.counts.print(self.catalog, &self.ledger);
    }

    /// Pulls the plug: nothing is settled, nothing is saved.
    #[must_use]
    pub fn crash(self) -> Crash {
        Crash {
            in_flight: self.calls.len(),
            held_microcents: TENANTS
                .iter()
                .map(|tenant| self.ledger.reserved_microcents(tenant.name))
                .sum(),
            spent_microcents: self.ledger.total_committed_microcents(),
            counts: self.counts,
        }
    }
}

fn refusal(answer: BudgetReservation) -> &'static str {
    match answer {
        BudgetReservation::Insufficient { .. } => "tenant's budget is spent",
        BudgetReservation::ExposureLimitExceeded { .. } => "too much on hold",
        _ => "refused by the ledger",
    }
}

/// Rebuilds the ledger from the checkpoint and the charges logged after it.
///
/// # Errors
/// When the checkpoint or the log does not verify, or a charge cannot be repeated.
pub fn recover(catalog: &Catalog, files: &Files) -> Result<Recovered, Box<dyn Error>> {
    let plan = recovery_plan(&files.checkpoint, &files.log)?;
    let ledger = BudgetEngine::new();
    restore(&ledger, &files.checkpoint)?;
    let mut fault = None;
    visit_verified_wal::<AuditedRecord<Charge>, _>(&files.log, |entry| {
        let record = entry.data;
        let Charge { tenant, charged_microcents } = &record.metadata;
        if entry.sequence <= plan.wal_high_watermark || *charged_microcents == 0 || fault.is_some()
        {
            return;
        }
        let charged = record.replay(&catalog.policy).is_valid()
            && ledger.hold(tenant, *charged_microcents).is_ok_and(|hold| {
                matches!(hold.commit(*charged_microcents), Ok(BudgetSettlement::Committed { .. }))
            });
        if !charged {
            fault = Some(format!("log entry {} cannot be charged again", entry.sequence));
        }
    })?;
    let spent_microcents = ledger.total_committed_microcents();
    fault.map_or(Ok(Recovered { plan, ledger, spent_microcents }), |fault| Err(fault.into()))
}
