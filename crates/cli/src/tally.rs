//! What a log holds, counted in one pass: for `stats` and for the report.

use std::collections::BTreeMap;

use calybris_proof::AuditedRecord;
use calybris_proof::chain::WalAnchor;
use serde_json::Value;

use crate::exit::Result;
use crate::log::{Log, tenant};

/// Decisions and spend of one model, tenant or reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) decisions: u64,
    pub(crate) executed: u64,
    pub(crate) substituted: u64,
    pub(crate) rejected: u64,
    pub(crate) cost_microunits: i128,
    pub(crate) utility_microunits: i128,
}

impl Sum {
    fn add<M>(&mut self, record: &AuditedRecord<M>) {
        let decision = &record.decision;
        self.decisions += 1;
        self.executed += u64::from(decision.is_requested_execution());
        self.substituted += u64::from(decision.is_substitution());
        self.rejected += u64::from(decision.is_rejected());
        self.cost_microunits += i128::from(decision.estimated_cost_microunits);
        self.utility_microunits += i128::from(decision.expected_utility_microunits);
    }
}

impl Sum {
    /// Adds another sum.
    pub(crate) fn join(&mut self, other: &Self) {
        self.decisions += other.decisions;
        self.executed += other.executed;
        self.substituted += other.substituted;
        self.rejected += other.rejected;
        self.cost_microunits += other.cost_microunits;
        self.utility_microunits += other.utility_microunits;
    }
}

/// The whole log, counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) total: Sum,
    /// Entries that are no audited records.
    pub(crate) other: u64,
    /// By the selected model's id; 0 for rejections.
    pub(crate) models: BTreeMap<u32, Sum>,
    pub(crate) tenants: BTreeMap<String, Sum>,
    pub(crate) reasons: BTreeMap<&'static str, Sum>,
}

impl Tally {
    /// Counts a log; `also` sees every record too.
    pub(crate) fn of(
        log: &Log,
        mut also: impl FnMut(u64, &AuditedRecord<Value>),
    ) -> Result<(Self, WalAnchor)> {
        let mut tally = Self::default();
        let head = log.visit_records(|sequence, _, record| match record {
            Ok(record) => {
                tally.add(&record);
                also(sequence, &record);
            }
            Err(_) => tally.other += 1,
        })?;
        Ok((tally, head))
    }

    pub(crate) fn add(&mut self, record: &AuditedRecord<Value>) {
        self.total.add(record);
        self.models.entry(record.decision.selected_model_id).or_default().add(record);
        self.tenants.entry(tenant(&record.metadata).to_owned()).or_default().add(record);
        self.reasons.entry(record.decision.reason.as_str()).or_default().add(record);
    }
}
