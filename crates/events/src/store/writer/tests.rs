//! The writer without its actor: its answers, and when it sends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::oneshot::{Receiver, channel};

use super::*;
use crate::store::handle::{Transport, WriterHandle};
use crate::{Append, Event, EventId, EventReader, MemoryLog, NewEvent, PruneBound, SubscriptionName};

/// A log whose commits return what the test says; it does nothing else.
struct ScriptedLog<C>(C);

impl<C> EventLog for ScriptedLog<C>
where
    C: FnMut(Vec<Append>) -> Result<Vec<Result<Appended, EventError>>, LogError> + Send + 'static,
{
    fn commit(&mut self, group: Vec<Append>, _: SystemTime) -> Result<Vec<Result<Appended, EventError>>, LogError> {
        (self.0)(group)
    }

    fn prune(&mut self, _: PruneBound, _: Option<EventId>, _: usize) -> Result<u64, LogError> {
        Ok(0)
    }

    fn acknowledge(&mut self, _: &SubscriptionName, _: EventId) -> Result<(), LogError> {
        Ok(())
    }

    fn forget_subscription(&mut self, _: &SubscriptionName) -> Result<bool, LogError> {
        Ok(false)
    }

    fn import(&mut self, _: Vec<Event>) -> Result<Result<(), EventError>, LogError> {
        Ok(Ok(()))
    }

    fn reader(&self) -> Result<Box<dyn EventReader>, LogError> {
        EventLog::reader(&MemoryLog::new("production"))
    }
}

struct Fixture {
    handle: Arc<WriterHandle>,
    writer: Writer,
    jobs: mpsc::UnboundedReceiver<Job>,
    failures: Arc<AtomicUsize>,
}

fn fixture(log: impl EventLog) -> Fixture {
    let handle = Arc::new(WriterHandle::new(Default::default()));
    let permit = Arc::clone(&handle.writer_slot).try_acquire_owned().unwrap();
    let (sender, jobs) = mpsc::unbounded_channel();
    let inbox = handle.open(None, |inbox| (Transport::Thread(sender), inbox));
    let failures = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&failures);
    let failed = Box::new(move || _ = counted.fetch_add(1, Ordering::SeqCst));
    let writer = Writer::new(Box::new(log), inbox, Arc::new(|| UNIX_EPOCH), failed, None, permit);
    Fixture { handle, writer, jobs, failures }
}

fn event(kind: &str) -> NewEvent {
    NewEvent::new(kind).unwrap()
}

fn append(handle: &WriterHandle, event: NewEvent) -> Receiver<Ids> {
    let (caller, answer) = channel();
    assert!(handle.send(append_job(Append::new(vec![event]), Some(caller))).is_ok());
    answer
}

#[test]
fn callers_that_a_failed_log_leaves_learn_what_has_become_of_their_events() {
    let Fixture { handle, writer, jobs, failures } =
        fixture(ScriptedLog(|_| Err(LogError::new("recording", "memory", "disk full"))));
    let begun = append(&handle, event("begun"));
    let (job, asked) = log_task(|_| Ok(((), None)));
    assert!(handle.send(job).is_ok());
    let waiting = event("waiting");
    let left = append(&handle, waiting.clone());
    writer.run(jobs);

    let [begun, left] = [begun, left].map(|mut answer| answer.try_recv().unwrap().unwrap_err());
    assert!(
        matches!(&begun, EventStoreError::NoAnswer { reason } if reason == "recording failed in memory: disk full")
    );
    let EventStoreError::Unavailable { since: UNIX_EPOCH, cause, .. } = &left else { panic!("{left}") };
    assert_eq!(cause.to_string(), "recording failed in memory: disk full");
    assert_eq!(left.into_batch(), [waiting], "it was not begun");
    assert!(asked.now_or_never().unwrap().is_err());
    let unsent = handle.send(log_task(|_| Ok(((), None))).0);
    let Err(EventStoreError::Unavailable { cause, .. }) = unsent else { panic!("no more jobs are taken") };
    assert_eq!(cause.to_string(), "recording failed in memory: disk full");
    assert_eq!(failures.load(Ordering::SeqCst), 1);
    assert!(handle.writer_slot.try_acquire().is_ok(), "the log is closed");
}

#[test]
fn the_caller_of_a_failed_task_is_answered_once_the_handle_has_the_reason() {
    let Fixture { handle, mut writer, mut jobs, .. } = fixture(MemoryLog::new("production"));
    let failing = |_: &mut dyn EventLog| Err(LogError::new("pruning", "memory", "disk full"));
    let panicking = |_: &mut dyn EventLog| -> Result<((), Option<EventId>), LogError> { panic!("no such page") };
    for (job, mut answer) in [log_task::<()>(failing), log_task(panicking)] {
        assert!(handle.send(job).is_ok());
        let failed = writer.turn(jobs.try_recv().unwrap(), || None).err().unwrap();
        assert!(matches!(answer.try_recv(), Err(TryRecvError::Empty)), "the handle does not know of it yet");
        drop(failed);
        assert!(matches!(answer.try_recv(), Err(TryRecvError::Closed)));
    }
}

/// A follower whose waker panics.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a foreign waker");
    }
}

#[test]
fn a_waker_that_panics_harms_neither_the_writer_nor_other_waiters() {
    let Fixture { handle, writer, jobs, failures } = fixture(MemoryLog::new("production"));
    let observer = Arc::new(Observer(Arc::clone(&handle), Mutex::default()));
    let followers = [handle.tail.follow(), handle.tail.follow()];
    followers[0].register_waker(&Waker::from(Arc::new(Panics)));
    followers[1].register_waker(&Waker::from(Arc::clone(&observer)));
    let mut panicking = append(&handle, event("first"));
    assert!(panicking.poll_unpin(&mut Context::from_waker(&Waker::from(Arc::new(Panics)))).is_pending());
    let answered = append(&handle, event("second"));
    handle.shut();
    writer.run(jobs);
    assert_eq!(answered.now_or_never().unwrap().unwrap().unwrap()[0].get(), 2);
    assert_eq!(observer.1.lock().len(), 1);
    assert_eq!(failures.load(Ordering::SeqCst), 0);
}

#[test]
fn callers_that_a_log_leaves_without_an_answer_get_an_error() {
    let Fixture { handle, writer, jobs, .. } = fixture(ScriptedLog(|_| Ok(Vec::new())));
    let mut answer = append(&handle, event("asked"));
    handle.shut();
    writer.run(jobs);
    assert_eq!(answer.try_recv().unwrap().unwrap_err().to_string(), "the log gave no answer");
}

#[tokio::test]
async fn a_group_is_answered_by_a_task_of_the_runtime_and_not_by_the_thread_of_the_writer() {
    let Fixture { handle, mut writer, jobs, .. } = fixture(MemoryLog::new("production"));
    writer.runtime = Some(Handle::current());
    let mut answers = [append(&handle, event("one")), append(&handle, event("other"))];
    handle.shut();
    // The runtime has this thread alone, so no caller is answered while it waits for the writer.
    thread::spawn(move || writer.run(jobs)).join().unwrap();
    assert!(answers.iter_mut().all(|answer| matches!(answer.try_recv(), Err(TryRecvError::Empty))));
    for (answer, id) in answers.into_iter().zip(1..) {
        assert_eq!(answer.await.unwrap().unwrap(), [EventId::new(id).unwrap()]);
    }
}

/// The visible state of the store at the moment of an answer.
struct Observer(Arc<WriterHandle>, Mutex<Vec<(Option<EventId>, bool)>>);

impl Observer {
    fn observe(&self) {
        self.1.lock().push((self.0.position(), self.0.is_settled()));
    }
}

impl Wake for Observer {
    fn wake(self: Arc<Self>) {
        self.observe();
    }
}

#[test]
fn an_answered_caller_already_finds_its_effect() {
    let Fixture { handle, mut writer, mut jobs, .. } = fixture(MemoryLog::new("production"));
    let observer = Arc::new(Observer(Arc::clone(&handle), Mutex::default()));
    let mut answer = append(&handle, event("asked"));
    let waker = Waker::from(Arc::clone(&observer));
    assert!(answer.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
    let observing = Arc::clone(&observer);
    let moved = EventId::new(7);
    let task = move |_: &mut dyn EventLog| {
        let answer = Box::new(move || observing.observe());
        LogTaskOutcome { position: Ok(moved), answer }
    };
    assert!(handle.send(Job::LogTask(Box::new(task))).is_ok());
    assert!(!handle.is_settled());
    // The handle stays open, so that unsettled jobs show.
    let first = jobs.try_recv().unwrap();
    assert!(writer.turn(first, || jobs.try_recv().ok()).is_ok());
    assert_eq!(*observer.1.lock(), [(Some(EventId::FIRST), false), (moved, true)]);
}
