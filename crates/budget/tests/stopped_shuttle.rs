//! Operations while a snapshot is stopped for good, at every step it can be stopped at:
//! `RUSTFLAGS="--cfg shuttle" cargo test --release --test stopped_shuttle --target-dir target/shuttle`.
//!
//! The system may take the core from a snapshot at any moment. Whoever waits for it then waits for
//! milliseconds, so nobody may, but one who asks the very tenant that it is reading at that moment.

#[cfg(all(test, shuttle))]
mod stopped {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use calybris_budget::BudgetEngine;
    use shuttle::{
        Config, Runner,
        scheduler::{Schedule, Scheduler, Task, TaskId},
        thread,
    };

    /// The early operation asks the first, so that the snapshot fetches a picture while the others, enough of
    /// them to come to every place for pictures twice, are still to be changed.
    const TENANTS: [&str; 5] = ["a", "b", "c", "d", "e"];
    /// More than a snapshot of them takes.
    const STEPS: usize = 40;

    /// Tasks in the order they are spawned in.
    const SNAPSHOT: usize = 1;
    const EARLY: usize = 2;

    /// What the schedule and the tasks tell each other.
    #[derive(Default)]
    struct Progress {
        /// Late operations that are done.
        done: AtomicUsize,
        /// Those that were not when nothing could go on but the snapshot.
        waiting: AtomicUsize,
        /// Executions, one for each pair of stops.
        executions: AtomicUsize,
        /// Of them, those in which one waited.
        with_one_waiting: AtomicUsize,
    }

    /// Stops the snapshot twice: for one early operation, then for a late one on each tenant. It goes on
    /// only when nothing else can.
    struct Stops {
        progress: Arc<Progress>,
        execution: usize,
        /// Steps the snapshot has left until its first and its second stop.
        left: [usize; 2],
    }

    impl Scheduler for Stops {
        fn new_execution(&mut self) -> Option<Schedule> {
            self.left = [self.execution % STEPS, self.execution / STEPS];
            self.execution += 1;
            (self.execution <= STEPS * STEPS).then(|| Schedule::new(0))
        }

        fn next_task(
            &mut self,
            runnable: &[&Task],
            _current: Option<TaskId>,
            _is_yielding: bool,
        ) -> Option<TaskId> {
            let ids = || runnable.iter().map(|task| task.id());
            let find = |wanted: usize| ids().find(|id| usize::from(*id) == wanted);
            let last = || ids().max_by_key(|id| usize::from(*id));
            // The main task spawns all others first; it can run again when they are done.
            if let Some(main) = find(0) {
                return Some(main);
            }
            let Some(snapshot) = find(SNAPSHOT) else { return last() };
            for (stop, early) in [(0, None), (1, find(EARLY))] {
                if early.is_some() {
                    return early;
                }
                if self.left[stop] > 0 {
                    self.left[stop] -= 1;
                    return Some(snapshot);
                }
            }
            let late = last().filter(|id| *id != snapshot);
            if late.is_none() && self.progress.waiting.load(SeqCst) == 0 {
                let waiting = TENANTS.len() - self.progress.done.load(SeqCst);
                self.progress.waiting.store(waiting, SeqCst);
            }
            late.or(Some(snapshot))
        }

        fn next_u64(&mut self) -> u64 {
            0
        }
    }

    fn operation(engine: &BudgetEngine, tenant: &str) {
        let (_, id) = engine.try_reserve(tenant, 10);
        engine.commit(id.unwrap(), 7);
    }

    fn one_execution(progress: &Arc<Progress>, snapshot: fn(&BudgetEngine)) {
        progress.done.store(0, SeqCst);
        progress.waiting.store(0, SeqCst);
        let engine = BudgetEngine::new();
        TENANTS.iter().for_each(|tenant| engine.ensure_tenant(tenant, 1_000));
        let spawn = |work: fn(&BudgetEngine)| {
            let engine = engine.clone();
            thread::spawn(move || work(&engine))
        };
        let mut tasks = vec![spawn(snapshot), spawn(|engine| operation(engine, TENANTS[0]))];
        tasks.extend(TENANTS.map(|tenant| {
            let (engine, progress) = (engine.clone(), Arc::clone(progress));
            thread::spawn(move || {
                operation(&engine, tenant);
                progress.done.fetch_add(1, SeqCst);
            })
        }));
        tasks.into_iter().for_each(|task| task.join().unwrap());
        let waiting = progress.waiting.load(SeqCst);
        let execution = progress.executions.fetch_add(1, SeqCst);
        assert!(waiting <= 1, "{waiting} of {} in execution {execution}", TENANTS.len());
        progress.with_one_waiting.fetch_add(waiting, SeqCst);
    }

    fn check(snapshot: fn(&BudgetEngine)) {
        let progress = Arc::new(Progress::default());
        let stops = Stops { progress: Arc::clone(&progress), execution: 0, left: [0; 2] };
        let shared = Arc::clone(&progress);
        Runner::new(stops, Config::default()).run(move || one_execution(&shared, snapshot));
        assert_eq!(progress.executions.load(SeqCst), STEPS * STEPS);
        // Some stops are while a tenant is read, and most are not.
        let with_one = progress.with_one_waiting.load(SeqCst);
        assert!((1..STEPS * STEPS / 2).contains(&with_one), "{with_one}");
    }

    #[test]
    fn nobody_waits_for_a_stopped_snapshot_but_at_the_tenant_it_reads() {
        check(|engine| drop(engine.snapshot()));
    }

    #[test]
    fn nobody_waits_for_a_stopped_state_but_at_the_tenant_it_reads() {
        check(|engine| drop(engine.state()));
    }
}
