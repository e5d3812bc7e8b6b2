//! What is asked of a writer, and how each request gets exactly one answer, whatever happens to the writer.

use tokio::sync::oneshot;

use super::append::Append;
use super::drain::Request;
use super::failure::LogFailure;
use super::id::EventId;
use super::log::EventLog;
use super::store_error::EventStoreError;

/// A request to a writer.
pub(super) type Job = Request<AppendJob, Chore>;

/// What a writer does with its log beside committing. If it is dropped instead, whoever asked sees that nothing came.
pub(super) type Chore = Box<dyn FnOnce(&mut dyn EventLog) -> Result<ChoreDone, LogFailure> + Send>;

/// A chore that is done.
pub(super) struct ChoreDone {
    /// The position of the log, if it has moved.
    pub(super) position: Option<EventId>,
    /// Tells whoever asked, once readers see it.
    pub(super) answer: Box<dyn FnOnce()>,
}

/// A chore, and where its answer comes. What it has to say is its value and, if it has moved the log, the position.
pub(super) fn chore<T: Send + 'static>(
    work: impl FnOnce(&mut dyn EventLog) -> Result<(T, Option<EventId>), LogFailure> + Send + 'static,
) -> (Job, oneshot::Receiver<T>) {
    let (reply, answer) = oneshot::channel();
    let chore: Chore = Box::new(move |log| {
        let (value, position) = work(log)?;
        Ok(ChoreDone { position, answer: Box::new(move || drop(reply.send(value))) })
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
            (Self::Asker(asker), ids) => drop(asker.send(ids)),
            (Self::Nobody, Err(error)) => tracing::warn!(%error, "events were not recorded"),
            (Self::Nobody, Ok(_)) => {}
        }
    }
}

/// The askers whom a failed writer has left without an answer. They get it when this is dropped, which its actor does at
/// its own end: so whoever hears of the failure and then waits for the store waits for its successor.
pub(super) struct Unanswered {
    pub(super) failure: LogFailure,
    /// Whose appends may be recorded or not.
    pub(super) begun: Vec<Reply>,
    /// What was not begun.
    pub(super) waiting: Vec<Job>,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        for reply in self.begun.drain(..) {
            reply.send(Err(self.failure.clone().into()));
        }
        for job in self.waiting.drain(..) {
            match job {
                Request::Append(AppendJob { append, reply }) => {
                    reply.send(Err(EventStoreError::not_delivered(append.batch, &self.failure)));
                }
                Request::Chore(chore) => drop(chore),
            }
        }
    }
}
