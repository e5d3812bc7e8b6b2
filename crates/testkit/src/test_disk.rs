use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foundation::Namespace;
use foundation::events::{EventLog, EventStorage, LogError, MemoryLog, SqliteLog, SqliteOptions};

use crate::FaultyLog;

/// The disk of an event log: it takes nothing while it is full, and no log can be opened while it is gone. Clones are
/// the same disk.
#[derive(Debug, Clone, Default)]
pub struct TestDisk {
    is_full: Arc<AtomicBool>,
    is_gone: Arc<AtomicBool>,
}

impl TestDisk {
    /// Fills it, or makes room again.
    pub fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::SeqCst);
    }

    /// Takes it away, or brings it back.
    pub fn set_gone(&self, is_gone: bool) {
        self.is_gone.store(is_gone, Ordering::SeqCst);
    }

    /// One log in memory on this disk, for all namespaces.
    pub fn in_memory(&self) -> EventStorage {
        let kept = MemoryLog::new("production");
        self.storage(move |_| Ok(kept.clone()))
    }

    /// Files of this directory on this disk.
    pub fn on(&self, directory: &Path) -> EventStorage {
        let directory = directory.to_owned();
        self.storage(move |namespace| SqliteLog::open_in(&directory, namespace, SqliteOptions::default()))
    }

    fn storage<L: EventLog>(
        &self,
        open: impl Fn(Namespace) -> Result<L, LogError> + Send + Sync + 'static,
    ) -> EventStorage {
        let disk = self.clone();
        EventStorage::with(move |namespace| {
            if disk.is_gone.load(Ordering::SeqCst) {
                return Err(LogError::new("opening the event log", "a file", "no such device"));
            }
            let is_full = Arc::clone(&disk.is_full);
            Ok(FaultyLog::new(open(namespace)?, move |log, group, now| match is_full.load(Ordering::SeqCst) {
                true => Err(LogError::new("recording events", "a file", no_space())),
                false => log.commit(group, now),
            }))
        })
    }
}

fn no_space() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on device")
}
