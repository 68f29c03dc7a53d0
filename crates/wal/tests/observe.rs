//! What a recorder sees of a log that recovers, appends and fails.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

use calybris_wal::storage::{Memory, Storage as _};
use calybris_wal::{WalError, WalOptions, WalWriter, verify_wal_with};

/// One test at a time. A span that another thread comes to first is asked about there, and remembered as unwanted for
/// all threads where that one has no subscriber.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<std::collections::BTreeMap<String, u64>>>);

struct One(Seen, String);

impl CounterFn for One {
    fn increment(&self, value: u64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += value;
    }

    fn absolute(&self, _value: u64) {}
}

impl Recorder for Seen {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(One(self.clone(), key.name().into())))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn groups_recoveries_and_failures_are_counted() {
    let _turn = alone();
    let (seen, memory, path) = (Seen::default(), Memory::default(), Path::new("log"));
    memory.write(path, b"{\"sequence\":1,");
    let options = WalOptions::new().storage(Arc::new(memory.clone()));
    let mut written = 0;
    metrics::with_local_recorder(&seen, || {
        let log = WalWriter::<u32>::open_with(path, &options).unwrap();
        log.append(1).unwrap();
        let ticket = log.enqueue(&2).unwrap();
        log.wait_durable(ticket).unwrap();
        written = memory.read(path).unwrap().len() as u64;
        memory.remove(path).unwrap();
        log.append(3).unwrap_err();
    });
    let seen = seen.0.lock().unwrap();
    let count = |name: &str| seen.get(&format!("calybris_wal_{name}_total")).copied();
    assert_eq!(count("recoveries"), Some(1));
    assert_eq!((count("groups"), count("entries")), (Some(2), Some(2)));
    assert_eq!(count("failures"), Some(1));
    assert_eq!(count("bytes"), Some(written));
}

/// Records the names of spans, and panics at the event it is told to.
#[derive(Clone, Default)]
struct Watcher {
    names: Arc<Mutex<Vec<&'static str>>>,
    panics_in: Option<&'static str>,
}

impl tracing::Subscriber for Watcher {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        let name = span.metadata().name();
        self.names.lock().unwrap().push(name);
        assert!(self.panics_in != Some(name), "told to");
        tracing::span::Id::from_u64(1)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let is_group = event.fields().any(|field| field.name() == "entries");
        assert!(!(is_group && self.panics_in == Some("event")), "told to");
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn spans_rotations_retirements_and_syncs_are_told() {
    let _turn = alone();
    let (seen, watcher) = (Seen::default(), Watcher::default());
    let options = WalOptions::new().storage(Arc::new(Memory::default())).segment_bytes(1);
    metrics::with_local_recorder(&seen, || {
        tracing::subscriber::with_default(watcher.clone(), || {
            let log = WalWriter::<u32>::open_with(Path::new("log"), &options).unwrap();
            log.append(1).unwrap();
            log.append_durable(2).unwrap();
            log.retire_before(2).unwrap().unwrap();
        });
    });
    let expected = ["open", "append", "group", "append", "group", "sync", "sync"];
    assert_eq!(*watcher.names.lock().unwrap(), expected);
    let seen = seen.0.lock().unwrap();
    for (name, count) in [("syncs", 2), ("rotations", 1), ("retirements", 1)] {
        assert_eq!(seen.get(&format!("calybris_wal_{name}_total")), Some(&count), "{name}");
    }
}

#[test]
fn a_subscriber_that_panics_loses_no_group_silently() {
    let _turn = alone();
    for panics_in in ["group", "sync", "event"] {
        let options = WalOptions::new().storage(Arc::new(Memory::default()));
        let log = WalWriter::<u32>::open_with(Path::new("log"), &options).unwrap();
        let watcher = Watcher { panics_in: Some(panics_in), ..Watcher::default() };
        let append = || tracing::subscriber::with_default(watcher, || log.append_durable(1));
        assert!(
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(append)).is_err(),
            "{panics_in}"
        );
        let next = log.append_durable(2);
        if panics_in == "event" {
            // It was told of a group that is durable, and the log goes on after it.
            assert_eq!(next.unwrap().sequence, 2);
        } else {
            assert!(matches!(next, Err(WalError::Poisoned { .. })), "{panics_in}");
        }
        drop(log);
        let found = verify_wal_with(Path::new("log"), &options, None).unwrap();
        assert_eq!(
            found.sequence,
            match panics_in {
                "group" => 0,
                "sync" => 1,
                _ => 2,
            }
        );
    }
}
