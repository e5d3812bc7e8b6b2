//! The one who writes to a log: takes what is asked, commits it in groups, and answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::append::{Append, Appended};
use super::clock::Clock;
use super::drain::{Drained, drain};
use super::error::EventError;
use super::event::Event;
use super::failure::LogFailure;
use super::gate::Inbox;
use super::id::EventId;
use super::job::{AppendJob, Chore, ChoreDone, Job, Reply, Unanswered};
use super::log::EventLog;
use super::store_error::EventStoreError;

/// Group commit: the first request is taken, and with it whatever else is there, without waiting for more; so a group is
/// as large as the commit before it took long. Whoever lingers only makes everybody wait.
///
/// It ends when its gate is shut and everything is done, or at the first failure of its log.
pub(super) struct Writer {
    // The order of the fields is the order in which they are dropped: a successor that gets the seat finds the log closed.
    pub(super) log: Box<dyn EventLog>,
    pub(super) inbox: Inbox,
    pub(super) clock: Clock,
    /// Told of the failure, with all who are left without an answer.
    pub(super) failed: Box<dyn Fn(Unanswered) + Send>,
    pub(super) _seat: OwnedSemaphorePermit,
}

impl Writer {
    /// On the runtime, for a log that does not block.
    pub(super) async fn run(mut self) {
        while let Some(job) = self.inbox.jobs.recv().await {
            if let Err(failed) = self.turn(job) {
                return self.fail(failed);
            }
        }
    }

    /// On a thread of its own.
    pub(super) fn run_blocking(mut self) {
        while let Some(job) = self.inbox.jobs.blocking_recv() {
            if let Err(failed) = self.turn(job) {
                return self.fail(failed);
            }
        }
    }

    fn turn(&mut self, first: Job) -> Result<(), Failed> {
        let Drained { group, chore } = drain(first, || self.inbox.jobs.try_recv().ok());
        let committed = if group.is_empty() { Ok(()) } else { self.commit(group) };
        match (committed, chore) {
            (Ok(()), Some(chore)) => self.work(chore),
            (Ok(()), None) => Ok(()),
            (Err(failed), chore) => Err(failed.before(chore)),
        }
    }

    fn commit(&mut self, group: Vec<AppendJob>) -> Result<(), Failed> {
        let (appends, replies): (Vec<Append>, Vec<Reply>) =
            group.into_iter().map(|AppendJob { append, reply }| (append, reply)).unzip();
        let (log, clock) = (&mut self.log, &self.clock);
        let answers = contained("committing events", || log.commit(appends, clock()));
        match answers {
            Ok(answers) => {
                self.answer(answers, replies);
                Ok(())
            }
            Err(failure) => Err(Failed { failure, begun: replies, waiting: Vec::new() }),
        }
    }

    fn answer(&mut self, answers: Vec<Result<Appended, EventError>>, replies: Vec<Reply>) {
        let (ids, events) = split(answers);
        let position = events.last().map(|event| event.id);
        self.inbox.done(replies.len(), &events, position);
        // A log that has answered too few leaves the rest without one.
        let missing = || Err(EventStoreError::no_answer("the log gave no answer"));
        let ids = ids.into_iter().map(|ids| ids.map_err(EventStoreError::from));
        replies.into_iter().zip(ids.chain(std::iter::repeat_with(missing))).for_each(|(reply, ids)| reply.send(ids));
    }

    fn work(&mut self, chore: Chore) -> Result<(), Failed> {
        let log = &mut *self.log;
        match contained("working on the log", || chore(log)) {
            Ok(ChoreDone { position, answer }) => {
                self.inbox.done(1, &[], position);
                answer();
                Ok(())
            }
            Err(failure) => Err(Failed { failure, begun: Vec::new(), waiting: Vec::new() }),
        }
    }

    fn fail(mut self, failed: Failed) {
        let Failed { failure, begun, mut waiting } = failed;
        // First no more is let in; then whoever is left is handed over.
        waiting.extend(self.inbox.shut());
        (self.failed)(Unanswered { failure, begun, waiting });
    }
}

/// How a turn has failed.
struct Failed {
    failure: LogFailure,
    begun: Vec<Reply>,
    waiting: Vec<Job>,
}

impl Failed {
    fn before(mut self, chore: Option<Chore>) -> Self {
        self.waiting.extend(chore.map(Job::Chore));
        self
    }
}

type Split = (Vec<Result<Vec<EventId>, EventError>>, Vec<Arc<Event>>);

fn split(answers: Vec<Result<Appended, EventError>>) -> Split {
    let mut events = Vec::new();
    let ids = answers.into_iter().map(|answer| {
        let appended = answer?;
        events.extend(appended.events);
        Ok(appended.ids)
    });
    (ids.collect(), events)
}

/// A panic of a log, or of the clock, is a failure: what it has left behind is not to be used.
fn contained<T>(action: &str, act: impl FnOnce() -> Result<T, LogFailure>) -> Result<T, LogFailure> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(LogFailure::new(action, "the writer", format!("it panicked: {}", said.unwrap_or("without a text"))))
    })
}
