//! The classes of reads, with reads that take as long as a test wants.

use std::future::ready;
use std::sync::mpsc;
use std::thread;

use futures::poll;
use tokio::pin;
use tokio::sync::oneshot;

use super::*;
use crate::{EventLog, MemoryLog};

fn reader() -> Box<dyn EventReader> {
    EventLog::reader(&MemoryLog::new("production")).unwrap()
}

fn error() -> LogError {
    LogError::new("reading", "memory", "a bad sector")
}

fn readers(may_block: bool) -> Arc<Readers> {
    let readers = Readers::new();
    readers.opened(reader(), None, may_block);
    readers
}

fn none() -> std::future::Ready<Result<Box<dyn EventReader>, EventStoreError>> {
    ready(Err(EventStoreError::no_answer("another one was wanted")))
}

type Read = Box<dyn FnOnce(&dyn EventReader) -> Result<(), LogError> + Send>;

/// A read that says when it has begun, and ends when it is released.
fn slow() -> (oneshot::Receiver<()>, mpsc::Sender<()>, Read) {
    let (begins, begun) = oneshot::channel();
    let (release, released) = mpsc::channel::<()>();
    let read = move |_: &dyn EventReader| {
        let _ = begins.send(());
        let _ = released.recv();
        Ok(())
    };
    (begun, release, Box::new(read))
}

#[tokio::test]
async fn an_idle_reader_is_used_again_and_one_that_has_failed_is_not() {
    let readers = readers(true);
    assert!(readers.read(ReadClass::Quick(None), none(), |_| Ok(())).await.is_ok());
    assert!(readers.read(ReadClass::Quick(None), none(), |_| Err::<(), _>(error())).await.is_err());
    let error = readers.read(ReadClass::Quick(None), none(), |_| Ok(())).await.unwrap_err();
    assert_eq!(error.to_string(), "another one was wanted");
    assert!(readers.read(ReadClass::Quick(None), ready(Ok(reader())), |_| Ok(())).await.is_ok());
    assert!(readers.read(ReadClass::Quick(None), none(), |_| Ok(())).await.is_ok());
}

#[tokio::test]
async fn a_log_that_may_block_is_read_on_another_thread() {
    for may_block in [true, false] {
        let readers = readers(may_block);
        let read = readers.read(ReadClass::Quick(None), none(), |_| Ok(thread::current().id())).await.unwrap();
        assert_eq!(read != thread::current().id(), may_block);
    }
}

#[tokio::test]
async fn a_log_with_a_source_of_readers_is_read_concurrently_without_its_writer() {
    let readers = Readers::new();
    readers.opened(reader(), EventLog::reader_source(&MemoryLog::new("production")), true);
    let reads: Vec<_> = (0..MAX_READERS).map(|_| slow()).collect();
    let (mut begun, mut release, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
    for (begins, releases, read) in reads {
        let readers = Arc::clone(&readers);
        tasks.push(tokio::spawn(async move { readers.read(ReadClass::Quick(None), none(), read).await }));
        begun.push(begins);
        release.push(releases);
    }
    for begun in begun {
        begun.await.unwrap();
    }
    drop(release);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn reads_that_take_long_do_not_keep_a_quick_one_waiting() {
    let readers = Readers::new();
    readers.opened(reader(), EventLog::reader_source(&MemoryLog::new("production")), true);
    let mut held = Vec::new();
    for _ in 0..MAX_READERS {
        let (begun, release, read) = slow();
        let readers = Arc::clone(&readers);
        held.push((release, tokio::spawn(async move { readers.read(ReadClass::Long(None), none(), read).await })));
        begun.await.unwrap();
    }
    assert!(readers.read(ReadClass::Quick(None), none(), |reader| reader.stats()).await.is_ok());
    // A further long read waits for its turn, as long as it may.
    let late = readers.read(ReadClass::Long(Some(Duration::ZERO)), none(), |_| Ok(())).await.unwrap_err();
    assert!(matches!(late, EventStoreError::QueryLimit(QueryLimit::Time(Duration::ZERO))), "{late}");
}

#[tokio::test]
async fn a_read_that_cannot_be_interrupted_is_awaited_up_to_its_limit_and_keeps_its_permit() {
    let readers = readers(true);
    let (begun, release, read) = slow();
    let limit = Duration::from_millis(20);
    let late = readers.read(ReadClass::Long(Some(limit)), none(), read).await.unwrap_err();
    assert!(matches!(late, EventStoreError::QueryLimit(QueryLimit::Time(time)) if time == limit), "{late}");
    begun.await.unwrap();
    assert_eq!(readers.long.available_permits(), MAX_READERS as usize - 1);
    drop(release);
    readers.end().await;
}

#[tokio::test]
async fn a_quick_read_that_hangs_is_no_longer_waited_for_at_its_limit() {
    let readers = readers(true);
    let (begun, release, read) = slow();
    let limit = Duration::from_millis(20);
    let late = readers.read(ReadClass::Quick(Some(limit)), none(), read).await.unwrap_err();
    assert!(matches!(late, EventStoreError::NoAnswer { .. }), "{late}");
    assert_eq!(late.to_string(), "the event store did not answer a read within 20ms");
    begun.await.unwrap();
    release.send(()).unwrap();
}

#[tokio::test]
async fn an_abandoned_read_is_interrupted_and_keeps_its_permit_until_it_stops() {
    /// A reader that reports its interrupt.
    struct ReportsInterrupt(Box<dyn EventReader>, mpsc::Sender<Interrupt>);
    impl EventReader for ReportsInterrupt {
        fn get(&self, id: crate::EventId) -> Result<Option<Arc<crate::Event>>, LogError> {
            self.0.get(id)
        }
        fn query(&self, query: &crate::Query) -> Result<Vec<Arc<crate::Event>>, LogError> {
            self.0.query(query)
        }
        fn stats(&self) -> Result<crate::EventStats, LogError> {
            self.0.stats()
        }
        fn acknowledged(&self, name: &crate::SubscriptionName) -> Result<Option<crate::EventId>, LogError> {
            self.0.acknowledged(name)
        }
        fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<crate::Verification, LogError> {
            self.0.verify(progress)
        }
        fn interrupt_by(&mut self, interrupt: &Interrupt) {
            self.1.send(interrupt.clone()).unwrap();
        }
    }
    let readers = Readers::new();
    let (sender, interrupts) = mpsc::channel();
    readers.opened(Box::new(ReportsInterrupt(reader(), sender)), None, true);
    let (begun, release, read) = slow();
    {
        let reading = readers.read(ReadClass::Long(None), none(), read);
        pin!(reading);
        assert!(poll!(&mut reading).is_pending());
        begun.await.unwrap();
    }
    assert!(interrupts.recv().unwrap().is_raised());
    assert_eq!(readers.long.available_permits(), MAX_READERS as usize - 1);

    // The end of the store waits for the read.
    let ending = readers.end();
    pin!(ending);
    assert!(poll!(&mut ending).is_pending());
    drop(release);
    ending.await;
    let error = readers.read(ReadClass::Quick(None), none(), |_| Ok(())).await.unwrap_err();
    assert_eq!(error.to_string(), "the event store is ending");
    readers.opened(reader(), None, true);
    assert!(readers.read(ReadClass::Quick(None), none(), |_| Ok(())).await.is_ok());
}

#[tokio::test]
async fn a_reader_of_the_log_before_is_not_kept() {
    let readers = readers(true);
    let (begun, release, read) = slow();
    let lent = {
        let readers = Arc::clone(&readers);
        tokio::spawn(async move { readers.read(ReadClass::Quick(None), none(), read).await })
    };
    begun.await.unwrap();
    readers.opened(reader(), None, true);
    drop(release);
    lent.await.unwrap().unwrap();
    assert_eq!(readers.pool.lock().idle.len(), 1);
}

#[tokio::test]
async fn a_read_that_panics_is_an_error_and_affects_no_other() {
    for may_block in [true, false] {
        let readers = readers(may_block);
        let panics = |_: &dyn EventReader| -> Result<(), LogError> { panic!("no such page") };
        let error = readers.read(ReadClass::Quick(None), none(), panics).await.unwrap_err();
        assert_eq!(error.to_string(), "reading failed in the event store: it panicked: no such page");
        assert_eq!(readers.quick.available_permits(), MAX_READERS as usize);
    }
}

#[test]
fn it_is_raised_when_its_caller_stops_waiting() {
    let interrupt = Interrupt::new();
    let waiting = RaiseOnDrop(interrupt.clone());
    assert!(!interrupt.is_raised());
    drop(waiting);
    assert!(interrupt.is_raised());
}
