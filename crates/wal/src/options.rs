//! How a log is opened for writing.

use std::sync::Arc;

use calybris_proof::chain::WalAnchor;

use crate::storage::{Files, Storage};

/// How a log is opened for writing: unkeyed, unsynced, unbuffered and on real files unless said otherwise.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("log");
/// use calybris_wal::{WalError, WalOptions, WalWriter};
///
/// let options = WalOptions::new().key(&[7; 32]).sync_on_append(true);
/// let log = WalWriter::<u32>::open_with(&path, &options)?;
/// assert!(log.anchor().keyed);
///
/// let short = WalOptions::new().key(b"short");
/// assert!(matches!(WalWriter::<u32>::open_with(&path, &short), Err(WalError::Key(_))));
/// # Ok::<(), WalError>(())
/// ```
#[derive(Clone)]
pub struct WalOptions {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) sync_on_append: bool,
    pub(crate) buffer_bytes: usize,
    pub(crate) anchor: Option<WalAnchor>,
    pub(crate) storage: Arc<dyn Storage>,
}

impl WalOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            key: None,
            sync_on_append: false,
            buffer_bytes: 0,
            anchor: None,
            storage: Arc::new(Files),
        }
    }

    /// Keys the chain with at least 32 secret bytes.
    #[must_use]
    pub fn key(mut self, key: &[u8]) -> Self {
        self.key = Some(key.to_vec());
        self
    }

    /// Whether every append is durable when it returns.
    #[must_use]
    pub fn sync_on_append(mut self, sync_on_append: bool) -> Self {
        self.sync_on_append = sync_on_append;
        self
    }

    /// How many bytes of entries appends may leave in the process before one of them writes. They are lost
    /// when the process dies; with 0, the default, only the machine's death loses entries that are not synced.
    #[must_use]
    pub fn buffer_bytes(mut self, buffer_bytes: usize) -> Self {
        self.buffer_bytes = buffer_bytes;
        self
    }

    /// A head kept elsewhere that the log must contain to be opened.
    #[must_use]
    pub fn anchor(mut self, anchor: WalAnchor) -> Self {
        self.anchor = Some(anchor);
        self
    }

    /// Keeps the log elsewhere than in real files.
    #[must_use]
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.storage = storage;
        self
    }
}

impl Default for WalOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for WalOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WalOptions")
            .field("keyed", &self.key.is_some())
            .field("sync_on_append", &self.sync_on_append)
            .field("buffer_bytes", &self.buffer_bytes)
            .field("anchor", &self.anchor)
            .field("storage", &self.storage)
            .finish()
    }
}
