//! Archived segments: each a gzip file (RFC 1952) of one member, behind the feature `archive`.

#[cfg(feature = "archive")]
mod gzip;

use std::io;
use std::path::Path;

use crate::error::WalError;
use crate::storage::StorageFile;

#[cfg(feature = "archive")]
pub(crate) use gzip::write;

/// An archived segment as the file it was made from, for a reader that goes from its start to its end.
#[cfg(feature = "archive")]
pub(crate) fn unpacked(
    file: Box<dyn StorageFile>,
    _path: &Path,
) -> Result<Box<dyn StorageFile>, WalError> {
    Ok(Box::new(gzip::Unpacked::new(file)))
}

#[cfg(not(feature = "archive"))]
pub(crate) fn unpacked(
    _file: Box<dyn StorageFile>,
    path: &Path,
) -> Result<Box<dyn StorageFile>, WalError> {
    let reason = "this program was built without the feature `archive`";
    Err(WalError::io("unpack", path)(io::Error::new(io::ErrorKind::Unsupported, reason)))
}

/// The bytes that an archived segment says it was made from: its last four, so modulo 2^32.
pub(crate) fn claimed_bytes(file: &dyn StorageFile) -> io::Result<u64> {
    let (mut size, at) = ([0; 4], file.len()?.saturating_sub(4));
    file.read_at(&mut size, at)?;
    Ok(u64::from(u32::from_le_bytes(size)))
}
