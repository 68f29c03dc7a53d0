//! The files of a log: one, or the segments of a directory.
//!
//! Each segment continues the chain of the one before and is named after the sequence of its first entry, so
//! that the segments, put together in the order of their names, are the log as one file.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use calybris_proof::chain::ChainKey;

use crate::chain::Head;
use crate::error::{EntryFault, Fault, Place, WalError};
use crate::lines::Lines;
use crate::options::WalOptions;
use crate::storage::{Storage, StorageFile, beside};
use crate::{archive, line, retired};

/// The writer's lock on a directory.
pub(crate) const LOCK: &str = "lock";
/// The head file of a directory.
const HEAD: &str = "head";

/// One file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    /// The sequence of its first entry.
    pub(crate) first: u64,
    /// Whether it is an archived one, compressed.
    pub(crate) packed: bool,
}

/// The files of a log as they were at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Segments {
    /// The directory, or the one file.
    pub(crate) log: PathBuf,
    pub(crate) head_file: PathBuf,
    /// What the first entry follows.
    pub(crate) start: Head,
    /// The head of what was retired.
    pub(crate) retired: Head,
    /// In the order of their entries; nothing is added to them any more.
    pub(crate) sealed: Vec<Segment>,
    /// The one that grows.
    pub(crate) last: Segment,
    /// Retired and still there.
    pub(crate) leftovers: Vec<PathBuf>,
}

/// The name of the segment whose first entry has this sequence.
pub(crate) fn name(first: u64) -> String {
    format!("{first:020}.log")
}

/// What the name of an archived segment ends with.
pub(crate) const PACKED: &str = ".gz";
/// The length of what is known only once it is read.
pub(crate) const UNKNOWN: u64 = u64::MAX;

impl Segment {
    /// Whether a file is called as a segment is.
    pub(crate) fn is_name(path: &Path) -> bool {
        Self::named(path.to_owned()).is_some()
    }

    /// A segment by its name, none for another file.
    fn named(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (name, packed) = name.strip_suffix(PACKED).map_or((name, false), |name| (name, true));
        let digits = name.strip_suffix(".log")?;
        let first = digits.parse().ok().filter(|first| *first > 0)?;
        let is_name = digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
        is_name.then_some(Self { path, first, packed })
    }
}

/// The segments in a folder, in order.
fn list(folder: &Path, storage: &dyn Storage) -> Result<Vec<Segment>, WalError> {
    let paths = storage.list(folder).map_err(WalError::io("list", folder))?;
    let mut all: Vec<_> = paths.into_iter().filter_map(Segment::named).collect();
    all.sort_by_key(|segment| (segment.first, segment.packed));
    all.dedup_by_key(|segment| segment.first);
    Ok(all)
}

impl Segments {
    /// The files of `log`. Which of the forms it has is seen from the storage.
    pub(crate) fn find(
        log: &Path,
        options: &WalOptions,
        key: Option<&ChainKey>,
    ) -> Result<Self, WalError> {
        let storage = &*options.storage;
        if storage.is_directory(log) {
            return Self::in_directory(log, options, &|| retired::read(log, storage, key));
        }
        let start = options.start(Head::EMPTY);
        let packed = log.to_str().is_some_and(|name| name.ends_with(PACKED));
        Ok(Self {
            log: log.to_owned(),
            head_file: beside(log, ".head"),
            start,
            retired: Head::EMPTY,
            sealed: Vec::new(),
            last: Segment { path: log.to_owned(), first: start.next(), packed },
            leftovers: Vec::new(),
        })
    }

    /// As [`Segments::find`], believing a record of retirement without the key.
    pub(crate) fn find_unverified(log: &Path, options: &WalOptions) -> Result<Self, WalError> {
        let storage = &*options.storage;
        if storage.is_directory(log) {
            return Self::in_directory(log, options, &|| retired::read_unverified(log, storage));
        }
        Self::find(log, options, None)
    }

    fn in_directory(
        log: &Path,
        options: &WalOptions,
        record: &dyn Fn() -> Result<Head, WalError>,
    ) -> Result<Self, WalError> {
        let mut retired = record()?;
        loop {
            let (leftovers, mut sealed): (Vec<_>, Vec<_>) = list(log, &*options.storage)?
                .into_iter()
                .partition(|segment| segment.first <= retired.sequence);
            // Somebody may have retired more since the record was read.
            if sealed.first().is_none_or(|segment| segment.first != retired.next()) {
                let now = record()?;
                if now != retired {
                    retired = now;
                    continue;
                }
            }
            let last = match sealed.pop() {
                Some(last) => last,
                None => Self::first_of(log, retired)?,
            };
            let leftovers = leftovers.into_iter().filter(|segment| !segment.packed);
            return Ok(Self {
                log: log.to_owned(),
                head_file: log.join(HEAD),
                start: options.start(retired),
                retired,
                sealed,
                last,
                leftovers: leftovers.map(|segment| segment.path).collect(),
            });
        }
    }

    /// The segment to begin a directory with, in which there is none yet.
    ///
    /// A retirement is recorded once the segment after it is durable. A record that leaves none is damage or
    /// another log's, and nothing may be removed on its word.
    fn first_of(log: &Path, retired: Head) -> Result<Segment, WalError> {
        let first = retired.next();
        let begun = Segment { path: log.join(name(first)), first, packed: false };
        if retired.sequence > 0 {
            return Err(begun.place(0, 0, first).refuse(EntryFault::SegmentMissing.into()));
        }
        Ok(begun)
    }

    /// The same with the archive of what was retired, where the options name one.
    pub(crate) fn with_archive(mut self, options: &WalOptions) -> Result<Self, WalError> {
        let Some(folder) = options.archive.as_deref().filter(|_| self.retired.sequence > 0) else {
            return Ok(self);
        };
        self.start = options.start(Head::EMPTY);
        let kept = |segment: &Segment| {
            self.start.sequence < segment.first && segment.first <= self.retired.sequence
        };
        let archived = list(folder, &*options.storage)?.into_iter().filter(kept);
        self.sealed = archived.chain(self.sealed).collect();
        Ok(self)
    }

    /// The first segments, all of whose entries come before `sequence`, and the one after; none when there
    /// are none.
    pub(crate) fn split_before(mut self, sequence: u64) -> Option<(Self, Segment)> {
        let ends = self.all().skip(1).map(|next| next.first);
        let count = ends.take_while(|first| *first <= sequence).count();
        let next = self.all().nth(count)?.clone();
        self.sealed.truncate(count);
        self.last = self.sealed.pop()?;
        Some((self, next))
    }

    /// In the order of their entries.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Segment> {
        self.sealed.iter().chain([&self.last])
    }

    pub(crate) fn first(&self) -> &Segment {
        self.sealed.first().unwrap_or(&self.last)
    }

    /// The head of what was retired, where something was.
    pub(crate) fn retirement(&self) -> Option<Head> {
        Some(self.retired).filter(|head| head.sequence > 0)
    }

    /// The heads that a reader must pass through: of what was retired, and the one the options trust.
    pub(crate) fn anchors(&self, options: &WalOptions) -> Result<Vec<Head>, WalError> {
        Ok(self.retirement().into_iter().chain(self.trusted_anchor(options)?).collect())
    }

    /// Whether a reader that came to `head` passed through all of them.
    pub(crate) fn check_end(&self, head: Head, anchors: &[Head]) -> Result<(), WalError> {
        let (path, found) = (&self.log, head.sequence);
        match anchors.iter().map(|anchor| anchor.sequence).max() {
            Some(expected) if found < expected => {
                Err(WalError::BelowAnchor { path: path.clone(), found, expected })
            }
            _ => Ok(()),
        }
    }

    /// The head that the options trust, which must not have been retired.
    pub(crate) fn trusted_anchor(&self, options: &WalOptions) -> Result<Option<Head>, WalError> {
        let anchor = options.anchor.as_ref().map(Head::of);
        match anchor.filter(|head| 0 < head.sequence && head.sequence < self.start.sequence) {
            None => Ok(anchor),
            Some(Head { sequence: expected, .. }) => {
                let (path, retired) = (self.log.clone(), self.start.sequence);
                Err(WalError::AnchorRetired { path, retired, expected })
            }
        }
    }

    /// Opens a segment for reading, with its length: for the last one up to the last line that is not just
    /// being written.
    pub(crate) fn open(
        &self,
        segment: &Segment,
        storage: &dyn Storage,
    ) -> Result<(Box<dyn StorageFile>, u64), WalError> {
        let path = &segment.path;
        let file =
            storage.open_read(path).map_err(|error| self.explained(segment, storage, error))?;
        if segment.packed {
            return Ok((archive::unpacked(file, path)?, UNKNOWN));
        }
        let length = if *segment == self.last { settled_length(&*file) } else { file.len() };
        Ok((file, length.map_err(WalError::io("measure", path))?))
    }

    /// Opens the last segment for writing, making it where there is none.
    pub(crate) fn open_last(
        &self,
        storage: &dyn Storage,
    ) -> Result<Box<dyn StorageFile>, WalError> {
        let path = &self.last.path;
        storage.open_write(path).map_err(WalError::io("open", path))
    }

    /// A segment's length as far as it is known before it is read: good for telling how far a reader has come.
    pub(crate) fn length(&self, segment: &Segment, storage: &dyn Storage) -> Result<u64, WalError> {
        if !segment.packed {
            return Ok(self.open(segment, storage)?.1);
        }
        let path = &segment.path;
        let file = storage.open_read(path).map_err(WalError::io("open", path))?;
        archive::claimed_bytes(&*file).map_err(WalError::io("read", path))
    }

    /// Why a segment cannot be opened: it may have been retired since it was listed, or there may be none at all.
    pub(crate) fn explained(
        &self,
        segment: &Segment,
        storage: &dyn Storage,
        error: io::Error,
    ) -> WalError {
        if error.kind() == io::ErrorKind::NotFound && storage.is_directory(&self.log) {
            match retired::read_unverified(&self.log, storage) {
                Ok(now) if now.sequence >= segment.first => {
                    return WalError::Retired {
                        path: segment.path.clone(),
                        sequence: now.sequence,
                    };
                }
                _ => {}
            }
            if self.sealed.is_empty() {
                let due = segment.path.file_name().unwrap_or_default().to_string_lossy();
                let none = format!("no name of 20 digits and .log, such as {due}");
                let none = io::Error::new(io::ErrorKind::NotFound, none);
                return WalError::io("find a segment in", &self.log)(none);
            }
        }
        WalError::io("open", &segment.path)(error)
    }
}

impl Segment {
    /// The place after some lines, where an entry with this sequence is due.
    pub(crate) fn place(&self, lines: u64, offset: u64, sequence: u64) -> Place {
        Place { path: self.path.clone(), line: lines.saturating_add(1), offset, sequence }
    }

    /// Whether an entry with this sequence is the one its name promises.
    pub(crate) fn begins_with(&self, due: u64) -> Result<(), Fault> {
        if self.first == due {
            return Ok(());
        }
        Err(EntryFault::SegmentName { found: self.first, expected: due }.into())
    }
}

/// How long a file that ends inside a line is watched for the rest of it.
const WATCHED: (u32, Duration) = (20, Duration::from_millis(1));

/// The length of a file somebody may be writing to, without room: when what is written does not end with a whole line
/// and changes, the last line is not counted; when it does not change, nobody is writing, and the line is as it was left.
fn settled_length(file: &dyn StorageFile) -> io::Result<u64> {
    let length = file.len()?;
    let end = written_end(file, length)?;
    let whole = if end == length { ends_line(file, end)? } else { ends_entry(file, end)? };
    if whole {
        return Ok(end);
    }
    for _ in 0..WATCHED.0 {
        thread::sleep(WATCHED.1);
        let now = written_end(file, file.len()?)?;
        if now != end {
            return last_end(file, now.min(end), |byte| byte == b'\n');
        }
    }
    Ok(end)
}

/// Where the last line that is not empty ends, its newline included.
fn written_end(file: &dyn StorageFile, length: u64) -> io::Result<u64> {
    let end = last_end(file, length, |byte| byte != b'\n')?;
    Ok(if ends_line(file, end + 1)? { end + 1 } else { end })
}

/// Whether the byte before `end` is a newline.
fn ends_line(file: &dyn StorageFile, end: u64) -> io::Result<bool> {
    let mut last = [0];
    Ok(end == 0 || (file.read_at(&mut last, end - 1)? == 1 && last == *b"\n"))
}

/// Whether the line before `end` is an entry. The newline after a part of one may be room's.
fn ends_entry(file: &dyn StorageFile, end: u64) -> io::Result<bool> {
    // Read again: what stands before a byte that was seen has been written by now.
    let start = last_end(file, end.saturating_sub(1), |byte| byte == b'\n')?;
    match Lines::new(file, start, end).next_line() {
        Ok(last) => Ok(last.is_none_or(|line| line::parse(line.bytes).is_ok())),
        Err(error) => error.fault().map(|_| false),
    }
}

/// After the last byte before `length` that `is_it`.
fn last_end(file: &dyn StorageFile, length: u64, is_it: fn(u8) -> bool) -> io::Result<u64> {
    let (mut end, mut buffer) = (length, vec![0; 16 << 10]);
    while end > 0 {
        let start = end.saturating_sub(buffer.len() as u64);
        let wanted = usize::try_from(end - start).unwrap_or(buffer.len());
        let part = buffer.get_mut(..wanted).unwrap_or_default();
        let count = file.read_at(part, start)?;
        let block = buffer.get(..count).unwrap_or_default();
        if let Some(at) = block.iter().rposition(|byte| is_it(*byte)) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
