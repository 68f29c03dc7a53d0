//! Opening a log for writing: lock it, decide by the table of [`crate::recovery`], continue it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use calybris_proof::chain::{ChainHash, link_hash};

use crate::error::WalError;
use crate::group::GroupCommit;
use crate::head_file::{Durable, HeadFile};
use crate::observe;
use crate::options::WalOptions;
use crate::output::{Output, Rotation};
use crate::recovery::{Finding, Verdict, WalReport};
use crate::segments::{LOCK, Segment, Segments};
use crate::storage::{StorageFile, beside, create_directory, directory_of, exists};

const COPY_BYTES: usize = 1 << 20;
/// Of a directory that exists and about which nothing is said.
const SEGMENT_BYTES: u64 = 64 << 20;

/// Opens `path` under the writer's lock, with its chain verified and what it holds made durable.
pub(crate) fn open(
    path: &Path,
    options: &WalOptions,
) -> Result<(GroupCommit, WalReport), WalError> {
    let _span = observe::opening(path);
    let key = options.chain_key(path)?;
    let (file, rotation) = lock(path, options)?;
    let segments = Segments::find(path, options, key.as_ref())?;
    let last = &segments.last.path;
    let is_new = !exists(&*options.storage, last)?;
    let file = match file {
        Some(file) => file,
        None => options.storage.open_write(last).map_err(WalError::io("open", last))?,
    };
    let finding = Finding::make(&segments, &*file, options, key.as_ref(), None)?;
    let mut report = finding.report(&segments);
    let scanned = &finding.walked.scanned;
    let (head, mut end, bytes) = (scanned.head, scanned.end, scanned.bytes);
    match report.verdict {
        Verdict::Open => {}
        Verdict::EndLine => {
            file.write_at(b"\n", end).map_err(WalError::io("end the last line of", last))?;
            end += 1;
        }
        Verdict::CutTail => {
            report.kept_tail = Some(keep_tail(last, &*file, end, bytes, options)?);
            file.set_len(end).map_err(WalError::io("cut the tail of", last))?;
        }
        Verdict::Refuse => {
            if is_new {
                let _ = options.storage.remove(last);
            }
            return Err(finding.refusal());
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
    let head_file =
        HeadFile::create(&segments.head_file, options, finding.durable, durable, key.as_ref())?;
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
    sync(directory_of(path))?;
    let output = Output::new(last.clone(), file, head_file, durable, rotation);
    let group = GroupCommit::new(path.to_owned(), output, key, options.buffer_bytes);
    observe::opened(&report);
    Ok((group, report))
}

/// Takes the lock: on the one file of a log, which is returned, or on a directory.
fn lock(path: &Path, options: &WalOptions) -> Result<Locked, WalError> {
    let storage = &options.storage;
    let is_directory = storage.is_directory(path);
    if !is_directory && options.segment_bytes.is_none() {
        // Nobody locks a segment, so that readers are free to read it: its writer has the directory's lock.
        if Segment::is_name(path) && exists(&**storage, &path.with_file_name(LOCK))? {
            return Err(WalError::OneSegment { path: path.to_owned() });
        }
        return Ok((Some(lock_file(path, options)?), None));
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
    let rotation = Rotation {
        directory: path.to_owned(),
        storage: Arc::clone(storage),
        segment_bytes: options.segment_bytes.unwrap_or(SEGMENT_BYTES),
        lock,
    };
    Ok((None, Some(rotation)))
}

type Locked = (Option<Box<dyn StorageFile>>, Option<Rotation>);

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
