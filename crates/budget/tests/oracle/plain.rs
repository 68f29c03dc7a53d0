//! The same rules as lists and maps: no locks, no shortcuts.

use std::collections::BTreeMap;

use calybris_budget::{
    Applied, Balances, ExpiredHold, HoldAction, LedgerOperation, Limits, OverrunPolicy, Receipt,
    Refusal, RefusalReason as R, TenantAction, TenantStatus, Window,
};

pub(crate) const LIMITS: Limits = Limits { key_retention: 150, max_keys_per_tenant: 4 };

#[derive(Clone)]
pub(crate) struct Tenant {
    parent: Option<String>,
    pub(crate) own: Balances,
    cap: i64,
    pub(crate) status: TenantStatus,
    policy: OverrunPolicy,
    clock: u64,
    /// Limit and every charge still counted, with the time it counts from.
    windows: BTreeMap<Window, (i64, Vec<(u64, i64)>)>,
    keys: BTreeMap<String, (u64, String, Answer)>,
}

#[derive(Clone)]
pub(crate) struct Hold {
    tenant: String,
    amount: i64,
    began: u64,
    deadline: u64,
}

type Answer = Result<Receipt, Refusal>;

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) tenants: BTreeMap<String, Tenant>,
    pub(crate) holds: BTreeMap<u64, Hold>,
}

fn refuse<T>(scope: &str, reason: R) -> Result<T, Refusal> {
    Err(Refusal { scope: scope.into(), reason })
}

fn within(scope: &str, asked: i64, minimum: i64, maximum: i64) -> Result<(), Refusal> {
    let ok = (minimum..=maximum).contains(&asked);
    if ok { Ok(()) } else { refuse(scope, R::InvalidAmount { asked, minimum, maximum }) }
}

fn slot(window: Window, time: u64) -> u64 {
    match window {
        Window::Fixed { length } => time / length,
        Window::Rolling { length } => time / length.div_ceil(60),
    }
}

impl Tenant {
    fn used(&self, window: Window, now: u64) -> i64 {
        let back = match window {
            Window::Fixed { .. } => 0,
            Window::Rolling { length } => (length - 1).div_ceil(length.div_ceil(60)),
        };
        let counted = |then: u64| slot(window, then).saturating_add(back) >= slot(window, now);
        let all = self.windows[&window].1.iter().filter(|(t, _)| counted(*t));
        let sum: i128 = all.map(|(_, a)| i128::from(*a)).sum();
        i64::try_from(sum).unwrap_or(i64::MAX)
    }

    fn charge(&mut self, now: u64, amount: i64) {
        for (_, charges) in self.windows.values_mut() {
            charges.push((now, amount));
        }
    }

    /// Takes back up to `amount` of what counts in the same slot.
    fn refund(&mut self, then: u64, amount: i64) {
        for (window, (_, charges)) in &mut self.windows {
            let mut left = amount;
            let same = |t: u64| slot(*window, t) == slot(*window, then);
            for (_, charge) in charges.iter_mut().filter(|(t, _)| same(*t)) {
                let back = left.min(*charge);
                *charge -= back;
                left -= back;
            }
        }
    }

    fn admit(&self, asked: i64, now: u64) -> Result<(), R> {
        match self.status {
            TenantStatus::Frozen => return Err(R::Frozen),
            TenantStatus::Closed => return Err(R::Closed),
            TenantStatus::Active => {}
        }
        let Balances { remaining_microcents: remaining, reserved_microcents: reserved, .. } =
            self.own;
        if asked > remaining {
            return Err(R::Insufficient { remaining, asked });
        }
        if self.cap > 0 && i128::from(reserved) + i128::from(asked) > i128::from(self.cap) {
            return Err(R::ExposureLimit { reserved, limit: self.cap, asked });
        }
        for (window, (limit, _)) in &self.windows {
            let used = self.used(*window, now);
            if i128::from(used) + i128::from(asked) > i128::from(*limit) {
                return Err(R::WindowLimit { window: *window, used, limit: *limit, asked });
            }
        }
        Ok(())
    }

    fn admit_spend(&self, held: i64, asked: i64) -> Result<(), R> {
        let remaining = self.own.remaining_microcents;
        let debt = i128::from(asked) - i128::from(held) - i128::from(remaining);
        if debt <= 0 {
            return Ok(());
        }
        let overdraft = self.own.overdraft_microcents;
        match self.policy {
            OverrunPolicy::Refuse => return Err(R::Overrun { held, remaining, asked }),
            OverrunPolicy::Overdraft { cap_microcents: limit } => {
                if i128::from(overdraft) + debt > i128::from(limit) {
                    let asked = i64::try_from(debt).unwrap();
                    return Err(R::OverdraftLimit { overdraft, limit, asked });
                }
            }
            OverrunPolicy::Freeze => {}
        }
        let granted = i128::from(self.own.initial_microcents);
        if granted + i128::from(overdraft) + debt > i128::from(i64::MAX) {
            let asked = i64::try_from(debt).unwrap();
            return Err(R::Overflow { current: overdraft, asked });
        }
        Ok(())
    }

    fn settle(&mut self, held: i64, spent: i64, began: u64, now: u64) {
        self.refund(began, (held - spent).max(0));
        self.charge(now, (spent - held).max(0));
        self.own.reserved_microcents -= held;
        let available = self.own.remaining_microcents + held;
        if spent > available {
            self.own.committed_microcents += available;
            self.own.remaining_microcents = 0;
            self.own.overdraft_microcents += spent - available;
            if self.policy == OverrunPolicy::Freeze && self.status == TenantStatus::Active {
                self.status = TenantStatus::Frozen;
            }
        } else {
            self.own.committed_microcents += spent;
            self.own.remaining_microcents = available - spent;
        }
        self.pay();
    }

    fn pay(&mut self) {
        let paid = self.own.overdraft_microcents.min(self.own.remaining_microcents);
        self.own.overdraft_microcents -= paid;
        self.own.remaining_microcents -= paid;
        self.own.committed_microcents += paid;
    }
}

impl Model {
    fn path(&self, tenant: &str) -> Vec<String> {
        let next = |name: &String| self.tenants[name].parent.clone();
        std::iter::successors(Some(tenant.to_owned()), next).collect()
    }

    fn closed_above(&self, tenant: &str) -> Result<(), Refusal> {
        self.ask(&self.path(tenant), |scope| match scope.status {
            TenantStatus::Closed => Err(R::Closed),
            TenantStatus::Active | TenantStatus::Frozen => Ok(()),
        })
    }

    fn ask(&self, path: &[String], rule: impl Fn(&Tenant) -> Result<(), R>) -> Result<(), Refusal> {
        path.iter().try_for_each(|scope| {
            rule(&self.tenants[scope]).or_else(|reason| refuse(scope, reason))
        })
    }

    fn tenant(&mut self, name: &str) -> &mut Tenant {
        self.tenants.get_mut(name).unwrap()
    }

    /// `id` is the one the ledger gave, if it made a hold.
    pub(crate) fn apply(
        &mut self,
        operation: &LedgerOperation,
        id: Option<u64>,
    ) -> Result<Applied, Refusal> {
        let answer = match operation {
            LedgerOperation::Expire { now } => return Ok(Applied::Expired(self.expire(*now))),
            LedgerOperation::Open { tenant, parent, initial_microcents, now, key } => {
                self.open(tenant, parent.as_deref(), *initial_microcents, *now, key.as_deref())
            }
            LedgerOperation::Tenant { tenant, action, now, key } => {
                if !self.tenants.contains_key(tenant) {
                    return refuse(tenant, R::MissingTenant);
                }
                let request = format!("{action:?}");
                self.once(tenant, request, *now, key.as_deref(), |model, now| {
                    model.on_tenant(tenant, *action, now, id)
                })
            }
            LedgerOperation::Hold { hold, action, now, key } => {
                // Settled or not, what was asked of a hold's tenant under a key is found there.
                let asked = format!("{hold} {action:?}");
                let first = self.holds.get(hold).map(|hold| hold.tenant.clone()).or_else(|| {
                    let has = |tenant: &Tenant| {
                        key.as_ref().is_some_and(|key| {
                            tenant.keys.get(key).is_some_and(|(_, request, _)| *request == asked)
                        })
                    };
                    self.tenants.iter().find(|(_, it)| has(it)).map(|(name, _)| name.clone())
                });
                let Some(tenant) = first else {
                    return refuse("", R::MissingHold { hold: *hold });
                };
                self.once(&tenant, asked, *now, key.as_deref(), |model, now| {
                    model.on_hold(&tenant, *hold, *action, now)
                })
            }
        };
        answer.map(Applied::Receipt)
    }

    fn once(
        &mut self,
        tenant: &str,
        request: String,
        now: u64,
        key: Option<&str>,
        run: impl FnOnce(&mut Self, u64) -> Answer,
    ) -> Answer {
        let path = self.path(tenant);
        let now = path.iter().map(|scope| self.tenants[scope].clock).fold(now, u64::max);
        let Some(key) = key else {
            let done = run(self, now)?;
            path.iter().for_each(|scope| self.tenant(scope).clock = now);
            return Ok(done);
        };
        if key.is_empty() {
            return refuse(tenant, R::InvalidKey { length: 0, limit: 255 });
        }
        if let Some((_, first, answer)) = self.tenants[tenant].keys.get(key) {
            return if *first == request { answer.clone() } else { refuse(tenant, R::KeyConflict) };
        }
        let fresh = |at: u64| now - at <= LIMITS.key_retention;
        if self.tenants[tenant].keys.values().filter(|(at, _, _)| fresh(*at)).count() >= 4 {
            return refuse(tenant, R::TooManyKeys { limit: 4 });
        }
        let answer = run(self, now);
        if matches!(answer, Err(Refusal { reason: R::MissingHold { .. }, .. })) {
            return answer;
        }
        path.iter().for_each(|scope| self.tenant(scope).clock = now);
        let keys = &mut self.tenant(tenant).keys;
        keys.retain(|_, (at, _, _)| fresh(*at));
        keys.insert(key.to_owned(), (now, request, answer.clone()));
        answer
    }

    fn open(
        &mut self,
        name: &str,
        parent: Option<&str>,
        initial: i64,
        now: u64,
        key: Option<&str>,
    ) -> Answer {
        within(name, initial, 0, i64::MAX)?;
        if key == Some("") {
            return refuse(name, R::InvalidKey { length: 0, limit: 255 });
        }
        if let Some(missing) = parent.filter(|parent| !self.tenants.contains_key(*parent)) {
            return refuse(missing, R::MissingTenant);
        }
        let request = format!("{parent:?} {initial}");
        if self.tenants.contains_key(name) {
            let mine = self.tenants[name].parent.clone();
            return self.once(name, request, now, key, |model, _| match parent {
                Some(other) if mine.as_deref() != Some(other) => refuse(name, R::OtherParent),
                _ => model.receipt(name, None, 0),
            });
        }
        let mut now = now;
        if let Some(parent) = parent {
            self.closed_above(parent)?;
            let clocks = self.path(parent).into_iter().map(|scope| self.tenants[&scope].clock);
            now = clocks.fold(now, u64::max);
        }
        let own = Balances {
            initial_microcents: initial,
            remaining_microcents: initial,
            ..Balances::default()
        };
        let fresh = Tenant {
            parent: parent.map(str::to_owned),
            own,
            cap: 0,
            status: TenantStatus::Active,
            policy: OverrunPolicy::Refuse,
            clock: now,
            windows: BTreeMap::new(),
            keys: BTreeMap::new(),
        };
        self.tenants.insert(name.to_owned(), fresh);
        let answer = self.receipt(name, None, initial);
        if let Some(key) = key {
            self.tenant(name).keys.insert(key.to_owned(), (now, request, answer.clone()));
        }
        answer
    }

    fn receipt(&self, tenant: &str, hold: Option<u64>, amount_microcents: i64) -> Answer {
        Ok(Receipt { hold, amount_microcents, balances: self.tenants[tenant].own })
    }

    fn reserve(
        &mut self,
        name: &str,
        amount: i64,
        deadline: Option<u64>,
        now: u64,
        id: Option<u64>,
    ) -> Answer {
        let path = self.path(name);
        if let Some(deadline) = deadline.filter(|deadline| *deadline <= now) {
            return refuse(name, R::PastDeadline { deadline, now });
        }
        self.ask(&path, |scope| scope.admit(amount, now))?;
        self.set_aside(&path, amount, now);
        let id = id.expect("the model makes a hold and the ledger does not");
        let deadline = deadline.unwrap_or(u64::MAX);
        let hold = Hold { tenant: name.to_owned(), amount, began: now, deadline };
        assert!(self.holds.insert(id, hold).is_none());
        self.receipt(name, Some(id), amount)
    }

    fn set_aside(&mut self, path: &[String], amount: i64, now: u64) {
        for scope in path {
            let scope = self.tenant(scope);
            scope.own.remaining_microcents -= amount;
            scope.own.reserved_microcents += amount;
            scope.charge(now, amount);
        }
    }

    /// The most that every number on the path allows.
    fn available(&self, path: &[String], now: u64) -> i64 {
        let numbers = |scope: &String| {
            let it = &self.tenants[scope];
            let cap = if it.cap > 0 { it.cap - it.own.reserved_microcents } else { i64::MAX };
            let left = |(window, (limit, _)): (&Window, &(i64, _))| limit - it.used(*window, now);
            let windows = it.windows.iter().map(left);
            windows.chain([cap, it.own.remaining_microcents]).min().unwrap()
        };
        path.iter().map(numbers).min().unwrap()
    }

    fn on_tenant(&mut self, name: &str, action: TenantAction, now: u64, id: Option<u64>) -> Answer {
        let path = self.path(name);
        match action {
            TenantAction::Reserve { amount_microcents, deadline } => {
                within(name, amount_microcents, 1, i64::MAX)?;
                return self.reserve(name, amount_microcents, deadline, now, id);
            }
            TenantAction::ReserveUpTo { amount_microcents, at_least_microcents, deadline } => {
                within(name, at_least_microcents, 1, i64::MAX)?;
                within(name, amount_microcents, at_least_microcents, i64::MAX)?;
                let most = self.available(&path, now);
                let most = most.min(amount_microcents).max(at_least_microcents);
                return self.reserve(name, most, deadline, now, id);
            }
            _ => {}
        }
        self.closed_above(name)?;
        let tenant = self.tenant(name);
        match action {
            TenantAction::TopUp { amount_microcents: amount } => {
                within(name, amount, 1, i64::MAX)?;
                let current = tenant.own.initial_microcents;
                let Some(initial) = current.checked_add(amount) else {
                    return refuse(name, R::Overflow { current, asked: amount });
                };
                tenant.own.initial_microcents = initial;
                tenant.own.remaining_microcents += amount;
                tenant.pay();
                return self.receipt(name, None, amount);
            }
            TenantAction::SetMaxReserved { cap_microcents } => tenant.cap = cap_microcents,
            TenantAction::SetOverrunPolicy { policy } => tenant.policy = policy,
            TenantAction::SetWindow { window, limit_microcents } => {
                let (Window::Fixed { length } | Window::Rolling { length }) = window;
                if length == 0 {
                    return refuse(name, R::EmptyWindow);
                }
                let reserved = tenant.own.reserved_microcents;
                match limit_microcents {
                    None => drop(tenant.windows.remove(&window)),
                    Some(_)
                        if tenant.windows.len() == 4 && !tenant.windows.contains_key(&window) =>
                    {
                        return refuse(name, R::TooManyWindows { limit: 4 });
                    }
                    Some(limit) => {
                        let fresh = (limit, vec![(now, reserved)]);
                        tenant.windows.entry(window).or_insert(fresh).0 = limit;
                    }
                }
            }
            TenantAction::Freeze => tenant.status = TenantStatus::Frozen,
            TenantAction::Thaw => tenant.status = TenantStatus::Active,
            TenantAction::Close => {
                let reserved = tenant.own.reserved_microcents;
                if reserved > 0 {
                    return refuse(name, R::OpenHolds { reserved });
                }
                tenant.status = TenantStatus::Closed;
            }
            TenantAction::Reserve { .. } | TenantAction::ReserveUpTo { .. } => {
                panic!("answered above")
            }
        }
        self.receipt(name, None, 0)
    }

    fn on_hold(&mut self, name: &str, id: u64, action: HoldAction, now: u64) -> Answer {
        let Some(hold) = self.holds.get(&id).cloned() else {
            return refuse("", R::MissingHold { hold: id });
        };
        let path = self.path(name);
        let settle = |model: &mut Self, held: i64, spent: i64, began: u64| {
            path.iter().for_each(|scope| model.tenant(scope).settle(held, spent, began, now));
            match hold.amount - held {
                0 => drop(model.holds.remove(&id)),
                left => model.holds.get_mut(&id).unwrap().amount = left,
            }
        };
        let moved = match action {
            HoldAction::Commit { actual_microcents: actual } => {
                within(name, actual, 0, i64::MAX)?;
                self.ask(&path, |scope| scope.admit_spend(hold.amount, actual))?;
                settle(self, hold.amount, actual, hold.began);
                actual
            }
            HoldAction::CommitHeld => {
                settle(self, hold.amount, hold.amount, hold.began);
                hold.amount
            }
            HoldAction::CommitPart { amount_microcents: part } => {
                within(name, part, 1, hold.amount)?;
                settle(self, part, part, hold.began);
                part
            }
            HoldAction::Release => {
                settle(self, hold.amount, 0, hold.began);
                hold.amount
            }
            HoldAction::Grow { amount_microcents: more } => {
                within(name, more, 1, i64::MAX)?;
                self.ask(&path, |scope| scope.admit(more, now))?;
                self.set_aside(&path, more, now);
                self.holds.get_mut(&id).unwrap().amount += more;
                more
            }
            HoldAction::Extend { deadline } => {
                if let Some(deadline) = deadline.filter(|deadline| *deadline <= now) {
                    return refuse(name, R::PastDeadline { deadline, now });
                }
                self.holds.get_mut(&id).unwrap().deadline = deadline.unwrap_or(u64::MAX);
                hold.amount
            }
        };
        self.receipt(name, Some(id), moved)
    }

    fn expire(&mut self, now: u64) -> Vec<ExpiredHold> {
        let due = |hold: &Hold| hold.deadline <= now && hold.deadline != u64::MAX;
        let mut all: Vec<_> = self
            .holds
            .iter()
            .filter(|(_, hold)| due(hold))
            .map(|(id, hold)| (hold.deadline, *id))
            .collect();
        all.sort_unstable();
        let expire = |(deadline, id): (u64, u64)| {
            let Hold { tenant, amount, .. } = self.holds[&id].clone();
            let release =
                |model: &mut Self, now| model.on_hold(&tenant, id, HoldAction::Release, now);
            self.once(&tenant, String::new(), now, None, release).unwrap();
            ExpiredHold { hold: id, tenant, amount_microcents: amount, deadline }
        };
        all.into_iter().map(expire).collect()
    }
}
