//! The corners of every type: amounts and times at their ends, clocks that go back, deadlines due exactly now, names that
//! are empty, long, or no names at all, hierarchies as deep as they get. A state that a ledger can reach is one that a
//! checkpoint can hold, and a restart finds.

use std::path::Path;
use std::sync::Arc;

use calybris_budget::{
    Applied, BudgetEngine, Call, HoldAction, LedgerOperation, Limits, OverrunPolicy, TenantAction,
    TenantStatus, Window,
};
use calybris_persist::{DurableLedger, DurableOptions};
use calybris_wal::storage::Memory;
use fastrand::Rng;
use proptest::prelude::*;

use crate::workload::bytes;

const LIMITS: Limits = Limits { key_retention: 3, max_keys_per_tenant: 4 };
const LEVELS: usize = 10;

/// A chain of ten, of which a ledger takes eight; and names of every kind.
fn tenant(number: usize) -> String {
    match number {
        0..LEVELS => format!("level-{number}"),
        10 => String::new(),
        11 => "\u{0}\n\r\t\u{1b}[31m\u{7f}\u{202e}\u{feff}".into(),
        12 => "e\u{301}".into(),
        13 => "\u{e9}".into(),
        14 => "\u{10ffff}\u{1f9fe}\"\\/".into(),
        15 => "x".repeat(3_000),
        16 => "x".repeat(3_001),
        _ => "nobody".into(),
    }
}

fn parent(random: &mut Rng, number: usize) -> Option<String> {
    match number {
        _ if random.u8(..20) == 0 => Some(tenant(random.usize(..18))),
        1..LEVELS => Some(tenant(number - 1)),
        15 => Some(tenant(11)),
        _ => None,
    }
}

fn amount(random: &mut Rng) -> i64 {
    let near = [0, 1, 2, 1_000, i64::MAX / 2, i64::MAX - 1, i64::MAX, -1, i64::MIN];
    if random.bool() { random.i64(1..50) } else { *random.choice(&near).unwrap() }
}

/// Mostly small and rising, now and then a step back, in some runs at the end of the range.
fn time(random: &mut Rng, step: u64, late: bool) -> u64 {
    let now = if late { u64::MAX - 20 + step.min(20) } else { step };
    if random.u8(..4) == 0 { now.saturating_sub(random.u64(..9)) } else { now }
}

fn deadline(random: &mut Rng, now: u64) -> Option<u64> {
    let near = [0, now.saturating_sub(1), now, now.saturating_add(1), now.saturating_add(4)];
    match random.u8(..8) {
        0 | 1 => None,
        2 => Some(u64::MAX - u64::from(random.bool())),
        _ => random.choice(&near).copied(),
    }
}

fn key(random: &mut Rng) -> Option<String> {
    match random.u8(..12) {
        0 => Some("k".repeat(random.usize(254..257))),
        1 => Some(String::new()),
        2 => Some("\u{0}\u{2028}".into()),
        3..6 => Some(format!("key-{}", random.u8(..9))),
        _ => None,
    }
}

fn window(random: &mut Rng) -> Window {
    let length = *random.choice(&[0, 1, 2, 59, 60, 61, 1_000, u64::MAX - 1, u64::MAX]).unwrap();
    if random.bool() { Window::Rolling { length } } else { Window::Fixed { length } }
}

fn tenant_action(random: &mut Rng, now: u64) -> TenantAction {
    match random.u8(..20) {
        0..8 => TenantAction::Reserve {
            amount_microcents: amount(random),
            deadline: deadline(random, now),
        },
        8..11 => TenantAction::ReserveUpTo {
            amount_microcents: amount(random),
            at_least_microcents: amount(random),
            deadline: deadline(random, now),
        },
        11..13 => TenantAction::TopUp { amount_microcents: amount(random) },
        13 => TenantAction::SetMaxReserved { cap_microcents: amount(random) },
        14 => TenantAction::SetOverrunPolicy {
            policy: match random.u8(..3) {
                0 => OverrunPolicy::Refuse,
                1 => OverrunPolicy::Overdraft { cap_microcents: amount(random) },
                _ => OverrunPolicy::Freeze,
            },
        },
        15 | 16 => TenantAction::SetWindow {
            window: window(random),
            limit_microcents: (random.u8(..4) > 0).then(|| amount(random)),
        },
        17 => TenantAction::Freeze,
        18 => TenantAction::Thaw,
        _ if random.u8(..6) == 0 => TenantAction::Close,
        _ => TenantAction::Thaw,
    }
}

fn hold_action(random: &mut Rng, now: u64) -> HoldAction {
    match random.u8(..8) {
        0 | 1 => HoldAction::Commit { actual_microcents: amount(random) },
        2 => HoldAction::CommitHeld,
        3 => HoldAction::CommitPart { amount_microcents: amount(random) },
        4 => HoldAction::Release,
        5 | 6 => HoldAction::Grow { amount_microcents: amount(random) },
        _ => HoldAction::Extend { deadline: deadline(random, now) },
    }
}

fn operation(random: &mut Rng, holds: &[u64], now: u64) -> LedgerOperation {
    let key = key(random);
    // The deep end of the chain, mostly.
    let number = if random.bool() { random.usize(5..9) } else { random.usize(..18) };
    match random.u8(..16) {
        0..3 => LedgerOperation::Open {
            parent: parent(random, number),
            tenant: tenant(number),
            initial_microcents: amount(random),
            now,
            key,
        },
        3..9 => {
            let action = tenant_action(random, now);
            LedgerOperation::Tenant { tenant: tenant(number), action, now, key }
        }
        9..15 => {
            let made_up = [0, 1, 7, (1 << 20) - 1, 1 << 20, (1 << 63) - 1, u64::MAX];
            let known = random.choice(holds).copied().filter(|_| random.u8(..8) > 0);
            let hold = known.unwrap_or_else(|| *random.choice(&made_up).unwrap());
            LedgerOperation::Hold { hold, action: hold_action(random, now), now, key }
        }
        _ => LedgerOperation::Expire { now },
    }
}

fn run(seed: u64, late: bool) {
    let mut random = Rng::with_seed(seed);
    let storage = Arc::new(Memory::default());
    let open = || {
        let options = DurableOptions::new().limits(LIMITS).storage(storage.clone());
        DurableLedger::open_with(Path::new("ledger"), options).unwrap()
    };
    let plain = BudgetEngine::with_limits(LIMITS);
    let (mut durable, mut holds, mut checkpoint) = (open(), Vec::new(), 0);
    for number in 0..LEVELS {
        let operation = LedgerOperation::Open {
            tenant: tenant(number),
            parent: number.checked_sub(1).map(tenant),
            initial_microcents: if random.bool() { i64::MAX } else { 200 },
            now: 0,
            key: None,
        };
        assert_eq!(durable.apply(&operation).unwrap(), plain.apply(&operation));
    }
    for step in 0..80 {
        let now = time(&mut random, step / 4, late);
        let operation = operation(&mut random, &holds, now);
        let expected = plain.apply(&operation);
        let answer = durable.apply(&operation).unwrap();
        assert_eq!(answer, expected, "{operation:?}");
        if let Ok(Applied::Receipt(receipt)) = &answer {
            holds.extend(receipt.hold.filter(|hold| !holds.contains(hold)));
        }
        if random.u8(..10) == 0 {
            checkpoint = durable.checkpoint().unwrap().sequence;
        }
        if random.u8(..10) == 0 {
            drop(durable);
            durable = open();
            let report = durable.report();
            assert!(report.rejected_checkpoints.is_empty(), "{report}");
            assert_eq!(report.checkpoint_sequence, checkpoint);
            assert_eq!(bytes(&durable.state().unwrap()), bytes(&plain.state()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn every_state_that_can_be_reached_survives(seed: u64, late: bool) {
        run(seed, late);
    }
}

fn reserve(amount_microcents: i64, deadline: u64) -> TenantAction {
    TenantAction::Reserve { amount_microcents, deadline: Some(deadline) }
}

/// A folder with one tenant, and what opens it again.
fn ledger_of_1_000() -> (DurableLedger, impl Fn() -> DurableLedger) {
    let storage = Arc::new(Memory::default());
    let open = move || {
        let options = DurableOptions::new().limits(LIMITS).storage(storage.clone());
        DurableLedger::open_with(Path::new("ledger"), options).unwrap()
    };
    let ledger = open();
    ledger.open_tenant("t", None, 1_000, Call::default()).unwrap().unwrap();
    (ledger, open)
}

#[test]
fn a_deadline_is_due_at_its_time_and_not_before_across_restarts() {
    let (ledger, open) = ledger_of_1_000();
    let hold = ledger.perform("t", &reserve(10, 100), Call::at(1)).unwrap().unwrap().hold;
    drop(ledger);
    let ledger = open();
    assert_eq!(ledger.expire(99).unwrap(), []);
    ledger.checkpoint().unwrap();
    drop(ledger);
    let ledger = open();
    let due = ledger.expire(100).unwrap();
    assert_eq!((due.len(), Some(due[0].hold), due[0].deadline), (1, hold, 100));
    assert_eq!(ledger.expire(u64::MAX).unwrap(), [], "once");
}

#[test]
fn a_key_answers_across_restarts_until_its_time_is_over() {
    let (ledger, open) = ledger_of_1_000();
    let ask = |ledger: &DurableLedger, now, key: &str| {
        ledger.perform("t", &reserve(10, 9_999), Call::at(now).with_key(key)).unwrap()
    };
    let first = ask(&ledger, 10, "a").unwrap();
    ledger.checkpoint().unwrap();
    drop(ledger);
    let ledger = open();
    assert_eq!(ask(&ledger, 13, "a").unwrap(), first, "kept for 3");
    for (key, now) in [("b", 11), ("c", 12), ("d", 12)] {
        ask(&ledger, now, key).unwrap();
    }
    let full = ask(&ledger, 13, "e").unwrap_err();
    assert_eq!(full.to_string(), r#""t": 4 idempotency keys are kept already"#);
    drop(ledger);
    let ledger = open();
    assert_eq!(ask(&ledger, 13, "e").unwrap_err(), full, "no room was made by a restart");
    ask(&ledger, 14, "e").unwrap();
    let second = ask(&ledger, 14, "a");
    assert!(second.is_err() || second.unwrap().hold != first.hold, "forgotten, so done again");
    drop(ledger);
    drop(open());
}

#[test]
fn hold_ids_are_not_given_twice_across_restarts() {
    let (mut ledger, open) = ledger_of_1_000();
    let mut given = Vec::new();
    for round in 0..6 {
        let hold = ledger.perform("t", &reserve(1, 9), Call::default()).unwrap().unwrap().hold;
        given.push(hold.unwrap());
        ledger.settle(hold.unwrap(), &HoldAction::Release, Call::default()).unwrap().unwrap();
        if round % 2 == 0 {
            ledger.checkpoint().unwrap();
        }
        drop(ledger);
        ledger = open();
        let again = ledger.settle(hold.unwrap(), &HoldAction::CommitHeld, Call::default());
        assert!(again.unwrap().is_err(), "settled is settled");
    }
    let count = given.len();
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), count);
    assert_eq!(ledger.tenant_status("t").unwrap(), Some(TenantStatus::Active));
}

#[test]
fn a_great_many_holds_expire_in_one_record_of_any_size() {
    let (ledger, open) = ledger_of_1_000();
    ledger
        .perform("t", &TenantAction::TopUp { amount_microcents: 1 << 40 }, Call::default())
        .unwrap()
        .unwrap();
    let long = "n".repeat(8_000);
    ledger.open_tenant(&long, Some("t"), 1 << 40, Call::default()).unwrap().unwrap();
    for number in 0..5_000 {
        let operation = LedgerOperation::Tenant {
            tenant: long.clone(),
            action: reserve(1, 10 + number % 7),
            now: 1,
            key: None,
        };
        drop(ledger.submit(&operation).unwrap());
    }
    ledger.balances("t").unwrap(); // which waits for all of them
    let before = ledger.anchor().sequence;
    // 40 MB of names, if they were listed.
    assert_eq!(ledger.expire(100).unwrap().len(), 5_000);
    assert_eq!(ledger.anchor().sequence, before + 1);
    let state = bytes(&ledger.state().unwrap());
    drop(ledger);
    assert_eq!(bytes(&open().state().unwrap()), state);
}

#[test]
fn a_report_is_a_few_lines_whatever_the_names_are() {
    let (ledger, open) = ledger_of_1_000();
    let hold = |ledger: &DurableLedger, tenant: &str, amount| {
        ledger.perform(tenant, &reserve(amount, 50), Call::at(1)).unwrap().unwrap();
    };
    let names = ["\u{1b}[2J\n".to_owned(), "\u{e9}".repeat(9_000)];
    for name in &names {
        ledger.open_tenant(name, Some("t"), i64::MAX, Call::default()).unwrap().unwrap();
    }
    hold(&ledger, &names[0], 7);
    drop(ledger);
    let ledger = open();
    let report = ledger.report().to_string();
    assert!(report.contains("replayed 4 operations, each"), "{report}");
    assert!(report.contains("open     1 hold, 7 microcents\n"), "{report}");
    assert!(report.contains(r#" of "\u{1b}[2J\n": 7, until 50"#), "{report}");
    for _ in 0..30 {
        hold(&ledger, &names[1], 1);
    }
    drop(ledger);
    let report = open().report().to_string();
    assert!(report.contains("open     31 holds, 37 microcents\n"), "{report}");
    assert!(report.contains(&format!("of {:?}...: 1, until 50", "\u{e9}".repeat(64))), "{report}");
    assert!(report.contains("and 11 more\nbalanced 3 tenants, every one of them\n"), "{report}");
    assert!(report.len() < 5_000, "{}", report.len());
}
