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
