//! From a state to a ledger, refusing what does not add up, names ids that were never given, or is not in the form that a
//! ledger writes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    account::{Account, Extras, ROOT, TenantStatus},
    engine::BudgetEngine,
    holds::{FOREVER, OpenHold},
    keys::{Keys, Limits, MAX_KEY_BYTES, Record, Request},
    ledger::Ledger,
    operation::OverrunPolicy,
    refusal::Barrier,
    store::{MAX_DEPTH, MAX_NUMBER, Registry, Store, is_never_given},
    window::{MAX_WINDOWS, Meter},
};

use super::{
    AnswerState, KeyState, LEDGER_STATE_SCHEMA, LedgerState, RequestState, StateError, TenantState,
    WindowState,
};

impl BudgetEngine {
    /// A ledger in a given state: holds are open, keys are remembered, ids go on where they were. The versions of
    /// snapshots are no part of a state, because taking one changes nothing; they start again.
    ///
    /// # Errors
    /// A state that does not hold together: amounts that do not add up, within a tenant or between a
    /// tenant and those below it, settings that a ledger refuses, ids that were never given, anything not in
    /// canonical form. Times and what keys stand for are taken as they are: nothing in a state shows whether they
    /// ever were so.
    pub fn from_state(state: &LedgerState) -> Result<Self, StateError> {
        if state.schema_version != LEDGER_STATE_SCHEMA {
            return Err(StateError::Schema { found: state.schema_version.clone() });
        }
        state.tenants.iter().try_for_each(check_amounts)?;
        state.tenants.iter().try_for_each(|tenant| check_settings(tenant, state.limits))?;
        check_hierarchy(&state.tenants)?;
        let next = [("next_number", state.next_number), ("next_spare", state.next_spare)];
        if let Some((member, value)) = next.into_iter().find(|(_, value)| *value > MAX_NUMBER) {
            return Err(StateError::NoHoldIds { member, value });
        }
        let ledger = build(state)?;
        // One check for order, repetition and everything else a ledger would have written otherwise.
        let rebuilt = ledger.state();
        if rebuilt.next_spare != state.next_spare {
            let (expected, found) = (rebuilt.next_spare, state.next_spare);
            return Err(StateError::NextSpare { expected, found });
        }
        if rebuilt != *state {
            let pairs = rebuilt.tenants.iter().zip(&state.tenants);
            let different =
                pairs.filter(|(rebuilt, given)| rebuilt != given).map(|(_, it)| it).next();
            let tenant_id = different.map_or_else(String::new, |tenant| tenant.tenant_id.clone());
            return Err(StateError::NotCanonical { tenant_id });
        }
        ledger.start_certificates();
        Ok(Self { ledger: Arc::new(ledger) })
    }
}

fn equal(
    tenant: &TenantState,
    what: &'static str,
    expected: i128,
    found: i64,
) -> Result<(), StateError> {
    let (tenant_id, found) = (tenant.tenant_id.clone(), i128::from(found));
    if expected == found {
        Ok(())
    } else {
        Err(StateError::Unequal { tenant_id, what, expected, found })
    }
}

fn spent(tenant: &TenantState) -> i128 {
    i128::from(tenant.committed_microcents) + i128::from(tenant.overdraft_microcents)
}

/// What can be checked of a tenant alone.
fn check_amounts(tenant: &TenantState) -> Result<(), StateError> {
    let fields = [
        ("initial_microcents", tenant.initial_microcents),
        ("remaining_microcents", tenant.remaining_microcents),
        ("reserved_microcents", tenant.reserved_microcents),
        ("committed_microcents", tenant.committed_microcents),
        ("overdraft_microcents", tenant.overdraft_microcents),
        ("children_spent_microcents", tenant.children_spent_microcents),
        ("max_reserved_microcents", tenant.max_reserved_microcents),
    ];
    let holds = tenant
        .holds
        .iter()
        .map(|hold| ("amount_microcents of a hold", hold.amount_microcents.saturating_sub(1)));
    let limits =
        tenant.windows.iter().map(|it| ("limit_microcents of a window", it.limit_microcents));
    let charges = tenant.windows.iter().flat_map(|window| &window.charges);
    let charges = charges.map(|charge| ("amount_microcents of a charge", charge.amount_microcents));
    let debt = match tenant.overrun_policy {
        OverrunPolicy::Overdraft { cap_microcents } => cap_microcents,
        OverrunPolicy::Refuse | OverrunPolicy::Freeze => 0,
    };
    let debt = std::iter::once(("cap_microcents of the overrun policy", debt));
    let mut all = fields.into_iter().chain(debt).chain(holds).chain(limits).chain(charges);
    if let Some((field, value)) = all.find(|(_, value)| *value < 0) {
        return Err(StateError::NegativeAmount {
            tenant_id: tenant.tenant_id.clone(),
            field,
            value,
        });
    }
    let parts =
        [tenant.remaining_microcents, tenant.reserved_microcents, tenant.committed_microcents];
    let parts = parts.into_iter().map(i128::from).sum();
    equal(tenant, "initial_microcents", parts, tenant.initial_microcents)?;
    if tenant.overdraft_microcents > 0 {
        equal(tenant, "remaining_microcents beside an overdraft", 0, tenant.remaining_microcents)?;
    }
    if tenant.status == TenantStatus::Closed {
        equal(tenant, "reserved_microcents of a closed tenant", 0, tenant.reserved_microcents)?;
    }
    match tenant.initial_microcents.checked_add(tenant.overdraft_microcents) {
        Some(_) => Ok(()),
        None => {
            let most = i64::MAX - tenant.initial_microcents;
            equal(tenant, "overdraft_microcents", most.into(), tenant.overdraft_microcents)
        }
    }
}

/// What a tenant can be set to, and how much of it.
fn check_settings(tenant: &TenantState, limits: Limits) -> Result<(), StateError> {
    let windows = [("the number of windows", tenant.windows.len() as u64, 0, MAX_WINDOWS as u64)];
    let lengths = tenant.windows.iter().map(|it| it.window.length());
    let lengths = lengths.map(|length| ("the length of a window", length, 1, u64::MAX));
    let count = tenant.keys.len() as u64;
    let keys = [("the number of idempotency keys", count, 0, limits.max_keys_per_tenant)];
    let bytes = tenant.keys.iter().map(|kept| kept.key.len() as u64);
    let bytes =
        bytes.map(|bytes| ("the length of an idempotency key", bytes, 1, MAX_KEY_BYTES as u64));
    let mut all = windows.into_iter().chain(lengths).chain(keys).chain(bytes);
    match all.find(|(_, found, minimum, maximum)| !(minimum..=maximum).contains(&found)) {
        None => Ok(()),
        Some((what, found, minimum, maximum)) => {
            let tenant_id = tenant.tenant_id.clone();
            Err(StateError::Setting { tenant_id, what, found, minimum, maximum })
        }
    }
}

/// A tenant's amounts are its own and those of the tenants below it.
fn check_hierarchy(tenants: &[TenantState]) -> Result<(), StateError> {
    let mut below = HashMap::<&str, (i128, i128)>::new();
    for tenant in tenants {
        if let Some(parent) = &tenant.parent_id {
            let (reserved, children_spent) = below.entry(parent).or_default();
            *reserved += i128::from(tenant.reserved_microcents);
            *children_spent += spent(tenant);
        }
    }
    for tenant in tenants {
        let (reserved, children_spent) = below.get(&*tenant.tenant_id).copied().unwrap_or_default();
        let own = tenant.holds.iter().map(|hold| i128::from(hold.amount_microcents)).sum::<i128>();
        equal(tenant, "reserved_microcents", own + reserved, tenant.reserved_microcents)?;
        let what = "children_spent_microcents";
        equal(tenant, what, children_spent, tenant.children_spent_microcents)?;
        if children_spent > spent(tenant) {
            return equal(
                tenant,
                "committed and owed by those below",
                spent(tenant),
                tenant.children_spent_microcents,
            );
        }
    }
    Ok(())
}

/// Where a tenant was put.
struct Place<'s> {
    index: u32,
    parent: Option<&'s str>,
    level: usize,
}

/// By tenant name.
type Placed<'s> = HashMap<&'s str, Place<'s>>;

fn build(state: &LedgerState) -> Result<Ledger, StateError> {
    let mut ledger = Ledger { limits: state.limits, ..Ledger::default() };
    // A parent was opened before its children, and has a lower number.
    let mut tenants: Vec<&TenantState> = state.tenants.iter().collect();
    tenants.sort_by_key(|tenant| tenant.number);
    let first = state.next_number.saturating_sub(tenants.len() as u64);
    ledger.store.go_on_from(&Registry::default(), first, state.next_spare);
    let mut placed = Placed::new();
    for (expected, tenant) in (first..state.next_number).zip(&tenants) {
        if tenant.number != expected {
            let (tenant_id, found) = (tenant.tenant_id.clone(), tenant.number);
            return Err(StateError::Number { tenant_id, expected, found });
        }
        place(&ledger.store, tenant, &mut placed, tenants.len())?;
    }
    // Only now: a remembered request to open a tenant may name any other as its parent.
    for (index, tenant) in (0..).zip(tenants) {
        fill(&mut ledger, tenant, index, &placed)?;
    }
    Ok(ledger)
}

/// Gives a tenant the next index.
fn place<'s>(
    store: &Store,
    tenant: &'s TenantState,
    placed: &mut Placed<'s>,
    tenants: usize,
) -> Result<(), StateError> {
    let parent = tenant.parent_id.as_deref();
    let level = parent.map_or(Some(1), |parent| Some(placed.get(parent)?.level + 1));
    let Some(level) = level.filter(|level| *level <= MAX_DEPTH) else {
        let tenant_id = tenant.tenant_id.clone();
        let parent_id = parent.unwrap_or_default().to_owned();
        return Err(StateError::Parent { tenant_id, parent_id });
    };
    let mut registry = store.registry.lock();
    let added = store.add(&mut registry, &tenant.tenant_id);
    let index = added.map_err(|_| StateError::TooManyTenants { tenants })?.index;
    store.publish(&mut registry, index);
    match placed.insert(&tenant.tenant_id, Place { index, parent, level }) {
        None => Ok(()),
        Some(_) => Err(StateError::NotCanonical { tenant_id: tenant.tenant_id.clone() }),
    }
}

/// Puts into a tenant what its state says.
fn fill(
    ledger: &mut Ledger,
    tenant: &TenantState,
    index: u32,
    placed: &Placed<'_>,
) -> Result<(), StateError> {
    adopt_ids(&mut ledger.store, tenant, index)?;
    let mut account = account(tenant, placed);
    if let Some(extras) = &mut account.extras {
        ledger.due.announce(index, &mut extras.deadlines);
    }
    if let Some(address) = ledger.store.address(index) {
        *address.cell.lock() = account;
    }
    Ok(())
}

/// The ids whose tenant has to stay known, and that they were given to it.
fn adopt_ids(store: &mut Store, tenant: &TenantState, index: u32) -> Result<(), StateError> {
    let holds = tenant.holds.iter().map(|hold| hold.hold);
    let requests = tenant.keys.iter().filter_map(|kept| match kept.request {
        RequestState::Hold { hold, .. } => Some(hold),
        RequestState::Open { .. } | RequestState::Tenant(_) => None,
    });
    let ids: BTreeSet<u64> = holds.chain(requests).collect();
    let wrong = |hold| StateError::HoldId { tenant_id: tenant.tenant_id.clone(), hold };
    let last = tenant.next_hold.checked_sub(1).ok_or_else(|| wrong(tenant.next_hold))?;
    if let Some(hold) = ids.iter().find(|id| is_never_given(**id) || **id > last) {
        return Err(wrong(*hold));
    }
    match ids.into_iter().chain([last]).find(|id| !store.adopt_id(*id, index)) {
        None => Ok(()),
        Some(hold) => Err(wrong(hold)),
    }
}

fn account(tenant: &TenantState, placed: &Placed<'_>) -> Account {
    let index_of = |name: Option<&str>| Some(placed.get(name?)?.index);
    let mut account = Account {
        initial: tenant.initial_microcents,
        remaining: tenant.remaining_microcents,
        reserved: tenant.reserved_microcents,
        committed: tenant.committed_microcents,
        next_hold: tenant.next_hold,
        parent: index_of(tenant.parent_id.as_deref()).unwrap_or(ROOT),
        ..Account::default()
    };
    let mut extras = Extras {
        clock: tenant.clock,
        max_reserved: tenant.max_reserved_microcents,
        status: tenant.status,
        overrun: tenant.overrun_policy,
        overdraft: tenant.overdraft_microcents,
        children_spent: tenant.children_spent_microcents,
        // By window, as a ledger keeps them.
        meters: tenant
            .windows
            .iter()
            .map(|state| (state.window, meter(state)))
            .collect::<BTreeMap<_, _>>()
            .into_values()
            .collect(),
        keys: Keys::from_records(tenant.keys.iter().map(|kept| record(tenant, kept, placed))),
        ..Extras::default()
    };
    for hold in &tenant.holds {
        let deadline = hold.deadline.unwrap_or(FOREVER);
        let open = OpenHold { amount: hold.amount_microcents, began: hold.began, deadline };
        account.holds.insert(hold.hold, open);
        if deadline != FOREVER {
            extras.deadlines.add(deadline, hold.hold);
        }
    }
    account.extras = extras.needed().then(|| Box::new(extras));
    account
}

fn meter(state: &WindowState) -> Meter {
    let charges = state.charges.iter().map(|it| (it.slot, it.amount_microcents));
    let charges = charges.filter(|(_, amount)| *amount > 0).collect::<BTreeMap<_, _>>();
    Meter { window: state.window, limit: state.limit_microcents, charges }
}

fn record(tenant: &TenantState, kept: &KeyState, placed: &Placed<'_>) -> (Box<str>, Record) {
    let request = match &kept.request {
        RequestState::Open { parent_id, initial_microcents } => Request::Open {
            parent: parent_id
                .as_deref()
                .and_then(|id| placed.get(id))
                .map_or(ROOT, |place| place.index),
            initial: *initial_microcents,
        },
        RequestState::Tenant(action) => Request::Tenant(*action),
        RequestState::Hold { hold, action } => Request::Hold(*hold, *action),
    };
    let answer = match &kept.answer {
        AnswerState::Receipt(receipt) => Ok(*receipt),
        AnswerState::Refusal(refusal) => {
            let above = |name: &&str| placed.get(name).and_then(|place| place.parent);
            let mut path = std::iter::successors(Some(&*tenant.tenant_id), above);
            let level = path.position(|scope| scope == refusal.scope).unwrap_or(0);
            Err(Barrier { level: u8::try_from(level).unwrap_or(0), reason: refusal.reason })
        }
    };
    (kept.key.as_str().into(), Record { at: kept.at, request, answer })
}
