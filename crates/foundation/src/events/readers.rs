//! The readers of one opened log: a few, kept while they are idle.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::failure::LogFailure;
use super::log::EventReader;
use super::store_error::EventStoreError;

/// How many read at once at most; whoever comes then waits.
const READERS: usize = 4;

pub(super) struct Readers {
    idle: Mutex<Vec<Box<dyn EventReader>>>,
    permits: Semaphore,
    may_block: bool,
}

impl Readers {
    pub(super) fn new(first: Box<dyn EventReader>, may_block: bool) -> Arc<Self> {
        Arc::new(Self { idle: Mutex::new(vec![first]), permits: Semaphore::new(READERS), may_block })
    }

    /// Reads, in place or where blocking is allowed, with `another` reader if none is idle. One that has failed is not
    /// kept.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        another: impl Future<Output = Result<Box<dyn EventReader>, EventStoreError>>,
        read: impl FnOnce(&dyn EventReader) -> Result<T, LogFailure> + Send + 'static,
    ) -> Result<T, EventStoreError> {
        let _permit = self.permits.acquire().await.map_err(EventStoreError::no_answer)?;
        let idle = self.idle.lock().pop();
        let reader = match idle {
            Some(reader) => reader,
            None => another.await?,
        };
        let act = move || (read(&*reader), reader);
        let (outcome, reader) =
            if self.may_block { spawn_blocking(act).await.map_err(EventStoreError::no_answer)? } else { act() };
        if outcome.is_ok() {
            self.idle.lock().push(reader);
        }
        Ok(outcome?)
    }
}
