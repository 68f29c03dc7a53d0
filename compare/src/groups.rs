//! Real files that note how many bytes of the log went into each write before a sync, so that a bare loop can repeat
//! the same groups.

use std::sync::{Arc, Mutex};

use calybris_wal::WalOptions;
use calybris_wal::storage::{Change, Files, Watched};

/// The groups of the log opened last, in bytes.
#[derive(Clone, Debug, Default)]
pub struct Groups(Arc<Mutex<Vec<usize>>>);

impl Groups {
    /// For a log called `log`; forgets what was seen before.
    pub fn options(&self) -> WalOptions {
        self.0.lock().unwrap().clear();
        let groups = Arc::clone(&self.0);
        WalOptions::new().storage(Arc::new(Watched::new(Files, move |path, change| {
            let is_log = path.file_name().is_some_and(|name| name == "log");
            match change {
                // Room made ahead is no group.
                Change::Write { bytes, .. } if is_log && !bytes.starts_with(b"\n") => {
                    groups.lock().unwrap().push(bytes.len());
                }
                _ => {}
            }
            Ok(())
        })))
    }

    pub fn seen(&self) -> Vec<usize> {
        self.0.lock().unwrap().clone()
    }
}
