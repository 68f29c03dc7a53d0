//! Lines of a file in bounded memory: a line over the limit is refused before it is read whole.

use std::io;

use memchr::memchr;

use crate::error::{EntryFault, Fault};
use crate::line::MAX_ENTRY_BYTES;
use crate::storage::StorageFile;

const FIRST_BUFFER_BYTES: usize = 64 << 10;

/// A line and where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawLine<'a> {
    /// Without the newline.
    pub(crate) bytes: &'a [u8],
    /// Of its first byte in the file.
    pub(crate) offset: u64,
    /// Whether a newline follows; only the last line of a file can lack it.
    pub(crate) terminated: bool,
}

impl RawLine<'_> {
    /// The offset of the byte after the line and its newline.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64 + u64::from(self.terminated)
    }
}

/// What reading a line can come to besides a line.
#[derive(Debug)]
pub(crate) enum LineError {
    Io(io::Error),
    /// The line that starts at `offset` has more bytes than allowed.
    TooLong {
        offset: u64,
        found: u64,
    },
    /// The archived file that `offset` is in cannot be unpacked.
    Archive {
        offset: u64,
        reason: String,
    },
}

impl LineError {
    fn of(error: io::Error, offset: u64) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Archive { offset, reason: error.to_string() },
            _ => Self::Io(error),
        }
    }

    /// Where the line starts and what is wrong with it, if it is not the reading that failed.
    pub(crate) fn fault(self) -> Result<(u64, Fault), io::Error> {
        match self {
            Self::Io(error) => Err(error),
            Self::TooLong { offset, found } => {
                Ok((offset, EntryFault::TooLong { found, limit: MAX_ENTRY_BYTES }.into()))
            }
            Self::Archive { offset, reason } => Ok((offset, EntryFault::Archive { reason }.into())),
        }
    }
}

/// Reads the lines of one file from one offset to another.
#[derive(Debug)]
pub(crate) struct Lines<'f> {
    file: &'f dyn StorageFile,
    end: u64,
    buffer: Vec<u8>,
    /// The bytes of `buffer` read from the file and not yet given out.
    filled: std::ops::Range<usize>,
    /// Where in the file `filled` starts.
    offset: u64,
}

impl<'f> Lines<'f> {
    /// From `start`, which is a line's start, up to `end`.
    pub(crate) fn new(file: &'f dyn StorageFile, start: u64, end: u64) -> Self {
        Self { file, end, buffer: Vec::new(), filled: 0..0, offset: start }
    }

    /// Where the next line starts.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next line, none at the end.
    pub(crate) fn next_line(&mut self) -> Result<Option<RawLine<'_>>, LineError> {
        let mut searched = 0;
        let (length, terminated) = loop {
            let window = self.buffer.get(self.filled.clone()).unwrap_or_default();
            if let Some(at) = memchr(b'\n', window.get(searched..).unwrap_or_default()) {
                break (searched + at, true);
            }
            searched = window.len();
            if searched as u64 > MAX_ENTRY_BYTES {
                break (searched, false);
            }
            let offset = self.offset;
            if !self.fill().map_err(|error| LineError::of(error, offset))? {
                break (searched, false);
            }
        };
        if length == 0 && !terminated {
            return Ok(None);
        }
        let (offset, start) = (self.offset, self.filled.start);
        if length as u64 > MAX_ENTRY_BYTES {
            return Err(LineError::TooLong { offset, found: length as u64 });
        }
        let taken = length + usize::from(terminated);
        self.filled.start += taken;
        self.offset += taken as u64;
        let bytes = self.buffer.get(start..start + length).unwrap_or_default();
        Ok(Some(RawLine { bytes, offset, terminated }))
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
        if self.filled.end == self.buffer.len() {
            // No more than what is left of a small file.
            let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
            let larger = (self.buffer.len() * 2).max(FIRST_BUFFER_BYTES);
            let length = larger.min(left.max(self.buffer.len()));
            // The first comes zeroed from the system.
            match self.buffer.len() {
                0 => self.buffer = vec![0; length],
                _ => self.buffer.resize(length, 0),
            }
        }
        let at = self.offset + self.filled.len() as u64;
        let room = self.buffer.get_mut(self.filled.end..).unwrap_or_default();
        let wanted = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        let length = room.len().min(wanted);
        let Some(room) = room.get_mut(..length).filter(|room| !room.is_empty()) else {
            return Ok(false);
        };
        loop {
            match self.file.read_at(room, at) {
                Ok(count) => {
                    self.filled.end += count;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Lines of every length around the buffer's and the limit.

    use std::path::Path;

    use super::*;
    use crate::storage::{Memory, Storage as _};

    fn lines_of(bytes: &[u8]) -> Vec<(usize, u64, bool)> {
        let memory = Memory::default();
        memory.write(Path::new("log"), bytes);
        let file = memory.open_read(Path::new("log")).unwrap();
        let mut lines = Lines::new(&*file, 0, bytes.len() as u64);
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            assert_eq!(
                line.bytes,
                &bytes[usize::try_from(line.offset).unwrap()..][..line.bytes.len()]
            );
            found.push((line.bytes.len(), line.offset, line.terminated));
        }
        found
    }

    #[test]
    fn whole_unterminated_and_blank_lines() {
        assert_eq!(lines_of(b""), []);
        assert_eq!(lines_of(b"\n"), [(0, 0, true)]);
        assert_eq!(lines_of(b"ab\n\nc"), [(2, 0, true), (0, 3, true), (1, 4, false)]);
    }

    #[test]
    fn lines_across_buffers() {
        for length in [FIRST_BUFFER_BYTES - 1, FIRST_BUFFER_BYTES, 3 * FIRST_BUFFER_BYTES + 7] {
            let mut bytes = b"first\n".to_vec();
            bytes.extend(std::iter::repeat_n(b'x', length));
            bytes.extend_from_slice(b"\nlast");
            let expected = [(5, 0, true), (length, 6, true), (4, 7 + length as u64, false)];
            assert_eq!(lines_of(&bytes), expected);
        }
    }

    #[test]
    fn a_line_over_the_limit_is_not_read_whole() {
        let limit = usize::try_from(MAX_ENTRY_BYTES).unwrap();
        let mut bytes = b"first\n".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', 3 * limit));
        let memory = Memory::default();
        memory.write(Path::new("log"), &bytes);
        let file = memory.open_read(Path::new("log")).unwrap();
        let mut lines = Lines::new(&*file, 0, bytes.len() as u64);
        assert!(lines.next_line().unwrap().is_some());
        match lines.next_line() {
            Err(LineError::TooLong { offset: 6, found }) => {
                assert!(found > MAX_ENTRY_BYTES && found <= 2 * MAX_ENTRY_BYTES);
            }
            other => panic!("{other:?}"),
        }
        bytes.truncate(6 + limit);
        assert_eq!(lines_of(&bytes), [(5, 0, true), (limit, 6, false)], "the limit itself is fine");
    }
}
