//! Reading and verifying a log as a stream, in memory that does not grow with it.

use std::fmt;
use std::path::Path;

use calybris_proof::chain::{ChainHash, WalAnchor};
use serde::de::DeserializeOwned;

use crate::chain::hash_of;
use crate::entry::WalEntry;
use crate::error::WalError;
use crate::line;
use crate::options::WalOptions;
use crate::payload::decode;
use crate::scan::{Progress, Visitor};
use crate::segments::Segments;
use crate::visit::{each_line, visit_entries};
use crate::walk::{Walk, Walked};

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
    let options = WalOptions::new();
    let segments = Segments::find_unverified(path, &options)?;
    each_line(&segments, &*options.storage, false, &mut |raw, place| {
        let line = line::parse(raw.bytes)?;
        let entry = WalEntry {
            sequence: line.sequence,
            previous_hash: hash_of(line.previous_hash, "a previous_hash")?,
            entry_hash: hash_of(line.entry_hash, "an entry_hash")?,
            data: decode(line.data)?,
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
    collect(path, &WalOptions::new())
}

/// As [`read_verified_wal`], for a keyed log.
///
/// # Errors
/// As [`read_verified_wal`]; [`WalError::Key`] for a key of fewer than 32 bytes.
pub fn read_verified_wal_keyed<T: DeserializeOwned>(
    path: &Path,
    key: &[u8],
) -> Result<Vec<WalEntry<T>>, WalError> {
    collect(path, &WalOptions::new().key(key))
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
    visit_entries(path, &WalOptions::new(), visit)
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
    visit_entries(path, &WalOptions::new().key(key), visit)
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
    verify_wal_with(path, &WalOptions::new(), None).map(VerifiedWal::head)
}

/// As [`verify_wal`], for a keyed log.
///
/// # Errors
/// As [`verify_wal`]; [`WalError::Key`] for a key of fewer than 32 bytes.
pub fn verify_wal_keyed(path: &Path, key: &[u8]) -> Result<(u64, ChainHash), WalError> {
    verify_wal_with(path, &WalOptions::new().key(key), None).map(VerifiedWal::head)
}

/// As [`verify_wal`], and the log must contain the trusted head. It may have grown since.
///
/// # Errors
/// As [`verify_wal`]; [`WalError::BelowAnchor`] when a suffix was cut off, [`EntryFault::Anchor`](crate::EntryFault::Anchor) when
/// the log is another one, [`WalError::AnchorKey`] when the anchor is of a keyed log.
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
    verify_wal_with(path, &WalOptions::new().anchor(*anchor), None).map(VerifiedWal::head)
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
    let options = WalOptions::new().key(key).anchor(*anchor);
    verify_wal_with(path, &options, None).map(VerifiedWal::head)
}

/// Verifies a log as `options` say, telling how far it has come: with the key, against the anchor, from the
/// storage and after the head that they name.
///
/// # Errors
/// As [`verify_wal_keyed_against_anchor`]; [`WalError::AnchorRetired`] when the anchor is of an entry that is
/// no longer there, [`WalError::Retired`] when a segment is retired meanwhile.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("log");
/// use calybris_wal::{WalOptions, WalWriter, verify_wal_with};
///
/// let options = WalOptions::new().segment_bytes(1_000);
/// let log = WalWriter::<String>::open_with(&path, &options)?;
/// for number in 0..10 {
///     log.append(format!("{number:500}"))?;
/// }
/// let mut seen = 0;
/// let verified = verify_wal_with(&path, &options, Some(&mut |progress| seen = progress.bytes))?;
/// assert_eq!((verified.sequence, verified.segments), (10, 10));
/// assert_eq!((verified.last_hash, verified.bytes), (log.last_hash(), seen));
///
/// std::fs::remove_file(path.join("00000000000000000004.log")).unwrap();
/// let error = verify_wal_with(&path, &options, None).unwrap_err();
/// assert_eq!(error.sequence(), Some(4));
/// # Ok::<(), calybris_wal::WalError>(())
/// ```
pub fn verify_wal_with(
    path: &Path,
    options: &WalOptions,
    progress: Option<&mut dyn FnMut(Progress)>,
) -> Result<VerifiedWal, WalError> {
    scan(path, options, None, progress)
}

/// What a log was verified to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct VerifiedWal {
    /// The last sequence before its first entry: 0, unless entries were retired or the log is one segment.
    pub after: u64,
    /// The hash that its first entry continues.
    pub after_hash: ChainHash,
    /// The last sequence, that of `after` when there is no entry.
    pub sequence: u64,
    /// The hash of the last entry.
    pub last_hash: ChainHash,
    /// Files.
    pub segments: u64,
    /// Bytes in them.
    pub bytes: u64,
}

impl VerifiedWal {
    /// The last sequence and hash.
    #[must_use]
    pub fn head(self) -> (u64, ChainHash) {
        (self.sequence, self.last_hash)
    }
}

impl fmt::Display for VerifiedWal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, after_hash, sequence, last_hash, segments, bytes } = self;
        let entries = sequence - after;
        write!(
            f,
            "entries {entries}, bytes {bytes}, files {segments}, head {sequence} {last_hash}"
        )?;
        if *after > 0 {
            write!(f, "; continues head {after} {after_hash}, entries up to which are not there")?;
        }
        Ok(())
    }
}

/// Verifies a log in parallel, giving every entry to a visitor.
pub(crate) fn scan<'v>(
    path: &Path,
    options: &WalOptions,
    visitor: Option<&Visitor<'v>>,
    progress: Option<&mut dyn FnMut(Progress)>,
) -> Result<VerifiedWal, WalError> {
    let key = options.chain_key(path)?;
    let segments = Segments::find(path, options, key.as_ref())?.with_archive(options)?;
    let anchors = segments.anchors(options)?;
    let (storage, key) = (&*options.storage, key.as_ref());
    let walk = Walk { segments: &segments, storage, active: None, key, anchors: &anchors, visitor };
    let Walked { scanned, bytes_before, .. } = walk.run(progress)?;
    if let Some((place, fault)) = scanned.broken {
        return Err(WalError::Entry { place: *place, fault });
    }
    let (start, head) = (segments.start, scanned.head);
    segments.check_end(head, &anchors)?;
    Ok(VerifiedWal {
        after: start.sequence,
        after_hash: start.hash,
        sequence: head.sequence,
        last_hash: head.hash,
        segments: segments.sealed.len() as u64 + 1,
        bytes: bytes_before + scanned.end,
    })
}

fn collect<T: DeserializeOwned>(
    path: &Path,
    options: &WalOptions,
) -> Result<Vec<WalEntry<T>>, WalError> {
    let mut entries = Vec::new();
    visit_entries(path, options, |entry| entries.push(entry))?;
    Ok(entries)
}
