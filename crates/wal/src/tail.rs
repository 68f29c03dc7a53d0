//! Telling what a crash leaves at the end of a log from what no crash leaves.

use std::path::Path;

use crate::chain::Head;
use crate::error::{EntryFault, WalError};
use crate::json::{self, Expected};
use crate::line::MAX_ENTRY_BYTES;
use crate::recovery::Tail;
use crate::scan::Scanned;
use crate::storage::StorageFile;

/// The smallest unit a disk writes whole; a lost write leaves zeros up to a multiple of it.
const SECTOR_BYTES: u64 = 512;

/// How the file ends after what was scanned.
pub(crate) fn classify(
    path: &Path,
    file: &dyn StorageFile,
    scanned: &Scanned,
) -> Result<Tail, WalError> {
    let Some((place, fault)) = &scanned.broken else {
        return Ok(if scanned.terminated { Tail::Clean } else { Tail::Unterminated });
    };
    if matches!(**fault, EntryFault::Anchor { .. } | EntryFault::SegmentName { .. }) {
        return Ok(Tail::Damaged);
    }
    let mut rest = Rest { path, file, at: place.offset, end: scanned.bytes };
    // A line that a write was cut short in, or never reached: at most as long as a line may be.
    let line = rest.until(b'\n', MAX_ENTRY_BYTES)?;
    let text = line.bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let written = beginning(text, scanned.head);
    if text.len() == line.bytes.len() {
        let at_end = !line.found && rest.at == rest.end;
        let torn = at_end && written == Some(Beginning::Part);
        return Ok(if torn { Tail::Torn } else { Tail::Damaged });
    }
    if written.is_none() {
        return Ok(Tail::Damaged);
    }
    rest.at = place.offset + text.len() as u64;
    let zeros_end = rest.skip_zeros()?;
    Ok(match zeros_end {
        end if end == scanned.bytes => Tail::Nul,
        end if end % SECTOR_BYTES == 0 => Tail::Hole,
        _ => Tail::Damaged,
    })
}

/// How much of a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    Part,
    AllButNewline,
}

/// Whether `text` is the beginning of the canonical line that is due after `head`.
fn beginning(text: &[u8], head: Head) -> Option<Beginning> {
    let part = |is_part: bool| is_part.then_some(Beginning::Part);
    let fixed = format!(
        "{{\"sequence\":{},\"previous_hash\":\"{}\",\"entry_hash\":\"",
        head.next(),
        head.hash
    );
    let Some(rest) = text.strip_prefix(fixed.as_bytes()) else {
        return part(fixed.as_bytes().starts_with(text));
    };
    let hash = rest.iter().take(64).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let Some(rest) = rest.get(64..).filter(|_| hash == 64) else {
        return part(hash == rest.len());
    };
    let name = b"\",\"data\":";
    let Some(rest) = rest.strip_prefix(name) else {
        return part(name.starts_with(rest));
    };
    match json::value(rest) {
        Ok(b"}") => Some(Beginning::AllButNewline),
        Ok(rest) => part(rest.is_empty()),
        Err(Expected(_, at)) => part(at.len() < LONGEST_ATOM),
    }
}

/// The scanner stops at the start of an escape, a literal or a digit that is cut short: `\u123`, `fals`.
const LONGEST_ATOM: usize = 6;

/// The unscanned end of the file.
struct Rest<'a> {
    path: &'a Path,
    file: &'a dyn StorageFile,
    at: u64,
    end: u64,
}

struct Found {
    bytes: Vec<u8>,
    found: bool,
}

impl Rest<'_> {
    /// The next bytes, in blocks that end on sectors; empty at the end of the file.
    fn block<'b>(&mut self, buffer: &'b mut [u8]) -> Result<&'b [u8], WalError> {
        let wanted = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let room = buffer.get_mut(..wanted).unwrap_or_default();
        let count = self.file.read_at(room, self.at).map_err(WalError::io("read", self.path))?;
        self.at += count as u64;
        Ok(buffer.get(..count).unwrap_or_default())
    }

    /// Everything up to `byte`, or up to `limit` bytes, or to the end.
    fn until(&mut self, byte: u8, limit: u64) -> Result<Found, WalError> {
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            let block = self.block(&mut buffer)?;
            if let Some(at) = memchr::memchr(byte, block) {
                bytes.extend_from_slice(block.get(..at).unwrap_or_default());
                return Ok(Found { bytes, found: true });
            }
            bytes.extend_from_slice(block);
            if block.is_empty() || bytes.len() as u64 > limit {
                return Ok(Found { bytes, found: false });
            }
        }
    }

    /// Where the zeros that start here end.
    fn skip_zeros(&mut self) -> Result<u64, WalError> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let start = self.at;
            let block = self.block(&mut buffer)?;
            if let Some(at) = block.iter().position(|byte| *byte != 0) {
                return Ok(start + at as u64);
            }
            if block.is_empty() {
                return Ok(start);
            }
        }
    }
}
