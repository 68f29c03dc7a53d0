//! The canonical digest of a state: SHA-256 over the layout of `docs/format/ledger-v2.md`.

use calybris_kernel::digest::CanonicalHasher;

use crate::{
    account::{Balances, TenantStatus},
    operation::{HoldAction, OverrunPolicy, TenantAction},
    refusal::RefusalReason,
    window::Window,
};

use super::{
    AnswerState, KeyState, LEDGER_STATE_DIGEST_TAG, LedgerState, RequestState, TenantState,
};

impl LedgerState {
    /// The digest of everything in the state.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut layout = Layout(CanonicalHasher::new(LEDGER_STATE_DIGEST_TAG));
        layout.u64(self.limits.key_retention);
        layout.u64(self.limits.max_keys_per_tenant);
        layout.u64(self.next_number);
        layout.u64(self.next_spare);
        layout.each(&self.tenants, Layout::tenant);
        layout.0.finish()
    }
}

/// Appends values in their canonical form.
struct Layout(CanonicalHasher);

impl Layout {
    fn append(&mut self, append: impl FnOnce(CanonicalHasher) -> CanonicalHasher) {
        self.0 = append(self.0.clone());
    }

    fn u8(&mut self, value: u8) {
        self.append(|hasher| hasher.u8(value));
    }

    fn u64(&mut self, value: u64) {
        self.append(|hasher| hasher.u64(value));
    }

    fn i64(&mut self, value: i64) {
        self.append(|hasher| hasher.i64(value));
    }

    fn text(&mut self, text: &str) {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.append(|hasher| hasher.u32(length).bytes(text.as_bytes()));
    }

    fn each<T>(&mut self, items: &[T], append: impl Fn(&mut Self, &T)) {
        self.u64(items.len() as u64);
        items.iter().for_each(|item| append(self, item));
    }

    fn option<T>(&mut self, value: Option<T>, append: impl Fn(&mut Self, T)) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            append(self, value);
        }
    }

    /// A code and the numbers that go with it.
    fn coded(&mut self, code: u8, amounts: &[i64]) {
        self.u8(code);
        amounts.iter().for_each(|amount| self.i64(*amount));
    }

    fn tenant(&mut self, tenant: &TenantState) {
        self.text(&tenant.tenant_id);
        self.option(tenant.parent_id.as_deref(), Self::text);
        self.u64(tenant.number);
        self.u8(match tenant.status {
            TenantStatus::Active => 0,
            TenantStatus::Frozen => 1,
            TenantStatus::Closed => 2,
        });
        self.i64(tenant.initial_microcents);
        self.i64(tenant.remaining_microcents);
        self.i64(tenant.reserved_microcents);
        self.i64(tenant.committed_microcents);
        self.i64(tenant.overdraft_microcents);
        self.i64(tenant.children_spent_microcents);
        self.i64(tenant.max_reserved_microcents);
        self.policy(tenant.overrun_policy);
        self.u64(tenant.clock);
        self.u64(tenant.next_hold);
        self.each(&tenant.windows, |layout, state| {
            layout.window(state.window);
            layout.i64(state.limit_microcents);
            layout.each(&state.charges, |layout, charge| {
                layout.u64(charge.slot);
                layout.i64(charge.amount_microcents);
            });
        });
        self.each(&tenant.holds, |layout, hold| {
            layout.u64(hold.hold);
            layout.i64(hold.amount_microcents);
            layout.u64(hold.began);
            layout.option(hold.deadline, Self::u64);
        });
        self.each(&tenant.keys, Self::key);
    }

    fn policy(&mut self, policy: OverrunPolicy) {
        match policy {
            OverrunPolicy::Refuse => self.u8(0),
            OverrunPolicy::Overdraft { cap_microcents } => self.coded(1, &[cap_microcents]),
            OverrunPolicy::Freeze => self.u8(2),
        }
    }

    fn window(&mut self, window: Window) {
        self.u8(match window {
            Window::Fixed { .. } => 0,
            Window::Rolling { .. } => 1,
        });
        self.u64(window.length());
    }

    fn key(&mut self, kept: &KeyState) {
        self.text(&kept.key);
        self.u64(kept.at);
        match &kept.request {
            RequestState::Open { parent_id, initial_microcents } => {
                self.coded(0, &[*initial_microcents]);
                self.option(parent_id.as_deref(), Self::text);
            }
            RequestState::Tenant(action) => self.tenant_action(action),
            RequestState::Hold { hold, action } => {
                self.hold_action(action);
                self.u64(*hold);
            }
        }
        match &kept.answer {
            AnswerState::Receipt(receipt) => {
                self.coded(0, &[receipt.amount_microcents]);
                self.option(receipt.hold, Self::u64);
                self.balances(&receipt.balances);
            }
            AnswerState::Refusal(refusal) => {
                self.u8(1);
                self.text(&refusal.scope);
                self.reason(refusal.reason);
            }
        }
    }

    fn balances(&mut self, balances: &Balances) {
        self.i64(balances.initial_microcents);
        self.i64(balances.remaining_microcents);
        self.i64(balances.reserved_microcents);
        self.i64(balances.committed_microcents);
        self.i64(balances.overdraft_microcents);
    }

    fn tenant_action(&mut self, action: &TenantAction) {
        match *action {
            TenantAction::Reserve { amount_microcents, deadline } => {
                self.coded(1, &[amount_microcents]);
                self.option(deadline, Self::u64);
            }
            TenantAction::ReserveUpTo { amount_microcents, at_least_microcents, deadline } => {
                self.coded(2, &[amount_microcents, at_least_microcents]);
                self.option(deadline, Self::u64);
            }
            TenantAction::TopUp { amount_microcents } => self.coded(3, &[amount_microcents]),
            TenantAction::SetMaxReserved { cap_microcents } => self.coded(4, &[cap_microcents]),
            TenantAction::SetOverrunPolicy { policy } => {
                self.u8(5);
                self.policy(policy);
            }
            TenantAction::SetWindow { window, limit_microcents } => {
                self.u8(6);
                self.window(window);
                self.option(limit_microcents, Self::i64);
            }
            TenantAction::Freeze => self.u8(7),
            TenantAction::Thaw => self.u8(8),
            TenantAction::Close => self.u8(9),
        }
    }

    fn hold_action(&mut self, action: &HoldAction) {
        match *action {
            HoldAction::Commit { actual_microcents } => self.coded(32, &[actual_microcents]),
            HoldAction::CommitHeld => self.u8(33),
            HoldAction::CommitPart { amount_microcents } => self.coded(34, &[amount_microcents]),
            HoldAction::Release => self.u8(35),
            HoldAction::Grow { amount_microcents } => self.coded(36, &[amount_microcents]),
            HoldAction::Extend { deadline } => {
                self.u8(37);
                self.option(deadline, Self::u64);
            }
        }
    }

    fn reason(&mut self, reason: RefusalReason) {
        use RefusalReason as R;
        match reason {
            R::MissingTenant => self.u8(0),
            R::OtherParent => self.u8(1),
            R::TooDeep { limit } => self.counted(2, &[limit]),
            R::TooManyTenants { limit } => self.counted(3, &[limit]),
            R::MissingHold { hold } => self.counted(4, &[hold]),
            R::InvalidAmount { asked, minimum, maximum } => {
                self.coded(5, &[asked, minimum, maximum]);
            }
            R::PastDeadline { deadline, now } => self.counted(6, &[deadline, now]),
            R::Insufficient { remaining, asked } => self.coded(7, &[remaining, asked]),
            R::ExposureLimit { reserved, limit, asked } => self.coded(8, &[reserved, limit, asked]),
            R::WindowLimit { window, used, limit, asked } => {
                self.coded(9, &[used, limit, asked]);
                self.window(window);
            }
            R::Overrun { held, remaining, asked } => self.coded(10, &[held, remaining, asked]),
            R::OverdraftLimit { overdraft, limit, asked } => {
                self.coded(11, &[overdraft, limit, asked]);
            }
            R::Overflow { current, asked } => self.coded(12, &[current, asked]),
            R::Frozen => self.u8(13),
            R::Closed => self.u8(14),
            R::OpenHolds { reserved } => self.coded(15, &[reserved]),
            R::KeyConflict => self.u8(16),
            R::InvalidKey { length, limit } => self.counted(17, &[length, limit]),
            R::TooManyKeys { limit } => self.counted(18, &[limit]),
            R::TooManyWindows { limit } => self.counted(19, &[limit]),
            R::EmptyWindow => self.u8(20),
            R::NoHoldIds { limit } => self.counted(21, &[limit]),
        }
    }

    /// A code and the counts, ids or times that go with it.
    fn counted(&mut self, code: u8, counts: &[u64]) {
        self.u8(code);
        counts.iter().for_each(|count| self.u64(*count));
    }
}
