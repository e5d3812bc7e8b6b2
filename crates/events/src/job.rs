//! Requests to a writer, each of which gets exactly one answer, whatever happens to the writer.

use foundation_kernel::containment::{drop_contained, report};
use tokio::sync::oneshot;

use super::append::Append;
use super::commit_group::Request;
use super::failure::{LogFailure, catch_log_panic};
use super::id::EventId;
use super::log::EventLog;
use super::outage::Outage;
use super::store_error::EventStoreError;
use super::tail::wake;

/// A request to a writer.
pub(super) type Job = Request<AppendJob, LogTask>;

/// Work of the writer on its log other than committing. If it is dropped instead, the caller sees that no answer came.
pub(super) type LogTask = Box<dyn FnOnce(&mut dyn EventLog) -> LogTaskOutcome + Send>;

/// The outcome of a task.
pub(super) struct LogTaskOutcome {
    /// The position of the log, if it has moved.
    pub(super) position: Result<Option<EventId>, LogFailure>,
    /// Sends the answer: once readers see the effect, or once the handle says why there is none.
    pub(super) answer: Box<dyn FnOnce()>,
}

/// A task, and the receiver of its answer. The work returns its value and, if it has moved the log, the position.
pub(super) fn log_task<T: Send + 'static>(
    work: impl FnOnce(&mut dyn EventLog) -> Result<(T, Option<EventId>), LogFailure> + Send + 'static,
) -> (Job, oneshot::Receiver<T>) {
    let (reply, answer) = oneshot::channel();
    let task: LogTask = Box::new(move |log| match catch_log_panic("working on the log", || work(log)) {
        Ok((value, position)) => {
            LogTaskOutcome { position: Ok(position), answer: Box::new(move || wake(|| drop(reply.send(value)))) }
        }
        Err(failure) => LogTaskOutcome { position: Err(failure), answer: Box::new(move || wake(|| drop(reply))) },
    });
    (Job::LogTask(task), answer)
}

/// The outcome of an append.
pub(super) type Ids = Result<Vec<EventId>, EventStoreError>;

pub(super) struct AppendJob {
    pub(super) append: Append,
    pub(super) reply: Reply,
}

/// The receiver of an append's outcome.
pub(super) enum Reply {
    Caller(oneshot::Sender<Ids>),
    /// No caller waits; a refused batch is reported to `tracing`.
    Discard,
}

impl Reply {
    pub(super) fn send(self, ids: Ids) {
        match (self, ids) {
            // The caller may have stopped waiting; the log has done its work all the same.
            (Self::Caller(caller), ids) => wake(|| drop(caller.send(ids))),
            (Self::Discard, Err(error)) => report(|| tracing::warn!(%error, "events were not recorded")),
            (Self::Discard, Ok(_)) => {}
        }
    }
}

/// Answers the jobs that a failed writer leaves: those begun may be recorded or not, those waiting are not.
pub(super) fn answer_unanswered(outage: &Outage, begun: Vec<Reply>, waiting: Vec<Job>) {
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
