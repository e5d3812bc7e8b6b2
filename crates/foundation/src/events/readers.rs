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

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::thread;

    use super::super::log::EventLog;
    use super::super::memory::MemoryLog;
    use super::*;

    fn reader() -> Box<dyn EventReader> {
        EventLog::reader(&MemoryLog::new("production")).unwrap()
    }

    fn failure() -> LogFailure {
        LogFailure::new("reading", "memory", "a bad sector")
    }

    #[tokio::test]
    async fn an_idle_reader_is_used_again_and_one_that_has_failed_is_not() {
        let readers = Readers::new(reader(), false);
        let none = || ready(Err(EventStoreError::no_answer("another one was wanted")));
        assert!(readers.read(none(), |_| Ok(())).await.is_ok());
        assert!(readers.read(none(), |_| Err::<(), _>(failure())).await.is_err());
        let error = readers.read(none(), |_| Ok(())).await.unwrap_err();
        assert_eq!(error.to_string(), "another one was wanted");
        assert!(readers.read(ready(Ok(reader())), |_| Ok(())).await.is_ok());
        assert!(readers.read(none(), |_| Ok(())).await.is_ok());
    }

    #[tokio::test]
    async fn a_log_that_may_block_is_read_on_another_thread() {
        for may_block in [true, false] {
            let readers = Readers::new(reader(), may_block);
            let read = readers.read(ready(Ok(reader())), |_| Ok(thread::current().id())).await.unwrap();
            assert_eq!(read != thread::current().id(), may_block);
        }
    }
}
