//! What the gateway's owner wants to see at the end of the day.

use std::collections::BTreeMap;

use calybris_core::budget::BudgetEngine;
use calybris_core::kernel::KernelDecision;

use crate::catalog::Catalog;
use crate::money::{thousands, usd, usd_from_microdollars};
use crate::report::{Tally, heading, percent, table};
use crate::requests::Row;
use crate::tenants::{TENANTS, Tenant};

/// Counts over all requests.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    outcomes: Tally,
    refusals: BTreeMap<(&'static str, String), u64>,
    served: Tally,
    models: BTreeMap<u32, ModelCount>,
}

#[derive(Clone, Copy, Debug, Default)]
struct ModelCount {
    requests: u64,
    tokens_in: u64,
    tokens_out: u64,
    cost_microdollars: u64,
}

impl Counts {
    /// The policy refused.
    pub fn rejected(&mut self, tenant: &'static Tenant, decision: &KernelDecision) {
        self.outcomes.add(format!("{} ({})", decision.action, decision.reason));
        *self.refusals.entry((tenant.name, decision.reason.to_string())).or_default() += 1;
    }

    /// The policy allowed it, the ledger did not.
    pub fn unaffordable(&mut self, tenant: &'static Tenant, why: &str) {
        self.outcomes.add(format!("no money ({why})"));
        *self.refusals.entry((tenant.name, why.to_owned())).or_default() += 1;
    }

    /// It ran.
    pub fn served(
        &mut self,
        tenant: &'static Tenant,
        decision: &KernelDecision,
        row: &Row,
        cost_microdollars: u64,
    ) {
        self.outcomes.add(format!("{} ({})", decision.action, decision.reason));
        self.served.add(tenant.name);
        let model = self.models.entry(decision.selected_model_id).or_default();
        model.requests += 1;
        model.tokens_in += u64::from(row.context_tokens);
        model.tokens_out += u64::from(row.generated_tokens);
        model.cost_microdollars += cost_microdollars;
    }

    /// Prints everything.
    pub fn print(&self, catalog: &Catalog, ledger: &BudgetEngine) {
        heading("Decisions, by outcome and reason");
        self.outcomes.print("outcome (reason)");
        heading("Refused: who and why");
        let refused = |((tenant, why), count): (&(&str, String), &u64)| {
            vec![(*tenant).to_owned(), why.clone(), thousands(*count)]
        };
        table(&["tenant", "why", "requests"], 2, self.refusals.iter().map(refused));
        heading("Spend, by tenant");
        let served: BTreeMap<_, _> = self.served.ranked().into_iter().collect();
        let row = |tenant: &Tenant| {
            let balances = ledger.balances(tenant.name)?;
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
    }

    fn print_models(&self, catalog: &Catalog) {
        heading("Spend, by model");
        let mut models: Vec<_> = self.models.iter().collect();
        models.sort_by_key(|(_, count)| std::cmp::Reverse(count.cost_microdollars));
        let row = |(id, count): (&u32, &ModelCount)| {
            vec![
                catalog.name(*id).to_owned(),
                thousands(count.requests),
                thousands(count.tokens_in),
                thousands(count.tokens_out),
                usd_from_microdollars(count.cost_microdollars, 6),
            ]
        };
        let header = ["model", "requests", "tokens in", "tokens out", "spent"];
        table(&header, 1, models.into_iter().map(row));
    }
}
