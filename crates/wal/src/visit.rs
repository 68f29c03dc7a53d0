//! Giving out the entries of a log that is opened as a writer would open it.

use std::path::Path;

use calybris_proof::chain::ChainKey;
use serde::de::DeserializeOwned;

use crate::entry::WalEntry;
use crate::error::WalError;
use crate::options::WalOptions;
use crate::reader::visit_file;

/// Gives the verified entries of a log to `visit`, one by one: with the key and from the storage that
/// `options` name.
///
/// An entry is given out once its own link holds; what follows it is checked only afterwards.
///
/// # Errors
/// [`WalError::Io`]; [`WalError::Key`]; [`WalError::Entry`] at the first line that breaks the chain or does not
/// decode.
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
/// use calybris_wal::storage::Memory;
/// use calybris_wal::{WalError, WalOptions, WalWriter, visit_wal_with};
///
/// let options = WalOptions::new().key(&[7; 32]).storage(Arc::new(Memory::default()));
/// let path = Path::new("log");
/// WalWriter::<u32>::open_with(path, &options)?.append(7)?;
/// let mut found = Vec::new();
/// visit_wal_with::<u32, _>(path, &options, |entry| found.push(entry.data))?;
/// assert_eq!(found, [7]);
///
/// let other_key = options.clone().key(&[8; 32]);
/// let refused = visit_wal_with::<u32, _>(path, &other_key, drop);
/// assert!(matches!(refused, Err(WalError::Entry { .. })));
/// # Ok::<(), WalError>(())
/// ```
pub fn visit_wal_with<T: DeserializeOwned, F: FnMut(WalEntry<T>)>(
    path: &Path,
    options: &WalOptions,
    visit: F,
) -> Result<(), WalError> {
    let key = options.key.as_deref().map(ChainKey::new).transpose()?;
    let file = options.storage.open_read(path).map_err(WalError::io("open", path))?;
    visit_file(path, &*file, key.as_ref(), visit).map(drop)
}
