//! What a running log tells: `tracing` events and `metrics`, with the feature `observability`.
//!
//! | metric | kind | unit |
//! |---|---|---|
//! | `calybris_wal_groups_total` | counter | groups taken to the file |
//! | `calybris_wal_entries_total` | counter | entries in them |
//! | `calybris_wal_bytes_total` | counter | bytes in them |
//! | `calybris_wal_group_entries` | histogram | entries of a synced group |
//! | `calybris_wal_failures_total` | counter | groups that failed; the writer refuses from then on |
//! | `calybris_wal_recoveries_total` | counter | openings that had to end a line or cut a tail |

use crate::error::WalError;
use crate::recovery::{Verdict, WalReport};

/// A group was taken to the file, or was not.
pub(crate) fn group(entries: u64, bytes: usize, synced: bool, outcome: &Result<(), WalError>) {
    if let Err(error) = outcome {
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
}
