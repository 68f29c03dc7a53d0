//! Random operations without any care: wrong amounts, missing tenants and parents, keys that collide or are absent,
//! settled holds. And a replay that checks everything a log says.

use std::path::Path;

use calybris_budget::{
    Applied, BudgetEngine, HoldAction, LedgerOperation, OverrunPolicy, TenantAction, Window,
};
use calybris_persist::{Answer, LedgerRecord, Outcome};
use calybris_wal::{WalOptions, visit_wal_with};

/// Each under the one named with it.
const TENANTS: [(&str, Option<&str>); 7] = [
    ("org", None),
    ("team-a", Some("org")),
    ("team-b", Some("org")),
    ("key-1", Some("team-a")),
    ("key-2", Some("team-a")),
    ("solo", None),
    ("stray", Some("nobody")),
];

/// What a caller knows of a ledger: the holds it was given.
#[derive(Default)]
pub(crate) struct Caller {
    holds: Vec<u64>,
}

impl Caller {
    /// An operation that depends on nothing but the seed, the time and the holds known.
    pub(crate) fn operation(&self, seed: u64, now: u64) -> LedgerOperation {
        let mut random = fastrand::Rng::with_seed(seed);
        let key = (random.u8(..3) == 0).then(|| format!("key-{}", random.u8(..60)));
        let (tenant, parent) = TENANTS[random.usize(..TENANTS.len())];
        match random.u8(..20) {
            0..4 => LedgerOperation::Open {
                tenant: tenant.into(),
                parent: parent.map(str::to_owned),
                initial_microcents: random.i64(-5..5_000),
                now,
                key,
            },
            4..12 => {
                let action = tenant_action(&mut random, now);
                LedgerOperation::Tenant { tenant: tenant.into(), action, now, key }
            }
            12..19 => LedgerOperation::Hold {
                hold: random.choice(&self.holds).copied().unwrap_or(7),
                action: hold_action(&mut random, now),
                now,
                key,
            },
            _ => LedgerOperation::Expire { now },
        }
    }

    pub(crate) fn learn(&mut self, answer: &Answer) {
        if let Ok(Applied::Receipt(receipt)) = answer {
            self.holds.extend(receipt.hold.filter(|hold| !self.holds.contains(hold)));
            // Old ones are settled, mostly.
            let surplus = self.holds.len().saturating_sub(12);
            self.holds.drain(..surplus);
        }
    }
}

fn deadline(random: &mut fastrand::Rng, now: u64) -> Option<u64> {
    random.bool().then(|| now + random.u64(..60))
}

fn tenant_action(random: &mut fastrand::Rng, now: u64) -> TenantAction {
    let amount_microcents = random.i64(0..400);
    match random.u8(..24) {
        0..12 => TenantAction::Reserve { amount_microcents, deadline: deadline(random, now) },
        12..15 => TenantAction::ReserveUpTo {
            amount_microcents,
            at_least_microcents: random.i64(1..200),
            deadline: deadline(random, now),
        },
        15..18 => TenantAction::TopUp { amount_microcents },
        18 => TenantAction::SetMaxReserved { cap_microcents: random.i64(0..2_000) },
        19 => TenantAction::SetOverrunPolicy {
            policy: match random.u8(..3) {
                0 => OverrunPolicy::Refuse,
                1 => OverrunPolicy::Overdraft { cap_microcents: random.i64(0..500) },
                _ => OverrunPolicy::Freeze,
            },
        },
        20 => TenantAction::SetWindow {
            window: match random.bool() {
                true => Window::Rolling { length: random.u64(..90) },
                false => Window::Fixed { length: random.u64(..90) },
            },
            limit_microcents: random.bool().then(|| random.i64(..3_000)),
        },
        21 => TenantAction::Freeze,
        22 => TenantAction::Thaw,
        _ => TenantAction::Close,
    }
}

fn hold_action(random: &mut fastrand::Rng, now: u64) -> HoldAction {
    let amount_microcents = random.i64(0..300);
    match random.u8(..12) {
        0..4 => HoldAction::Commit { actual_microcents: amount_microcents },
        4 => HoldAction::CommitHeld,
        5..7 => HoldAction::CommitPart { amount_microcents },
        7..9 => HoldAction::Release,
        9..11 => HoldAction::Grow { amount_microcents },
        _ => HoldAction::Extend { deadline: deadline(random, now) },
    }
}

/// Replays a log from its first entry on a plain engine, checking every outcome and every checkpoint it
/// speaks of; gives the operations with their outcomes, and the engine.
pub(crate) fn replay(
    log: &Path,
    options: &WalOptions,
) -> (Vec<(LedgerOperation, Outcome)>, BudgetEngine) {
    let mut records = Vec::new();
    visit_wal_with::<LedgerRecord, _>(log, options, |entry| {
        assert_eq!(entry.sequence, records.len() as u64 + 1);
        records.push(entry.data);
    })
    .unwrap();
    let checkpoints: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            LedgerRecord::Checkpoint { sequence, state_digest_hex } => {
                Some((*sequence, *state_digest_hex))
            }
            _ => None,
        })
        .collect();
    let mut operations = Vec::new();
    let mut engine = None;
    for (record, sequence) in records.into_iter().zip(1_u64..) {
        match record {
            LedgerRecord::Begin { limits, .. } => {
                assert!(engine.replace(BudgetEngine::with_limits(limits)).is_none());
            }
            LedgerRecord::Operation { operation, outcome } => {
                let engine = engine.as_ref().expect("a ledger begins first");
                assert_eq!(Outcome::of(&engine.apply(&operation)), outcome, "entry {sequence}");
                operations.push((operation, outcome));
            }
            _ => {}
        }
        for (_, digest) in checkpoints.iter().filter(|(included, _)| *included == sequence) {
            let state = engine.as_ref().expect("a ledger begins first").state();
            assert_eq!(digest.to_bytes(), state.digest(), "checkpoint after entry {sequence}");
        }
    }
    (operations, engine.expect("a ledger begins"))
}
