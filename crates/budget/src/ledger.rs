//! The ledger behind the engine, its tenant handles and its holds: one definition of each operation.

use crate::{
    account::ROOT,
    due::DueTenants,
    keys::{Answer, Limits, Record, Request, check_key},
    operation::{Call, HoldAction, LedgerOperation, TenantAction},
    outcome::{BudgetReservation, BudgetSettlement},
    primitive::Mutex,
    refusal::{Applied, Barrier, ExpiredHold, Receipt, Refusal, RefusalReason},
    rules::{self, Scope},
    store::{Address, Locked, MAX_DEPTH, Path, Registry, Store},
    views::Views,
};

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) store: Store,
    pub(crate) limits: Limits,
    pub(crate) due: DueTenants,
    /// Locked for the whole of an expiry: what is due is found and given back by one caller, and whoever comes
    /// second finds it given back.
    pub(crate) expiring: Mutex<()>,
    /// Locked for the whole of a snapshot or a restore, and by nothing else.
    pub(crate) views: Mutex<Views>,
}

impl Ledger {
    /// Runs `operation` on the locked path of a tenant, following the name when a restore has put
    /// another account in its place.
    pub(crate) fn on_path<R>(
        &self,
        address: Address<'_>,
        mut operation: impl FnMut(u32, Path<'_, '_>) -> Result<R, Barrier>,
    ) -> Result<R, Barrier> {
        match self.store.with_path(address, |path| operation(address.index, path)) {
            Some(result) => result,
            None => self.on_successor(address, operation),
        }
    }

    #[cold]
    fn on_successor<R>(
        &self,
        gone: Address<'_>,
        mut operation: impl FnMut(u32, Path<'_, '_>) -> Result<R, Barrier>,
    ) -> Result<R, Barrier> {
        let mut tried = gone.index;
        loop {
            let found = self.store.by_name(gone.cell.name());
            let address =
                found.filter(|it| it.index != tried).ok_or(RefusalReason::MissingTenant)?;
            if let Some(result) =
                self.store.with_path(address, |path| operation(address.index, path))
            {
                return result;
            }
            tried = address.index;
        }
    }

    /// Asks a tenant something, without time or key, and puts the answer in the caller's words. A hold
    /// that is not this tenant's is a missing one.
    ///
    /// Inlined, with the request a constant, into the calls that have to be fast; they lead to a
    /// tenant without parent most of the time. Each way has an answer of its own, so that the parts
    /// of the short one can stay in registers.
    #[inline(always)]
    pub(crate) fn ask<R>(
        &self,
        tenant: Address<'_>,
        request: Request,
        words: impl Fn(Answer) -> R,
    ) -> R {
        match self.store.lock_alone(tenant) {
            Some(mut own) => {
                let path = std::slice::from_mut(&mut own);
                words(self.answer(tenant.index, path, request, Call::default()))
            }
            None => words(self.ask_along(tenant, request)),
        }
    }

    #[inline(never)]
    fn ask_along(&self, tenant: Address<'_>, request: Request) -> Answer {
        self.on_path(tenant, |index, path| self.answer(index, path, request, Call::default()))
    }

    /// The answer with the scope of a refusal by name. Which it is is looked up on the locked path: at any
    /// moment after, a restore may give the tenant another one.
    pub(crate) fn ask_in_full(
        &self,
        tenant: Address<'_>,
        request: Request,
        call: Call<'_>,
    ) -> Result<Receipt, Refusal> {
        let mut scope = tenant.index;
        let answer = self.on_path(tenant, |index, path| {
            let answer = self.answer(index, path, request, call);
            if let Err(Barrier { level, .. }) = answer {
                let child = usize::from(level).checked_sub(1).and_then(|below| path.get(below));
                scope = child.map_or(index, |child| child.parent);
            }
            answer
        });
        answer.map_err(|barrier| {
            let name = self.store.address(scope).map_or("", |scope| scope.cell.name());
            Refusal { scope: name.to_owned(), reason: barrier.reason }
        })
    }

    #[inline(always)]
    pub(crate) fn try_reserve(
        &self,
        tenant: Option<Address<'_>>,
        amount_microcents: i64,
    ) -> (BudgetReservation, Option<u64>) {
        let Some(tenant) = tenant else { return (BudgetReservation::MissingTenant, None) };
        let reserve = TenantAction::Reserve { amount_microcents, deadline: None };
        self.ask(tenant, Request::Tenant(reserve), BudgetReservation::of)
    }

    #[inline(always)]
    pub(crate) fn commit(
        &self,
        tenant: Option<Address<'_>>,
        hold: u64,
        actual_microcents: i64,
    ) -> BudgetSettlement {
        let Some(tenant) = tenant else { return BudgetSettlement::MissingReservation };
        let commit = Request::Hold(hold, HoldAction::Commit { actual_microcents });
        self.ask(tenant, commit, BudgetSettlement::committed)
    }

    #[inline(always)]
    pub(crate) fn release(&self, tenant: Option<Address<'_>>, hold: u64) -> BudgetSettlement {
        let Some(tenant) = tenant else { return BudgetSettlement::MissingReservation };
        self.ask(tenant, Request::Hold(hold, HoldAction::Release), BudgetSettlement::released)
    }

    /// Runs a request at the time of its path, or gives the answer its key was given before.
    #[inline(always)]
    fn answer<S: Scope>(
        &self,
        index: u32,
        path: &mut [S],
        request: Request,
        call: Call<'_>,
    ) -> Answer {
        let now = time(path, call);
        if let Some(key) = call.key {
            return self.answer_once(index, path, request, now, key);
        }
        let receipt = self.run(index, path, request, now)?;
        advance(path, now);
        Ok(receipt)
    }

    /// A refusal is an answer too, and kept. Only a hold that is not open is a missing one before
    /// its key is looked at: its tenant need not be known for ever, and it will never be open again.
    #[inline(never)]
    fn answer_once<S: Scope>(
        &self,
        index: u32,
        path: &mut [S],
        request: Request,
        now: u64,
        key: &str,
    ) -> Answer {
        let tenant = path.first().ok_or(RefusalReason::MissingTenant)?;
        let keys = tenant.extras.as_ref().map(|extras| &extras.keys);
        let before = keys.and_then(|keys| keys.get(key));
        if let Some(record) = before.filter(|record| record.request == request) {
            return record.answer;
        }
        if let Request::Hold(hold, _) = request {
            tenant.holds.get(hold).ok_or(RefusalReason::MissingHold { hold })?;
        }
        check_key(key)?;
        if before.is_some() {
            return Err(RefusalReason::KeyConflict.into());
        }
        self.limits.check_room(keys, now)?;
        let answer = self.run(index, path, request, now);
        advance(path, now);
        if let Some(tenant) = path.first_mut() {
            let record = Record { at: now, request, answer };
            tenant.extras_mut().keys.keep(&self.limits, key, record);
        }
        answer
    }

    #[inline(always)]
    fn run<S: Scope>(&self, index: u32, path: &mut [S], request: Request, now: u64) -> Answer {
        let receipt = match request {
            Request::Open { parent, .. } => return reopen(path, parent),
            Request::Tenant(action) => {
                rules::on_tenant(path, action, now, self.store.hold_ids(index))?
            }
            Request::Hold(hold, action) => rules::on_hold(path, hold, action, now)?,
        };
        self.announce(index, path);
        Ok(receipt)
    }

    #[inline(always)]
    fn announce<S: Scope>(&self, index: u32, path: &mut [S]) {
        if let Some(extras) = path.first_mut().and_then(|tenant| tenant.extras.as_mut()) {
            self.due.announce(index, &mut extras.deadlines);
        }
    }

    /// Creates a tenant, or leaves the one of that name as it is.
    pub(crate) fn open(
        &self,
        name: &str,
        parent: Option<&str>,
        initial: i64,
        call: Call<'_>,
    ) -> Result<Receipt, Refusal> {
        let refuse = |scope: &str, reason| Refusal { scope: scope.to_owned(), reason };
        if initial < 0 {
            let reason =
                RefusalReason::InvalidAmount { asked: initial, minimum: 0, maximum: i64::MAX };
            return Err(refuse(name, reason));
        }
        call.key.map_or(Ok(()), check_key).map_err(|reason| refuse(name, reason))?;
        let mut registry = self.store.registry.lock();
        let missing = |parent| move || refuse(parent, RefusalReason::MissingTenant);
        let parent = parent.map(|parent| self.present(parent).ok_or_else(missing(parent)));
        let parent = parent.transpose()?;
        let request = Request::Open { parent: parent.map_or(ROOT, |it| it.index), initial };
        if let Some(tenant) = self.present(name) {
            // Under the lock of the registry, so that it is still there.
            return self.ask_in_full(tenant, request, call);
        }
        // Held until the child can be seen: nobody may find an ancestor closed and the child not there yet.
        let path = match parent {
            Some(parent) => self
                .admit_child(parent)
                .map_err(|(scope, reason)| refuse(scope.cell.name(), reason))?,
            None => Vec::new(),
        };
        let call = Call { now: time(&path, call), ..call };
        self.create(&mut registry, name, request, call).map_err(|reason| refuse(name, reason))
    }

    /// A tenant that can have children and its ancestors, locked; if it cannot, which scope is against it.
    fn admit_child<'s>(
        &'s self,
        parent: Address<'s>,
    ) -> Result<Vec<Locked<'s>>, (Address<'s>, RefusalReason)> {
        let mut path = Vec::with_capacity(MAX_DEPTH);
        let mut above = Some(parent);
        while let Some(scope) = above {
            let account = scope.cell.lock();
            account.not_closed().map_err(|reason| (scope, reason))?;
            above = self.store.address(account.parent);
            path.push(account);
        }
        if path.len() < MAX_DEPTH {
            return Ok(path);
        }
        Err((parent, RefusalReason::TooDeep { limit: MAX_DEPTH as u64 }))
    }

    fn present(&self, name: &str) -> Option<Address<'_>> {
        let found = self.store.by_name(name)?;
        found.cell.lock().is_present().then_some(found)
    }

    fn create(
        &self,
        registry: &mut Registry,
        name: &str,
        request: Request,
        call: Call<'_>,
    ) -> Result<Receipt, RefusalReason> {
        let Request::Open { parent, initial } = request else {
            return Err(RefusalReason::MissingTenant);
        };
        if call.key.is_some() {
            self.limits.check_room(None, call.now)?;
        }
        let Address { index, cell } = self.store.add(registry, name)?;
        let mut account = cell.lock();
        (account.initial, account.remaining) = (initial, initial);
        account.parent = parent;
        let receipt =
            Receipt { hold: None, amount_microcents: initial, balances: account.balances() };
        advance(&mut [&mut *account], call.now);
        if let Some(key) = call.key {
            let record = Record { at: call.now, request, answer: Ok(receipt) };
            account.extras_mut().keys.keep(&self.limits, key, record);
        }
        drop(account);
        self.store.publish(registry, index);
        Ok(receipt)
    }

    /// Gives back what is due, by deadline and then by id.
    pub(crate) fn expire(&self, now: u64) -> Vec<ExpiredHold> {
        let _one_at_a_time = self.expiring.lock();
        let tenants = self.due.take(now);
        let mut due = Vec::new();
        for address in tenants.iter().filter_map(|index| self.store.address(*index)) {
            if let Some(extras) = &mut address.cell.lock().extras {
                DueTenants::taken(&mut extras.deadlines, now);
                due.extend(extras.deadlines.due(now).map(|(time, id)| (time, id, address)));
            }
        }
        due.sort_unstable_by_key(|(deadline, id, _)| (*deadline, *id));
        let expire = |(deadline, hold, tenant): (u64, u64, Address<'_>)| {
            let released =
                self.on_path(tenant, |index, path| self.expire_one(index, path, hold, now)).ok()?;
            Some(ExpiredHold {
                hold,
                tenant: tenant.cell.name().to_owned(),
                amount_microcents: released.amount_microcents,
                deadline,
            })
        };
        let expired = due.into_iter().filter_map(expire).collect();
        for address in tenants.iter().filter_map(|index| self.store.address(*index)) {
            self.announce(address.index, &mut [&mut *address.cell.lock()]);
        }
        expired
    }

    /// Nothing when the hold was settled or extended since it was found due.
    fn expire_one<S: Scope>(&self, index: u32, path: &mut [S], hold: u64, now: u64) -> Answer {
        let open = path.first_mut().and_then(|tenant| tenant.holds.get(hold));
        open.filter(|open| open.deadline <= now).ok_or(RefusalReason::MissingHold { hold })?;
        self.answer(index, path, Request::Hold(hold, HoldAction::Release), Call::at(now))
    }

    pub(crate) fn apply(&self, operation: &LedgerOperation) -> Result<Applied, Refusal> {
        let answer = match operation {
            LedgerOperation::Open { tenant, parent, initial_microcents, now, key } => {
                let call = Call { now: *now, key: key.as_deref() };
                self.open(tenant, parent.as_deref(), *initial_microcents, call)
            }
            LedgerOperation::Tenant { tenant, action, now, key } => {
                self.perform_by_name(tenant, action, Call { now: *now, key: key.as_deref() })
            }
            LedgerOperation::Hold { hold, action, now, key } => {
                self.settle_by_id(*hold, action, Call { now: *now, key: key.as_deref() })
            }
            LedgerOperation::Expire { now } => return Ok(Applied::Expired(self.expire(*now))),
        };
        answer.map(Applied::Receipt)
    }

    pub(crate) fn perform_by_name(
        &self,
        tenant: &str,
        action: &TenantAction,
        call: Call<'_>,
    ) -> Result<Receipt, Refusal> {
        let missing = || Refusal { scope: tenant.to_owned(), reason: RefusalReason::MissingTenant };
        let found = self.store.by_name(tenant).ok_or_else(missing)?;
        self.ask_in_full(found, Request::Tenant(*action), call)
    }

    pub(crate) fn settle_by_id(
        &self,
        hold: u64,
        action: &HoldAction,
        call: Call<'_>,
    ) -> Result<Receipt, Refusal> {
        let missing = Refusal { scope: String::new(), reason: RefusalReason::MissingHold { hold } };
        let Some(tenant) = self.store.by_hold(hold) else { return Err(missing) };
        let request = Request::Hold(hold, *action);
        self.ask_in_full(tenant, request, call).map_err(|refusal| match refusal.reason {
            RefusalReason::MissingHold { .. } | RefusalReason::MissingTenant => missing,
            _ => refusal,
        })
    }
}

/// When a call counts as made.
#[inline(always)]
fn time<S: Scope>(path: &[S], call: Call<'_>) -> u64 {
    path.iter().fold(call.now, |now, scope| now.max(scope.clock()))
}

/// A ledger's time never runs back; untimed calls leave it alone.
#[inline]
fn advance<S: Scope>(path: &mut [S], now: u64) {
    if now > 0 {
        for scope in path {
            scope.extras_mut().clock = now;
        }
    }
}

/// An existing tenant stays as it is, and stays where it is.
fn reopen<S: Scope>(path: &mut [S], parent: u32) -> Answer {
    let tenant = path.first().ok_or(RefusalReason::MissingTenant)?;
    if parent != ROOT && parent != tenant.parent {
        return Err(RefusalReason::OtherParent.into());
    }
    Ok(Receipt { hold: None, amount_microcents: 0, balances: tenant.balances() })
}
