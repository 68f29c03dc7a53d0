//! What a log holds, counted in one pass: for `stats` and for the report.

use std::collections::BTreeMap;

use calybris_core::kernel::KernelDecision;
use serde::{Serialize, Serializer};

use crate::exit::Result;
use crate::log::{Log, Whole};
use crate::record::Record;

/// Decisions and spend of one model, tenant or reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sum {
    pub(crate) decisions: u64,
    pub(crate) executed: u64,
    pub(crate) substituted: u64,
    pub(crate) rejected: u64,
    #[serde(serialize_with = "as_text")]
    pub(crate) cost_microunits: i128,
    #[serde(serialize_with = "as_text")]
    pub(crate) utility_microunits: i128,
}

/// A sum as a decimal text: it may be larger than what readers of JSON keep exactly.
pub(crate) fn as_text<S: Serializer>(
    sum: &i128,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(sum)
}

impl Sum {
    fn add(&mut self, decision: &KernelDecision) {
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
#[derive(Clone, Debug, Default, Serialize)]
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
    /// Counts a log.
    pub(crate) fn of(log: &Log) -> Result<(Self, Whole)> {
        let mut tally = Self::default();
        let whole = log.fold_records(
            |part: &mut Self, _, record| match record {
                Ok(record) => part.add(&record),
                Err(_) => part.other += 1,
            },
            |part| tally.join(part),
        )?;
        Ok((tally, whole))
    }

    /// Adds the tally of what follows.
    pub(crate) fn join(&mut self, later: Self) {
        self.total.join(&later.total);
        self.other += later.other;
        for (id, sum) in &later.models {
            self.models.entry(*id).or_default().join(sum);
        }
        for (name, sum) in &later.tenants {
            group(&mut self.tenants, name).join(sum);
        }
        for (reason, sum) in &later.reasons {
            self.reasons.entry(*reason).or_default().join(sum);
        }
    }

    /// Counts one record.
    pub(crate) fn add(&mut self, record: &Record<'_>) {
        let decision = &record.audited.decision;
        self.total.add(decision);
        self.models.entry(decision.selected_model_id).or_default().add(decision);
        group(&mut self.tenants, &record.tenant).add(decision);
        self.reasons.entry(decision.reason.as_str()).or_default().add(decision);
    }
}

/// The most groups that are counted one by one: memory stays bounded however many tenants a log names.
pub(crate) const MAX_GROUPS: usize = 10_000;
/// Where the groups beyond them are counted together.
pub(crate) const OTHER_GROUPS: &str = "(all others)";

/// The group of this name.
pub(crate) fn group<'a, T: Default>(groups: &'a mut BTreeMap<String, T>, name: &str) -> &'a mut T {
    let known = groups.contains_key(name) || groups.len() < MAX_GROUPS;
    groups.entry(if known { name } else { OTHER_GROUPS }.to_owned()).or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_bounded_and_nothing_is_lost() {
        let mut groups: BTreeMap<String, u64> = BTreeMap::new();
        for name in 0..MAX_GROUPS + 5 {
            *group(&mut groups, &name.to_string()) += 1;
        }
        *group(&mut groups, "3") += 1;
        assert_eq!(groups.len(), MAX_GROUPS + 1);
        assert_eq!((groups["3"], groups[OTHER_GROUPS]), (2, 5));
    }
}
