//! Writing to a log that does not block: one caller works for all that call meanwhile. This is flat combining (Hendler,
//! Incze, Shavit and Tzafrir, 2010), and spares each append the way to another task and back.
//!
//! 1. The writer is in the queue while no caller works, and then the queue has no job.
//! 2. A caller that adds a job and finds the writer takes it out and works until there is no job. So no job is left
//!    behind, and no caller waits for one that works: the lock is held only to add or to take something.
//! 3. The last holder of an idle queue drops the writer: first the log, then its permit.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::job::Job;
use super::writer::Writer;

/// The turns after which a task of the runtime goes on, so that no caller works for the others for ever.
const MAX_TURNS: usize = 4;

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
pub(super) struct WriterGuard {
    queue: Arc<CombiningQueue>,
    writer: Writer,
}

impl CombiningQueue {
    /// An idle queue. Must be called within a runtime.
    pub(super) fn new(writer: Writer) -> Arc<Self> {
        let state = State { jobs: VecDeque::new(), writer: Some(writer) };
        Arc::new(Self { state: Mutex::new(state), runtime: Handle::current() })
    }

    /// Adds a job; a caller that gets the writer has to work.
    pub(super) fn put(self: &Arc<Self>, job: Job) -> Option<WriterGuard> {
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
    pub(super) fn work(self) {
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

    use tokio::sync::{mpsc, oneshot};

    use super::super::append::Append;
    use super::super::clock::Clock;
    use super::super::job::{AppendJob, Ids, Reply};
    use super::super::memory::MemoryLog;
    use super::super::new_event::NewEvent;
    use super::super::store_error::EventStoreError;
    use super::super::writer_handle::{Transport, WriterHandle};
    use super::*;

    fn opened(clock: Clock) -> (Arc<WriterHandle>, mpsc::UnboundedReceiver<()>) {
        let (handle, log) = (Arc::new(WriterHandle::new(Default::default())), MemoryLog::new("production"));
        let permit = Arc::clone(&handle.writer_slot).try_acquire_owned().unwrap();
        let (sender, failures) = mpsc::unbounded_channel();
        handle.open(None, |inbox| {
            let failed = Box::new(move || _ = sender.send(()));
            (
                Transport::Combining(CombiningQueue::new(Writer {
                    log: Box::new(log),
                    inbox,
                    clock,
                    failed,
                    runtime: None,
                    _permit: permit,
                })),
                (),
            )
        });
        (handle, failures)
    }

    fn append() -> (Job, oneshot::Receiver<Ids>) {
        let (caller, answer) = oneshot::channel();
        let append = Append::new(vec![NewEvent::new("opened").unwrap()]);
        (Job::Append(AppendJob { append, reply: Reply::Caller(caller) }), answer)
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
        let unsent = handle.send(append().0).err().unwrap();
        assert!(unsent.outage.unwrap().to_string().ends_with("it panicked: there is no time"));
        assert!(handle.writer_slot.try_acquire().is_ok());
        assert!(matches!(answer.await.unwrap(), Err(EventStoreError::NoAnswer { .. })));
    }
}
