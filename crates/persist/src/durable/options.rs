//! How a durable ledger is opened.

use std::sync::Arc;

use calybris_budget::Limits;
use calybris_wal::WalOptions;
use calybris_wal::storage::{Files, Storage};

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
    pub(crate) storage: Arc<dyn Storage>,
}

impl DurableOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self { wal: WalOptions::new(), limits: Limits::default(), storage: Arc::new(Files) }
    }

    /// Keys the log's chain with at least 32 secret bytes.
    pub fn key(mut self, key: &[u8]) -> Self {
        self.wal = self.wal.key(key);
        self
    }

    /// How long and how many idempotency keys a new ledger keeps. An existing one keeps what it was made with.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
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
