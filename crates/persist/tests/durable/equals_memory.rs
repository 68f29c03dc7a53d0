//! A durable ledger that is checkpointed, closed, damaged and opened again at random places answers and ends like
//! an engine in memory that nobody interrupted, byte for byte.

use std::path::Path;
use std::sync::Arc;

use calybris_budget::{BudgetEngine, Limits};
use calybris_persist::{DurableLedger, DurableOptions};
use calybris_wal::WalOptions;
use calybris_wal::storage::{Memory, Storage as _};
use proptest::prelude::*;

use crate::every_operation::{Caller, replay};
use crate::workload::bytes;

const LIMITS: Limits = Limits { key_retention: 40, max_keys_per_tenant: 6 };

#[derive(Clone, Debug)]
enum Step {
    Operation(u64),
    Checkpoint,
    Reopen,
    /// Reopens after the newest checkpoint has lost its second half, or all of it.
    Damage {
        whole: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => any::<u64>().prop_map(Step::Operation),
        2 => Just(Step::Checkpoint),
        2 => Just(Step::Reopen),
        1 => any::<bool>().prop_map(|whole| Step::Damage { whole }),
    ]
}

fn damage_newest(memory: &Memory, whole: bool) {
    let files = memory.list(Path::new("ledger")).unwrap();
    let newest = files.iter().rfind(|path| path.extension() == Some("json".as_ref()));
    if let Some(path) = newest {
        if whole {
            memory.remove(path).unwrap();
        } else {
            let held = memory.read(path).unwrap();
            memory.write(path, &held[..held.len() / 2]);
        }
    }
}

fn run(steps: &[Step], record_all: bool, one_file: bool) {
    let memory = Memory::default();
    let log = if one_file {
        memory.write(Path::new("ledger/ledger.log"), b"");
        "ledger/ledger.log"
    } else {
        "ledger/log"
    };
    let open = || {
        let storage = Arc::new(memory.clone());
        let options = DurableOptions::new().limits(LIMITS).record_all(record_all);
        DurableLedger::open_with(
            Path::new("ledger"),
            options.storage(storage).segment_bytes(20_000),
        )
        .unwrap()
    };
    let plain = BudgetEngine::with_limits(LIMITS);
    let (mut durable, mut caller) = (open(), Caller::default());
    for (step, now) in steps.iter().zip(1..) {
        match step {
            Step::Operation(seed) => {
                let operation = caller.operation(*seed, now);
                let expected = plain.apply(&operation);
                let answer = durable.apply(&operation).unwrap();
                assert_eq!(answer, expected);
                caller.learn(&answer);
            }
            Step::Checkpoint => drop(durable.checkpoint().unwrap()),
            Step::Reopen | Step::Damage { .. } => {
                drop(durable);
                if let Step::Damage { whole } = step {
                    damage_newest(&memory, *whole);
                }
                durable = open();
                let report = durable.report();
                assert_eq!(report.open_holds.len() as u64, plain.active_reservations());
                assert_eq!(report.state_digest_hex.to_bytes(), plain.state().digest());
            }
        }
    }
    let expected = bytes(&plain.state());
    assert_eq!(bytes(&durable.state().unwrap()), expected);
    drop(durable);
    assert_eq!(bytes(&open().state().unwrap()), expected);
    let options = WalOptions::new().storage(Arc::new(memory.clone()));
    let (operations, replayed) = replay(Path::new(log), &options);
    assert_eq!(bytes(&replayed.state()), expected);
    let asked = steps.iter().filter(|step| matches!(step, Step::Operation(_))).count();
    assert!(if record_all { operations.len() == asked } else { operations.len() <= asked });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn interrupted_equals_uninterrupted(
        steps in prop::collection::vec(step(), 1..250),
        record_all in any::<bool>(),
        one_file in any::<bool>(),
    ) {
        run(&steps, record_all, one_file);
    }
}
