//! Every pair of operations under every interleaving of their synchronising steps:
//! `RUSTFLAGS="--cfg loom" cargo test --release --test budget_loom --target-dir target/loom`.
//!
//! What a pair answers and leaves behind must be what one of the two serial orders would.

#[cfg(all(test, loom))]
mod pairs {
    use calybris_budget::{
        BudgetEngine, BudgetSnapshot, Call, Hold, HoldAction, RestoreError, TenantAction,
        TenantLedger,
    };

    /// What the operations start from.
    struct World {
        engine: BudgetEngine,
        holds: [u64; 2],
        below: u64,
    }

    fn world() -> World {
        let engine = BudgetEngine::new();
        engine.ensure_tenant("a", 100);
        engine.ensure_tenant("b", 50);
        let holds = [40, 30].map(|amount| engine.hold("a", amount).map(Hold::keep).unwrap());
        engine.open_tenant("a-child", Some("a"), 60, Call::default()).unwrap();
        let reserve = TenantAction::Reserve { amount_microcents: 5, deadline: Some(7) };
        let below = engine.perform("a-child", &reserve, Call::at(1)).unwrap().hold.unwrap();
        World { engine, holds, below }
    }

    type Operation = fn(&World) -> String;

    fn shown(snapshot: &BudgetSnapshot) -> String {
        format!("{:?} {}", snapshot.tenants, snapshot.active_reservations)
    }

    /// A reservation's answer and whether it has an id; the number itself may differ.
    fn reserve(world: &World, tenant: &str, amount: i64) -> String {
        let (answer, id) = world.engine.try_reserve(tenant, amount);
        format!("{answer:?} {}", id.is_some())
    }

    fn restore(world: &World) -> Result<(), RestoreError> {
        world.engine.restore_from_snapshot(BudgetSnapshot {
            version: (1 << 63) | 9,
            tenants: vec![TenantLedger {
                tenant_id: "a".into(),
                initial_microcents: 7,
                remaining_microcents: 7,
                reserved_microcents: 0,
                committed_microcents: 0,
            }],
            active_reservations: 0,
            wal_high_watermark: None,
        })
    }

    const OPERATIONS: [(&str, Operation); 21] = [
        ("ensure new", |w| format!("{:?}", w.engine.try_ensure_tenant("c", 9))),
        ("ensure old", |w| format!("{:?}", w.engine.try_ensure_tenant("a", 9))),
        ("top up", |w| format!("{:?}", w.engine.top_up_tenant("a", 20))),
        ("cap", |w| format!("{:?}", w.engine.try_set_max_reserved_microcents("a", 75))),
        ("reserve what fits once", |w| reserve(w, "a", 20)),
        ("reserve after a top-up", |w| reserve(w, "a", 45)),
        ("reserve of another", |w| reserve(w, "b", 20)),
        ("reserve of a new one", |w| reserve(w, "c", 5)),
        ("commit", |w| format!("{:?}", w.engine.commit(w.holds[0], 35))),
        ("commit over the hold", |w| format!("{:?}", w.engine.commit(w.holds[1], 60))),
        ("release", |w| format!("{:?}", w.engine.release(w.holds[0]))),
        ("guard", |w| {
            let held = w.engine.hold("a", 25).map(drop);
            format!("{held:?}")
        }),
        ("reserve below", |w| reserve(w, "a-child", 20)),
        ("commit below", |w| format!("{:?}", w.engine.commit(w.below, 9))),
        ("grow below", |w| {
            let grow = HoldAction::Grow { amount_microcents: 15 };
            format!("{:?}", w.engine.settle(w.below, &grow, Call::at(2).with_key("k")))
        }),
        ("open below", |w| {
            format!("{:?}", w.engine.open_tenant("d", Some("a"), 1, Call::default()))
        }),
        ("close", |w| {
            format!("{:?}", w.engine.perform("b", &TenantAction::Close, Call::default()))
        }),
        ("expire", |w| format!("{:?}", w.engine.expire(7))),
        ("state", |w| format!("{:?}", w.engine.state())),
        ("snapshot", |w| shown(&w.engine.snapshot())),
        ("restore", |w| format!("{:?}", restore(w))),
    ];

    type Outcome = (String, String, String);

    /// Both answers and what is left, for each of the two orders. In a model of its own, because
    /// every run of a model has to take the same steps.
    fn outcomes(first: usize, second: usize) -> [Outcome; 2] {
        let found = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        for order in [[first, second], [second, first]] {
            let found = std::sync::Arc::clone(&found);
            loom::model(move || {
                let world = world();
                let [one, two] = order.map(|operation| OPERATIONS[operation].1(&world));
                found.lock().unwrap().push((one, two, shown(&world.engine.snapshot())));
            });
        }
        let found = found.lock().unwrap().clone();
        let [forwards, (two, one, end)] = found.try_into().unwrap();
        [forwards, (one, two, end)]
    }

    fn check(first: usize, second: usize) {
        let serial = outcomes(first, second);
        // A guard is two operations, so another may come between them.
        let two_steps = [first, second].iter().any(|i| OPERATIONS[*i].0 == "guard");
        loom::model(move || {
            let world = loom::sync::Arc::new(world());
            let other = world.clone();
            let thread = loom::thread::spawn(move || OPERATIONS[second].1(&other));
            let one = OPERATIONS[first].1(&world);
            let two = thread.join().unwrap();
            let seen = (one, two, shown(&world.engine.snapshot()));
            let names = (OPERATIONS[first].0, OPERATIONS[second].0);
            assert!(two_steps || serial.contains(&seen), "{names:?} gave {seen:?}");
            assert_eq!(world.engine.verify_conservation().to_string(), "balanced");
        });
    }

    #[test]
    fn every_pair_of_operations_equals_a_serial_order() {
        for first in 0..OPERATIONS.len() {
            for second in first..OPERATIONS.len() {
                check(first, second);
            }
        }
    }

    /// A snapshot during two operations of one thread shows none, the first, or both.
    #[test]
    fn a_snapshot_is_a_prefix_of_what_a_thread_did() {
        loom::model(|| {
            let world = loom::sync::Arc::new(world());
            let other = world.clone();
            let thread = loom::thread::spawn(move || {
                other.engine.top_up_tenant("a", 1);
                other.engine.top_up_tenant("b", 1);
            });
            let snapshot = world.engine.snapshot();
            let [a, b] = [0, 2].map(|i| snapshot.tenants[i].initial_microcents);
            assert!([(100, 50), (101, 50), (101, 51)].contains(&(a, b)), "{a} {b}");
            thread.join().unwrap();
        });
    }
}
