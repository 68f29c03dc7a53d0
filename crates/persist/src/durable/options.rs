//! How a durable ledger is opened.

#[cfg(feature = "archive")]
use std::path::{Path, PathBuf};
use std::sync::Arc;

use calybris_budget::Limits;
use calybris_proof::chain::WalAnchor;
use calybris_wal::WalOptions;
use calybris_wal::storage::{Files, Storage};

/// Of the log's segments.
const SEGMENT_BYTES: u64 = 64 << 20;

/// How a durable ledger is opened: unkeyed, with the default limits, on real files unless said otherwise.
///
/// ```
/// use calybris_persist::{DurableLedger, DurableOptions, PersistError};
///
/// # let folder = tempfile::tempdir().unwrap();
/// let keyed = DurableOptions::new().key(&[7; 32]);
/// assert!(DurableLedger::open_with(folder.path(), keyed)?.anchor().keyed);
/// assert!(DurableLedger::open(folder.path()).is_err(), "the key is needed");
/// # Ok::<(), PersistError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct DurableOptions {
    pub(crate) wal: WalOptions,
    pub(crate) limits: Limits,
    pub(crate) record_all: bool,
    pub(crate) segment_bytes: u64,
    #[cfg(feature = "archive")]
    pub(crate) archive: Option<PathBuf>,
    pub(crate) storage: Arc<dyn Storage>,
}

impl DurableOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            wal: WalOptions::new(),
            limits: Limits::default(),
            record_all: true,
            segment_bytes: SEGMENT_BYTES,
            #[cfg(feature = "archive")]
            archive: None,
            storage: Arc::new(Files),
        }
    }

    /// Keys the log's chain with at least 32 secret bytes.
    pub fn key(mut self, key: &[u8]) -> Self {
        self.wal = self.wal.key(key);
        self
    }

    /// A head of the log that was kept elsewhere ([`DurableLedger::anchor`](crate::DurableLedger::anchor)). A log that
    /// ends before it, has another entry at its place, or is not there at all is refused: that its end was cut off
    /// cleanly, or all of the folder replaced by an older copy, shows by nothing else.
    ///
    /// ```
    /// use calybris_budget::Call;
    /// use calybris_persist::{DurableLedger, DurableOptions, PersistError};
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (there, gone) = (folder.path().join("ledger"), folder.path().join("restored"));
    /// let ledger = DurableLedger::open(&there)?;
    /// ledger.open_tenant("desk-1", None, 1_000, Call::default())?.unwrap();
    /// let head = ledger.anchor();
    /// drop(ledger);
    /// DurableLedger::open_with(&there, DurableOptions::new().anchor(head))?;
    /// let refused = DurableLedger::open_with(&gone, DurableOptions::new().anchor(head));
    /// assert!(matches!(refused, Err(PersistError::Wal(_))), "no such entry");
    /// # Ok::<(), PersistError>(())
    /// ```
    pub fn anchor(mut self, anchor: WalAnchor) -> Self {
        self.wal = self.wal.anchor(anchor);
        self
    }

    /// How long and how many idempotency keys a new ledger keeps. An existing one keeps what it was made with.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether operations that change nothing are recorded too: refusals of calls without an idempotency key, and
    /// expiries that find nothing due. With `false` the ledger is the same; its log does not say that somebody asked,
    /// and a caller that is refused over and over does not fill the disk.
    pub fn record_all(mut self, record_all: bool) -> Self {
        self.record_all = record_all;
        self
    }

    /// Makes room ahead of the log's entries, as [`WalOptions::room_bytes`] does: more operations a second where a sync
    /// is what they wait for. The ledger's folder is read by this crate alone, unless you say otherwise.
    pub fn room_bytes(mut self, room_bytes: u64) -> Self {
        self.wal = self.wal.room_bytes(room_bytes);
        self
    }

    /// How long a segment of the log becomes before the next one is begun: 64 MiB unless said otherwise. What is
    /// retired is whole segments. A ledger that was made with one file as its log keeps that file.
    pub fn segment_bytes(mut self, segment_bytes: u64) -> Self {
        self.segment_bytes = segment_bytes;
        self
    }

    /// Compresses what is retired into a folder before it goes. With it, the readers of the log crate
    /// (`WalOptions::archive`) read the log from its first entry; a restart does not need it.
    #[cfg(feature = "archive")]
    pub fn archive(mut self, folder: &Path) -> Self {
        self.archive = Some(folder.to_owned());
        self
    }

    /// How the log is opened for writing.
    #[cfg(feature = "archive")]
    pub(crate) fn writing(&self, wal: &WalOptions) -> WalOptions {
        match &self.archive {
            Some(folder) => wal.clone().archive(folder),
            None => wal.clone(),
        }
    }

    /// How the log is opened for writing.
    #[cfg(not(feature = "archive"))]
    #[expect(clippy::unused_self, reason = "it has to say with the feature")]
    pub(crate) fn writing(&self, wal: &WalOptions) -> WalOptions {
        wal.clone()
    }

    /// Keeps log and checkpoints elsewhere than in real files.
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.wal = self.wal.storage(Arc::clone(&storage));
        self.storage = storage;
        self
    }
}

impl Default for DurableOptions {
    fn default() -> Self {
        Self::new()
    }
}
