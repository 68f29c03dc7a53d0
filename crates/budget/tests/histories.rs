//! Concurrent histories on a small hierarchy: each equals a serial one that respects real time.
//!
//! On real threads here; under every kind of random schedule with
//! `RUSTFLAGS="--cfg shuttle" cargo test --release --test histories --target-dir target/shuttle`.
#![cfg(not(loom))]

#[cfg(test)]
mod histories {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use calybris_budget::{
        BudgetEngine, BudgetSnapshot, Call, HoldAction, LedgerOperation, LedgerState,
        OverrunPolicy, Refusal, SNAPSHOT_VERSION_TAG, TenantAction, TenantLedger, Window,
    };
    #[cfg(shuttle)]
    use shuttle::thread;
    #[cfg(not(shuttle))]
    use std::thread;

    const THREADS: usize = 3;
    const STEPS: usize = 3;

    #[derive(Clone, Debug)]
    enum Step {
        Operation(LedgerOperation),
        State,
        Snapshot,
        Restore,
    }

    /// A step, what came of it, and when it was begun and done.
    #[derive(Debug)]
    struct Event {
        step: Step,
        seen: String,
        begun: u64,
        done: u64,
    }

    /// A firm, two desks, a strategy, and three open holds.
    fn world() -> Result<(BudgetEngine, [u64; 3]), Refusal> {
        let engine = BudgetEngine::new();
        engine.open_tenant("firm", None, 100, Call::default())?;
        engine.open_tenant("desk", Some("firm"), 90, Call::default())?;
        engine.open_tenant("pad", Some("firm"), 80, Call::default())?;
        engine.open_tenant("strategy", Some("desk"), 70, Call::default())?;
        let window = Window::Fixed { length: 1_000 };
        let limit = TenantAction::SetWindow { window, limit_microcents: Some(95) };
        engine.perform("firm", &limit, Call::default())?;
        let policy = OverrunPolicy::Overdraft { cap_microcents: 30 };
        engine.perform("strategy", &TenantAction::SetOverrunPolicy { policy }, Call::default())?;
        let reserve = TenantAction::Reserve { amount_microcents: 10, deadline: None };
        let mut holds = [0; 3];
        for (hold, tenant) in holds.iter_mut().zip(["desk", "pad", "strategy"]) {
            *hold = engine.perform(tenant, &reserve, Call::default())?.hold.unwrap();
        }
        Ok((engine, holds))
    }

    /// Two of the tenants, without parents, and ids to go on from that the world has passed.
    fn earlier() -> BudgetSnapshot {
        let tenant = |tenant_id: &str| TenantLedger {
            tenant_id: tenant_id.to_owned(),
            initial_microcents: 60,
            remaining_microcents: 60,
            reserved_microcents: 0,
            committed_microcents: 0,
        };
        BudgetSnapshot {
            version: SNAPSHOT_VERSION_TAG | 9,
            tenants: vec![tenant("desk"), tenant("strategy")],
            active_reservations: 0,
            wal_high_watermark: None,
        }
    }

    /// Every tenant's next hold needs a spare block of ids: these are shared.
    fn with_ids_used_up(engine: &BudgetEngine) -> BudgetEngine {
        /// Ids in a block: `docs/format/ledger-v2.md`.
        const BLOCK: u64 = 1 << 22;
        let mut state = engine.state();
        for tenant in &mut state.tenants {
            tenant.next_hold = tenant.next_hold.next_multiple_of(BLOCK);
        }
        BudgetEngine::from_state(&state).unwrap()
    }

    /// Small deterministic random numbers (Marsaglia's xorshift64).
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) % bound
        }

        fn pick(&mut self, bound: u64) -> usize {
            usize::try_from(self.below(bound)).unwrap()
        }

        fn amount(&mut self) -> i64 {
            i64::try_from(1 + self.below(45)).unwrap()
        }

        fn step(&mut self, holds: &[u64; 3]) -> Step {
            let tenants = ["firm", "desk", "pad", "strategy", "new"];
            let tenant = tenants[self.pick(5)].to_owned();
            let amount_microcents = self.amount();
            let key = (self.below(4) == 0).then(|| format!("key-{}", self.below(2)));
            let now = self.below(3);
            let action = match self.below(15) {
                0 => return Step::State,
                1 => return Step::Snapshot,
                2 => {
                    let (tenant, parent) = ("new".to_owned(), Some("desk".to_owned()));
                    return Step::Operation(LedgerOperation::Open {
                        tenant,
                        parent,
                        initial_microcents: 50,
                        now,
                        key,
                    });
                }
                3..=5 => {
                    let hold = holds[self.pick(3)];
                    let action = match self.below(5) {
                        0 | 1 => HoldAction::Commit { actual_microcents: amount_microcents },
                        2 => HoldAction::Release,
                        3 => HoldAction::Grow { amount_microcents },
                        _ => {
                            HoldAction::CommitPart { amount_microcents: amount_microcents % 10 + 1 }
                        }
                    };
                    return Step::Operation(LedgerOperation::Hold { hold, action, now, key });
                }
                6..=9 => TenantAction::Reserve { amount_microcents, deadline: None },
                10 => TenantAction::ReserveUpTo {
                    amount_microcents: amount_microcents + 20,
                    at_least_microcents: amount_microcents,
                    deadline: None,
                },
                11 => TenantAction::TopUp { amount_microcents },
                12 => TenantAction::Freeze,
                13 => TenantAction::Close,
                _ => return Step::Restore,
            };
            Step::Operation(LedgerOperation::Tenant { tenant, action, now, key })
        }
    }

    fn run(engine: &BudgetEngine, step: &Step) -> String {
        match step {
            Step::Operation(operation) => format!("{:?}", engine.apply(operation)),
            Step::State => format!("{:?}", engine.state()),
            Step::Snapshot => format!("{:?}", engine.snapshot().tenants),
            Step::Restore => format!("{:?}", engine.restore_from_snapshot(earlier())),
        }
    }

    fn history(seed: u64) {
        let (mut engine, holds) = world().unwrap();
        if seed % 2 == 1 {
            engine = with_ids_used_up(&engine);
        }
        let start = engine.state();
        let clock = Arc::new(AtomicU64::new(0));
        let workers: Vec<_> = (0..THREADS as u64)
            .map(|worker| {
                let (engine, clock) = (engine.clone(), Arc::clone(&clock));
                thread::spawn(move || {
                    let mut random =
                        Random((seed * 31 + worker + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                    let tick = || clock.fetch_add(1, Ordering::SeqCst);
                    let mut events = Vec::new();
                    for _ in 0..STEPS {
                        let step = random.step(&holds);
                        let begun = tick();
                        let seen = run(&engine, &step);
                        events.push(Event { step, seen, begun, done: tick() });
                    }
                    events
                })
            })
            .collect();
        let events: Vec<Event> = workers.into_iter().flat_map(|it| it.join().unwrap()).collect();
        let mut left: Vec<&Event> = events.iter().collect();
        assert!(is_serial(&start, &mut left, &engine.state()), "seed {seed}: {events:#?}");
    }

    /// Whether the events, in some order in which none comes before one that was done when it began,
    /// lead from one state to another, each seen as it was.
    fn is_serial(from: &LedgerState, left: &mut Vec<&Event>, to: &LedgerState) -> bool {
        if left.is_empty() {
            return from == to;
        }
        let first_done = left.iter().map(|event| event.done).min().unwrap();
        for at in 0..left.len() {
            if left[at].begun > first_done {
                continue;
            }
            let event = left.swap_remove(at);
            let engine = BudgetEngine::from_state(from).unwrap();
            if run(&engine, &event.step) == event.seen && is_serial(&engine.state(), left, to) {
                return true;
            }
            left.push(event);
            let last = left.len() - 1;
            left.swap(at, last);
        }
        false
    }

    #[cfg(not(shuttle))]
    #[test]
    fn on_threads_equal_serial_ones() {
        (0..2_000).for_each(history);
    }

    #[cfg(shuttle)]
    #[test]
    fn under_random_schedules_equal_serial_ones() {
        let seeds = AtomicU64::new(0);
        shuttle::check_random(move || history(seeds.fetch_add(1, Ordering::Relaxed)), 20_000);
    }

    #[cfg(shuttle)]
    #[test]
    fn under_rare_schedules_equal_serial_ones() {
        let seeds = AtomicU64::new(1 << 32);
        shuttle::check_pct(move || history(seeds.fetch_add(1, Ordering::Relaxed)), 20_000, 4);
    }
}
