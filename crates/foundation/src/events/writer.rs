//! The one who writes to a log: takes what is asked, commits it in groups, and answers.

use std::sync::Arc;
use std::time::SystemTime;

use foundation_core::containment::{CaughtPanic, catch_panic, drop_contained};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::append::Appended;
use super::clock::Clock;
use super::drain::Group;
use super::error::EventError;
use super::event::Event;
use super::failure::LogFailure;
use super::id::EventId;
use super::job::{AppendJob, Chore, ChoreDone, Job, Reply, answer_unanswered};
use super::log::EventLog;
use super::outage::Outage;
use super::store_error::EventStoreError;

/// Group commit: the first request is taken, and with it whatever else is there, without waiting for more, until the log has
/// written them all and commits; so a group is as large as the commit before it and its own writing took long. Whoever lingers
/// only makes everybody wait.
///
/// It ends when its gate is shut and everything is done, or at the first failure of its log, whose actor then opens it again.
pub(super) struct Writer {
    // The order of the fields is the order in which they are dropped: a successor that gets the seat finds the log closed.
    pub(super) log: Box<dyn EventLog>,
    pub(super) inbox: Box<dyn Inbox>,
    pub(super) clock: Clock,
    /// Told that the log has failed, when the gate is not open any more.
    pub(super) failed: Box<dyn Fn() + Send>,
    /// Of those who ask, if this works on a thread of its own.
    pub(super) runtime: Option<Handle>,
    pub(super) _seat: OwnedSemaphorePermit,
}

/// Where the jobs of a writer come from.
pub(super) trait Inbox: Send {
    /// So many jobs have taken effect: these events are recorded, and the log is here.
    fn done(&self, jobs: usize, events: &[Arc<Event>], position: Option<EventId>);

    /// Lets nothing in any more: the log has failed.
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

    /// Commits the first job with those that are there, or does it alone if it is a chore.
    ///
    /// Whatever panics in it, such as a waker of somebody who follows, is a failure of the log: else nobody would write any
    /// more, and nobody would hear of it.
    pub(super) fn turn(&mut self, first: Job, more: impl FnMut() -> Option<Job>) -> Result<(), Failed> {
        catch_panic(|| self.take_turn(first, more)).unwrap_or_else(|panic| Err(Failed::new(panicked("writing", panic))))
    }

    fn take_turn(&mut self, first: Job, more: impl FnMut() -> Option<Job>) -> Result<(), Failed> {
        let first = match first {
            Job::Append(first) => first,
            Job::Chore(chore) => return self.work(chore),
        };
        let mut group = Group::new(first, more);
        let committed = self.commit(&mut group);
        match (committed, group.into_rest()) {
            (Ok(()), (_, Some(chore))) => self.work(chore),
            (Ok(()), (_, None)) => Ok(()),
            (Err(failed), (append, chore)) => Err(failed.before(append, chore)),
        }
    }

    fn commit(&mut self, group: &mut dyn Iterator<Item = AppendJob>) -> Result<(), Failed> {
        let mut replies = Vec::new();
        let mut appends = group.map(|AppendJob { append, reply }| {
            replies.push(reply);
            append
        });
        let (log, clock) = (&mut self.log, &self.clock);
        let answers = contained("committing events", || log.commit_arriving(&mut appends, &**clock));
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
            // Woken from within the runtime, a crowd costs one wake of a worker from this thread, and not one each.
            Some(runtime) if replies.len() > 1 => drop(runtime.spawn(async move { tell(answers, replies) })),
            _ => tell(answers, replies),
        }
    }

    fn work(&mut self, chore: Chore) -> Result<(), Failed> {
        let ChoreDone { position, answer } = chore(&mut *self.log);
        match position {
            Ok(position) => {
                self.inbox.done(1, &[], position);
                answer();
                Ok(())
            }
            Err(failure) => Err(Failed { chore: Some(answer), ..Failed::new(failure) }),
        }
    }

    /// Ends, with what is left of the jobs.
    pub(super) fn fail(self, failed: Failed, left: impl FnMut() -> Option<Job>) {
        let Failed { failure, begun, chore, mut waiting } = failed;
        let since = catch_panic(|| (self.clock)()).unwrap_or_else(|_| SystemTime::now());
        let outage = Outage { since, cause: failure };
        // First no more is let in; then whoever is left is answered: whoever hears of the failure and then waits for the
        // store waits until it has its log again.
        self.inbox.fail(outage.clone());
        (self.failed)();
        waiting.extend(std::iter::from_fn(left));
        chore.into_iter().for_each(|answer| answer());
        answer_unanswered(&outage, begun, waiting);
        drop_contained("the log of an event store", self);
    }
}

fn tell(answers: Vec<Result<Appended, EventError>>, replies: Vec<Reply>) {
    // A log that has answered too few leaves the rest without one.
    let missing = || Err(EventStoreError::no_answer("the log gave no answer"));
    let mut answers = answers.into_iter();
    for reply in replies {
        reply.send(answers.next().map_or_else(missing, |answer| Ok(answer?.ids)));
    }
}

/// How a turn has failed.
pub(super) struct Failed {
    failure: LogFailure,
    /// Whose appends may be recorded or not.
    begun: Vec<Reply>,
    /// Tells whoever asked for the chore that has failed.
    chore: Option<Box<dyn FnOnce()>>,
    /// What was not begun.
    waiting: Vec<Job>,
}

impl Failed {
    fn new(failure: LogFailure) -> Self {
        Self { failure, begun: Vec::new(), chore: None, waiting: Vec::new() }
    }

    fn before(mut self, append: Option<AppendJob>, chore: Option<Chore>) -> Self {
        self.waiting.extend(append.map(Job::Append));
        self.waiting.extend(chore.map(Job::Chore));
        self
    }
}

/// A panic of a log, or of the clock, is a failure: what it has left behind is not to be used.
pub(super) fn contained<T>(action: &str, act: impl FnOnce() -> Result<T, LogFailure>) -> Result<T, LogFailure> {
    catch_panic(act).unwrap_or_else(|panic| Err(panicked(action, panic)))
}

fn panicked(action: &str, panic: CaughtPanic) -> LogFailure {
    LogFailure::new(action, "the writer", format!("it panicked: {panic}"))
}

#[cfg(test)]
mod tests;
