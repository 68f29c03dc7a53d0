//! Reading and verifying a log as a stream, in memory that does not grow with it.

use std::path::Path;

use calybris_proof::chain::{ChainHash, ChainKey, WalAnchor};
use serde::de::DeserializeOwned;

use crate::chain::{Head, hash_of};
use crate::entry::WalEntry;
use crate::error::{EntryFault, Fault, Place, WalError};
use crate::line::{self, Line, MAX_ENTRY_BYTES};
use crate::lines::{LineError, Lines, RawLine};
use crate::payload::decode;
use crate::scan::{Scan, Visit};
use crate::storage::{Files, Storage as _, StorageFile};

/// Reads the entries without checking the chain between them. For logs that are not trusted, use
/// [`read_verified_wal`].
///
/// # Errors
/// [`WalError::Io`]; [`WalError::Entry`] for a line that is not an entry or does not decode as `T`.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("log");
/// use calybris_wal::{WalWriter, read_wal};
///
/// WalWriter::<String>::open(&path)?.append("one".into())?;
/// assert_eq!(read_wal::<String>(&path)?[0].data, "one");
/// assert!(read_wal::<u32>(&path).is_err());
/// # Ok::<(), calybris_wal::WalError>(())
/// ```
pub fn read_wal<T: DeserializeOwned>(path: &Path) -> Result<Vec<WalEntry<T>>, WalError> {
    let mut entries = Vec::new();
    each_line(path, &*open(path)?, &mut |raw, place| {
        let line = line::parse(raw.bytes)?;
        let entry = WalEntry {
            sequence: line.sequence,
            previous_hash: hash_of(line.previous_hash, "a previous_hash")?,
            entry_hash: hash_of(line.entry_hash, "an entry_hash")?,
            data: decode(&line)?,
        };
        place.sequence = line.sequence.saturating_add(1);
        entries.push(entry);
        Ok(())
    })?;
    Ok(entries)
}

/// Reads the entries of an unkeyed log whose chain holds from the first to the last.
///
/// # Errors
/// [`WalError::Io`]; [`WalError::Entry`] at the first line that breaks the chain or does not decode.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("log");
/// use calybris_wal::{WalWriter, read_verified_wal};
///
/// WalWriter::<u32>::open(&path)?.append(7)?;
/// assert_eq!(read_verified_wal::<u32>(&path)?[0].data, 7);
///
/// let tampered = std::fs::read_to_string(&path).unwrap().replace("\"data\":7", "\"data\":8");
/// std::fs::write(&path, tampered).unwrap();
/// let error = read_verified_wal::<u32>(&path).unwrap_err();
/// assert_eq!(error.sequence(), Some(1));
/// # Ok::<(), calybris_wal::WalError>(())
/// ```
pub fn read_verified_wal<T: DeserializeOwned>(path: &Path) -> Result<Vec<WalEntry<T>>, WalError> {
    collect(path, None)
}

/// As [`read_verified_wal`], for a keyed log.
///
/// # Errors
/// As [`read_verified_wal`]; [`WalError::Key`] for a key of fewer than 32 bytes.
pub fn read_verified_wal_keyed<T: DeserializeOwned>(
    path: &Path,
    key: &[u8],
) -> Result<Vec<WalEntry<T>>, WalError> {
    collect(path, Some(&ChainKey::new(key)?))
}

/// Gives the verified entries of an unkeyed log to `visit`, one by one, and returns the head.
///
/// An entry is given out once its own link holds; what follows it is checked only afterwards.
///
/// # Errors
/// As [`read_verified_wal`].
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("log");
/// use calybris_wal::{WalWriter, visit_verified_wal};
///
/// let log = WalWriter::<u32>::open(&path)?;
/// for number in 1..=3 {
///     log.append(number)?;
/// }
/// let mut sum = 0;
/// let (sequence, hash) = visit_verified_wal::<u32, _>(&path, |entry| sum += entry.data)?;
/// assert_eq!((sum, sequence), (6, 3));
/// assert_eq!(hash, log.last_hash());
/// assert!(visit_verified_wal::<u32, _>("missing".as_ref(), drop).is_err());
/// # Ok::<(), calybris_wal::WalError>(())
/// ```
pub fn visit_verified_wal<T: DeserializeOwned, F: FnMut(WalEntry<T>)>(
    path: &Path,
    visit: F,
) -> Result<(u64, ChainHash), WalError> {
    visit_entries(path, None, visit)
}

/// As [`visit_verified_wal`], for a keyed log.
///
/// # Errors
/// As [`read_verified_wal_keyed`].
pub fn visit_verified_wal_keyed<T: DeserializeOwned, F: FnMut(WalEntry<T>)>(
    path: &Path,
    key: &[u8],
    visit: F,
) -> Result<(u64, ChainHash), WalError> {
    visit_entries(path, Some(&ChainKey::new(key)?), visit)
}

/// Verifies an unkeyed log and returns its last sequence and hash: 0 and `genesis` when it is empty.
///
/// # Errors
/// [`WalError::Io`]; [`WalError::Entry`] at the first line that breaks the chain.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("log");
/// use calybris_wal::{WalError, WalWriter, verify_wal, verify_wal_keyed};
///
/// WalWriter::<u32>::open(&path)?.append(7)?;
/// let (sequence, hash) = verify_wal(&path)?;
/// assert_eq!((sequence, hash.len()), (1, 64));
/// assert!(matches!(verify_wal_keyed(&path, &[7; 32]), Err(WalError::Entry { .. })));
/// assert!(matches!(verify_wal_keyed(&path, b"short"), Err(WalError::Key(_))));
/// # Ok::<(), calybris_wal::WalError>(())
/// ```
pub fn verify_wal(path: &Path) -> Result<(u64, ChainHash), WalError> {
    verify(path, None)
}

/// As [`verify_wal`], for a keyed log.
///
/// # Errors
/// As [`verify_wal`]; [`WalError::Key`] for a key of fewer than 32 bytes.
pub fn verify_wal_keyed(path: &Path, key: &[u8]) -> Result<(u64, ChainHash), WalError> {
    verify(path, Some(&ChainKey::new(key)?))
}

/// As [`verify_wal`], and the log must contain the trusted head. It may have grown since.
///
/// # Errors
/// As [`verify_wal`]; [`WalError::BelowAnchor`] when a suffix was cut off, [`EntryFault::Anchor`] when the
/// log is another one, [`WalError::AnchorKey`] when the anchor is of a keyed log.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("log");
/// use calybris_wal::{WalError, WalWriter, verify_wal_against_anchor};
///
/// let log = WalWriter::<u32>::open(&path)?;
/// log.append(7)?;
/// let anchor = log.anchor();
/// assert_eq!(verify_wal_against_anchor(&path, &anchor)?.0, 1);
///
/// std::fs::write(&path, "").unwrap();
/// let error = verify_wal_against_anchor(&path, &anchor).unwrap_err();
/// assert!(matches!(error, WalError::BelowAnchor { found: 0, expected: 1, .. }));
/// # Ok::<(), WalError>(())
/// ```
pub fn verify_wal_against_anchor(
    path: &Path,
    anchor: &WalAnchor,
) -> Result<(u64, ChainHash), WalError> {
    verify_anchored(path, None, anchor)
}

/// As [`verify_wal_against_anchor`], for a keyed log.
///
/// # Errors
/// As [`verify_wal_against_anchor`]; [`WalError::Key`] for a key of fewer than 32 bytes.
pub fn verify_wal_keyed_against_anchor(
    path: &Path,
    key: &[u8],
    anchor: &WalAnchor,
) -> Result<(u64, ChainHash), WalError> {
    verify_anchored(path, Some(&ChainKey::new(key)?), anchor)
}

fn verify(path: &Path, key: Option<&ChainKey>) -> Result<(u64, ChainHash), WalError> {
    let head = scan(path, key, &[], None)?;
    Ok((head.sequence, head.hash))
}

fn verify_anchored(
    path: &Path,
    key: Option<&ChainKey>,
    anchor: &WalAnchor,
) -> Result<(u64, ChainHash), WalError> {
    if anchor.keyed != key.is_some() {
        return Err(WalError::AnchorKey { path: path.to_owned(), keyed: key.is_some() });
    }
    let trusted = Head { sequence: anchor.sequence, hash: anchor.last_hash };
    let Head { sequence: found, hash } = scan(path, key, &[trusted], None)?;
    if found < anchor.sequence {
        let expected = anchor.sequence;
        return Err(WalError::BelowAnchor { path: path.to_owned(), found, expected });
    }
    Ok((found, hash))
}

/// Verifies a file in parallel, giving every line to a visitor.
pub(crate) fn scan<'v>(
    path: &Path,
    key: Option<&ChainKey>,
    anchors: &[Head],
    visitor: Option<&(dyn Fn() -> Visit<'v> + Sync)>,
) -> Result<Head, WalError> {
    let file = open(path)?;
    let start = Head::EMPTY;
    let scanned = Scan { path, file: &*file, key, start, anchors, visitor }.run(None)?;
    match scanned.broken {
        None => Ok(scanned.head),
        Some((place, fault)) => Err(WalError::Entry { place: *place, fault }),
    }
}

fn collect<T: DeserializeOwned>(
    path: &Path,
    key: Option<&ChainKey>,
) -> Result<Vec<WalEntry<T>>, WalError> {
    let mut entries = Vec::new();
    visit_entries(path, key, |entry| entries.push(entry))?;
    Ok(entries)
}

fn visit_entries<T: DeserializeOwned>(
    path: &Path,
    key: Option<&ChainKey>,
    visit: impl FnMut(WalEntry<T>),
) -> Result<(u64, ChainHash), WalError> {
    let head = visit_file(path, &*open(path)?, key, visit)?;
    Ok((head.sequence, head.hash))
}

/// Gives the verified and decoded entries of a file to `visit`.
pub(crate) fn visit_file<T: DeserializeOwned>(
    path: &Path,
    file: &dyn StorageFile,
    key: Option<&ChainKey>,
    mut visit: impl FnMut(WalEntry<T>),
) -> Result<Head, WalError> {
    let mut previous_hash = ChainHash::GENESIS;
    visit_lines(path, file, key, &mut |line, head| {
        visit(WalEntry {
            sequence: line.sequence,
            previous_hash: std::mem::replace(&mut previous_hash, head.hash),
            entry_hash: head.hash,
            data: decode(line)?,
        });
        Ok(())
    })
}

pub(crate) fn open(path: &Path) -> Result<Box<dyn StorageFile>, WalError> {
    Files.open_read(path).map_err(WalError::io("open", path))
}

/// Verifies a file line by line, giving each line and the head it makes to `visit`; returns the last head.
pub(crate) fn visit_lines(
    path: &Path,
    file: &dyn StorageFile,
    key: Option<&ChainKey>,
    visit: &mut dyn FnMut(&Line<'_>, Head) -> Result<(), Fault>,
) -> Result<Head, WalError> {
    let mut head = Head::EMPTY;
    each_line(path, file, &mut |raw, place| {
        let line = line::parse(raw.bytes)?;
        head = head.follow(&line, key)?;
        visit(&line, head)?;
        place.sequence = head.next();
        Ok(())
    })?;
    Ok(head)
}

/// Gives the lines that are not blank to `visit`, with their place, whose sequence it moves on.
fn each_line(
    path: &Path,
    file: &dyn StorageFile,
    visit: &mut dyn FnMut(&RawLine<'_>, &mut Place) -> Result<(), Fault>,
) -> Result<(), WalError> {
    let bytes = file.len().map_err(WalError::io("measure", path))?;
    let mut lines = Lines::new(file, 0, bytes);
    let mut place = Place { path: path.to_owned(), line: 0, offset: 0, sequence: 1 };
    loop {
        let raw = match lines.next_line() {
            Ok(None) => return Ok(()),
            Ok(Some(raw)) => raw,
            Err(LineError::Io(source)) => return Err(WalError::io("read", path)(source)),
            Err(LineError::TooLong { offset, found }) => {
                (place.line, place.offset) = (place.line + 1, offset);
                let fault = EntryFault::TooLong { found, limit: MAX_ENTRY_BYTES }.into();
                return Err(WalError::Entry { place, fault });
            }
        };
        (place.line, place.offset) = (place.line + 1, raw.offset);
        if !line::is_blank(raw.bytes) {
            visit(&raw, &mut place)
                .map_err(|fault| WalError::Entry { place: place.clone(), fault })?;
        }
    }
}
