//! Requests to a writer, each of which gets exactly one answer, whatever happens to the writer.

use foundation_core::containment::{drop_contained, report};
use tokio::sync::oneshot;

use super::append::Append;
use super::drain::Request;
use super::failure::LogFailure;
use super::id::EventId;
use super::log::EventLog;
use super::outage::Outage;
use super::store_error::EventStoreError;
use super::tail::wake;
use super::writer::contained;

/// A request to a writer.
pub(super) type Job = Request<AppendJob, Chore>;

/// Work of the writer on its log other than committing. If it is dropped instead, the caller sees that no answer came.
pub(super) type Chore = Box<dyn FnOnce(&mut dyn EventLog) -> ChoreDone + Send>;

/// The outcome of a task.
pub(super) struct ChoreDone {
    /// The position of the log, if it has moved.
    pub(super) position: Result<Option<EventId>, LogFailure>,
    /// Sends the answer: once readers see the effect, or once the handle says why there is none.
    pub(super) answer: Box<dyn FnOnce()>,
}

/// A task, and the receiver of its answer. The work returns its value and, if it has moved the log, the position.
pub(super) fn chore<T: Send + 'static>(
    work: impl FnOnce(&mut dyn EventLog) -> Result<(T, Option<EventId>), LogFailure> + Send + 'static,
) -> (Job, oneshot::Receiver<T>) {
    let (reply, answer) = oneshot::channel();
    let chore: Chore = Box::new(move |log| match contained("working on the log", || work(log)) {
        Ok((value, position)) => {
            ChoreDone { position: Ok(position), answer: Box::new(move || wake(|| drop(reply.send(value)))) }
        }
        Err(failure) => ChoreDone { position: Err(failure), answer: Box::new(move || wake(|| drop(reply))) },
    });
    (Job::Chore(chore), answer)
}

/// The outcome of an append.
pub(super) type Ids = Result<Vec<EventId>, EventStoreError>;

pub(super) struct AppendJob {
    pub(super) append: Append,
    pub(super) reply: Reply,
}

/// The receiver of an append's outcome.
pub(super) enum Reply {
    Asker(oneshot::Sender<Ids>),
    /// No caller waits; a refused batch is reported to `tracing`.
    Nobody,
}

impl Reply {
    pub(super) fn send(self, ids: Ids) {
        match (self, ids) {
            // The caller may have stopped waiting; the log has done its work all the same.
            (Self::Asker(asker), ids) => wake(|| drop(asker.send(ids))),
            (Self::Nobody, Err(error)) => report(|| tracing::warn!(%error, "events were not recorded")),
            (Self::Nobody, Ok(_)) => {}
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
            Request::Chore(chore) => drop_contained("a request to an event store", chore),
        }
    }
}
