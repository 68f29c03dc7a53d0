//! Opening a log for writing: lock it, decide by the table of [`crate::recovery`], continue it.

use std::path::{Path, PathBuf};

use calybris_proof::chain::{ChainHash, ChainKey, link_hash};

use crate::chain::Head;
use crate::error::WalError;
use crate::group::GroupCommit;
use crate::head_file::{Durable, HeadFile};
use crate::options::WalOptions;
use crate::output::Output;
use crate::recovery::{Finding, Verdict, WalReport};
use crate::storage::{StorageFile, beside, directory_of};

const COPY_BYTES: usize = 1 << 20;

/// Opens `path` under the writer's lock, with its chain verified and what it holds made durable.
pub(crate) fn open(
    path: &Path,
    options: &WalOptions,
) -> Result<(GroupCommit, WalReport), WalError> {
    let key = options.key.as_deref().map(ChainKey::new).transpose()?;
    let file = lock_file(path, options)?;
    let finding = Finding::make(path, &*file, options, key.as_ref(), Head::EMPTY, None)?;
    let mut report = finding.report(path);
    let (head, mut end, bytes) = (finding.scanned.head, finding.scanned.end, finding.scanned.bytes);
    match report.verdict {
        Verdict::Open => {}
        Verdict::EndLine => {
            file.write_at(b"\n", end).map_err(WalError::io("end the last line of", path))?;
            end += 1;
        }
        Verdict::CutTail => {
            report.kept_tail = Some(keep_tail(path, &*file, end, bytes, options)?);
            file.set_len(end).map_err(WalError::io("cut the tail of", path))?;
        }
        Verdict::Refuse => return Err(finding.refusal(path)),
    }
    // What is there may be no more than cached, and after a sync that failed another one does nothing for
    // what the first one covered: it is written again. The head file must never be ahead of the log.
    if let Some(certain) = finding.durable.map(|found| found.durable.bytes) {
        each_block(path, &*file, certain, end, &mut |block, at| {
            file.write_at(block, at).map_err(WalError::io("write", path))
        })?;
    }
    file.sync().map_err(WalError::io("sync", path))?;
    let durable = Durable { head, bytes: end };
    let head_file = HeadFile::create(path, options, finding.durable, durable, key.as_ref())?;
    let directory = directory_of(path);
    options.storage.sync_directory(directory).map_err(WalError::io("sync", directory))?;
    let output = Output::new(path.to_owned(), file, head_file, durable);
    let group = GroupCommit::new(path.to_owned(), output, key, options.buffer_bytes);
    #[cfg(feature = "observability")]
    crate::observe::opened(&report);
    Ok((group, report))
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
