//! From the accounts of a ledger to its state.

use std::collections::HashMap;

use crate::{
    account::Account,
    cut::{Depth, Picture},
    engine::BudgetEngine,
    holds::{FOREVER, OpenHold},
    keys::{Record, Request},
    ledger::Ledger,
    refusal::{Barrier, Refusal},
    store::spare_after,
    window::Meter,
};

use super::{
    AnswerState, ChargeState, HoldState, KeyState, LEDGER_STATE_SCHEMA, LedgerState, RequestState,
    TenantState, WindowState,
};

impl BudgetEngine {
    /// The whole state at one instant. Changes nothing, and stops nobody; an operation on a tenant
    /// may have to copy that tenant's holds and keys for it.
    #[must_use]
    pub fn state(&self) -> LedgerState {
        self.state_at(|| ()).0
    }

    /// The whole state at one instant, and what `at_cut` gives, which is called at that instant. A caller
    /// that keeps operations away until then (by a lock that `at_cut` gives up) knows which of them the state
    /// includes, and lets them go on while the state is put together.
    ///
    /// ```
    /// use std::sync::Mutex;
    /// use calybris_budget::BudgetEngine;
    ///
    /// let engine = BudgetEngine::new();
    /// let operations = Mutex::new(0_u64); // locked for every operation
    /// *operations.lock().unwrap() += 1;
    /// engine.ensure_tenant("desk-1", 100);
    ///
    /// let before_the_cut = operations.lock().unwrap();
    /// let (state, included) = engine.state_at(move || *before_the_cut);
    /// assert_eq!((state.tenants.len(), included), (1, 1));
    /// ```
    pub fn state_at<R>(&self, at_cut: impl FnOnce() -> R) -> (LedgerState, R) {
        self.ledger.state_at(at_cut)
    }
}

/// Names and parents by account index.
type Names = HashMap<u32, (String, u32)>;

impl Ledger {
    pub(crate) fn state(&self) -> LedgerState {
        self.state_at(|| ()).0
    }

    fn state_at<R>(&self, at_cut: impl FnOnce() -> R) -> (LedgerState, R) {
        let mut accounts = Vec::new();
        let mut names = Names::new();
        let mut views = self.views.lock();
        let noted = self.pictures(&mut views, Depth::Everything, at_cut, |index, cell, picture| {
            if let Picture::Everything(account) = picture {
                names.insert(index, (cell.name().to_owned(), account.parent));
                accounts.push((index, account));
            }
        });
        let accounts_at_cut = views.ordered;
        let next_number = self.store.number(accounts_at_cut);
        drop(views);
        // Spares begin with the first number, and are given in order: the last one that any of these
        // tenants has is the last.
        let first = next_number - accounts.len() as u64;
        let given = accounts.iter().filter_map(|(_, account)| spare_after(account.next_hold));
        let next_spare = given.fold(first, u64::max);
        let state = LedgerState {
            schema_version: LEDGER_STATE_SCHEMA.to_owned(),
            limits: self.limits,
            next_number,
            next_spare,
            tenants: accounts
                .into_iter()
                .map(|(index, account)| {
                    let number = next_number - u64::from(accounts_at_cut - index);
                    tenant(index, number, &account, &names)
                })
                .collect(),
        };
        (state, noted)
    }
}

fn name(index: u32, names: &Names) -> Option<String> {
    names.get(&index).map(|(name, _)| name.clone())
}

fn tenant(index: u32, number: u64, account: &Account, names: &Names) -> TenantState {
    let default = Box::default();
    let extras = account.extras.as_ref().unwrap_or(&default);
    TenantState {
        tenant_id: name(index, names).unwrap_or_default(),
        parent_id: name(account.parent, names),
        number,
        status: extras.status,
        initial_microcents: account.initial,
        remaining_microcents: account.remaining,
        reserved_microcents: account.reserved,
        committed_microcents: account.committed,
        overdraft_microcents: extras.overdraft,
        children_spent_microcents: extras.children_spent,
        max_reserved_microcents: extras.max_reserved,
        overrun_policy: extras.overrun,
        clock: extras.clock,
        next_hold: account.next_hold,
        windows: extras.meters.iter().map(window).collect(),
        holds: account.holds.all().into_iter().map(hold).collect(),
        keys: extras.keys.iter().map(|(key, record)| kept(index, key, record, names)).collect(),
    }
}

fn window(meter: &Meter) -> WindowState {
    let charge =
        |(slot, amount): (&u64, &i64)| ChargeState { slot: *slot, amount_microcents: *amount };
    WindowState {
        window: meter.window,
        limit_microcents: meter.limit,
        charges: meter.charges.iter().map(charge).collect(),
    }
}

fn hold((hold, open): (u64, OpenHold)) -> HoldState {
    let OpenHold { amount, began, deadline } = open;
    let deadline = (deadline != FOREVER).then_some(deadline);
    HoldState { hold, amount_microcents: amount, began, deadline }
}

fn kept(index: u32, key: &str, record: &Record, names: &Names) -> KeyState {
    let request = match record.request {
        Request::Open { parent, initial } => {
            RequestState::Open { parent_id: name(parent, names), initial_microcents: initial }
        }
        Request::Tenant(action) => RequestState::Tenant(action),
        Request::Hold(hold, action) => RequestState::Hold { hold, action },
    };
    let answer = match record.answer {
        Ok(receipt) => AnswerState::Receipt(receipt),
        Err(Barrier { level, reason }) => {
            let above = |index: u32| names.get(&index).map_or(index, |(_, parent)| *parent);
            let scope = (0..level).fold(index, |index, _| above(index));
            AnswerState::Refusal(Refusal { scope: name(scope, names).unwrap_or_default(), reason })
        }
    };
    KeyState { key: key.to_owned(), at: record.at, request, answer }
}
