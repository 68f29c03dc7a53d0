//! One pass over the log for everything the page shows.

use std::collections::BTreeMap;
use std::path::Path;

use calybris_core::budget::{BudgetSnapshot, ConservationStatus, conservation_status_for_snapshot};
use calybris_core::finance::ledger_digest;
use calybris_core::kernel::digest::HexDigest;
use calybris_core::kernel::{Gate, KernelDecision};

use crate::commands::verify::{Against, verify};
use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::log::Log;
use crate::policies::Policies;
use crate::record::Record;
use crate::show::count;
use crate::tally::Tally;
use crate::verdict::{Item, Verdict};

/// Columns of the timeline, at most.
const MAX_COLUMNS: usize = 60;

/// The gates a model can fail, in the order they are tested.
pub(super) const GATES: [Gate; 9] = [
    Gate::Disabled,
    Gate::Quality,
    Gate::Latency,
    Gate::Capability,
    Gate::Provider,
    Gate::Region,
    Gate::RiskCeiling,
    Gate::Budget,
    Gate::Utility,
];

/// Everything the page shows.
pub(super) struct Gathered {
    pub(super) verdict: Verdict,
    pub(super) sums: Sums,
    pub(super) timeline: Timeline,
    pub(super) ledger: Option<Ledger>,
}

/// What is counted, of the whole log or of entries that follow one another.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) tally: Tally,
    /// How often a gate turned a model away, in the order of [`GATES`].
    pub(super) gates: [u64; GATES.len()],
    /// By upper bound in microunits.
    pub(super) costs: BTreeMap<u64, u64>,
    /// By upper bound in milliseconds, of the selected models.
    pub(super) latencies: BTreeMap<u64, u64>,
    /// One after the other, for the timeline; not kept of the whole log.
    outcomes: Vec<usize>,
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
    pub(super) fn of(
        log: &Log,
        policies: &Policies,
        against: &Against,
        ledger: Option<&Path>,
    ) -> Result<Self> {
        let ledger = ledger.map(Ledger::load).transpose()?;
        let (mut timeline, mut sums) = (Timeline::default(), Sums::default());
        let mut verdict = verify(
            log,
            policies,
            against,
            &[],
            |part: &mut Sums, record| part.add(record, policies),
            |part| {
                part.outcomes.iter().for_each(|outcome| timeline.add(*outcome));
                sums.join(part);
            },
        )?;
        verdict.add("budgets", ledger.as_ref().map_or_else(no_ledger, Ledger::item));
        Ok(Self { verdict, sums, timeline, ledger })
    }
}

impl Sums {
    fn add(&mut self, record: &Record<'_>, policies: &Policies) {
        self.tally.add(record);
        let audited = &record.audited;
        let decision = &audited.decision;
        self.outcomes.push(outcome(decision));
        if decision.is_executable() {
            *self.costs.entry(bucket(decision.estimated_cost_microunits)).or_default() += 1;
        }
        let Some(policy) = policies.named_by(&audited.audit) else { return };
        let models = policy.snapshot.models();
        let selected = models.iter().find(|m| m.model_id == decision.selected_model_id);
        if let Some(model) = selected {
            *self.latencies.entry(bucket(model.p95_latency_ms.into())).or_default() += 1;
        }
        let (_, trace) = policy.snapshot.prescribe_with_trace(audited.input);
        for (sum, gate) in self.gates.iter_mut().zip(GATES) {
            *sum += u64::from(trace.rejections.count(gate));
        }
    }

    fn join(&mut self, later: Self) {
        self.tally.join(later.tally);
        for (sum, more) in self.gates.iter_mut().zip(later.gates) {
            *sum += more;
        }
        for (all, more) in [(&mut self.costs, later.costs), (&mut self.latencies, later.latencies)]
        {
            for (bound, n) in more {
                *all.entry(bound).or_default() += n;
            }
        }
    }
}

fn no_ledger() -> Item {
    Item::not_checked("no ledger snapshot was given with --ledger")
}

impl Ledger {
    fn load(path: &Path) -> Result<Self> {
        let snapshot = files::json(path)?;
        let digest = HexDigest::new(&ledger_digest(&snapshot));
        let status = conservation_status_for_snapshot(&snapshot);
        Ok(Self { snapshot, digest, status })
    }

    fn item(&self) -> Item {
        if self.status == ConservationStatus::Balanced {
            let tenants = u64::try_from(self.snapshot.tenants.len()).unwrap_or(u64::MAX);
            return Item::established(format!(
                "remaining + reserved + committed = initial, for each of {} tenants in the ledger snapshot",
                count(tenants)
            ));
        }
        Item::Refuted(
            Failure::new(Exit::Tampered, &self.status)
                .meaning("Money appeared or vanished in the ledger snapshot, or it was changed."),
        )
    }
}

fn outcome(decision: &KernelDecision) -> usize {
    match () {
        () if decision.is_requested_execution() => 0,
        () if decision.is_substitution() => 1,
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
