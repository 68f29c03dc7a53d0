//! Reading a log as a verified stream, with progress on a terminal.

use std::fs;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use calybris_core::digest::HexDigest;
use calybris_core::proof::chain::{ChainHash, ChainKey, WalAnchor, link_hash};
use calybris_core::proof::merkle::{MerkleFrontier, TreeHead};
use calybris_core::wal::{
    MAX_ENTRY_BYTES, Tail, Trust, WalEntry, WalOptions, inspect, visit_wal_with,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::value::RawValue;

use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::record::Record;

/// An entry with its payload as written.
pub(crate) type RawEntry = WalEntry<Box<RawValue>>;

/// A log and the key that opens it.
#[derive(clap::Args, Debug)]
pub(crate) struct LogArgs {
    /// The log.
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

/// Entries take about this many bytes besides their payload.
const LINE_OVERHEAD_BYTES: u64 = 190;

impl LogArgs {
    pub(crate) fn open(&self) -> Result<Log> {
        if self.log.is_dir() {
            return Err(Failure::file(&self.log, "it is a folder; a log is one file"));
        }
        Ok(Log { path: self.log.clone(), key: files::key(self.key_file.as_deref())? })
    }
}

impl Log {
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

    /// Gives every entry whose link holds to `visit`, in order, and returns the head.
    pub(crate) fn visit(&self, mut visit: impl FnMut(RawEntry)) -> Result<WalAnchor> {
        let bar = progress(&self.path);
        let mut next_tick = 0;
        let mut bytes = 0;
        let (mut sequence, mut last_hash) = (0, ChainHash::GENESIS);
        let with_progress = |entry: RawEntry| {
            (sequence, last_hash) = (entry.sequence, entry.entry_hash);
            bytes += entry.data.get().len() as u64 + LINE_OVERHEAD_BYTES;
            if bytes >= next_tick {
                bar.set_position(bytes);
                next_tick = bytes + (1 << 20);
            }
            visit(entry);
        };
        let end = visit_wal_with(&self.path, &self.options(), with_progress);
        bar.finish_and_clear();
        end.map_err(|error| self.explained(error.into()))?;
        WalAnchor::new(sequence, last_hash, self.key.is_some())
            .map_err(|error| Failure::new(Exit::CannotTell, error))
    }

    /// Whether a head that was acknowledged, as the head file beside the log remembers, is missing from the log.
    /// The file lies with the log and so proves nothing, but it can accuse.
    pub(crate) fn check_head_file(&self) -> Result<()> {
        let mut beside = self.path.as_os_str().to_owned();
        beside.push(".head");
        if !Path::new(&beside).exists() {
            return Ok(());
        }
        let report = inspect(&self.path, &self.options())?;
        let Some(durable) = report.durable_sequence else { return Ok(()) };
        let failure = match report.trust {
            Trust::Missing => {
                Failure::new(Exit::Incomplete, "the log ends before the head file beside it")
                    .between(format_args!("at least {durable} entries"), report.sequence)
                    .meaning("Entries that were acknowledged as durable are missing: the end of the log was cut off.")
            }
            Trust::Forked => Failure::new(
                Exit::Tampered,
                format_args!("entry {durable} is not the one in the head file beside the log"),
            )
            .meaning("The log was rewritten after its entries were acknowledged, or replaced."),
            _ => return Ok(()),
        };
        Err(failure.at(&self.path, report.sequence))
    }

    /// Gives every audited record to `visit`; `Err` says why an entry is none.
    pub(crate) fn visit_records(
        &self,
        mut visit: impl FnMut(u64, ChainHash, std::result::Result<Record<'_>, String>),
    ) -> Result<WalAnchor> {
        self.visit(|entry| visit(entry.sequence, entry.entry_hash, Record::read(entry.data.get())))
    }

    /// The head of the log's tree, whole or as it was with `size` entries; none when it never had that many.
    pub(crate) fn tree_at(&self, size: Option<u64>) -> Result<(WalAnchor, TreeHead)> {
        let mut tree = MerkleFrontier::new();
        let mut at_size = (size == Some(0)).then(|| tree.head());
        let head = self.visit(|entry| {
            tree.append(&entry.entry_hash.digest().unwrap_or_default());
            if size == Some(tree.len()) {
                at_size = Some(tree.head());
            }
        })?;
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

    /// Tells two harmless-looking causes from tampering: a last line that was only half written, and a key that is
    /// not the log's.
    fn explained(&self, mut failure: Box<Failure>) -> Box<Failure> {
        let Some((offset, sequence)) =
            failure.place.as_ref().and_then(|place| Some((place.byte?, place.sequence)))
        else {
            return failure;
        };
        let tail = inspect(&self.path, &self.options()).map(|report| report.tail);
        if matches!(tail, Ok(Tail::Torn | Tail::Nul)) {
            failure.verdict = Exit::Incomplete;
            failure.meaning = "The last line was only half written, as by a crash. Everything before it is intact; `calybris repair` shows what recovery does.";
        } else if sequence == 1 && self.no_link_holds(offset) {
            failure.verdict = Exit::CannotTell;
            failure.meaning = match self.key {
                None => {
                    "No entry looked at has the hash it claims. The log is keyed: give its key with --key-file. (Or every entry was changed.)"
                }
                Some(_) => {
                    "No entry looked at has the hash it claims: this is not the log's key, or the log has none. (Or every entry was changed.)"
                }
            };
        }
        failure
    }

    /// The first lines from an offset, each with its newline if it has one.
    fn lines_from(&self, offset: u64, count: usize) -> std::io::Result<Vec<Vec<u8>>> {
        let mut file = fs::File::open(&self.path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut reader = BufReader::new(file);
        let mut lines = Vec::new();
        for _ in 0..count {
            let mut line = Vec::new();
            reader.by_ref().take(MAX_ENTRY_BYTES + 1).read_until(b'\n', &mut line)?;
            lines.push(line);
        }
        Ok(lines)
    }

    /// Whether of two entries or more none has the hash of its own payload after the hash it names: one
    /// changed entry would leave the links of the others whole.
    fn no_link_holds(&self, offset: u64) -> bool {
        let Ok(lines) = self.lines_from(offset, LOOKED_AT) else { return false };
        let key = self.key.as_deref().and_then(|key| ChainKey::new(key).ok());
        let entries: Vec<RawLine<'_>> =
            lines.iter().map_while(|line| serde_json::from_slice(line).ok()).collect();
        let holds = |entry: &RawLine<'_>| {
            let computed =
                link_hash(&entry.previous_hash, entry.data.get().as_bytes(), key.as_ref());
            computed.ct_eq(&entry.entry_hash)
        };
        entries.len() > 1 && !entries.iter().any(holds)
    }
}

/// How many entries are looked at to tell a wrong key from a changed entry.
const LOOKED_AT: usize = 8;

#[derive(serde::Deserialize)]
struct RawLine<'a> {
    previous_hash: ChainHash,
    entry_hash: ChainHash,
    #[serde(borrow)]
    data: &'a RawValue,
}

fn progress(path: &Path) -> ProgressBar {
    let length = fs::metadata(path).map_or(0, |metadata| metadata.len());
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(
        "  {bar:40} {percent:>3}%  {bytes} of {total_bytes}  {eta} left",
    ) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
