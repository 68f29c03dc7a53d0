//! The ledger behind the engine, its tenant handles and its holds: one definition of each operation.

use crate::{
    account::{ROOT, TenantStatus},
    due::DueTenants,
    keys::{Answer, Limits, Record, Request, check_key},
    operation::{Call, HoldAction, LedgerOperation, TenantAction},
    primitive::Mutex,
    refusal::{Applied, Barrier, ExpiredHold, Receipt, Refusal, RefusalReason},
    rules::{self, Scope},
    store::{Address, MAX_DEPTH, Path, Registry, Store},
    views::Views,
};

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) store: Store,
    pub(crate) limits: Limits,
    pub(crate) due: DueTenants,
    /// Locked for the whole of a snapshot or a restore, and by nothing else.
    pub(crate) views: Mutex<Views>,
}

impl Ledger {
    /// Runs `operation` on the locked path of a tenant, following the name when a restore has put
    /// another account in its place.
    #[inline]
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

    #[inline]
    pub(crate) fn perform(
        &self,
        tenant: Address<'_>,
        action: &TenantAction,
        call: Call<'_>,
    ) -> Answer {
        self.on_path(tenant, |index, path| {
            let take_id = |own: &mut _| self.store.next_hold_id(index, own);
            let run = |path: Path<'_, '_>, now| rules::on_tenant(path, action, now, take_id);
            let answer = self.answer(path, call, || Request::Tenant(*action), run);
            self.announce(index, path);
            answer
        })
    }

    /// `tenant` is the one the hold is looked for at; a hold of another is a missing one.
    #[inline]
    pub(crate) fn settle(
        &self,
        tenant: Address<'_>,
        hold: u64,
        action: &HoldAction,
        call: Call<'_>,
    ) -> Answer {
        self.on_path(tenant, |index, path| {
            let run = |path: Path<'_, '_>, now| rules::on_hold(path, hold, action, now);
            let answer = self.answer(path, call, || Request::Hold(hold, *action), run);
            self.announce(index, path);
            answer
        })
    }

    #[inline]
    fn announce<S: Scope>(&self, index: u32, path: &mut [S]) {
        if let Some(extras) = path.first_mut().and_then(|tenant| tenant.extras.as_mut()) {
            self.due.announce(index, &mut extras.deadlines);
        }
    }

    /// Runs an operation at the time of its path, or gives the answer its key was given before.
    #[inline]
    fn answer<S: Scope>(
        &self,
        path: &mut [S],
        call: Call<'_>,
        request: impl FnOnce() -> Request,
        run: impl FnOnce(&mut [S], u64) -> Answer,
    ) -> Answer {
        let now = path.iter().fold(call.now, |now, scope| now.max(scope.clock()));
        match call.key {
            None => {
                let receipt = run(path, now)?;
                advance(path, now);
                Ok(receipt)
            }
            Some(key) => self.answer_once(path, key, now, request(), run),
        }
    }

    /// A refusal is an answer too, and kept; but a hold that is not open leaves no trace, because
    /// its tenant need not be known for ever, and it will never be open again.
    fn answer_once<S: Scope>(
        &self,
        path: &mut [S],
        key: &str,
        now: u64,
        request: Request,
        run: impl FnOnce(&mut [S], u64) -> Answer,
    ) -> Answer {
        check_key(key)?;
        let keys = path.first().and_then(|tenant| Some(&tenant.extras.as_ref()?.keys));
        if let Some(first) = keys.and_then(|keys| keys.recall(key, &request)) {
            return first;
        }
        self.limits.check_room(keys, now)?;
        let answer = run(path, now);
        if let Err(Barrier { reason: RefusalReason::MissingHold { .. }, .. }) = answer {
            return answer;
        }
        advance(path, now);
        if let Some(tenant) = path.first_mut() {
            tenant.extras_mut().keys.keep(&self.limits, key, Record { at: now, request, answer });
        }
        answer
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
        let parent_index = match parent {
            None => ROOT,
            Some(parent) => self.parent_index(parent).map_err(|reason| refuse(parent, reason))?,
        };
        let request = Request::Open { parent: parent_index, initial };
        if let Some(tenant) = self.present(name) {
            drop(registry);
            let reopen = |path: Path<'_, '_>, _| reopen(path, parent_index);
            let answer =
                self.on_path(tenant, |_, path| self.answer(path, call, || request, reopen));
            return answer.map_err(|barrier| self.refusal(name, barrier));
        }
        self.create(&mut registry, name, request, call).map_err(|reason| refuse(name, reason))
    }

    fn parent_index(&self, parent: &str) -> Result<u32, RefusalReason> {
        let found = self.present(parent).ok_or(RefusalReason::MissingTenant)?;
        if self.status(found) == TenantStatus::Closed {
            return Err(RefusalReason::Closed);
        }
        let mut levels = 1;
        let mut above = found.cell.lock().parent;
        while let Some(address) = self.store.address(above) {
            levels += 1;
            above = address.cell.lock().parent;
        }
        if levels >= MAX_DEPTH {
            return Err(RefusalReason::TooDeep { limit: MAX_DEPTH as u64 });
        }
        Ok(found.index)
    }

    fn present(&self, name: &str) -> Option<Address<'_>> {
        let found = self.store.by_name(name)?;
        found.cell.lock().present.then_some(found)
    }

    pub(crate) fn status(&self, tenant: Address<'_>) -> TenantStatus {
        tenant.cell.lock().extras.as_ref().map_or(TenantStatus::Active, |extras| extras.status)
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
        account.present = true;
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
            let released = self.on_path(tenant, |_, path| self.expire_one(path, hold, now)).ok()?;
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
    fn expire_one<S: Scope>(&self, path: &mut [S], hold: u64, now: u64) -> Answer {
        let open = path.first_mut().and_then(|tenant| tenant.holds.get(hold));
        open.filter(|open| open.deadline <= now).ok_or(RefusalReason::MissingHold { hold })?;
        let release = |path: &mut [S], now| rules::on_hold(path, hold, &HoldAction::Release, now);
        let request = || Request::Hold(hold, HoldAction::Release);
        self.answer(path, Call::at(now), request, release)
    }

    /// Names the scope of a refusal.
    pub(crate) fn refusal(&self, tenant: &str, barrier: Barrier) -> Refusal {
        let mut scope = self.store.by_name(tenant);
        for _ in 0..barrier.level {
            scope = scope.and_then(|address| self.store.address(address.cell.lock().parent));
        }
        let name = scope.map_or(tenant, |address| address.cell.name());
        Refusal { scope: name.to_owned(), reason: barrier.reason }
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
        let missing = || RefusalReason::MissingTenant.into();
        let found = self.store.by_name(tenant).ok_or_else(missing);
        let answer = found.and_then(|found| self.perform(found, action, call));
        answer.map_err(|barrier| self.refusal(tenant, barrier))
    }

    pub(crate) fn settle_by_id(
        &self,
        hold: u64,
        action: &HoldAction,
        call: Call<'_>,
    ) -> Result<Receipt, Refusal> {
        let missing = Refusal { scope: String::new(), reason: RefusalReason::MissingHold { hold } };
        let Some(tenant) = self.store.by_hold(hold) else { return Err(missing) };
        self.settle(tenant, hold, action, call).map_err(|barrier| match barrier.reason {
            RefusalReason::MissingHold { .. } | RefusalReason::MissingTenant => missing,
            _ => self.refusal(tenant.cell.name(), barrier),
        })
    }
}

/// A ledger's time never runs back; untimed calls leave it alone.
#[inline]
fn advance<S: Scope>(path: &mut [S], now: u64) {
    if now > 0 {
        path.iter_mut().for_each(|scope| scope.extras_mut().clock = now);
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
