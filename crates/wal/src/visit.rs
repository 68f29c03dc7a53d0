//! Giving out the entries of a log one by one, in order.

use std::path::Path;

use calybris_proof::chain::ChainHash;
use serde::de::DeserializeOwned;

use crate::entry::WalEntry;
use crate::error::{EntryFault, Fault, Place, WalError};
use crate::line;
use crate::lines::{Lines, RawLine};
use crate::options::WalOptions;
use crate::payload::decode;
use crate::segments::Segments;
use crate::storage::{Storage, StorageFile};

/// Gives the verified entries of a log to `visit`, one by one: with the key, against the anchor, from the
/// storage and after the head that `options` name.
///
/// An entry is given out once its own link holds; what follows it is checked only afterwards.
///
/// # Errors
/// [`WalError::Entry`] at the first line that breaks the chain or does not decode; otherwise as
/// [`verify_wal_with`](crate::verify_wal_with).
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
/// use calybris_wal::storage::Memory;
/// use calybris_wal::{WalError, WalOptions, WalWriter, visit_wal_with};
///
/// let options = WalOptions::new().key(&[7; 32]).storage(Arc::new(Memory::default()));
/// let path = Path::new("log");
/// WalWriter::<u32>::open_with(path, &options)?.append(7)?;
/// let mut found = Vec::new();
/// visit_wal_with::<u32, _>(path, &options, |entry| found.push(entry.data))?;
/// assert_eq!(found, [7]);
///
/// let other_key = options.clone().key(&[8; 32]);
/// let refused = visit_wal_with::<u32, _>(path, &other_key, drop);
/// assert!(matches!(refused, Err(WalError::Entry { .. })));
/// # Ok::<(), WalError>(())
/// ```
pub fn visit_wal_with<T: DeserializeOwned, F: FnMut(WalEntry<T>)>(
    path: &Path,
    options: &WalOptions,
    visit: F,
) -> Result<(), WalError> {
    visit_entries(path, options, visit).map(drop)
}

/// The last entry of a log that `is_it`, none if there is no such entry: how the caller of an append that was cancelled,
/// timed out or failed finds out, by the key that its payload carries, whether it is in the log. What a writer still
/// buffers is not seen: [`WalWriter::flush`](crate::WalWriter::flush) it first.
///
/// # Errors
/// As [`visit_wal_with`].
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("log");
/// use calybris_wal::{WalEntry, WalError, WalOptions, WalWriter, find_wal_with};
///
/// let log = WalWriter::<(String, i64)>::open(&path)?;
/// let _ = log.enqueue(&("order-7".into(), -30))?; // and the caller gives up here
/// log.flush()?;
/// let find = |key: &str| {
///     let is_it = |entry: &WalEntry<(String, i64)>| entry.data.0 == key;
///     find_wal_with(&path, &WalOptions::new(), is_it)
/// };
/// assert_eq!(find("order-7")?.map(|entry| (entry.sequence, entry.data.1)), Some((1, -30)));
/// assert!(find("order-8")?.is_none());
/// # Ok::<(), WalError>(())
/// ```
pub fn find_wal_with<T: DeserializeOwned, F: FnMut(&WalEntry<T>) -> bool>(
    path: &Path,
    options: &WalOptions,
    mut is_it: F,
) -> Result<Option<WalEntry<T>>, WalError> {
    let mut found = None;
    visit_wal_with(path, options, |entry| {
        if is_it(&entry) {
            found = Some(entry);
        }
    })?;
    Ok(found)
}

/// As [`visit_wal_with`], returning the last sequence and hash.
pub(crate) fn visit_entries<T: DeserializeOwned>(
    path: &Path,
    options: &WalOptions,
    mut visit: impl FnMut(WalEntry<T>),
) -> Result<(u64, ChainHash), WalError> {
    let key = options.chain_key(path)?;
    let segments = Segments::find(path, options, key.as_ref())?.with_archive(options)?;
    let anchors = segments.anchors(options)?;
    let mut head = segments.start;
    head.check(&anchors)
        .map_err(|fault| segments.first().place(0, 0, head.next()).refuse(fault))?;
    each_line(&segments, &*options.storage, true, &mut |raw, place| {
        let line = line::parse(raw.bytes)?;
        let previous = head;
        head = previous.follow(&line, key.as_ref())?;
        head.check(&anchors)?;
        visit(WalEntry {
            sequence: head.sequence,
            previous_hash: previous.hash,
            entry_hash: head.hash,
            data: decode(line.data)?,
        });
        place.sequence = head.next();
        Ok(())
    })?;
    segments.check_end(head, &anchors)?;
    Ok((head.sequence, head.hash))
}

/// Takes a line and its place, whose sequence it moves on.
type Take<'t> = dyn FnMut(&RawLine<'_>, &mut Place) -> Result<(), Fault> + 't;

/// Gives the lines that are not blank to `take`, segment after segment; if they are to be `chained`, each
/// segment must be the one due.
pub(crate) fn each_line(
    segments: &Segments,
    storage: &dyn Storage,
    chained: bool,
    take: &mut Take<'_>,
) -> Result<(), WalError> {
    let mut due = segments.start.next();
    for segment in segments.all() {
        let mut place = segment.place(0, 0, due);
        if chained {
            segment.begins_with(due).map_err(|fault| place.refuse(fault))?;
        } else {
            place.sequence = segment.first;
        }
        let (file, bytes) = segments.open(segment, storage)?;
        let terminated = lines_of(&*file, bytes, &mut place, take)?;
        if !terminated && *segment != segments.last {
            return Err(place.refuse(EntryFault::Unsealed.into()));
        }
        due = place.sequence;
    }
    Ok(())
}

/// Gives the lines of one file to `take`; returns whether the last one has its newline.
fn lines_of(
    file: &dyn StorageFile,
    bytes: u64,
    place: &mut Place,
    take: &mut Take<'_>,
) -> Result<bool, WalError> {
    let (mut lines, mut terminated) = (Lines::new(file, 0, bytes), true);
    loop {
        let raw = match lines.next_line() {
            Ok(None) => return Ok(terminated),
            Ok(Some(raw)) => raw,
            Err(error) => {
                let (offset, fault) = error.fault().map_err(WalError::io("read", &place.path))?;
                place.offset = offset;
                return Err(place.refuse(fault));
            }
        };
        (place.offset, terminated) = (raw.offset, raw.terminated);
        if !line::is_blank(raw.bytes) {
            take(&raw, place).map_err(|fault| place.refuse(fault))?;
        }
        (place.line, place.offset) = (place.line + 1, raw.end());
    }
}
