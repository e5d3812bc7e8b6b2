//! Writing to a log that does not block: one caller works for all that call meanwhile. This is flat combining (Hendler,
//! Incze, Shavit and Tzafrir, 2010), and spares each append the way to another task and back.
//!
//! 1. The writer is in the queue while no caller works, and then the queue has no job.
//! 2. A caller that adds a job and finds the writer takes it out and works until there is no job. So no job is left
//!    behind, and no caller waits for one that works: the lock is held only to add or to take something.
//! 3. The last holder of an idle queue drops the writer: first the log, then the seat.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::job::Job;
use super::writer::Writer;

/// The turns after which a task of the runtime goes on, so that no caller works for the others for ever.
const TURNS: usize = 4;

pub(super) struct Lane {
    state: Mutex<State>,
    runtime: Handle,
}

struct State {
    jobs: VecDeque<Job>,
    writer: Option<Writer>,
}

/// The writer, taken out of the queue to work.
#[must_use = "jobs are left behind"]
pub(super) struct Shift {
    lane: Arc<Lane>,
    writer: Writer,
}

impl Lane {
    /// An idle queue. Must be called within a runtime.
    pub(super) fn new(writer: Writer) -> Arc<Self> {
        let state = State { jobs: VecDeque::new(), writer: Some(writer) };
        Arc::new(Self { state: Mutex::new(state), runtime: Handle::current() })
    }

    /// Adds a job; a caller that gets the writer has to work.
    pub(super) fn put(self: &Arc<Self>, job: Job) -> Option<Shift> {
        let mut state = self.state.lock();
        state.jobs.push_back(job);
        let writer = state.writer.take()?;
        Some(Shift { lane: Arc::clone(self), writer })
    }

    fn next(&self) -> Option<Job> {
        self.state.lock().jobs.pop_front()
    }

    /// The next job with the writer. Without a job, the writer is put back under the same lock: a later job finds it.
    fn next_or_rest(&self, writer: Writer) -> Option<(Job, Writer)> {
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

impl Shift {
    pub(super) fn work(self) {
        let Self { lane, mut writer } = self;
        for _ in 0..TURNS {
            let Some((first, at_work)) = lane.next_or_rest(writer) else { return };
            writer = at_work;
            if let Err(failed) = writer.turn(first, || lane.next()) {
                return writer.fail(failed, || lane.next());
            }
        }
        let runtime = lane.runtime.clone();
        runtime.spawn(async move { Self { lane, writer }.work() });
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::SystemTime;

    use tokio::sync::{mpsc, oneshot};

    use super::super::append::Append;
    use super::super::clock::Clock;
    use super::super::gate::{Gate, Way};
    use super::super::job::{AppendJob, Ids, Reply};
    use super::super::memory::MemoryLog;
    use super::super::new_event::NewEvent;
    use super::super::store_error::EventStoreError;
    use super::*;

    fn opened(clock: Clock) -> (Arc<Gate>, mpsc::UnboundedReceiver<()>) {
        let (gate, log) = (Arc::new(Gate::new(Default::default())), MemoryLog::new("production"));
        let seat = Arc::clone(&gate.seat).try_acquire_owned().unwrap();
        let (sender, failures) = mpsc::unbounded_channel();
        gate.open(None, |inbox| {
            let failed = Box::new(move || _ = sender.send(()));
            (Way::Here(Lane::new(Writer { log: Box::new(log), inbox, clock, failed, runtime: None, _seat: seat })), ())
        });
        (gate, failures)
    }

    fn append() -> (Job, oneshot::Receiver<Ids>) {
        let (asker, answer) = oneshot::channel();
        let append = Append::new(vec![NewEvent::new("opened").unwrap()]);
        (Job::Append(AppendJob { append, reply: Reply::Asker(asker) }), answer)
    }

    fn append_many(gate: &Gate) -> Vec<oneshot::Receiver<Ids>> {
        let send = |(job, answer)| {
            assert!(gate.send(job).is_ok());
            answer
        };
        std::iter::repeat_with(append).take(500).map(send).collect()
    }

    #[tokio::test]
    async fn concurrent_appends_of_many_threads_are_recorded_and_answered_once() {
        let (gate, _failures) = opened(Arc::new(SystemTime::now));
        let answers: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| append_many(&gate))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let mut ids = Vec::new();
        for answer in answers {
            ids.extend(answer.await.unwrap().unwrap().into_iter().map(|id| id.get()));
        }
        ids.sort_unstable();
        assert!(ids.into_iter().eq(1..=2_000));
        assert!(gate.is_settled());

        gate.shut();
        // The writer is dropped by the last caller that worked.
        drop(gate.seat.acquire().await.unwrap());
    }

    #[tokio::test]
    async fn a_log_that_fails_closes_the_handle_and_every_caller_is_answered() {
        let (gate, mut failures) = opened(Arc::new(|| panic!("there is no time")));
        let (job, answer) = append();
        assert!(gate.send(job).is_ok());

        failures.recv().await.unwrap();
        let unsent = gate.send(append().0).err().unwrap();
        assert!(unsent.outage.unwrap().to_string().ends_with("it panicked: there is no time"));
        assert!(gate.seat.try_acquire().is_ok());
        assert!(matches!(answer.await.unwrap(), Err(EventStoreError::NoAnswer { .. })));
    }
}
