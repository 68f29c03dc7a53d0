//! Archived segments, written and read as streams.

use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use crate::error::WalError;
use crate::segments::{PACKED, Segment, Segments, name};
use crate::storage::{Storage, StorageFile, create_directory, exists};

const BLOCK_BYTES: usize = 256 << 10;

/// Compresses segments into a folder, durably. What is there already is not replaced: whether it is the same
/// segment, from an earlier attempt, or another log's, shows when it is read back.
pub(crate) fn write(
    segments: &Segments,
    folder: &Path,
    storage: &dyn Storage,
) -> Result<Segments, WalError> {
    create_directory(storage, folder)?;
    let mut archived = segments.clone();
    for segment in archived.sealed.iter_mut().chain([&mut archived.last]) {
        let path = folder.join(name(segment.first) + PACKED);
        if !exists(storage, &path)? {
            let new = path.with_extension("gz.new");
            let (file, _) = segments.open(segment, storage)?;
            let packed = storage.open_write(&new).map_err(WalError::io("open", &new))?;
            pack(&*file, &*packed).map_err(WalError::io("archive", &segment.path))?;
            packed.sync().map_err(WalError::io("sync", &new))?;
            storage.rename(&new, &path).map_err(WalError::io("rename", &new))?;
        }
        *segment = Segment { path, packed: true, ..*segment };
    }
    storage.sync_directory(folder).map_err(WalError::io("sync", folder))?;
    Ok(archived)
}

fn pack(from: &dyn StorageFile, to: &dyn StorageFile) -> io::Result<()> {
    to.set_len(0)?;
    let sink = BufWriter::with_capacity(BLOCK_BYTES, Cursor { file: to, at: 0 });
    let mut encoder = GzEncoder::new(sink, Compression::default());
    io::copy(
        &mut BufReader::with_capacity(BLOCK_BYTES, Cursor { file: from, at: 0 }),
        &mut encoder,
    )?;
    encoder.finish()?.flush()
}

/// Reads and writes one after another.
#[derive(Debug)]
struct Cursor<F> {
    file: F,
    at: u64,
}

impl<'f, F: std::ops::Deref<Target = dyn StorageFile + 'f>> Read for Cursor<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Write for Cursor<&dyn StorageFile> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An archived segment as the file it was made from, for a reader that goes from its start to its end.
#[derive(Debug)]
pub(crate) struct Unpacked(Mutex<Stream>);

#[derive(Debug)]
struct Stream {
    decoder: GzDecoder<BufReader<Cursor<Box<dyn StorageFile>>>>,
    at: u64,
}

impl Unpacked {
    pub(crate) fn new(file: Box<dyn StorageFile>) -> Self {
        let packed = BufReader::with_capacity(BLOCK_BYTES, Cursor { file, at: 0 });
        Self(Mutex::new(Stream { decoder: GzDecoder::new(packed), at: 0 }))
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "an archived segment is read from start to end")
}

impl StorageFile for Unpacked {
    fn len(&self) -> io::Result<u64> {
        Err(read_only())
    }

    /// Whatever is wrong with the archive is [`io::ErrorKind::InvalidData`].
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if stream.at != offset {
            return Err(read_only());
        }
        let damaged = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
                io::Error::new(io::ErrorKind::InvalidData, error)
            }
            _ => error,
        };
        let count = stream.decoder.read(buffer).map_err(damaged)?;
        if count == 0 && !stream.decoder.get_mut().fill_buf()?.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more follows the gzip member"));
        }
        stream.at += count as u64;
        Ok(count)
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        Err(read_only())
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(read_only())
    }

    fn sync(&self) -> io::Result<()> {
        Err(read_only())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Err(read_only())
    }

    fn len_at(&self, _path: &Path) -> io::Result<Option<u64>> {
        Err(read_only())
    }
}
