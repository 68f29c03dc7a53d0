//! Telling what a crash leaves at the end of a log from what no crash leaves.

use std::path::Path;

use crate::chain::Head;
use crate::error::{EntryFault, WalError};
use crate::json::{self, Expected};
use crate::line::MAX_ENTRY_BYTES;
use crate::recovery::Tail;
use crate::scan::Scanned;
use crate::storage::StorageFile;

/// The smallest unit a disk writes whole; a lost write leaves what was there before up to a multiple of it.
const SECTOR_BYTES: u64 = 512;
/// What was there before: nothing, or room that a writer made for entries.
const NUL: u8 = 0;
const BLANK: u8 = b'\n';

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
    let tail = rest.classify(scanned.head)?;
    // Blank lines before it may be room, and sectors in it that were never written.
    let before = Unwritten::room(scanned.end, place.offset);
    Ok(if tail == Tail::Damaged && before.ends_with_sector() { Tail::Hole } else { tail })
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

/// A stretch where nothing was written.
struct Unwritten {
    start: u64,
    end: u64,
    /// Its first byte and its last.
    ends: Option<[u8; 2]>,
    /// It was room, in part at least.
    has_blank: bool,
}

impl Unwritten {
    /// Blank lines from here to there.
    fn room(start: u64, end: u64) -> Self {
        Self { start, end, ends: (end > start).then_some([BLANK; 2]), has_blank: end > start }
    }

    /// Adds the bytes that follow.
    fn extend(&mut self, bytes: &[u8]) {
        if let (Some(first), Some(last)) = (bytes.first(), bytes.last()) {
            self.end += bytes.len() as u64;
            self.ends = Some([self.ends.map_or(*first, |[first, _]| first), *last]);
            self.has_blank |= memchr::memchr(BLANK, bytes).is_some();
        }
    }

    /// Whether what follows may be a sector that was written, be it with the newline of the line before.
    fn ends_with_sector(&self) -> bool {
        let ends_at = |end: u64| end > self.start && end.is_multiple_of(SECTOR_BYTES);
        ends_at(self.end)
            || matches!(self.ends, Some([_, BLANK])) && ends_at(self.end.saturating_sub(1))
    }
}

impl Rest<'_> {
    /// What this is, after the entry of `head` and blank lines.
    fn classify(&mut self, head: Head) -> Result<Tail, WalError> {
        // A line that a write was cut short in, or never reached: at most as long as a line may be.
        let line = self.line(MAX_ENTRY_BYTES)?;
        let written = beginning(&line, head);
        if self.at == self.end {
            let torn = written == Some(Beginning::Part);
            return Ok(if torn { Tail::Torn } else { Tail::Damaged });
        }
        let unwritten = self.skip_unwritten()?;
        let at_end = self.at == self.end;
        Ok(match (written, unwritten.ends) {
            (None, _) | (_, None) => Tail::Damaged,
            // A whole line and its newline were written, and do not hold.
            (Some(Beginning::AllButNewline), Some([BLANK, _])) => Tail::Damaged,
            _ if at_end && !unwritten.has_blank => Tail::Nul,
            _ if at_end || unwritten.ends_with_sector() => Tail::Hole,
            _ => Tail::Damaged,
        })
    }

    /// The next bytes, in blocks that end on sectors; empty at the end of the file.
    fn block<'b>(&mut self, buffer: &'b mut [u8]) -> Result<&'b [u8], WalError> {
        let wanted = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let room = buffer.get_mut(..wanted).unwrap_or_default();
        let count = self.file.read_at(room, self.at).map_err(WalError::io("read", self.path))?;
        self.at += count as u64;
        Ok(buffer.get(..count).unwrap_or_default())
    }

    /// Everything up to where nothing was written, or a little more than `limit` bytes, or to the end.
    fn line(&mut self, limit: u64) -> Result<Vec<u8>, WalError> {
        let (mut line, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            let start = self.at;
            let block = self.block(&mut buffer)?;
            let written = memchr::memchr2(NUL, BLANK, block).unwrap_or(block.len());
            line.extend_from_slice(block.get(..written).unwrap_or_default());
            if written < block.len() || block.is_empty() || line.len() as u64 > limit {
                self.at = start + written as u64;
                return Ok(line);
            }
        }
    }

    /// Goes on to where something was written again.
    fn skip_unwritten(&mut self) -> Result<Unwritten, WalError> {
        let (mut skipped, mut buffer) = (Unwritten::room(self.at, self.at), vec![0; 64 << 10]);
        loop {
            let block = self.block(&mut buffer)?;
            let is_written = |byte: &u8| ![NUL, BLANK].contains(byte);
            let end = block.iter().position(is_written).unwrap_or(block.len());
            skipped.extend(block.get(..end).unwrap_or_default());
            if end < block.len() || block.is_empty() {
                self.at = skipped.end;
                return Ok(skipped);
            }
        }
    }
}
