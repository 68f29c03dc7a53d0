//! How a log is opened for writing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use calybris_proof::chain::{ChainKey, WalAnchor};

use crate::chain::Head;
use crate::error::WalError;
use crate::storage::{Files, Storage};

/// Room is written at once, from memory.
const MAX_ROOM_BYTES: u64 = 64 << 20;

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
    pub(crate) room_bytes: u64,
    pub(crate) anchor: Option<WalAnchor>,
    pub(crate) after: Option<WalAnchor>,
    pub(crate) segment_bytes: Option<u64>,
    pub(crate) archive: Option<PathBuf>,
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
            room_bytes: 0,
            anchor: None,
            after: None,
            segment_bytes: None,
            archive: None,
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

    /// Makes room ahead: a sync that has used up what there is puts this many bytes of blank lines on the disk, and the
    /// next groups are written over them. A sync waits for less when the file does not become longer: 1 MiB is
    /// plenty, 64 MiB the most. 0, the default, makes none.
    ///
    /// Readers of this format skip blank lines, and closing the log or going on to the next segment cuts off what is
    /// left. But whoever follows the file by its length, as `tail -f` and what ships logs elsewhere do, takes
    /// the room for the end, and never comes back for what is written there: leave it at 0 for them.
    ///
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("log");
    /// use calybris_wal::{WalError, WalOptions, WalWriter, verify_wal_with};
    ///
    /// let options = WalOptions::new().room_bytes(4_096);
    /// let log = WalWriter::<u32>::open_with(&path, &options)?;
    /// log.append_durable(7)?;
    /// assert!(std::fs::metadata(&path).unwrap().len() > 4_096);
    /// assert_eq!(verify_wal_with(&path, &options, None)?.sequence, 1);
    /// drop(log);
    /// assert!(std::fs::metadata(&path).unwrap().len() < 512);
    /// # Ok::<(), WalError>(())
    /// ```
    #[must_use]
    pub fn room_bytes(mut self, room_bytes: u64) -> Self {
        self.room_bytes = room_bytes.min(MAX_ROOM_BYTES);
        self
    }

    /// A head kept elsewhere that the log must contain to be opened.
    #[must_use]
    pub fn anchor(mut self, anchor: WalAnchor) -> Self {
        self.anchor = Some(anchor);
        self
    }

    /// The head that the first entry must follow: of a single segment, or of what was retired before it.
    #[must_use]
    pub fn after(mut self, head: WalAnchor) -> Self {
        self.after = Some(head);
        self
    }

    /// Makes the log a directory of segments, and a segment at most this long, unless what is written at once
    /// is longer. An existing directory is written in segments of 64 MiB where nothing is said.
    #[must_use]
    pub fn segment_bytes(mut self, segment_bytes: u64) -> Self {
        self.segment_bytes = Some(segment_bytes);
        self
    }

    /// A folder for what is retired: a writer compresses each segment into it before removing it, and readers
    /// begin there, so that they see the whole log.
    #[cfg(feature = "archive")]
    #[must_use]
    pub fn archive(mut self, folder: &Path) -> Self {
        self.archive = Some(folder.to_owned());
        self
    }

    /// What the first entry follows, `otherwise` where nothing is asked for.
    pub(crate) fn start(&self, otherwise: Head) -> Head {
        self.after.as_ref().map_or(otherwise, Head::of)
    }

    /// The key, checked, and every trusted head of the same kind.
    pub(crate) fn chain_key(&self, path: &Path) -> Result<Option<ChainKey>, WalError> {
        let key = self.key.as_deref().map(ChainKey::new).transpose()?;
        let mut heads = self.anchor.iter().chain(&self.after);
        match heads.find(|head| head.keyed != key.is_some()) {
            Some(head) => Err(WalError::AnchorKey { path: path.to_owned(), keyed: !head.keyed }),
            None => Ok(key),
        }
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
            .field("room_bytes", &self.room_bytes)
            .field("anchor", &self.anchor)
            .field("after", &self.after)
            .field("segment_bytes", &self.segment_bytes)
            .field("archive", &self.archive)
            .field("storage", &self.storage)
            .finish()
    }
}
