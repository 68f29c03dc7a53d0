//! One pass over the log for everything the page shows.

use std::collections::BTreeMap;
use std::path::Path;

use calybris_core::budget::{BudgetSnapshot, ConservationStatus, conservation_status_for_snapshot};
use calybris_core::finance::ledger_digest;
use calybris_core::kernel::digest::HexDigest;
use calybris_core::proof::AuditedRecord;
use calybris_core::proof::chain::WalAnchor;
use serde_json::Value;

use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::log::Log;
use crate::policies::Policies;
use crate::tally::Tally;

/// Columns of the timeline, at most.
const MAX_COLUMNS: usize = 60;

/// Everything the page shows.
pub(super) struct Gathered {
    pub(super) log: String,
    pub(super) tally: Tally,
    pub(super) head: Option<WalAnchor>,
    pub(super) replayed: u64,
    pub(super) without_policy: u64,
    pub(super) failure: Option<Box<Failure>>,
    pub(super) timeline: Timeline,
    /// By upper bound in microunits.
    pub(super) costs: BTreeMap<u64, u64>,
    /// By upper bound in milliseconds, of the selected models.
    pub(super) latencies: BTreeMap<u64, u64>,
    pub(super) ledger: Option<Ledger>,
}

/// A ledger snapshot and whether it balances.
pub(super) struct Ledger {
    pub(super) snapshot: BudgetSnapshot,
    pub(super) digest: HexDigest,
    pub(super) status: ConservationStatus,
}

/// Outcomes in the order of the log, in columns that each hold the same number of decisions.
#[derive(Default)]
pub(super) struct Timeline {
    pub(super) per_column: u64,
    /// Executed, substituted, rejected.
    pub(super) columns: Vec<[u64; 3]>,
    in_last: u64,
}

impl Timeline {
    fn add(&mut self, outcome: usize) {
        self.per_column = self.per_column.max(1);
        if self.columns.is_empty() || self.in_last == self.per_column {
            if self.columns.len() == MAX_COLUMNS {
                self.halve();
            }
            self.columns.push([0; 3]);
            self.in_last = 0;
        }
        if let Some(slot) = self.columns.last_mut().and_then(|column| column.get_mut(outcome)) {
            *slot += 1;
        }
        self.in_last += 1;
    }

    /// Joins neighbours, so that any length fits.
    fn halve(&mut self) {
        self.per_column *= 2;
        let joined = self.columns.chunks(2).map(|pair| {
            let mut sum = [0; 3];
            for column in pair {
                for (slot, n) in sum.iter_mut().zip(column) {
                    *slot += n;
                }
            }
            sum
        });
        self.columns = joined.collect();
    }
}

impl Gathered {
    pub(super) fn of(log: &Log, policies: &Policies, ledger: Option<&Path>) -> Result<Self> {
        let ledger = ledger.map(Ledger::load).transpose()?;
        let (mut replayed, mut without_policy, mut failure) = (0, 0, None);
        let mut timeline = Timeline::default();
        let (mut costs, mut latencies) = (BTreeMap::new(), BTreeMap::new());
        let mut tally = Tally::default();
        let end = log.visit_records::<Value>(|sequence, _, record| {
            let Ok(record) = record else {
                tally.other += 1;
                return;
            };
            tally.add(&record);
            timeline.add(outcome(&record));
            let Some(policy) = policies.named_by(&record.audit) else {
                without_policy += 1;
                return;
            };
            if record.replay(&policy.snapshot).is_valid() {
                replayed += 1;
            } else if failure.is_none() {
                let problem = "a decision does not follow from its policy";
                failure = Some(Failure::new(Exit::Tampered, problem).at(log.path(), sequence));
            }
            let decision = &record.decision;
            if decision.is_executable() {
                *costs.entry(bucket(decision.estimated_cost_microunits)).or_default() += 1;
                let index = usize::from(decision.selected_model_index);
                if let Some(model) = policy.snapshot.models().get(index) {
                    *latencies.entry(bucket(model.p95_latency_ms.into())).or_default() += 1;
                }
            }
        });
        let (head, failure) = match end {
            Ok(head) => (Some(head), failure),
            Err(broken) => (None, Some(broken)),
        };
        Ok(Self {
            log: log.path().display().to_string(),
            tally,
            head,
            replayed,
            without_policy,
            failure,
            timeline,
            costs,
            latencies,
            ledger,
        })
    }

    /// The page's verdict.
    pub(super) fn exit(&self) -> Exit {
        let unbalanced =
            self.ledger.as_ref().is_some_and(|l| l.status != ConservationStatus::Balanced);
        match &self.failure {
            Some(failure) => failure.verdict,
            None if unbalanced => Exit::Tampered,
            None if self.without_policy > 0 => Exit::CannotTell,
            None => Exit::Verified,
        }
    }
}

impl Ledger {
    fn load(path: &Path) -> Result<Self> {
        let snapshot = files::json(path)?;
        let digest = HexDigest::new(&ledger_digest(&snapshot));
        let status = conservation_status_for_snapshot(&snapshot);
        Ok(Self { snapshot, digest, status })
    }
}

fn outcome(record: &AuditedRecord<Value>) -> usize {
    match () {
        () if record.decision.is_requested_execution() => 0,
        () if record.decision.is_substitution() => 1,
        () => 2,
    }
}

/// The least of 0, 1, 2, 5, 10, 20, 50, … that is not below the value.
fn bucket(value: u64) -> u64 {
    if value == 0 {
        return 0;
    }
    let mut decade = 1_u64;
    loop {
        for step in [1, 2, 5] {
            let bound = decade.saturating_mul(step);
            if value <= bound || bound == u64::MAX {
                return bound;
            }
        }
        decade = decade.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_decisions_fits_the_timeline() {
        let mut timeline = Timeline::default();
        for n in 0..10_000_usize {
            timeline.add(n % 3);
        }
        assert!(timeline.columns.len() <= MAX_COLUMNS);
        let total: u64 = timeline.columns.iter().flatten().sum();
        assert_eq!(total, 10_000);
        let full = &timeline.columns[..timeline.columns.len() - 1];
        assert!(full.iter().all(|column| column.iter().sum::<u64>() == timeline.per_column));
    }

    #[test]
    fn buckets_are_one_two_five() {
        let bounds = [0, 1, 2, 3, 5, 6, 10, 11, 21, 51].map(bucket);
        assert_eq!(bounds, [0, 1, 2, 5, 5, 10, 10, 20, 50, 100]);
        assert_eq!(bucket(u64::MAX), u64::MAX);
    }
}
