//! What is asked of a writer, and how each request gets exactly one answer, whatever happens to the writer.

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

/// What a writer does with its log beside committing. If it is dropped instead, whoever asked sees that nothing came.
pub(super) type Chore = Box<dyn FnOnce(&mut dyn EventLog) -> ChoreDone + Send>;

/// A chore that is done, or has failed.
pub(super) struct ChoreDone {
    /// The position of the log, if it has moved.
    pub(super) position: Result<Option<EventId>, LogFailure>,
    /// Tells whoever asked: once readers see it, or once the gate says why there is no answer.
    pub(super) answer: Box<dyn FnOnce()>,
}

/// A chore, and where its answer comes. What it has to say is its value and, if it has moved the log, the position.
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

/// What became of an append.
pub(super) type Ids = Result<Vec<EventId>, EventStoreError>;

pub(super) struct AppendJob {
    pub(super) append: Append,
    pub(super) reply: Reply,
}

/// Who hears what became of an append.
pub(super) enum Reply {
    Asker(oneshot::Sender<Ids>),
    /// Nobody waits; what was refused goes to `tracing`.
    Nobody,
}

impl Reply {
    pub(super) fn send(self, ids: Ids) {
        match (self, ids) {
            // Whoever asked may have stopped waiting; the log has done its work all the same.
            (Self::Asker(asker), ids) => wake(|| drop(asker.send(ids))),
            (Self::Nobody, Err(error)) => report(|| tracing::warn!(%error, "events were not recorded")),
            (Self::Nobody, Ok(_)) => {}
        }
    }
}

/// Answers those whom a failed writer leaves: what was begun may be recorded or not, what was waiting is not.
pub(super) fn answer_unanswered(outage: &Outage, begun: Vec<Reply>, waiting: Vec<Job>) {
    for reply in begun {
        reply.send(Err(outage.cause.clone().into()));
    }
    for job in waiting {
        match job {
            Request::Append(AppendJob { append, reply }) => {
                reply.send(Err(EventStoreError::unavailable(append.batch, outage)));
            }
            // Whoever asked looks for the outage.
            Request::Chore(chore) => drop_contained("a request to an event store", chore),
        }
    }
}
