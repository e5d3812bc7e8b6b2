//! The writer of a log: it takes requests, commits them in groups, and answers each of them exactly once, whatever
//! happens.

use std::sync::Arc;
use std::time::SystemTime;

use foundation_kernel::containment::{CaughtPanic, catch_panic, drop_contained, report};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::retention::Clock;
use crate::{Append, Appended, Event, EventError, EventId, EventLog, EventStoreError, LogError, NewEvent, Outage};

/// A request to a writer.
pub(super) type Job = Request<AppendJob, LogTask>;

/// Work of the writer on its log other than committing. If it is dropped instead, the caller sees that no answer came.
type LogTask = Box<dyn FnOnce(&mut dyn EventLog) -> LogTaskOutcome + Send>;

/// The outcome of a task.
pub(super) struct LogTaskOutcome {
    /// The position of the log, if it has moved.
    position: Result<Option<EventId>, LogError>,
    /// Sends the answer: once readers see the effect, or once the handle says why there is none.
    answer: Box<dyn FnOnce()>,
}

/// A task, and the receiver of its answer. The work returns its value and, if it has moved the log, the position.
pub(super) fn log_task<T: Send + 'static>(
    work: impl FnOnce(&mut dyn EventLog) -> Result<(T, Option<EventId>), LogError> + Send + 'static,
) -> (Job, oneshot::Receiver<T>) {
    let (reply, answer) = oneshot::channel();
    let task: LogTask = Box::new(move |log| match catch_log_panic("working on the log", || work(log)) {
        Ok((value, position)) => LogTaskOutcome {
            position: Ok(position),
            answer: Box::new(move || answer_contained(|| drop(reply.send(value)))),
        },
        Err(error) => {
            LogTaskOutcome { position: Err(error), answer: Box::new(move || answer_contained(|| drop(reply))) }
        }
    });
    (Job::LogTask(task), answer)
}

/// The error of a writer that panicked.
fn panicked(action: &str, panic: &CaughtPanic) -> LogError {
    LogError::new(action, "the writer", format!("it panicked: {panic}"))
}

/// Turns a panic of a log, or of the clock, into an error: the log must not be used after it.
fn catch_log_panic<T>(action: &str, act: impl FnOnce() -> Result<T, LogError>) -> Result<T, LogError> {
    catch_panic(act).unwrap_or_else(|panic| Err(panicked(action, &panic)))
}

/// The outcome of an append.
pub(super) type Ids = Result<Vec<EventId>, EventStoreError>;

pub(super) struct AppendJob {
    append: Append,
    reply: Reply,
}

/// An append, whose outcome is sent to the caller; without one, a refused batch is reported to `tracing`.
pub(super) fn append_job(append: Append, caller: Option<oneshot::Sender<Ids>>) -> Job {
    Job::Append(AppendJob { append, reply: caller.map_or(Reply::Discard, Reply::Caller) })
}

impl Job {
    /// The events of a job that is not done.
    pub(super) fn into_batch(self) -> Vec<NewEvent> {
        match self {
            Self::Append(AppendJob { append, .. }) => append.batch,
            Self::LogTask(_) => Vec::new(),
        }
    }
}

/// Sends an answer, which wakes its caller: its waker may be foreign code.
fn answer_contained(send: impl FnOnce()) {
    if let Err(panic) = catch_panic(send) {
        report(|| tracing::warn!(%panic, "a waker of a task that waits for the event store panicked"));
    }
}

/// The receiver of an append's outcome.
enum Reply {
    Caller(oneshot::Sender<Ids>),
    /// No caller waits; a refused batch is reported to `tracing`.
    Discard,
}

impl Reply {
    fn send(self, ids: Ids) {
        match (self, ids) {
            // The caller may have stopped waiting; the log has done its work all the same.
            (Self::Caller(caller), ids) => answer_contained(|| drop(caller.send(ids))),
            (Self::Discard, Err(error)) => report(|| tracing::warn!(%error, "events were not recorded")),
            (Self::Discard, Ok(_)) => {}
        }
    }
}

/// Answers the jobs that a failed writer leaves: those begun may be recorded or not, those waiting are not.
fn answer_unanswered(outage: &Outage, begun: Vec<Reply>, waiting: Vec<Job>) {
    for reply in begun {
        reply.send(Err(outage.cause.clone().into()));
    }
    for job in waiting {
        match job {
            Request::Append(AppendJob { append, reply }) => {
                reply.send(Err(EventStoreError::unavailable(append.batch, outage)));
            }
            // The caller checks for the outage.
            Request::LogTask(task) => drop_contained("a request to an event store", task),
        }
    }
}

/// The most appends that are committed together.
const MAX_GROUP: usize = 512;

/// A request to a writer: an append, which can be committed with others, or a task, which stands alone.
pub(super) enum Request<A, T> {
    Append(A),
    LogTask(T),
}

/// The appends that are committed together: those that are there whenever the next one is asked for, without waiting
/// for more, up to the size of a group. A task ends the group, so that all requests are done in order.
///
/// No request is taken before it is asked for, so those that arrive while the first ones are written join them.
struct CommitGroup<A, T, M> {
    first: Option<A>,
    taken: usize,
    more: M,
    task: Option<T>,
}

impl<A, T, M: FnMut() -> Option<Request<A, T>>> CommitGroup<A, T, M> {
    /// A group that begins with this append.
    fn new(first: A, more: M) -> Self {
        Self { first: Some(first), taken: 0, more, task: None }
    }

    /// The requests that were taken but not yielded: the first append, if any, and the task that ended the group.
    fn into_rest(self) -> (Option<A>, Option<T>) {
        (self.first, self.task)
    }
}

impl<A, T, M: FnMut() -> Option<Request<A, T>>> Iterator for CommitGroup<A, T, M> {
    type Item = A;

    fn next(&mut self) -> Option<A> {
        if let Some(first) = self.first.take() {
            self.taken += 1;
            return Some(first);
        }
        if self.taken == MAX_GROUP || self.task.is_some() {
            return None;
        }
        match (self.more)()? {
            Request::Append(append) => {
                self.taken += 1;
                Some(append)
            }
            Request::LogTask(task) => {
                self.task = Some(task);
                None
            }
        }
    }
}

/// Group commit: the first request is taken, and with it whatever else is there, without waiting for more, until the
/// log has written them all and commits. So a group is as large as the time of the commit before it and of its own
/// writing allows. Lingering would only delay every caller.
///
/// It ends when its handle is shut and every job is done, or at the first failure of its log, which the actor then
/// opens again.
pub(super) struct Writer {
    // Fields are dropped in this order: a successor that gets the permit finds the log closed.
    log: Box<dyn EventLog>,
    inbox: Box<dyn Inbox>,
    clock: Clock,
    /// Called when the log has failed, after the handle was closed.
    failed: Box<dyn Fn() + Send>,
    /// The runtime of the callers, if the writer has a thread of its own.
    runtime: Option<Handle>,
    _permit: OwnedSemaphorePermit,
}

/// The source of a writer's jobs.
pub(super) trait Inbox: Send {
    /// This many jobs have taken effect: these events are recorded, and the log is at this position.
    fn done(&self, jobs: usize, events: &[Arc<Event>], position: Option<EventId>);

    /// Takes no more jobs: the log has failed.
    fn fail(&self, outage: Outage);
}

impl Writer {
    /// A writer of this log, which calls `failed` when the log has failed, after its inbox takes no more jobs; `runtime`
    /// is that of the callers, if it has a thread of its own.
    pub(super) fn new(
        log: Box<dyn EventLog>,
        inbox: Box<dyn Inbox>,
        clock: Clock,
        failed: Box<dyn Fn() + Send>,
        runtime: Option<Handle>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self { log, inbox, clock, failed, runtime, _permit: permit }
    }

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
            .unwrap_or_else(|panic| Err(Failed::new(panicked("writing", &panic))))
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
            Err(error) => Err(Failed { begun: replies, ..Failed::new(error) }),
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
            Some(runtime) if replies.len() > 1 => drop(runtime.spawn(async move { send_answers(answers, replies) })),
            _ => send_answers(answers, replies),
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
            Err(error) => Err(Failed { task: Some(answer), ..Failed::new(error) }),
        }
    }

    /// Ends with the remaining jobs.
    pub(super) fn fail(self, failed: Failed, left: impl FnMut() -> Option<Job>) {
        let Failed { error, begun, task, mut waiting } = failed;
        let since = catch_panic(|| (self.clock)()).unwrap_or_else(|_| SystemTime::now());
        let outage = Outage { since, cause: error };
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

fn send_answers(answers: Vec<Result<Appended, EventError>>, replies: Vec<Reply>) {
    // A log that has returned too few answers leaves the other callers without one.
    let missing = || Err(EventStoreError::no_answer("the log gave no answer"));
    let mut answers = answers.into_iter();
    for reply in replies {
        reply.send(answers.next().map_or_else(missing, |answer| Ok(answer?.ids)));
    }
}

/// A failed turn.
pub(super) struct Failed {
    error: LogError,
    /// The callers whose appends may be recorded or not.
    begun: Vec<Reply>,
    /// Answers the caller of the task that has failed.
    task: Option<Box<dyn FnOnce()>>,
    /// The jobs that were not begun.
    waiting: Vec<Job>,
}

impl Failed {
    fn new(error: LogError) -> Self {
        Self { error, begun: Vec::new(), task: None, waiting: Vec::new() }
    }

    fn before(mut self, append: Option<AppendJob>, task: Option<LogTask>) -> Self {
        self.waiting.extend(append.map(Job::Append));
        self.waiting.extend(task.map(Job::LogTask));
        self
    }
}

#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod tests;
