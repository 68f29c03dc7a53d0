//! Folding a log: every entry seen on all cores, what was made of them put together in order.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use calybris_proof::audit::AuditedRecord;
use calybris_proof::chain::ChainHash;

use crate::error::{Fault, WalError};
use crate::options::WalOptions;
use crate::reader::{VerifiedWal, scan};
use crate::scan::{Progress, Visit};

/// An entry whose own link holds, as it stands in the log.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct VerifiedEntry<'a> {
    /// From 1, growing by 1.
    pub sequence: u64,
    /// Of the entry before, `genesis` for the first.
    pub previous_hash: &'a ChainHash,
    /// Over the previous hash and the payload's bytes.
    pub entry_hash: &'a ChainHash,
    /// The payload: JSON, in UTF-8.
    pub data: &'a [u8],
    /// What it says, where it is an audited record in its canonical form.
    pub(crate) record: Option<&'a AuditedRecord<&'a [u8]>>,
    /// The file it is in: the log, or a segment of it.
    pub path: &'a Path,
    /// Where its line starts, in bytes from the start of the file.
    pub offset: u64,
}

/// Verifies a log on all cores, in memory that does not grow with it, and folds it meanwhile: `entry` adds
/// entries to parts, each from one thread and in order, and `join` gets the parts in the order of the log.
///
/// A part is given to `join` once the entry that its first one follows is known to be the one before. When the
/// chain breaks, the parts given so far are of all entries before the break.
///
/// # Errors
/// As [`verify_wal_with`](crate::verify_wal_with).
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("log");
/// use calybris_wal::{WalOptions, WalWriter, fold_wal_with};
///
/// let log = WalWriter::<u32>::open(&path)?;
/// for number in 1..=3 {
///     log.append(number)?;
/// }
/// let sum = || {
///     let mut lengths = 0;
///     let join = |part: usize| lengths += part;
///     let entry = |part: &mut usize, entry: &calybris_wal::VerifiedEntry<'_>| *part += entry.data.len();
///     let end = fold_wal_with(&path, &WalOptions::new(), entry, join, None);
///     (lengths, end.map(|verified| verified.sequence))
/// };
/// assert!(matches!(sum(), (3, Ok(3))));
///
/// let tampered = std::fs::read_to_string(&path).unwrap().replace("\"data\":3", "\"data\":4");
/// std::fs::write(&path, tampered).unwrap();
/// let (before_the_break, end) = sum();
/// assert_eq!((before_the_break, end.unwrap_err().sequence()), (2, Some(3)));
/// # Ok::<(), calybris_wal::WalError>(())
/// ```
pub fn fold_wal_with<P, E, J>(
    path: &Path,
    options: &WalOptions,
    entry: E,
    join: J,
    progress: Option<&mut dyn FnMut(Progress)>,
) -> Result<VerifiedWal, WalError>
where
    P: Default + Send,
    E: Fn(&mut P, &VerifiedEntry<'_>) + Sync,
    J: FnMut(P) + Send,
{
    let join = Mutex::new(join);
    scan(path, options, Some(&parts(&entry, &join)), progress)
}

/// What is called for every entry of one chunk.
pub(crate) fn parts<'f, P, E, J>(
    entry: &'f E,
    join: &'f Mutex<J>,
) -> impl Fn() -> Box<dyn Visit + 'f> + Sync
where
    P: Default + Send + 'f,
    E: Fn(&mut P, &VerifiedEntry<'_>) + Sync,
    J: FnMut(P) + Send,
{
    move || Box::new(Part { of: P::default(), entry, join })
}

/// A part of a fold.
struct Part<'f, P, E, J> {
    of: P,
    entry: &'f E,
    join: &'f Mutex<J>,
}

impl<P, E, J> Visit for Part<'_, P, E, J>
where
    P: Send,
    E: Fn(&mut P, &VerifiedEntry<'_>) + Sync,
    J: FnMut(P) + Send,
{
    fn entry(&mut self, entry: &VerifiedEntry<'_>) -> Result<(), Fault> {
        (self.entry)(&mut self.of, entry);
        Ok(())
    }

    fn joined(self: Box<Self>) {
        let mut join = self.join.lock().unwrap_or_else(PoisonError::into_inner);
        (*join)(self.of);
    }
}

#[cfg(test)]
mod tests;
