//! The readers of a log: a few, kept while they are idle, in three classes.
//!
//! 1. No read keeps one of another class waiting, however long it takes: each class has permits of its own.
//! 2. The thread that reads gives the permit back, not the task that waits for it: so there are never more threads than
//!    permits, however many reads were cancelled.
//! 3. A read is interrupted when no task waits for it any more, or its time is over; so are all when the store ends,
//!    which waits for them.
//! 4. Readers outlive a failure of their log, and are replaced when it is opened again: a reader that was lent
//!    meanwhile is not kept.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foundation_kernel::containment::{catch_panic, drop_contained, waking_contained};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout};

use super::error::ENDING;
use crate::{EventReader, EventStoreError, Interrupt, LogError, QueryLimit, ReaderSource};

/// The most concurrent reads of each class; later ones wait.
const MAX_READERS: u32 = 4;

pub(super) struct Readers {
    pool: Mutex<Pool>,
    quick: Arc<Semaphore>,
    long: Arc<Semaphore>,
    chunks: Arc<Semaphore>,
}

struct Pool {
    idle: Vec<Box<dyn EventReader>>,
    source: Option<ReaderSource>,
    /// How often a log was opened.
    opening: u64,
    may_block: bool,
    ending: Arc<AtomicBool>,
}

/// The class of a read, and the time after which it is stopped, if there is one.
#[derive(Debug, Clone, Copy)]
pub(super) enum ReadClass {
    /// It finds events by their position.
    Quick(Option<Duration>),
    /// It may visit every event.
    Long(Option<Duration>),
    /// The next events of a subscription. It has no limit: a read that looks for rare kinds may visit many events, and
    /// would visit the same ones again after a limit.
    Chunk,
}

/// A lent reader, or the way to open one, and the log that it belongs to.
struct Lent {
    reader: Option<Box<dyn EventReader>>,
    source: Option<ReaderSource>,
    opening: u64,
}

impl Readers {
    pub(super) fn new() -> Arc<Self> {
        let permits = || Arc::new(Semaphore::new(MAX_READERS as usize));
        let ending = Arc::new(AtomicBool::new(false));
        let pool = Pool { idle: Vec::new(), source: None, opening: 0, may_block: false, ending };
        Arc::new(Self { pool: Mutex::new(pool), quick: permits(), long: permits(), chunks: permits() })
    }

    /// Reads from this log from now on.
    pub(super) fn opened(&self, first: Box<dyn EventReader>, source: Option<ReaderSource>, may_block: bool) {
        let mut pool = self.pool.lock();
        let opening = pool.opening + 1;
        let new = Pool { idle: vec![first], source, opening, may_block, ending: Arc::default() };
        let old = mem::replace(&mut *pool, new);
        drop(pool);
        drop_contained("the readers of a log", old);
    }

    /// Whether there was ever a log to read.
    pub(super) fn were_opened(&self) -> bool {
        self.pool.lock().opening > 0
    }

    /// Interrupts all reads, waits for them, and lets go of the log.
    pub(super) async fn end(&self) {
        let ending = Arc::clone(&self.pool.lock().ending);
        ending.store(true, Ordering::Release);
        for permits in [&self.quick, &self.long, &self.chunks] {
            // The semaphores are never closed, so this waits for the current reads only.
            drop(permits.acquire_many(MAX_READERS).await);
        }
        let mut pool = self.pool.lock();
        let left = (mem::take(&mut pool.idle), pool.source.take());
        drop(pool);
        drop_contained("the readers of a log", left);
    }

    /// Reads, in place or where blocking is allowed, with `another` reader if none is idle and the log has no source of
    /// readers. A reader that has failed is not kept.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        class: ReadClass,
        another: impl Future<Output = Result<Box<dyn EventReader>, EventStoreError>>,
        read: impl FnOnce(&dyn EventReader) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, EventStoreError> {
        let ending = match self.lend_here() {
            Ok(lent) => return Ok(self.read_with(lent, None, read)?),
            Err(ending) => ending,
        };
        let (begun, interrupt) = (Instant::now(), Interrupt::after(class.limit(), &ending));
        let permit = self.permit(class).await?;
        if ending.load(Ordering::Acquire) {
            return Err(EventStoreError::not_delivered(Vec::new(), ENDING));
        }
        let mut lent = self.pool.lock().lend();
        if lent.reader.is_none() && lent.source.is_none() {
            lent.reader = Some(another.await?);
        }
        let _waiting = RaiseOnDrop(interrupt.clone());
        let reading = self.begin(lent, interrupt.clone(), permit, read);
        let outcome = match class.limit() {
            None => reading.await,
            // A reader that cannot be interrupted goes on and keeps its permit; its caller does not wait for it.
            Some(limit) => {
                timeout(limit.saturating_sub(begun.elapsed()), reading).await.map_err(|_| class.late(limit))?
            }
        };
        let outcome = outcome.map_err(EventStoreError::no_answer)?;
        outcome.map_err(|error| match class.limit() {
            _ if ending.load(Ordering::Acquire) => EventStoreError::not_delivered(Vec::new(), ENDING),
            Some(limit) if interrupt.is_late() => class.late(limit),
            _ => error.into(),
        })
    }

    /// Begins a read where blocking is allowed. Its thread gives the permit back, also if it is not awaited any more.
    fn begin<T: Send + 'static>(
        self: &Arc<Self>,
        lent: Lent,
        interrupt: Interrupt,
        permit: OwnedSemaphorePermit,
        read: impl FnOnce(&dyn EventReader) -> Result<T, LogError> + Send + 'static,
    ) -> JoinHandle<Result<T, LogError>> {
        let readers = Arc::clone(self);
        spawn_blocking(move || {
            let outcome = readers.read_with(lent, Some(&interrupt), read);
            drop(permit);
            outcome
        })
    }

    /// Lends a reader at once if the log does not block and has one; otherwise returns the flag for the end of the
    /// store.
    fn lend_here(&self) -> Result<Lent, Arc<AtomicBool>> {
        let mut pool = self.pool.lock();
        let is_empty = pool.idle.is_empty() && pool.source.is_none();
        if pool.may_block || is_empty { Err(Arc::clone(&pool.ending)) } else { Ok(pool.lend()) }
    }

    async fn permit(&self, class: ReadClass) -> Result<OwnedSemaphorePermit, EventStoreError> {
        let permits = match class {
            ReadClass::Quick(_) => &self.quick,
            ReadClass::Long(_) => &self.long,
            ReadClass::Chunk => &self.chunks,
        };
        // A permit that is available needs no timer.
        if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
            return Ok(permit);
        }
        let permit = waking_contained(Arc::clone(permits).acquire_owned());
        let permit = match class.limit() {
            None => permit.await,
            Some(limit) => timeout(limit, permit).await.map_err(|_| class.late(limit))?,
        };
        permit.map_err(EventStoreError::no_answer)
    }

    fn read_with<T>(
        &self,
        lent: Lent,
        interrupt: Option<&Interrupt>,
        read: impl FnOnce(&dyn EventReader) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let Lent { reader, source, opening } = lent;
        let act = || {
            let mut reader = match (reader, source) {
                (Some(reader), _) => reader,
                (None, Some(source)) => source()?,
                (None, None) => return Err(LogError::new("reading", "the event store", "it has no reader")),
            };
            if let Some(interrupt) = interrupt {
                reader.interrupt_by(interrupt);
            }
            Ok((read(&*reader)?, reader))
        };
        let (value, reader) = catch_panic(act).unwrap_or_else(|panic| Err(panicked(panic)))?;
        self.give_back(reader, opening);
        Ok(value)
    }

    fn give_back(&self, reader: Box<dyn EventReader>, opening: u64) {
        let mut pool = self.pool.lock();
        if pool.opening == opening && !pool.ending.load(Ordering::Acquire) {
            return pool.idle.push(reader);
        }
        drop(pool);
        drop_contained("a reader of a log", reader);
    }
}

impl Pool {
    fn lend(&mut self) -> Lent {
        let reader = self.idle.pop();
        let source = if reader.is_some() { None } else { self.source.clone() };
        Lent { reader, source, opening: self.opening }
    }
}

impl ReadClass {
    fn limit(self) -> Option<Duration> {
        match self {
            Self::Quick(limit) | Self::Long(limit) => limit,
            Self::Chunk => None,
        }
    }

    /// The error of a read that was stopped at its limit.
    fn late(self, limit: Duration) -> EventStoreError {
        match self {
            Self::Long(_) => EventStoreError::QueryLimit(QueryLimit::Time(limit)),
            _ => EventStoreError::no_answer(format!("the event store did not answer a read within {limit:?}")),
        }
    }
}

/// Raises an interrupt when the task that waits for the read stops waiting.
struct RaiseOnDrop(Interrupt);

impl Drop for RaiseOnDrop {
    fn drop(&mut self) {
        self.0.raise();
    }
}

fn panicked(panic: impl std::fmt::Display) -> LogError {
    LogError::new("reading", "the event store", format!("it panicked: {panic}"))
}

#[cfg(test)]
mod tests;
