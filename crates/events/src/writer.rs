//! The writer of a log: it takes requests, commits them in groups, and answers.

use std::sync::Arc;
use std::time::SystemTime;

use foundation_kernel::containment::{catch_panic, drop_contained};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::append::Appended;
use super::clock::Clock;
use super::commit_group::CommitGroup;
use super::error::EventError;
use super::event::Event;
use super::failure::{LogFailure, catch_log_panic};
use super::id::EventId;
use super::job::{AppendJob, Job, LogTask, LogTaskOutcome, Reply, answer_unanswered};
use super::log::EventLog;
use super::outage::Outage;
use super::store_error::EventStoreError;

/// Group commit: the first request is taken, and with it whatever else is there, without waiting for more, until the
/// log has written them all and commits. So a group is as large as the time of the commit before it and of its own
/// writing allows. Lingering would only delay every caller.
///
/// It ends when its handle is shut and every job is done, or at the first failure of its log, which the actor then
/// opens again.
pub(super) struct Writer {
    // Fields are dropped in this order: a successor that gets the permit finds the log closed.
    pub(super) log: Box<dyn EventLog>,
    pub(super) inbox: Box<dyn Inbox>,
    pub(super) clock: Clock,
    /// Called when the log has failed, after the handle was closed.
    pub(super) failed: Box<dyn Fn() + Send>,
    /// The runtime of the callers, if the writer has a thread of its own.
    pub(super) runtime: Option<Handle>,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// The source of a writer's jobs.
pub(super) trait Inbox: Send {
    /// This many jobs have taken effect: these events are recorded, and the log is at this position.
    fn done(&self, jobs: usize, events: &[Arc<Event>], position: Option<EventId>);

    /// Takes no more jobs: the log has failed.
    fn fail(&self, outage: Outage);
}

impl Writer {
    /// On a thread of its own.
    pub(super) fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            if let Err(failed) = self.turn(job, || jobs.try_recv().ok()) {
                return self.fail(failed, || jobs.try_recv().ok());
            }
        }
    }

    /// Commits the first job with those that are there, or does it alone if it is a task.
    ///
    /// A panic in it, for example of a subscriber's waker, counts as a failure of the log: otherwise there would be no
    /// writer any more, and no report of it.
    pub(super) fn turn(&mut self, first: Job, more: impl FnMut() -> Option<Job>) -> Result<(), Failed> {
        catch_panic(|| self.take_turn(first, more))
            .unwrap_or_else(|panic| Err(Failed::new(LogFailure::panicked("writing", &panic))))
    }

    fn take_turn(&mut self, first: Job, more: impl FnMut() -> Option<Job>) -> Result<(), Failed> {
        let first = match first {
            Job::Append(first) => first,
            Job::LogTask(task) => return self.work(task),
        };
        let mut group = CommitGroup::new(first, more);
        let committed = self.commit(&mut group);
        match (committed, group.into_rest()) {
            (Ok(()), (_, Some(task))) => self.work(task),
            (Ok(()), (_, None)) => Ok(()),
            (Err(failed), (append, task)) => Err(failed.before(append, task)),
        }
    }

    fn commit(&mut self, group: &mut dyn Iterator<Item = AppendJob>) -> Result<(), Failed> {
        let mut replies = Vec::new();
        let mut appends = group.map(|AppendJob { append, reply }| {
            replies.push(reply);
            append
        });
        let (log, clock) = (&mut self.log, &self.clock);
        let answers = catch_log_panic("committing events", || log.commit_arriving(&mut appends, &**clock));
        match answers {
            Ok(answers) => {
                self.answer(answers, replies);
                Ok(())
            }
            Err(failure) => Err(Failed { begun: replies, ..Failed::new(failure) }),
        }
    }

    fn answer(&mut self, mut answers: Vec<Result<Appended, EventError>>, replies: Vec<Reply>) {
        let mut events = Vec::new();
        for appended in answers.iter_mut().flatten() {
            events.append(&mut appended.events);
        }
        let position = events.last().map(|event| event.id);
        self.inbox.done(replies.len(), &events, position);
        match &self.runtime {
            // Woken from within the runtime, many callers cost one wake of a worker from this thread, not one each.
            Some(runtime) if replies.len() > 1 => drop(runtime.spawn(async move { tell(answers, replies) })),
            _ => tell(answers, replies),
        }
    }

    fn work(&mut self, task: LogTask) -> Result<(), Failed> {
        let LogTaskOutcome { position, answer } = task(&mut *self.log);
        match position {
            Ok(position) => {
                self.inbox.done(1, &[], position);
                answer();
                Ok(())
            }
            Err(failure) => Err(Failed { task: Some(answer), ..Failed::new(failure) }),
        }
    }

    /// Ends with the remaining jobs.
    pub(super) fn fail(self, failed: Failed, left: impl FnMut() -> Option<Job>) {
        let Failed { failure, begun, task, mut waiting } = failed;
        let since = catch_panic(|| (self.clock)()).unwrap_or_else(|_| SystemTime::now());
        let outage = Outage { since, cause: failure };
        // Close before answering: a caller that learns of the failure and then waits for the store waits until it has
        // its log again.
        self.inbox.fail(outage.clone());
        (self.failed)();
        waiting.extend(std::iter::from_fn(left));
        task.into_iter().for_each(|answer| answer());
        answer_unanswered(&outage, begun, waiting);
        drop_contained("the log of an event store", self);
    }
}

fn tell(answers: Vec<Result<Appended, EventError>>, replies: Vec<Reply>) {
    // A log that has returned too few answers leaves the other callers without one.
    let missing = || Err(EventStoreError::no_answer("the log gave no answer"));
    let mut answers = answers.into_iter();
    for reply in replies {
        reply.send(answers.next().map_or_else(missing, |answer| Ok(answer?.ids)));
    }
}

/// A failed turn.
pub(super) struct Failed {
    failure: LogFailure,
    /// The callers whose appends may be recorded or not.
    begun: Vec<Reply>,
    /// Answers the caller of the task that has failed.
    task: Option<Box<dyn FnOnce()>>,
    /// The jobs that were not begun.
    waiting: Vec<Job>,
}

impl Failed {
    fn new(failure: LogFailure) -> Self {
        Self { failure, begun: Vec::new(), task: None, waiting: Vec::new() }
    }

    fn before(mut self, append: Option<AppendJob>, task: Option<LogTask>) -> Self {
        self.waiting.extend(append.map(Job::Append));
        self.waiting.extend(task.map(Job::LogTask));
        self
    }
}

#[cfg(test)]
mod tests;
