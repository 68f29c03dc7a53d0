//! `calybris repair`: what recovery would do to a damaged log, and doing it only when told.

use std::path::{Path, PathBuf};

use calybris_proof::chain::{ChainHash, WalAnchor};
use calybris_wal::storage::{Files, Storage as _, StorageFile};

use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::log::{Log, LogArgs};
use crate::show::count;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArgs,
    /// Trusted head, as `calybris head` prints it: what it covers is never cut
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
    /// Do it; without this nothing is touched
    #[arg(long)]
    apply: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit> {
    let anchor: Option<WalAnchor> = arguments.anchor.as_deref().map(files::json).transpose()?;
    let log = arguments.log.open()?;
    // The lock first, so that what is looked at is what is cut.
    let file = arguments.apply.then(|| lock(log.path())).transpose()?;
    let (mut kept, mut head) = (0, ChainHash::GENESIS);
    let end = log.visit(|entry| (kept, head) = (entry.sequence, entry.entry_hash));
    let Err(failure) = end else {
        files::print(&format!("nothing to repair: {} entries, head {head}\n", count(kept)))?;
        return Ok(Exit::Verified);
    };
    let offset = failure.place.as_ref().and_then(|place| place.byte);
    let (Exit::Incomplete, Some(offset)) = (failure.verdict, offset) else {
        eprintln!("not repaired: only a half-written last line is cut, and this is something else");
        return Err(failure);
    };
    if anchor.is_some_and(|anchor| anchor.sequence > kept) {
        eprintln!("not repaired: the trusted head covers the entry that would be cut");
        return Err(failure);
    }
    let length = std::fs::metadata(log.path()).map_err(|error| io(log.path(), error))?.len();
    let cut = length.saturating_sub(offset);
    let plan = format!(
        "the last line, from byte {offset}, was only half written\n  cut    {} bytes, which hold no complete entry\n  keep   {} entries, head {head}\n",
        count(cut),
        count(kept),
    );
    files::print(&plan)?;
    let Some(file) = file else {
        files::print(
            "nothing was touched: --apply does it, after copying the bytes beside the log\n\
             a crash leaves such a line, and so does cutting a file: --anchor tells them apart\n",
        )?;
        return Ok(Exit::Incomplete);
    };
    apply(&log, &*file, offset)?;
    Ok(Exit::Verified)
}

/// Copies the tail beside the log, then cuts it.
fn apply(log: &Log, file: &dyn StorageFile, offset: u64) -> Result<()> {
    let path = log.path();
    let length = file.len().map_err(|error| io(path, error))?;
    let mut tail = vec![0; usize::try_from(length.saturating_sub(offset)).unwrap_or(0)];
    let read = file.read_at(&mut tail, offset).map_err(|error| io(path, error))?;
    if read != tail.len() {
        return Err(io(path, "the log changed while it was repaired"));
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".cut-{offset}"));
    let beside = PathBuf::from(beside);
    std::fs::write(&beside, &tail).map_err(|error| io(&beside, error))?;
    file.set_len(offset).and_then(|()| file.sync()).map_err(|error| io(path, error))?;
    let head = log.visit(drop)?;
    files::print(&format!(
        "done: {} entries verified, head {}; the bytes are in {}\n",
        count(head.sequence),
        head.last_hash,
        beside.display(),
    ))
}

fn lock(path: &Path) -> Result<Box<dyn StorageFile>> {
    if !path.exists() {
        return Err(io(path, "there is no such log"));
    }
    let file = Files.open_write(path).map_err(|error| io(path, error))?;
    match file.try_lock() {
        Ok(true) => Ok(file),
        Ok(false) => Err(io(path, "another writer has the log open")),
        Err(error) => Err(io(path, error)),
    }
}

fn io(path: &Path, error: impl std::fmt::Display) -> Box<Failure> {
    Failure::new(Exit::CannotTell, format_args!("{}: {error}", path.display()))
}
