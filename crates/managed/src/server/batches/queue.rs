//! The batch that waits or runs, and the requests that wait for its end.
//!
//! # Invariants
//!
//! 1. What has waited is decided before what comes later.
//! 2. The task of a batch reports its end however it ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use foundation_kernel::names::ServiceName;
use foundation_kernel::ractor::ActorRef;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::member::BatchMember;
use crate::fact::BatchPlan;
use crate::limits::MAX_WAITING_REQUESTS;
use crate::record::{BatchPhase, PendingBatch};
use crate::server::message::{BatchEnd, BatchReply, BatchRequest, ManagerMsg};

/// The batch that waits or runs, and what waits for its end.
#[derive(Default)]
pub(crate) struct BatchQueue {
    pub(crate) current: CurrentBatch,
    deferred: VecDeque<ManagerMsg>,
    /// How many batches have waited.
    pub(crate) number: u64,
}

#[derive(Default)]
pub(crate) enum CurrentBatch {
    #[default]
    None,
    /// Until the jobs of its services have ended.
    Waiting {
        request: BatchRequest,
        since: Instant,
    },
    Running(RunningBatch),
    /// Until its task has ended.
    Cancelled(RunningBatch),
}

/// A batch whose steps are being taken, or taken back.
pub(crate) struct RunningBatch {
    pub(crate) plan: Arc<BatchPlan>,
    pub(crate) members: BTreeMap<ServiceName, BatchMember>,
    pub(crate) task: AbortHandle,
    /// `None` when it is answered.
    pub(crate) reply: Option<BatchReply>,
}

/// Why the end of a batch is not recorded.
pub(crate) enum Unrecorded {
    /// It certainly is not.
    Certain(String),
    /// It may be recorded.
    Unclear(String),
}

/// Reports the end of the task of a batch; `None` if it has panicked or was stopped.
pub(crate) struct EndReport {
    pub(crate) myself: ActorRef<ManagerMsg>,
    pub(crate) end: Option<BatchEnd>,
}

impl EndReport {
    pub(crate) fn send(mut self, end: BatchEnd) {
        self.end = Some(end);
    }
}

impl Drop for EndReport {
    fn drop(&mut self) {
        // A manager that has ended leaves the undo to its successor.
        let _ = self.myself.cast(ManagerMsg::BatchEnded(self.end.take()));
    }
}

/// What becomes of a message.
pub(crate) enum Deferral {
    /// It need not wait.
    Now(ManagerMsg),
    /// It waits for the end of the batch.
    Kept,
    /// It would have to wait, and as many wait as may.
    Refused(ManagerMsg),
}

impl BatchRequest {
    pub(crate) fn is_about(&self, name: &ServiceName) -> bool {
        self.batch.operations().iter().any(|operation| operation.name() == name)
    }
}

impl BatchQueue {
    /// Keeps a message about a request if it has to wait.
    pub(crate) fn defer(&mut self, message: ManagerMsg) -> Deferral {
        let is_batch = matches!(message, ManagerMsg::Batch(_));
        let is_request = matches!(message, ManagerMsg::Request(..));
        let has_to_wait = match (&self.current, &message) {
            (CurrentBatch::None, _) => false,
            (CurrentBatch::Waiting { request, .. }, ManagerMsg::Request(about, _)) => {
                request.is_about(about.name()) || !self.deferred.is_empty()
            }
            (CurrentBatch::Waiting { .. }, _) => is_batch,
            (CurrentBatch::Running(_) | CurrentBatch::Cancelled(_), _) => is_batch || is_request,
        };
        if !has_to_wait {
            return Deferral::Now(message);
        }
        self.keep(message)
    }

    /// Keeps a message that has to wait. It is refused if as many wait as may.
    pub(crate) fn keep(&mut self, message: ManagerMsg) -> Deferral {
        if self.deferred.len() >= MAX_WAITING_REQUESTS {
            return Deferral::Refused(message);
        }
        self.deferred.push_back(message);
        Deferral::Kept
    }

    /// The next message that has waited long enough.
    pub(crate) fn next_deferred(&mut self) -> Option<ManagerMsg> {
        let is_free = matches!(self.current, CurrentBatch::None);
        if is_free { self.deferred.pop_front() } else { None }
    }

    /// Whether a batch waits until a service has no job.
    pub(crate) fn waits_for(&self, name: &ServiceName) -> bool {
        matches!(&self.current, CurrentBatch::Waiting { request, .. } if request.is_about(name))
    }

    /// What is shown of the batch that waits or runs.
    pub(crate) fn pending(&self) -> Option<PendingBatch> {
        let (phase, services): (_, BTreeSet<_>) = match &self.current {
            CurrentBatch::None => return None,
            CurrentBatch::Waiting { request, .. } => {
                let names = request.batch.operations().iter().map(|operation| operation.name().clone());
                (BatchPhase::Waiting, names.collect())
            }
            CurrentBatch::Running(running) | CurrentBatch::Cancelled(running) => {
                (BatchPhase::Running, running.members.keys().cloned().collect())
            }
        };
        Some(PendingBatch { phase, services: services.into_iter().collect() })
    }

    /// Whether the steps of a batch are being taken.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.current, CurrentBatch::Running(_) | CurrentBatch::Cancelled(_))
    }

    /// Whether a batch decides what becomes of a service at present.
    pub(crate) fn has(&self, name: &ServiceName) -> bool {
        matches!(&self.current, CurrentBatch::Running(running) | CurrentBatch::Cancelled(running) if running.members.contains_key(name))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;
    use crate::batch::Batch;
    use crate::samples::name;
    use crate::server::message::Request;

    fn batch_of(service: &str) -> BatchRequest {
        let batch = Batch::new().start(&name(service));
        BatchRequest { batch, within: Duration::from_secs(1), reply: oneshot::channel().0.into() }
    }

    fn request(service: &str) -> ManagerMsg {
        ManagerMsg::Request(Request::Start(name(service)), oneshot::channel().0.into())
    }

    fn is_now(queue: &mut BatchQueue, message: ManagerMsg) -> bool {
        matches!(queue.defer(message), Deferral::Now(_))
    }

    #[test]
    fn what_waits_is_decided_in_its_order_and_before_what_comes_later() {
        let mut queue = BatchQueue::default();
        assert!(is_now(&mut queue, request("a")), "nothing waits");
        queue.current = CurrentBatch::Waiting { request: batch_of("a"), since: Instant::now() };
        assert!(queue.waits_for(&name("a")) && !queue.waits_for(&name("b")));
        assert!(is_now(&mut queue, request("b")), "it is not about the batch");
        assert!(!is_now(&mut queue, request("a")));
        assert!(!is_now(&mut queue, request("b")), "an earlier one waits");
        assert!(!is_now(&mut queue, ManagerMsg::Batch(batch_of("c"))));
        assert!(is_now(&mut queue, ManagerMsg::Reconcile));
        assert!(queue.next_deferred().is_none());

        queue.current = CurrentBatch::None;
        let about = |message| match message {
            Some(ManagerMsg::Request(request, _)) => request.name().to_string(),
            Some(ManagerMsg::Batch(_)) => "batch".to_owned(),
            _ => "none".to_owned(),
        };
        let order: Vec<_> = (0..4).map(|_| about(queue.next_deferred())).collect();
        assert_eq!(order, ["a", "b", "batch", "none"]);
    }

    #[test]
    fn no_more_messages_wait_than_the_limit_also_before_there_is_a_batch() {
        let mut queue = BatchQueue::default();
        for _ in 0..MAX_WAITING_REQUESTS {
            assert!(matches!(queue.keep(request("a")), Deferral::Kept));
        }
        assert!(matches!(queue.keep(request("b")), Deferral::Refused(ManagerMsg::Request(..))));
        assert!(queue.next_deferred().is_some());
        assert!(matches!(queue.keep(request("b")), Deferral::Kept));
    }
}
