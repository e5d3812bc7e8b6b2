//! The handle of the writer: the part of a store that belongs to the namespace and outlives the store's actor.
//!
//! 1. There is at most one writer: it holds the permit of `writer_slot` for as long as it has its log, and drops the
//!    log first.
//! 2. A job is sent under the read lock of `phase`, and the phase changes under the write lock. So a writer whose
//!    handle is not open any more finds in its queue every job that will ever be there.
//! 3. `pending` counts the jobs that were sent and whose effect is not visible to readers yet. It falls after the
//!    position is published and before the answers are sent: a caller that has its answer reads what it was answered.
//! 4. The position never decreases.
//! 5. `changes` is notified after each change of the phase, without the lock: subscribe before checking to miss none.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use foundation_kernel::containment::drop_contained;
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore, mpsc};

use super::error::ENDING;
use super::readers::Readers;
use super::writer::{Inbox, Job, Writer};
use crate::subscription::Tail;
use crate::{Event, EventId, EventStoreError, EventStoreLimits, Hold, Outage};

pub(super) struct WriterHandle {
    phase: RwLock<Phase>,
    changes: Notify,
    /// The highest id that was ever given, 0 if none was.
    position: AtomicU64,
    pub(super) writer_slot: Arc<Semaphore>,
    pub(super) readers: Arc<Readers>,
    /// Subscriptions read the latest events there.
    pub(super) tail: Arc<Tail>,
    /// The events that pruning must keep.
    pub(super) hold: Hold,
    pub(super) limits: EventStoreLimits,
}

/// What happens to a job.
enum Phase {
    /// There is no store, or it is stopping.
    Shut,
    /// The log has failed and is not open again yet.
    Unavailable(Outage),
    /// The writer takes it.
    Open(Open),
}

struct Open {
    transport: Transport,
    pending: Arc<AtomicUsize>,
}

/// How a job reaches the writer.
pub(super) enum Transport {
    /// Through a channel to the writer's own thread, since its log may block.
    Thread(mpsc::UnboundedSender<Job>),
    /// On the caller's own thread, through the combining queue.
    Combining(Arc<CombiningQueue>),
}

/// The writer's end of the handle.
struct Publisher {
    pending: Arc<AtomicUsize>,
    handle: Arc<WriterHandle>,
}

impl Transport {
    /// To a writer whose log does not block. Must be called within a runtime.
    pub(super) fn combining(writer: Writer) -> Self {
        Self::Combining(CombiningQueue::new(writer))
    }
}

impl WriterHandle {
    pub(super) fn new(limits: EventStoreLimits) -> Self {
        Self {
            phase: RwLock::new(Phase::Shut),
            changes: Notify::new(),
            position: AtomicU64::new(0),
            writer_slot: Arc::new(Semaphore::new(1)),
            readers: Readers::new(),
            tail: Arc::default(),
            hold: Hold::new(),
            limits,
        }
    }

    /// Opens the handle for the writer with this inbox, whose log is at this position. The handle must not be open: its
    /// last writer has released its permit. The readers read the log already.
    pub(super) fn open<T>(
        self: &Arc<Self>,
        position: Option<EventId>,
        transport: impl FnOnce(Box<dyn Inbox>) -> (Transport, T),
    ) -> T {
        let pending = Arc::new(AtomicUsize::new(0));
        self.tail.opened(position);
        self.advance(position);
        let (transport, value) =
            transport(Box::new(Publisher { pending: Arc::clone(&pending), handle: Arc::clone(self) }));
        self.change(|_| Some(Phase::Open(Open { transport, pending })));
        value
    }

    /// Takes no more jobs; the writer does those in its queue and ends.
    pub(super) fn shut(&self) {
        self.change(|_| Some(Phase::Shut));
    }

    /// The same after a failure of the log; a handle that is shut stays shut.
    pub(super) fn fail(&self, outage: Outage) {
        self.change(|phase| (!matches!(phase, Phase::Shut)).then_some(Phase::Unavailable(outage)));
    }

    /// The store begins without its log, which cannot be opened again yet.
    pub(super) fn begin_without(&self, outage: Outage) {
        self.change(|_| Some(Phase::Unavailable(outage)));
    }

    fn change(&self, next: impl FnOnce(&Phase) -> Option<Phase>) {
        let mut phase = self.phase.write();
        let before = next(&phase).map(|next| mem::replace(&mut *phase, next));
        drop(phase);
        // An idle writer is dropped with its transport, which closes its log: not under the lock.
        drop_contained("the log of an event store", before);
        self.changes.notify_waiters();
    }

    /// The next change of the phase, from when this is enabled or polled. Only this handle's own code wakes it.
    pub(super) fn change_to_come(&self) -> Notified<'_> {
        self.changes.notified()
    }

    /// Sends a job; the events of one that is not taken are given back in the error. If the log does not block, the job is done on return, or
    /// another caller is doing it.
    pub(super) fn send(&self, job: Job) -> Result<(), EventStoreError> {
        // The work is done without the lock: a log that fails changes the phase.
        if let Some(guard) = self.put(job)? {
            guard.work();
        }
        Ok(())
    }

    fn put(&self, job: Job) -> Result<Option<WriterGuard>, EventStoreError> {
        let phase = self.phase.read();
        let open = match &*phase {
            Phase::Open(open) => open,
            Phase::Shut => return Err(EventStoreError::not_delivered(job.into_batch(), ENDING)),
            Phase::Unavailable(outage) => return Err(EventStoreError::unavailable(job.into_batch(), outage)),
        };
        open.pending.fetch_add(1, Ordering::AcqRel);
        match &open.transport {
            Transport::Thread(jobs) => match jobs.send(job) {
                Ok(()) => Ok(None),
                Err(unsent) => Err(EventStoreError::not_delivered(unsent.0.into_batch(), ENDING)),
            },
            Transport::Combining(queue) => Ok(queue.put(job)),
        }
    }

    /// Whether a job would be taken.
    pub(super) fn is_open(&self) -> bool {
        matches!(&*self.phase.read(), Phase::Open(_))
    }

    /// Whether there is no store, or it is stopping.
    pub(super) fn is_shut(&self) -> bool {
        matches!(&*self.phase.read(), Phase::Shut)
    }

    /// Why the store cannot record at present.
    pub(super) fn outage(&self) -> Option<Outage> {
        match &*self.phase.read() {
            Phase::Unavailable(outage) => Some(outage.clone()),
            _ => None,
        }
    }

    /// Whether readers see the effect of every job that was sent and will have one.
    pub(super) fn is_settled(&self) -> bool {
        match &*self.phase.read() {
            Phase::Open(open) => open.pending.load(Ordering::Acquire) == 0,
            _ => true,
        }
    }

    /// The highest id that was ever given, as far as a log was opened.
    pub(super) fn position(&self) -> Option<EventId> {
        EventId::new(self.position.load(Ordering::Acquire))
    }

    /// Publishes recorded events, and the position of the log.
    fn publish(&self, events: &[Arc<Event>], position: Option<EventId>) {
        match position {
            _ if !events.is_empty() => self.tail.extend(events),
            // Subscriptions read it in the log, or skip it.
            Some(position) => self.tail.imported(position),
            None => {}
        }
        self.advance(position);
    }

    fn advance(&self, position: Option<EventId>) {
        self.position.fetch_max(position.map_or(0, EventId::get), Ordering::AcqRel);
    }
}

impl Inbox for Publisher {
    fn done(&self, jobs: usize, events: &[Arc<Event>], position: Option<EventId>) {
        self.handle.publish(events, position);
        self.pending.fetch_sub(jobs, Ordering::AcqRel);
    }

    fn fail(&self, outage: Outage) {
        self.handle.fail(outage);
    }
}

/// The turns after which a task of the runtime goes on, so that no caller works for the others for ever.
const MAX_TURNS: usize = 4;

/// Writing to a log that does not block: one caller works for all that call meanwhile. This is flat combining (Hendler,
/// Incze, Shavit and Tzafrir, 2010), and spares each append the way to another task and back.
///
/// 1. The writer is in the queue while no caller works, and then the queue has no job.
/// 2. A caller that adds a job and finds the writer takes it out and works until there is no job. So no job is left
///    behind, and no caller waits for one that works: the lock is held only to add or to take something.
/// 3. The last holder of an idle queue drops the writer: first the log, then its permit.
pub(super) struct CombiningQueue {
    state: Mutex<State>,
    runtime: Handle,
}

struct State {
    jobs: VecDeque<Job>,
    writer: Option<Writer>,
}

/// The writer, taken out of the queue to work.
#[must_use = "jobs are left behind"]
struct WriterGuard {
    queue: Arc<CombiningQueue>,
    writer: Writer,
}

impl CombiningQueue {
    /// An idle queue. Must be called within a runtime.
    fn new(writer: Writer) -> Arc<Self> {
        let state = State { jobs: VecDeque::new(), writer: Some(writer) };
        Arc::new(Self { state: Mutex::new(state), runtime: Handle::current() })
    }

    /// Adds a job; a caller that gets the writer has to work.
    fn put(self: &Arc<Self>, job: Job) -> Option<WriterGuard> {
        let mut state = self.state.lock();
        state.jobs.push_back(job);
        let writer = state.writer.take()?;
        Some(WriterGuard { queue: Arc::clone(self), writer })
    }

    fn next(&self) -> Option<Job> {
        self.state.lock().jobs.pop_front()
    }

    /// The next job with the writer. Without a job, the writer is put back under the same lock: a later job finds it.
    fn next_or_put_back(&self, writer: Writer) -> Option<(Job, Writer)> {
        let mut state = self.state.lock();
        match state.jobs.pop_front() {
            Some(job) => Some((job, writer)),
            None => {
                state.writer = Some(writer);
                None
            }
        }
    }
}

impl WriterGuard {
    fn work(self) {
        let Self { queue, mut writer } = self;
        for _ in 0..MAX_TURNS {
            let Some((first, at_work)) = queue.next_or_put_back(writer) else { return };
            writer = at_work;
            if let Err(failed) = writer.turn(first, || queue.next()) {
                return writer.fail(failed, || queue.next());
            }
        }
        let runtime = queue.runtime.clone();
        runtime.spawn(async move { Self { queue, writer }.work() });
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::SystemTime;

    use tokio::sync::oneshot;

    use super::super::retention::Clock;
    use super::super::writer::{Ids, append_job};
    use crate::{Append, MemoryLog, NewEvent};

    use super::*;

    fn opened(clock: Clock) -> (Arc<WriterHandle>, mpsc::UnboundedReceiver<()>) {
        let (handle, log) = (Arc::new(WriterHandle::new(Default::default())), MemoryLog::new("production"));
        let permit = Arc::clone(&handle.writer_slot).try_acquire_owned().unwrap();
        let (sender, failures) = mpsc::unbounded_channel();
        handle.open(None, |inbox| {
            let failed = Box::new(move || _ = sender.send(()));
            (Transport::combining(Writer::new(Box::new(log), inbox, clock, failed, None, permit)), ())
        });
        (handle, failures)
    }

    fn append() -> (Job, oneshot::Receiver<Ids>) {
        let (caller, answer) = oneshot::channel();
        let append = Append::new(vec![NewEvent::new("opened").unwrap()]);
        (append_job(append, Some(caller)), answer)
    }

    fn append_many(handle: &WriterHandle) -> Vec<oneshot::Receiver<Ids>> {
        let send = |(job, answer)| {
            assert!(handle.send(job).is_ok());
            answer
        };
        std::iter::repeat_with(append).take(500).map(send).collect()
    }

    #[tokio::test]
    async fn concurrent_appends_of_many_threads_are_recorded_and_answered_once() {
        let (handle, _failures) = opened(Arc::new(SystemTime::now));
        let answers: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| append_many(&handle))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let mut ids = Vec::new();
        for answer in answers {
            ids.extend(answer.await.unwrap().unwrap().into_iter().map(|id| id.get()));
        }
        ids.sort_unstable();
        assert!(ids.into_iter().eq(1..=2_000));
        assert!(handle.is_settled());

        handle.shut();
        // The writer is dropped by the last caller that worked.
        drop(handle.writer_slot.acquire().await.unwrap());
    }

    #[tokio::test]
    async fn a_log_that_fails_closes_the_handle_and_every_caller_is_answered() {
        let (handle, mut failures) = opened(Arc::new(|| panic!("there is no time")));
        let (job, answer) = append();
        assert!(handle.send(job).is_ok());

        failures.recv().await.unwrap();
        let Err(EventStoreError::Unavailable { cause, .. }) = handle.send(append().0) else { panic!("it takes a job") };
        assert!(cause.to_string().ends_with("it panicked: there is no time"));
        assert!(handle.writer_slot.try_acquire().is_ok());
        assert!(matches!(answer.await.unwrap(), Err(EventStoreError::NoAnswer { .. })));
    }
}
