//! Retiring the first segments of a directory: verified, archived where asked for, recorded, removed.

use std::io;
use std::path::{Path, PathBuf};

use calybris_proof::chain::{ChainHash, ChainKey};

use crate::chain::Head;
use crate::error::{EntryFault, WalError};
use crate::group::GroupCommit;
use crate::observe;
use crate::options::WalOptions;
use crate::primitive::{Mutex, lock};
use crate::retired;
use crate::segments::Segments;
use crate::storage::Storage;
use crate::walk::{Walk, Walked};
use crate::writer::WalWriter;

/// Segments that were retired, or would be: those with the entries `after` + 1 to `sequence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Retirement {
    /// The last sequence that was retired before.
    pub after: u64,
    /// The last sequence of these.
    pub sequence: u64,
    /// The hash of that entry, which the rest of the log continues.
    pub last_hash: ChainHash,
    /// How many segments.
    pub segments: u64,
    /// Bytes in them.
    pub bytes: u64,
}

impl<T> WalWriter<T> {
    /// What [`WalWriter::retire_before`] would retire; nothing is touched. None when there is nothing.
    ///
    /// # Errors
    /// [`WalError::Entry`] when a segment does not verify; [`WalError::Io`].
    pub fn retirable_before(&self, sequence: u64) -> Result<Option<Retirement>, WalError> {
        self.retention.plan(sequence, &self.group)
    }

    /// Retires the first segments of a directory: those all of whose entries come before `sequence` and that
    /// another segment follows. They are verified, archived if the options say so, and removed once it is
    /// recorded durably which head the rest continues. None when there is nothing to retire.
    ///
    /// # Errors
    /// [`WalError::Entry`] when a segment does not verify: then nothing is retired. [`WalError::Io`]: then
    /// nothing is, or it is and what could not be removed is removed by the next retirement or opening. The
    /// writer goes on either way. [`WalError::Poisoned`], [`WalError::Displaced`] as for an append.
    ///
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("log");
    /// use calybris_wal::{WalError, WalOptions, WalWriter, verify_wal_against_anchor, verify_wal_with};
    ///
    /// let options = WalOptions::new().segment_bytes(1_000);
    /// let log = WalWriter::<String>::open_with(&path, &options)?;
    /// log.append(format!("{:500}", 1))?;
    /// let early = log.anchor();
    /// for number in 2..=5 {
    ///     log.append(format!("{number:500}"))?;
    /// }
    /// // The decision to retire can be an entry of the log like any other.
    /// if let Some(plan) = log.retirable_before(4)? {
    ///     log.append_durable(format!("retiring up to {} {}", plan.sequence, plan.last_hash))?;
    ///     log.retire_before(plan.sequence + 1)?;
    /// }
    /// let rest = verify_wal_with(&path, &options, None)?;
    /// assert_eq!((rest.after, rest.sequence), (3, 6));
    ///
    /// // What is gone can no longer be checked, and nobody pretends that it was.
    /// let refused = verify_wal_against_anchor(&path, &early);
    /// assert!(matches!(refused, Err(WalError::AnchorRetired { retired: 3, expected: 1, .. })));
    /// # Ok::<(), WalError>(())
    /// ```
    pub fn retire_before(&self, sequence: u64) -> Result<Option<Retirement>, WalError> {
        self.retention.retire(sequence, &self.group)
    }
}

/// What an open log needs to retire segments.
#[derive(Debug)]
pub(crate) struct Retention {
    log: PathBuf,
    options: WalOptions,
    /// One retirement at a time.
    turn: Mutex<()>,
}

impl Retention {
    pub(crate) fn new(log: &Path, options: &WalOptions) -> Self {
        // The key is where it is used, and a log that was opened contains its anchor.
        let options = WalOptions { key: None, anchor: None, after: None, ..options.clone() };
        Self { log: log.to_owned(), options, turn: Mutex::new(()) }
    }

    /// What [`Retention::retire`] would retire, verified.
    pub(crate) fn plan(
        &self,
        before: u64,
        group: &GroupCommit,
    ) -> Result<Option<Retirement>, WalError> {
        let _turn = lock(&self.turn);
        Ok(self.due(before, group.key())?.map(|(_, retirement)| retirement))
    }

    /// Retires whole segments with entries before a sequence. What counts is the record: it is made durable
    /// once the segments were verified and archived, and before any of them is removed.
    pub(crate) fn retire(
        &self,
        before: u64,
        group: &GroupCommit,
    ) -> Result<Option<Retirement>, WalError> {
        let _turn = lock(&self.turn);
        group.check()?;
        let key = group.key();
        let Some((due, retirement)) = self.due(before, key)? else { return Ok(None) };
        let (log, storage) = (&self.log, &*self.options.storage);
        let head = Head { sequence: retirement.sequence, hash: retirement.last_hash };
        #[cfg(feature = "archive")]
        if let Some(folder) = &self.options.archive {
            let archived = crate::archive::write(&due, folder, storage)?;
            let found = verified(&archived, storage, key)?.scanned.head;
            if found != head {
                let reason = format!(
                    "it ends with entry {} {}, the segment with entry {} {}",
                    found.sequence, found.hash, head.sequence, head.hash
                );
                let place = archived.last.place(0, 0, archived.last.first);
                return Err(place.refuse(EntryFault::Archive { reason }.into()));
            }
        }
        // The segment that follows may have been created this moment: its name must not be lost where the
        // record's is kept.
        storage.sync_directory(log).map_err(WalError::io("sync", log))?;
        retired::write(log, storage, head, key)?;
        for path in due.leftovers.iter().chain(due.all().map(|segment| &segment.path)) {
            match storage.remove(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(WalError::io("remove", path)(error));
                }
                _ => {}
            }
        }
        storage.sync_directory(log).map_err(WalError::io("sync", log))?;
        observe::retired(log, &retirement);
        Ok(Some(retirement))
    }

    /// The first segments, as far as all their entries come before a sequence and another segment follows.
    fn due(
        &self,
        before: u64,
        key: Option<&ChainKey>,
    ) -> Result<Option<(Segments, Retirement)>, WalError> {
        let all = Segments::find(&self.log, &self.options, key)?;
        let Some((due, next)) = all.split_before(before) else { return Ok(None) };
        let Walked { scanned, bytes_before, .. } = verified(&due, &*self.options.storage, key)?;
        let head = scanned.head;
        next.begins_with(head.next())
            .map_err(|fault| next.place(0, 0, head.next()).refuse(fault))?;
        let retirement = Retirement {
            after: due.start.sequence,
            sequence: head.sequence,
            last_hash: head.hash,
            segments: due.all().count() as u64,
            bytes: bytes_before + scanned.bytes,
        };
        Ok(Some((due, retirement)))
    }
}

/// Verifies segments all of which are sealed.
fn verified(
    segments: &Segments,
    storage: &dyn Storage,
    key: Option<&ChainKey>,
) -> Result<Walked, WalError> {
    let walk = Walk { segments, storage, active: None, key, anchors: &[], visitor: None };
    let mut walked = walk.run(None)?;
    let scanned = &mut walked.scanned;
    if scanned.broken.is_none() && !scanned.terminated {
        let place = walked.segment.place(scanned.lines, scanned.end, scanned.head.next());
        return Err(place.refuse(EntryFault::Unsealed.into()));
    }
    match scanned.broken.take() {
        Some((place, fault)) => Err(WalError::Entry { place: *place, fault }),
        None => Ok(walked),
    }
}
