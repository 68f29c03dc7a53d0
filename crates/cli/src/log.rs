//! Reading a log as a verified stream, with progress on a terminal.

use std::fs;
use std::io::{IsTerminal as _, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use calybris_proof::AuditedRecord;
use calybris_proof::chain::{ChainHash, WalAnchor};
use calybris_wal::{MAX_ENTRY_BYTES, WalEntry, visit_verified_wal, visit_verified_wal_keyed};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::exit::{Exit, Failure, Result};
use crate::files;

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
        Ok(Log { path: self.log.clone(), key: files::key(self.key_file.as_deref())? })
    }
}

impl Log {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// Gives every entry whose link holds to `visit`, in order, and returns the head.
    pub(crate) fn visit(&self, mut visit: impl FnMut(RawEntry)) -> Result<WalAnchor> {
        let bar = progress(&self.path);
        let mut next_tick = 0;
        let mut bytes = 0;
        let with_progress = |entry: RawEntry| {
            bytes += entry.data.get().len() as u64 + LINE_OVERHEAD_BYTES;
            if bytes >= next_tick {
                bar.set_position(bytes);
                next_tick = bytes + (1 << 20);
            }
            visit(entry);
        };
        let end = match &self.key {
            None => visit_verified_wal(&self.path, with_progress),
            Some(key) => visit_verified_wal_keyed(&self.path, key, with_progress),
        };
        bar.finish_and_clear();
        let (sequence, last_hash) = end.map_err(|error| self.torn_or(error.into()))?;
        WalAnchor::new(sequence, last_hash, self.key.is_some())
            .map_err(|error| Failure::new(Exit::CannotTell, error))
    }

    /// Gives every audited record to `visit`; `Err` is an entry that is none.
    pub(crate) fn visit_records<M: DeserializeOwned>(
        &self,
        mut visit: impl FnMut(u64, ChainHash, std::result::Result<AuditedRecord<M>, String>),
    ) -> Result<WalAnchor> {
        self.visit(|entry| {
            let record = serde_json::from_str(entry.data.get()).map_err(|error| error.to_string());
            visit(entry.sequence, entry.entry_hash, record);
        })
    }

    /// A bad last line without its newline was only half written: nothing complete is lost or changed.
    fn torn_or(&self, mut failure: Box<Failure>) -> Box<Failure> {
        let Some(offset) = failure.place.as_ref().and_then(|place| place.byte) else {
            return failure;
        };
        let tail = fs::File::open(&self.path).and_then(|mut file| {
            let mut tail = Vec::new();
            file.seek(SeekFrom::Start(offset))?;
            file.take(MAX_ENTRY_BYTES + 1).read_to_end(&mut tail).map(|_| tail)
        });
        if tail.is_ok_and(|tail| !tail.contains(&b'\n')) && failure.expected.is_none() {
            failure.verdict = Exit::Incomplete;
            failure.meaning = "The last line was only half written, as by a crash. Everything before it is intact; `calybris repair` shows what recovery does.";
        }
        failure
    }
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

/// The tenant a record's metadata names: its member `tenant` or `tenant_id`, or the metadata itself when
/// it is a text.
pub(crate) fn tenant(metadata: &Value) -> &str {
    let member = || metadata.get("tenant").or_else(|| metadata.get("tenant_id"));
    metadata.as_str().or_else(|| member()?.as_str()).unwrap_or("-")
}
