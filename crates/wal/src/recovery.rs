//! What opening a log does with what it finds: a table, one row per combination.
//!
//! `docs/format/log-recovery.md` has the same table in words.

use std::fmt;
use std::path::{Path, PathBuf};

use calybris_proof::chain::{ChainHash, ChainKey, WalAnchor};

use crate::chain::Head;
use crate::error::{EntryFault, WalError};
use crate::head_file::Found;
use crate::options::WalOptions;
use crate::scan::{Progress, Scanned, Visitor};
use crate::segments::Segments;
use crate::storage::StorageFile;
use crate::walk::{Walk, Walked};
use crate::{head_file, tail};

/// How a log ends after its longest prefix whose chain holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[non_exhaustive]
pub enum Tail {
    /// The file ends with that prefix.
    Clean,
    /// So it does, but the last line lacks its newline.
    Unterminated,
    /// The beginning of the entry that is due, and then the end of the file.
    Torn,
    /// Nothing, or the beginning of the entry that is due, and then NULs to the end of the file.
    Nul,
    /// Nothing, or the beginning of the entry that is due, and then NULs or room (newlines) up to a sector's end: sectors
    /// that were never written. Or room up to the end of the file.
    Hole,
    /// Anything else.
    Damaged,
}

/// How the prefix stands to the heads that are trusted: the head file's and the caller's anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[non_exhaustive]
pub enum Trust {
    /// No head is known.
    Unknown,
    /// The prefix contains every trusted head.
    Covered,
    /// A trusted head comes after the prefix.
    Missing,
    /// The log has another entry where a trusted head is.
    Forked,
}

/// What opening does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[non_exhaustive]
pub enum Verdict {
    /// Appends after the prefix.
    Open,
    /// Writes the newline first.
    EndLine,
    /// Moves the tail, which was never acknowledged, to a file of its own.
    CutTail,
    /// Returns an error and touches nothing.
    Refuse,
}

/// The table.
pub(crate) const fn verdict(tail: Tail, trust: Trust) -> Verdict {
    match (tail, trust) {
        // What was acknowledged is not there: nothing may be repaired, or the loss would be forgotten.
        (_, Trust::Missing | Trust::Forked) => Verdict::Refuse,
        (Tail::Clean, Trust::Unknown | Trust::Covered) => Verdict::Open,
        (Tail::Unterminated, Trust::Unknown | Trust::Covered) => Verdict::EndLine,
        // An entry is acknowledged only after its newline was synced.
        (Tail::Torn | Tail::Nul, Trust::Unknown | Trust::Covered) => Verdict::CutTail,
        // Sectors are lost in any order, but only unsynced ones.
        (Tail::Hole, Trust::Covered) => Verdict::CutTail,
        // Without a trusted head, what follows the hole may have been acknowledged.
        (Tail::Hole, Trust::Unknown) => Verdict::Refuse,
        // No crash of a writer or of its machine looks like this.
        (Tail::Damaged, Trust::Unknown | Trust::Covered) => Verdict::Refuse,
    }
}

/// What was found in a log, and what opening it did or would do.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("log");
/// use calybris_wal::{Tail, Verdict, WalOptions, WalWriter, inspect};
///
/// WalWriter::<u32>::open(&path)?.append(7)?;
/// let mut text = std::fs::read_to_string(&path).unwrap();
/// text.push_str("{\"sequence\":2,\"prev");
/// std::fs::write(&path, text).unwrap();
///
/// let report = inspect(&path, &WalOptions::new())?;
/// assert_eq!((report.tail, report.verdict), (Tail::Torn, Verdict::CutTail));
/// println!("{report}");
///
/// let log = WalWriter::<u32>::open(&path)?;
/// assert_eq!(log.report().cut_bytes, 19);
/// assert!(log.report().kept_tail.as_ref().unwrap().exists());
/// # Ok::<(), calybris_wal::WalError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct WalReport {
    /// The log.
    pub path: PathBuf,
    /// The file in which the prefix whose chain holds ends: the log, or a segment of it.
    pub segment: PathBuf,
    /// Files of the log.
    pub segments: u64,
    /// The last sequence that was retired: the prefix begins after it.
    pub after: u64,
    /// The last sequence of the prefix.
    pub sequence: u64,
    /// The hash of the last of them.
    pub last_hash: ChainHash,
    /// Bytes of the prefix, without blank lines after its last entry.
    pub bytes: u64,
    /// The last sequence the head file says was acknowledged as durable; none without a head file.
    pub durable_sequence: Option<u64>,
    /// How the file ends.
    pub tail: Tail,
    /// How it stands to the trusted heads.
    pub trust: Trust,
    /// What opening does.
    pub verdict: Verdict,
    /// Bytes after the prefix that are, or would be, moved away.
    pub cut_bytes: u64,
    /// Where they are kept, once they are.
    pub kept_tail: Option<PathBuf>,
    /// Where the prefix ends and what is wrong there, as an error would say it.
    pub damage: Option<String>,
}

impl fmt::Display for WalReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, sequence, bytes, last_hash, .. } = self;
        writeln!(f, "log      {}", self.path.display())?;
        if self.segment != self.path {
            writeln!(f, "segments {}, up to {}", self.segments, self.segment.display())?;
        }
        if *after > 0 {
            writeln!(f, "retired  up to entry {after}")?;
        }
        let entries = sequence - after;
        writeln!(f, "prefix   entries {entries}, bytes {bytes}, head {last_hash}")?;
        match self.durable_sequence {
            Some(durable) => writeln!(f, "durable  up to {durable}, says the head file")?,
            None => writeln!(f, "durable  unknown, there is no head file")?,
        }
        let tail = match self.tail {
            Tail::Clean => "none",
            Tail::Unterminated => "the last line lacks its newline",
            Tail::Torn => "a line that was not written to its end",
            Tail::Nul => "zeros where a line was to be written",
            Tail::Hole => "sectors that were not written",
            Tail::Damaged => "damage that no crash explains",
        };
        writeln!(f, "tail     {tail}")?;
        if let Some(damage) = &self.damage {
            writeln!(f, "place    {damage}")?;
        }
        match (self.verdict, &self.kept_tail, self.trust) {
            (Verdict::Open, ..) => write!(f, "verdict  open, nothing to do"),
            (Verdict::EndLine, ..) => write!(f, "verdict  open, after ending the last line"),
            (Verdict::CutTail, Some(kept), _) => {
                write!(f, "verdict  open, {} bytes moved to {}", self.cut_bytes, kept.display())
            }
            (Verdict::CutTail, None, _) => {
                write!(f, "verdict  open, after moving {} bytes to a file beside", self.cut_bytes)
            }
            (Verdict::Refuse, _, Trust::Missing) => {
                write!(f, "verdict  refuse: entries that were acknowledged are missing")
            }
            (Verdict::Refuse, _, Trust::Forked) => {
                write!(f, "verdict  refuse: the log is not the one that was acknowledged")
            }
            (Verdict::Refuse, ..) => write!(f, "verdict  refuse, the log is left as it is"),
        }
    }
}

/// Says what opening a log would do, without locking or touching anything.
///
/// # Errors
/// [`WalError::Io`], [`WalError::Key`]; damage is not an error here.
pub fn inspect(path: &Path, options: &WalOptions) -> Result<WalReport, WalError> {
    inspect_with_progress(path, options, None)
}

/// As [`inspect`], telling how far it has come.
///
/// # Errors
/// As [`inspect`].
pub fn inspect_with_progress(
    path: &Path,
    options: &WalOptions,
    progress: Option<&mut dyn FnMut(Progress)>,
) -> Result<WalReport, WalError> {
    let key = options.chain_key(path)?;
    let segments = Segments::find(path, options, key.as_ref())?;
    let (storage, last) = (&*options.storage, &segments.last);
    let file =
        storage.open_read(&last.path).map_err(|error| segments.explained(last, storage, error))?;
    Ok(Finding::make(&segments, &*file, options, key.as_ref(), None, progress)?.report(&segments))
}

/// The last head that was acknowledged as durable, as the head file of the log remembers it; none without a
/// readable one. The file lies with the log and so proves nothing about it, but it can accuse.
///
/// # Errors
/// [`WalError::Io`], [`WalError::Key`].
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("log");
/// use calybris_wal::{WalOptions, WalWriter, durable_head};
///
/// assert_eq!(durable_head(&path, &WalOptions::new())?, None);
/// let log = WalWriter::<u32>::open(&path)?;
/// log.append_durable(7)?;
/// assert_eq!(durable_head(&path, &WalOptions::new())?, Some(log.anchor()));
/// # Ok::<(), calybris_wal::WalError>(())
/// ```
pub fn durable_head(path: &Path, options: &WalOptions) -> Result<Option<WalAnchor>, WalError> {
    let key = options.chain_key(path)?;
    let segments = Segments::find(path, options, key.as_ref())?;
    let found = head_file::read(&segments.head_file, options, key.as_ref())?;
    let anchor = |found: Found| {
        let Head { sequence, hash } = found.durable.head;
        WalAnchor::new(sequence, hash, key.is_some()).ok()
    };
    Ok(found.and_then(anchor))
}

/// What a scan, the head file and the anchor come to.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) walked: Walked,
    pub(crate) durable: Option<Found>,
    /// The trusted head that is not in the prefix.
    missing: Option<Head>,
    pub(crate) tail: Tail,
    trust: Trust,
}

impl Finding {
    /// `active` is the last segment, open.
    pub(crate) fn make(
        segments: &Segments,
        active: &dyn StorageFile,
        options: &WalOptions,
        key: Option<&ChainKey>,
        visitor: Option<&Visitor<'_>>,
        progress: Option<&mut dyn FnMut(Progress)>,
    ) -> Result<Self, WalError> {
        if let Some(archived) = segments.all().find(|segment| segment.packed) {
            return Err(WalError::Archived { path: archived.path.clone() });
        }
        let durable = head_file::read(&segments.head_file, options, key)?;
        let anchor = segments.trusted_anchor(options)?;
        let known: Vec<Head> =
            durable.map(|found| found.durable.head).into_iter().chain(anchor).collect();
        let anchors: Vec<Head> = known.iter().copied().chain(segments.retirement()).collect();
        let (storage, active) = (&*options.storage, Some(active));
        let walk = Walk { segments, storage, active, key, anchors: &anchors, visitor };
        let walked = walk.run(progress)?;
        let (path, scanned) = (&walked.segment.path, &walked.scanned);
        let tail = match active.filter(|_| walked.is_last) {
            Some(active) => tail::classify(path, active, scanned)?,
            // What another segment follows was synced and whole before that one was begun.
            None => Tail::Damaged,
        };
        let missing = known
            .iter()
            .filter(|anchor| anchor.sequence > scanned.head.sequence)
            .max_by_key(|a| a.sequence);
        let forked = matches!(&scanned.broken, Some((_, fault)) if matches!(**fault, EntryFault::Anchor { .. }));
        let trust = match (forked, missing, known.as_slice()) {
            (true, ..) => Trust::Forked,
            (_, Some(_), _) => Trust::Missing,
            (_, None, []) => Trust::Unknown,
            (_, None, _) => Trust::Covered,
        };
        Ok(Self { missing: missing.copied(), walked, durable, tail, trust })
    }

    pub(crate) fn verdict(&self) -> Verdict {
        verdict(self.tail, self.trust)
    }

    pub(crate) fn report(&self, segments: &Segments) -> WalReport {
        let Walked { bytes_before, ref segment, .. } = self.walked;
        let Scanned { head, end, bytes, ref broken, .. } = self.walked.scanned;
        let damage = broken.as_ref().map(|(place, fault)| format!("{place}: {fault}"));
        let verdict = self.verdict();
        WalReport {
            path: segments.log.clone(),
            segment: segment.path.clone(),
            segments: segments.all().count() as u64,
            after: segments.start.sequence,
            sequence: head.sequence,
            last_hash: head.hash,
            bytes: bytes_before + end,
            durable_sequence: self.durable.map(|found| found.durable.head.sequence),
            tail: self.tail,
            trust: self.trust,
            verdict,
            cut_bytes: if verdict == Verdict::CutTail { bytes - end } else { 0 },
            kept_tail: None,
            damage,
        }
    }

    /// The error of a refusal.
    pub(crate) fn refusal(self) -> WalError {
        let Walked { segment, scanned: Scanned { head, end, lines, broken, .. }, .. } = self.walked;
        match (broken, self.missing) {
            // What no crash leaves is said as a reader says it; so is a hole that nothing vouches for.
            (Some((place, fault)), missing) if self.tail == Tail::Damaged || missing.is_none() => {
                WalError::Entry { place: *place, fault }
            }
            (broken, missing) => WalError::AcknowledgedMissing {
                place: Box::new(segment.place(lines, end, head.next())),
                durable: missing.map_or(head.sequence, |missing| missing.sequence),
                damage: broken.map(|(_, fault)| fault),
            },
        }
    }
}

#[cfg(test)]
mod tests;
