//! Reading a log, one file or a folder of segments, as a verified stream: on all cores, with progress on a
//! terminal.

pub(crate) mod broken;

use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use calybris_core::digest::HexDigest;
use calybris_core::proof::chain::WalAnchor;
use calybris_core::proof::merkle::{MerkleFrontier, TreeHead};
use calybris_core::wal::{
    Progress, VerifiedEntry, VerifiedWal, WalOptions, durable_head, fold_wal_with,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::record::Record;
use crate::show::count;

/// A log and the key that opens it.
#[derive(clap::Args, Debug)]
pub(crate) struct LogArgs {
    /// The log: a file, or a folder of segments
    pub(crate) log: PathBuf,
    /// File with the key of a keyed log, in hexadecimal; else the environment's `CALYBRIS_KEY`
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// A log that can be read again and again.
pub(crate) struct Log {
    path: PathBuf,
    key: Option<Vec<u8>>,
}

/// What reading a log to its end came to.
pub(crate) struct Whole {
    pub(crate) head: WalAnchor,
    pub(crate) verified: VerifiedWal,
}

impl LogArgs {
    /// The log, which must be there.
    pub(crate) fn open(&self) -> Result<Log> {
        let log = Log::new(&self.log, self.key_file.as_deref())?;
        let there = fs::metadata(&self.log).map_err(|error| {
            Failure::new(
                Exit::CannotTell,
                format_args!("cannot open {}: {error}", self.log.display()),
            )
            .meaning("The log could not be read; nothing is known about it.")
        })?;
        if there.is_dir() && broken::first_segment(&self.log).is_none() && !log.has_record() {
            return Err(Failure::file(&self.log, "a folder without a segment of a log"));
        }
        Ok(log)
    }
}

impl Whole {
    /// The last sequence before the first entry there is; 0 unless entries were retired.
    pub(crate) fn after(&self) -> u64 {
        self.verified.after
    }

    /// How many entries there are.
    pub(crate) fn entries(&self) -> u64 {
        self.head.sequence.saturating_sub(self.after())
    }

    /// The failure of looking for an entry that is not there.
    pub(crate) fn no_entry(&self, sequence: u64) -> Box<Failure> {
        let (first, last) = (self.after().saturating_add(1), self.head.sequence);
        if (1..first).contains(&sequence) {
            let problem = format!("entry {sequence} was retired: the log begins with {first}");
            return Failure::new(Exit::CannotTell, problem);
        }
        Failure::usage(format_args!("there is no entry {sequence}: the log ends at {last}"))
    }

    /// Refuses what needs every entry from the first on.
    pub(crate) fn require_beginning(&self) -> Result<()> {
        match self.after() {
            0 => Ok(()),
            after => Err(beginning_missing(after)),
        }
    }
}

/// The Merkle tree has all entries as its leaves.
pub(crate) fn beginning_missing(after: u64) -> Box<Failure> {
    Failure::new(
        Exit::CannotTell,
        format_args!(
            "entries up to {} were retired, and the log's tree is over all of them",
            count(after)
        ),
    )
    .meaning("Put the retired segments back into a copy of the folder, without its file `retired`.")
}

impl Log {
    /// A log that may have to be made.
    pub(crate) fn new(path: &Path, key_file: Option<&Path>) -> Result<Self> {
        Ok(Self { path: path.to_owned(), key: files::key(key_file)? })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How a writer would open it.
    pub(crate) fn options(&self) -> WalOptions {
        let options = WalOptions::new();
        self.key.as_deref().map_or_else(WalOptions::new, |key| options.key(key))
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// Folds the log: `entry` adds entries whose link holds to parts, and `join` gets the parts in order. When
    /// the chain breaks, they are of all entries before the break.
    ///
    /// The head file that lies with a log proves nothing, but it can accuse: of a head that was acknowledged
    /// and that the log does not have.
    pub(crate) fn fold<P: Default + Send>(
        &self,
        entry: impl Fn(&mut P, &VerifiedEntry<'_>) + Sync,
        join: impl FnMut(P) + Send,
    ) -> Result<Whole> {
        let options = self.options();
        let durable = durable_head(&self.path, &options).map_err(|e| self.explained(e, None))?;
        let options = match durable {
            Some(head) => options.anchor(head),
            None => options,
        };
        let bar = progress();
        let mut report = |progress: Progress| {
            bar.set_length(progress.total_bytes);
            bar.set_position(progress.bytes);
        };
        let end = fold_wal_with(&self.path, &options, entry, join, Some(&mut report));
        bar.finish_and_clear();
        let verified = end.map_err(|error| self.explained(error, durable.as_ref()))?;
        let head = WalAnchor::new(verified.sequence, verified.last_hash, self.key.is_some())
            .map_err(|error| Failure::new(Exit::CannotTell, error))?;
        Ok(Whole { head, verified })
    }

    /// Folds the audited records; `Err` says why an entry is none.
    pub(crate) fn fold_records<P: Default + Send>(
        &self,
        add: impl Fn(&mut P, &VerifiedEntry<'_>, std::result::Result<Record<'_>, String>) + Sync,
        join: impl FnMut(P) + Send,
    ) -> Result<Whole> {
        self.fold(|part, entry| add(part, entry, Record::read(entry.data)), join)
    }

    /// The head of the log's tree, whole or as it was with `size` entries.
    pub(crate) fn tree_at(&self, size: Option<u64>) -> Result<(WalAnchor, TreeHead)> {
        let mut tree = MerkleFrontier::new();
        let mut at_size = (size == Some(0)).then(|| tree.head());
        let whole = self.fold(
            |leaves: &mut Vec<_>, entry| leaves.push(entry.entry_hash.digest().unwrap_or_default()),
            |leaves| {
                for leaf in &leaves {
                    tree.append(leaf);
                    if size == Some(tree.len()) {
                        at_size = Some(tree.head());
                    }
                }
            },
        )?;
        whole.require_beginning()?;
        let head = whole.head;
        match size {
            None => Ok((head, tree.head())),
            Some(size) => at_size.map(|tree| (head, tree)).ok_or_else(|| {
                Failure::new(Exit::Incomplete, "the log ends before the checkpoint")
                    .at(&self.path, head.sequence)
                    .between(format_args!("at least {size} entries"), head.sequence)
                    .meaning("The log is an older copy, or its end was cut off.")
            }),
        }
    }

    /// Checks that the log's tree once was the checkpoint's.
    pub(crate) fn require_checkpoint(&self, expected: &TreeHead) -> Result<WalAnchor> {
        let (head, found) = self.tree_at(Some(expected.size))?;
        if found == *expected {
            return Ok(head);
        }
        Err(Failure::new(Exit::Tampered, "the log's tree is not the checkpoint's")
            .at(&self.path, expected.size)
            .between(HexDigest::new(&expected.root), HexDigest::new(&found.root))
            .meaning("The log was rewritten, or shows others another history."))
    }

    /// Writes what was learnt from the log to a file, never over the log itself, or to standard output.
    pub(crate) fn write(&self, output: Option<&Path>, contents: &str) -> Result<()> {
        output.map_or(Ok(()), |output| files::require_apart(output, &self.path))?;
        files::write(output, contents)
    }
}

fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(
        "  {bar:40} {percent:>3}%  {bytes} of {total_bytes}  {eta} left",
    ) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
