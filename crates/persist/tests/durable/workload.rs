//! Random operations of every kind over a small tree of tenants, and how a ledger is compared.

use calybris_budget::{
    Applied, HoldAction, LedgerOperation, LedgerState, OverrunPolicy, Receipt, TenantAction, Window,
};
use calybris_persist::Answer;
use fastrand::Rng;

/// Parents come first.
const TENANTS: [(&str, Option<&str>); 6] = [
    ("org", None),
    ("team-a", Some("org")),
    ("team-b", Some("org")),
    ("key-a1", Some("team-a")),
    ("key-a2", Some("team-a")),
    ("key-b1", Some("team-b")),
];

/// What opens the tenants.
pub(crate) fn opening() -> impl Iterator<Item = LedgerOperation> {
    TENANTS.into_iter().map(|(tenant, parent)| LedgerOperation::Open {
        tenant: tenant.to_owned(),
        parent: parent.map(str::to_owned),
        initial_microcents: 1_000_000,
        now: 0,
        key: Some(format!("open-{tenant}")),
    })
}

/// Makes operations; remembers the holds it was given.
pub(crate) struct Caller {
    random: Rng,
    holds: Vec<u64>,
    now: u64,
    name: String,
    made: u64,
}

impl Caller {
    pub(crate) fn new(name: impl Into<String>, seed: u64) -> Self {
        let (random, name) = (Rng::with_seed(seed), name.into());
        Self { random, holds: Vec::new(), now: 1, name, made: 0 }
    }

    /// The next operation. Every one but `Expire` has a key of its own.
    pub(crate) fn next(&mut self) -> LedgerOperation {
        self.made += 1;
        self.now += self.random.u64(0..20);
        let (now, key) = (self.now, Some(format!("{}-{}", self.name, self.made)));
        let random = &mut self.random;
        if random.u8(..) < 3 {
            return LedgerOperation::Expire { now };
        }
        if !self.holds.is_empty() && random.bool() {
            let hold = self.holds[random.usize(..self.holds.len())];
            return LedgerOperation::Hold { hold, action: hold_action(random, now), now, key };
        }
        let (tenant, _) = TENANTS[random.usize(..TENANTS.len())];
        let action = tenant_action(random, now);
        LedgerOperation::Tenant { tenant: tenant.to_owned(), action, now, key }
    }

    /// Learns from an answer.
    pub(crate) fn hear(&mut self, answer: &Answer) {
        if let Ok(Applied::Receipt(Receipt { hold: Some(hold), .. })) = answer {
            self.holds.push(*hold);
            if self.holds.len() > 40 {
                self.holds.swap_remove(self.random.usize(..40));
            }
        }
    }
}

fn tenant_action(random: &mut Rng, now: u64) -> TenantAction {
    let amount_microcents = random.i64(1..40_000);
    let deadline = random.bool().then(|| now + random.u64(0..400));
    match random.u8(0..32) {
        0..20 => TenantAction::Reserve { amount_microcents, deadline },
        20..24 => TenantAction::ReserveUpTo {
            amount_microcents,
            at_least_microcents: random.i64(0..=amount_microcents),
            deadline,
        },
        24 => TenantAction::TopUp { amount_microcents: random.i64(-10..100_000) },
        25 => TenantAction::SetMaxReserved { cap_microcents: random.i64(0..900_000) },
        26 => TenantAction::SetOverrunPolicy { policy: OverrunPolicy::Refuse },
        27 => TenantAction::SetOverrunPolicy {
            policy: OverrunPolicy::Overdraft { cap_microcents: 50_000 },
        },
        28 => TenantAction::SetWindow {
            window: Window::Rolling { length: 600 },
            limit_microcents: random.bool().then_some(400_000),
        },
        29 => TenantAction::SetWindow {
            window: Window::Fixed { length: 1_000 },
            limit_microcents: random.bool().then_some(700_000),
        },
        30 => TenantAction::Freeze,
        _ => TenantAction::Thaw,
    }
}

fn hold_action(random: &mut Rng, now: u64) -> HoldAction {
    let amount = random.i64(0..45_000);
    match random.u8(0..8) {
        0..3 => HoldAction::Commit { actual_microcents: amount },
        3 => HoldAction::CommitHeld,
        4 => HoldAction::CommitPart { amount_microcents: amount },
        5 => HoldAction::Release,
        6 => HoldAction::Grow { amount_microcents: amount },
        _ => HoldAction::Extend { deadline: random.bool().then_some(now + 50) },
    }
}

/// A state as bytes.
pub(crate) fn bytes(state: &LedgerState) -> String {
    serde_json::to_string(state).unwrap()
}
