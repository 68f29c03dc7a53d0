//! Opening a log for writing: lock it, decide by the table of [`crate::recovery`], continue it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use calybris_proof::chain::{ChainHash, ChainKey, link_hash};

use crate::error::WalError;
use crate::fold::{VerifiedEntry, parts};
use crate::group::GroupCommit;
use crate::head_file::{Durable, HeadFile};
use crate::observe;
use crate::options::WalOptions;
use crate::output::{Output, Rotation};
use crate::recovery::{Finding, Verdict, WalReport};
use crate::scan::Visitor;
use crate::segments::{LOCK, Segment, Segments};
use crate::storage::{
    Memory, Storage as _, StorageFile, beside, create_directory, directory_of, exists,
};
use crate::writer::WalWriter;

const COPY_BYTES: usize = 1 << 20;
/// Of a directory that exists and about which nothing is said.
const SEGMENT_BYTES: u64 = 64 << 20;

/// A log that is locked for its writer and not touched yet: what it holds can be looked at in the pass that verifies
/// it, and whoever finds a reason of their own not to go on leaves everything as it was.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("log");
/// use calybris_wal::{VerifiedEntry, Verdict, WalError, WalOpening, WalOptions, WalWriter};
///
/// WalWriter::<u32>::open(&path)?.append(7)?;
/// let torn = std::fs::read_to_string(&path).unwrap() + "{\"sequence\":2,\"prev";
/// std::fs::write(&path, &torn).unwrap();
///
/// let mut opening = WalOpening::lock(&path, &WalOptions::new())?;
/// let mut bytes = 0;
/// let entry = |part: &mut usize, entry: &VerifiedEntry<'_>| *part += entry.data.len();
/// let report = opening.fold(entry, |part| bytes += part)?;
/// assert_eq!((report.sequence, bytes, report.verdict), (1, 1, Verdict::CutTail));
/// drop(opening);
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), torn, "nothing was cut");
///
/// let log: WalWriter<u32> = WalOpening::lock(&path, &WalOptions::new())?.finish()?;
/// assert_eq!(log.report().cut_bytes, 19);
/// assert!(matches!(WalOpening::lock(&path, &WalOptions::new()), Err(WalError::Locked { .. })));
/// # Ok::<(), WalError>(())
/// ```
#[derive(Debug)]
pub struct WalOpening {
    path: PathBuf,
    options: WalOptions,
    key: Option<ChainKey>,
    segments: Segments,
    /// The last segment, where there is one.
    file: Option<Box<dyn StorageFile>>,
    /// The file was made by locking it.
    is_new: bool,
    rotation: Option<Rotation>,
    finding: Option<Finding>,
}

impl WalOpening {
    /// Takes the writer's lock. Where there is no log, what is locked is made, unless a log must be there because the
    /// options name a head of it.
    ///
    /// # Errors
    /// [`WalError::Locked`], [`WalError::BelowAnchor`], [`WalError::Key`], [`WalError::Io`].
    pub fn lock(path: &Path, options: &WalOptions) -> Result<Self, WalError> {
        let (storage, key) = (&*options.storage, options.chain_key(path)?);
        if !storage.is_directory(path) && !exists(storage, path)? {
            let none = Segments::find(path, options, key.as_ref())?;
            none.check_end(none.start, &none.anchors(options)?)?;
        }
        let (file, rotation, is_new) = match lock(path, options)? {
            Locked::File { file, is_new } => (Some(file), None, is_new),
            Locked::Directory(rotation) => (None, Some(rotation), false),
        };
        let segments = Segments::find(path, options, key.as_ref())?;
        let file = match file {
            None if exists(storage, &segments.last.path)? => Some(segments.open_last(storage)?),
            file => file,
        };
        let (path, options) = (path.to_owned(), options.clone());
        Ok(Self { path, options, key, segments, file, is_new, rotation, finding: None })
    }

    /// Whether the log is opened with a key.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        self.key.is_some()
    }

    /// Verifies the log and folds what it holds, as [`fold_wal_with`](crate::fold_wal_with) does, and says what
    /// [`WalOpening::finish`] would do. A tail that it would cut is not an error, and its bytes are not folded. Can be
    /// done again.
    ///
    /// # Errors
    /// As [`WalWriter::open_with`], after the entries before the break were folded.
    pub fn fold<P, E, J>(&mut self, entry: E, join: J) -> Result<WalReport, WalError>
    where
        P: Default + Send,
        E: Fn(&mut P, &VerifiedEntry<'_>) + Sync,
        J: FnMut(P) + Send,
    {
        let _span = observe::opening(&self.path);
        let join = Mutex::new(join);
        let finding = self.find(Some(&parts(&entry, &join)))?;
        let report = finding.report(&self.segments);
        self.finding = Some(finding);
        Ok(report)
    }

    /// Repairs what a crash left and makes what the log holds durable; verifies it first, if nobody has.
    ///
    /// # Errors
    /// As [`WalWriter::open_with`].
    pub fn finish<T>(mut self) -> Result<WalWriter<T>, WalError> {
        let _span = observe::opening(&self.path);
        let finding = match self.finding.take() {
            Some(finding) => finding,
            None => self.find(None)?,
        };
        let (options, path) = (self.options.clone(), self.path.clone());
        let (group, report) = self.repair(&finding)?;
        observe::opened(&report);
        Ok(WalWriter::opened(group, report, &path, &options))
    }

    /// Decides by the table of [`crate::recovery`].
    fn find(&self, visitor: Option<&Visitor<'_>>) -> Result<Finding, WalError> {
        let Self { options, segments, .. } = self;
        let none;
        let active = match &self.file {
            Some(file) => &**file,
            None => {
                none = no_file()?;
                &*none
            }
        };
        let finding = Finding::make(segments, active, options, self.key.as_ref(), visitor, None)?;
        if finding.verdict() == Verdict::Refuse {
            // Another writer may have come and gone between the look and the lock.
            if self.is_new && finding.walked.scanned.bytes == 0 {
                let _ = options.storage.remove(&self.path);
            }
            return Err(finding.refusal());
        }
        Ok(finding)
    }

    /// Does what the table says, and makes what the log holds durable.
    fn repair(self, finding: &Finding) -> Result<(GroupCommit, WalReport), WalError> {
        let Self { path, options, key, segments, file, rotation, .. } = self;
        let (last, key) = (&segments.last.path, key);
        let file = match file {
            Some(file) => file,
            None => segments.open_last(&*options.storage)?,
        };
        let mut report = finding.report(&segments);
        let scanned = &finding.walked.scanned;
        let (head, mut end, bytes) = (scanned.head, scanned.end, scanned.bytes);
        match report.verdict {
            Verdict::Refuse => {}
            // Room for entries, which a writer that was stopped did not use up.
            Verdict::Open if bytes > end => {
                file.set_len(end).map_err(WalError::io("cut the room of", last))?;
            }
            Verdict::Open => {}
            Verdict::EndLine => {
                file.write_at(b"\n", end).map_err(WalError::io("end the last line of", last))?;
                end += 1;
            }
            Verdict::CutTail => {
                report.kept_tail = Some(keep_tail(last, &*file, end, bytes, &options)?);
                file.set_len(end).map_err(WalError::io("cut the tail of", last))?;
            }
        }
        // What is there may be no more than cached, and after a sync that failed another one does nothing for
        // what the first one covered: it is written again. The head file must never be ahead of the log.
        // A segment is begun only after a sync of the one before.
        if let Some(Durable { head, bytes }) = finding.durable.map(|found| found.durable) {
            let certain = if head.sequence < segments.last.first { 0 } else { bytes };
            each_block(last, &*file, certain, end, &mut |block, at| {
                file.write_at(block, at).map_err(WalError::io("write", last))
            })?;
        }
        file.sync().map_err(WalError::io("sync", last))?;
        let durable = Durable { head, bytes: end };
        let head_file = HeadFile::create(
            &segments.head_file,
            &options,
            finding.durable,
            durable,
            key.as_ref(),
        )?;
        let sync = |directory: &Path| {
            options.storage.sync_directory(directory).map_err(WalError::io("sync", directory))
        };
        if let Some(Rotation { directory, .. }) = &rotation {
            // The record may be no more than cached: it must outlive what it says was retired.
            sync(directory)?;
            for leftover in &segments.leftovers {
                options.storage.remove(leftover).map_err(WalError::io("remove", leftover))?;
            }
        }
        sync(directory_of(&path))?;
        let output =
            Output::new(last.clone(), file, head_file, durable, options.room_bytes, rotation);
        Ok((GroupCommit::new(path, output, key, options.buffer_bytes), report))
    }
}

/// What a segment that is not there yet holds.
fn no_file() -> Result<Box<dyn StorageFile>, WalError> {
    let path = Path::new("");
    Memory::default().open_write(path).map_err(WalError::io("open", path))
}

/// What was locked.
enum Locked {
    /// The one file of a log.
    File { file: Box<dyn StorageFile>, is_new: bool },
    /// A directory.
    Directory(Rotation),
}

/// Takes the lock: on the one file of a log, or on a directory.
fn lock(path: &Path, options: &WalOptions) -> Result<Locked, WalError> {
    let storage = &options.storage;
    let is_directory = storage.is_directory(path);
    if !is_directory && options.segment_bytes.is_none() {
        // Nobody locks a segment, so that readers are free to read it: its writer has the directory's lock.
        if Segment::is_name(path) && exists(&**storage, &path.with_file_name(LOCK))? {
            return Err(WalError::OneSegment { path: path.to_owned() });
        }
        let is_new = !exists(&**storage, path)?;
        return Ok(Locked::File { file: lock_file(path, options)?, is_new });
    }
    if !is_directory {
        if exists(&**storage, path)? {
            return Err(WalError::NotADirectory { path: path.to_owned() });
        }
        create_directory(&**storage, path)?;
    }
    let lock = lock_file(&path.join(LOCK), options).map_err(|error| match error {
        WalError::Locked { .. } => WalError::Locked { path: path.to_owned() },
        other => other,
    })?;
    Ok(Locked::Directory(Rotation {
        directory: path.to_owned(),
        storage: Arc::clone(storage),
        segment_bytes: options.segment_bytes.unwrap_or(SEGMENT_BYTES),
        lock,
    }))
}

/// Copies what follows `start` to a file beside the log, durably, and returns its name.
///
/// The name comes from the contents, so that a recovery cut short and repeated keeps one copy.
fn keep_tail(
    path: &Path,
    file: &dyn StorageFile,
    start: u64,
    end: u64,
    options: &WalOptions,
) -> Result<PathBuf, WalError> {
    let mut fingerprint = ChainHash::GENESIS;
    each_block(path, file, start, end, &mut |block, _| {
        fingerprint = link_hash(&fingerprint, block, None);
        Ok(())
    })?;
    let name: String = fingerprint.chars().take(16).collect();
    let kept = beside(path, &format!(".torn-{start}-{name}"));
    let copy = options.storage.open_write(&kept).map_err(WalError::io("open", &kept))?;
    copy.set_len(0).map_err(WalError::io("empty", &kept))?;
    each_block(path, file, start, end, &mut |block, at| {
        copy.write_at(block, at - start).map_err(WalError::io("write", &kept))
    })?;
    copy.sync().map_err(WalError::io("sync", &kept))?;
    let directory = directory_of(path);
    options.storage.sync_directory(directory).map_err(WalError::io("sync", directory))?;
    Ok(kept)
}

/// Takes a block of bytes and its offset.
type Take<'t> = dyn FnMut(&[u8], u64) -> Result<(), WalError> + 't;

/// Gives a range of a file to `take`, block by block with their offsets.
fn each_block(
    path: &Path,
    file: &dyn StorageFile,
    start: u64,
    end: u64,
    take: &mut Take<'_>,
) -> Result<(), WalError> {
    let (mut at, mut buffer) = (start, Vec::new());
    while at < end {
        buffer.resize(usize::try_from(end - at).unwrap_or(usize::MAX).min(COPY_BYTES), 0);
        let count = file.read_at(&mut buffer, at).map_err(WalError::io("read", path))?;
        if count == 0 {
            break;
        }
        take(buffer.get(..count).unwrap_or_default(), at)?;
        at += count as u64;
    }
    Ok(())
}

/// Opens and locks; the file must still have its name once it is locked.
fn lock_file(path: &Path, options: &WalOptions) -> Result<Box<dyn StorageFile>, WalError> {
    let file = options.storage.open_write(path).map_err(WalError::io("open", path))?;
    if !file.try_lock().map_err(WalError::io("lock", path))? {
        return Err(WalError::Locked { path: path.to_owned() });
    }
    if file.len_at(path).map_err(WalError::io("look up", path))?.is_none() {
        let reason = "it was moved, removed or replaced while it was opened".into();
        return Err(WalError::Displaced { path: path.to_owned(), reason });
    }
    Ok(file)
}
