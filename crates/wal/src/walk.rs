//! Verifying a log, segment after segment.

use calybris_proof::chain::ChainKey;

use crate::chain::Head;
use crate::error::{EntryFault, Fault, WalError};
use crate::scan::{Progress, Scan, Scanned, Visitor};
use crate::segments::{Segment, Segments};
use crate::storage::{Storage, StorageFile};

/// A log to verify.
pub(crate) struct Walk<'a, 'v> {
    pub(crate) segments: &'a Segments,
    pub(crate) storage: &'a dyn Storage,
    /// The last segment, where it is open already.
    pub(crate) active: Option<&'a dyn StorageFile>,
    pub(crate) key: Option<&'a ChainKey>,
    /// Heads the chain must pass through, if it gets that far.
    pub(crate) anchors: &'a [Head],
    pub(crate) visitor: Option<&'a Visitor<'v>>,
}

/// What verifying a log came to.
#[derive(Debug)]
pub(crate) struct Walked {
    /// The segment where the prefix ends.
    pub(crate) segment: Segment,
    /// Whether it is the last one.
    pub(crate) is_last: bool,
    /// What was found in it.
    pub(crate) scanned: Scanned,
    /// Bytes of the segments before it.
    pub(crate) bytes_before: u64,
}

impl Walk<'_, '_> {
    /// Verifies up to the first segment that does not hold.
    pub(crate) fn run(
        &self,
        mut progress: Option<&mut dyn FnMut(Progress)>,
    ) -> Result<Walked, WalError> {
        let total_bytes = if progress.is_some() { self.total_bytes()? } else { 0 };
        let (mut head, mut bytes_before) = (self.segments.start, 0);
        let mut scan = |segment: &Segment, head, bytes_before| {
            let mut report = |local: Progress| {
                if let Some(progress) = progress.as_mut() {
                    let bytes = bytes_before + local.bytes;
                    progress(Progress { bytes, total_bytes: total_bytes.max(bytes), ..local });
                }
            };
            self.scan(segment, head, &mut report)
        };
        for segment in &self.segments.sealed {
            let mut scanned = scan(segment, head, bytes_before)?;
            if scanned.broken.is_none() && !scanned.terminated {
                let place = segment.place(scanned.lines, scanned.end, scanned.head.next());
                scanned.broken = Some((place.into(), EntryFault::Unsealed.into()));
            }
            if scanned.broken.is_some() {
                let segment = segment.clone();
                return Ok(Walked { segment, is_last: false, scanned, bytes_before });
            }
            head = scanned.head;
            bytes_before += scanned.bytes;
        }
        let segment = self.segments.last.clone();
        let scanned = scan(&segment, head, bytes_before)?;
        Ok(Walked { segment, is_last: true, scanned, bytes_before })
    }

    fn scan(
        &self,
        segment: &Segment,
        start: Head,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Scanned, WalError> {
        if let Err(fault) = self.check_start(segment, start) {
            return Ok(Scanned::refused(start, segment.place(0, 0, start.next()), fault));
        }
        let path = &segment.path;
        let opened;
        let (file, bytes) = match self.active.filter(|_| *segment == self.segments.last) {
            Some(file) => (file, file.len().map_err(WalError::io("measure", path))?),
            None => {
                opened = self.segments.open(segment, self.storage)?;
                (&*opened.0, opened.1)
            }
        };
        let (key, anchors, visitor) = (self.key, self.anchors, self.visitor);
        Scan { path, file, bytes, key, start, anchors, visitor }.run(Some(progress))
    }

    /// Whether the segment is the one due, and no trusted head is of another entry there.
    fn check_start(&self, segment: &Segment, start: Head) -> Result<(), Fault> {
        segment.begins_with(start.next())?;
        start.check(self.anchors)
    }

    /// Bytes there are, for somebody who waits for them.
    fn total_bytes(&self) -> Result<u64, WalError> {
        let mut total = 0;
        for segment in self.segments.all() {
            total += self.segments.length(segment, self.storage)?;
        }
        Ok(total)
    }
}
