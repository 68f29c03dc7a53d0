//! What a running log tells: `tracing` events and `metrics`, with the feature `observability`.
//!
//! | metric | kind | unit |
//! |---|---|---|
//! | `calybris_wal_groups_total` | counter | groups taken to the file |
//! | `calybris_wal_entries_total` | counter | entries in them |
//! | `calybris_wal_bytes_total` | counter | bytes in them |
//! | `calybris_wal_group_entries` | histogram | entries of a synced group |
//! | `calybris_wal_failures_total` | counter | groups that failed; the writer refuses from then on |
//! | `calybris_wal_syncs_total` | counter | syncs of the log; its head file is not counted |
//! | `calybris_wal_rotations_total` | counter | segments begun after another one |
//! | `calybris_wal_retirements_total` | counter | retirements, each of one segment or more |
//! | `calybris_wal_recoveries_total` | counter | openings that had to end a line or cut a tail |
//!
//! Spans: `open` (info), `append` (trace) while an entry is chained, `group` (debug) while one is at the file, and in
//! it `sync` (debug). Nothing is told while entries cannot be chained. A subscriber that panics inside a group ends
//! the writer as a storage that panics does; nothing it was told of is lost.

use std::path::Path;

use tracing::span::EnteredSpan;

use crate::error::WalError;
use crate::recovery::{Verdict, WalReport};
use crate::retire::Retirement;

/// An entry is chained.
pub(crate) fn append(bytes: usize) -> EnteredSpan {
    tracing::trace_span!("append", bytes).entered()
}

/// A group is taken to the file.
pub(crate) fn group(bytes: usize, synced: bool) -> EnteredSpan {
    tracing::debug_span!("group", bytes, synced).entered()
}

/// What was written is made durable.
pub(crate) fn sync(path: &Path) -> EnteredSpan {
    tracing::debug_span!("sync", path = %path.display()).entered()
}

/// A log is opened for writing, and recovered if it has to be.
pub(crate) fn opening(path: &Path) -> EnteredSpan {
    tracing::info_span!("open", path = %path.display()).entered()
}

/// What was written is durable.
pub(crate) fn synced() {
    metrics::counter!("calybris_wal_syncs_total").increment(1);
}

/// The next segment was begun.
pub(crate) fn rotated(segment: &Path) {
    metrics::counter!("calybris_wal_rotations_total").increment(1);
    tracing::info!(segment = %segment.display(), "log rotated");
}

/// Segments were retired.
pub(crate) fn retired(log: &Path, retirement: &Retirement) {
    let Retirement { after, sequence, segments, bytes, .. } = *retirement;
    metrics::counter!("calybris_wal_retirements_total").increment(1);
    tracing::info!(log = %log.display(), after, sequence, segments, bytes, "log segments retired");
}

/// A group was taken to the file, or was not.
pub(crate) fn grouped(entries: u64, bytes: usize, synced: bool, error: Option<&WalError>) {
    if let Some(error) = error {
        metrics::counter!("calybris_wal_failures_total").increment(1);
        tracing::error!(entries, bytes, synced, %error, "log group failed");
        return;
    }
    metrics::counter!("calybris_wal_groups_total").increment(1);
    metrics::counter!("calybris_wal_entries_total").increment(entries);
    metrics::counter!("calybris_wal_bytes_total").increment(bytes as u64);
    if synced {
        // A histogram takes floats; a group is far smaller than what one holds exactly.
        let size = f64::from(u32::try_from(entries).unwrap_or(u32::MAX));
        metrics::histogram!("calybris_wal_group_entries").record(size);
    }
    tracing::debug!(entries, bytes, synced, "log group");
}

/// A log was opened.
pub(crate) fn opened(report: &WalReport) {
    let (path, sequence) = (report.path.display(), report.sequence);
    if report.verdict == Verdict::Open {
        tracing::info!(%path, sequence, "log opened");
    } else {
        metrics::counter!("calybris_wal_recoveries_total").increment(1);
        let (tail, cut_bytes) = (report.tail, report.cut_bytes);
        tracing::warn!(%path, sequence, ?tail, cut_bytes, "log opened after recovery");
    }
}

#[cfg(test)]
mod tests {
    //! What a recorder sees of a log that recovers, appends and fails.

    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use metrics::{
        Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    };

    use crate::storage::{Memory, Storage as _};
    use crate::{WalOptions, WalWriter};

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
                assert!(matches!(next, Err(crate::WalError::Poisoned { .. })), "{panics_in}");
            }
            drop(log);
            let found = crate::verify_wal_with(Path::new("log"), &options, None).unwrap();
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
}
