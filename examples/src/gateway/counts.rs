//! What the gateway's owner wants to see at the end of the day.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use calybris_core::persistence::DurableLedger;
use calybris_core::wal::visit_verified_wal;

use super::{Ending, Record};
use crate::Outcome;
use crate::catalog::Catalog;
use crate::money::{thousands, usd};
use crate::report::{Tally, heading, percent, table};
use crate::tenants::{TENANTS, Tenant};

/// Counts over all requests in a log.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    outcomes: Tally,
    refusals: BTreeMap<(String, String), u64>,
    served: Tally,
    models: BTreeMap<u32, ModelCount>,
}

#[derive(Clone, Copy, Debug, Default)]
struct ModelCount {
    requests: u64,
    tokens_in: u64,
    tokens_out: u64,
    microcents: i64,
}

impl Counts {
    /// Counts what a log holds.
    ///
    /// # Errors
    /// When it does not verify.
    pub fn read(log: &Path) -> Result<Self, Box<dyn Error>> {
        let mut counts = Self::default();
        visit_verified_wal(log, |entry| counts.add(entry.data))?;
        Ok(counts)
    }

    fn add(&mut self, record: Record) {
        let (decision, note) = (record.decision, record.metadata);
        let decided = format!("{} ({})", decision.action, decision.reason);
        match note.ending {
            Ending::Rejected => {
                self.outcomes.add(decided);
                self.refused(note.tenant, decision.reason.to_string());
            }
            Ending::Unaffordable { why } => {
                self.outcomes.add(format!("no money ({why})"));
                self.refused(note.tenant, why);
            }
            Ending::Charged { microcents, .. } => {
                self.outcomes.add(decided);
                self.served.add(note.tenant);
                let model = self.models.entry(decision.selected_model_id).or_default();
                model.requests += 1;
                model.tokens_in += u64::from(record.input.input_tokens);
                model.tokens_out += u64::from(note.generated_tokens);
                model.microcents += microcents;
            }
        }
    }

    fn refused(&mut self, tenant: String, why: String) {
        *self.refusals.entry((tenant, why)).or_default() += 1;
    }

    /// Prints everything, with the balances of the tenants.
    ///
    /// # Errors
    /// When the ledger has failed.
    pub fn print(&self, catalog: &Catalog, ledger: &DurableLedger) -> Outcome {
        heading("Decisions, by outcome and reason");
        self.outcomes.print("outcome (reason)");
        heading("Refused: who and why");
        let refused = |((tenant, why), count): (&(String, String), &u64)| {
            vec![tenant.clone(), why.clone(), thousands(*count)]
        };
        table(&["tenant", "why", "requests"], 2, self.refusals.iter().map(refused));
        heading("Spend, by tenant");
        let served: BTreeMap<_, _> = self.served.ranked().into_iter().collect();
        let snapshot = ledger.snapshot()?;
        let row = |tenant: &Tenant| {
            let balances = snapshot.tenants.iter().find(|it| it.tenant_id == tenant.name)?;
            let amount = |microcents| usd(microcents, 6);
            let [granted, spent] = [balances.initial_microcents, balances.committed_microcents];
            Some(vec![
                tenant.name.to_owned(),
                thousands(served.get(tenant.name).copied().unwrap_or(0)),
                amount(granted),
                amount(spent),
                amount(balances.remaining_microcents),
                percent(spent.unsigned_abs(), granted.unsigned_abs()),
            ])
        };
        let header = ["tenant", "served", "granted", "spent", "remaining", "used"];
        table(&header, 1, TENANTS.iter().filter_map(row));
        self.print_models(catalog);
        Ok(())
    }

    fn print_models(&self, catalog: &Catalog) {
        heading("Spend, by model");
        let mut models: Vec<_> = self.models.iter().collect();
        models.sort_by_key(|(_, count)| std::cmp::Reverse(count.microcents));
        let row = |(id, count): (&u32, &ModelCount)| {
            vec![
                catalog.name(*id).to_owned(),
                thousands(count.requests),
                thousands(count.tokens_in),
                thousands(count.tokens_out),
                usd(count.microcents, 6),
            ]
        };
        let header = ["model", "requests", "tokens in", "tokens out", "spent"];
        table(&header, 1, models.into_iter().map(row));
    }
}
