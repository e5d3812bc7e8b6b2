//! The batch that waits or runs, and the requests that wait for its end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use foundation_kernel::names::ServiceName;
use tokio::task::AbortHandle;

use super::batch_runner::BatchMember;
use super::message::{BatchReply, BatchRequest, ManagerMsg};
use crate::fact::BatchPlan;

/// The batch that waits or runs, and what waits for its end.
#[derive(Default)]
pub(crate) struct BatchQueue {
    pub(crate) current: CurrentBatch,
    pub(crate) deferred: VecDeque<ManagerMsg>,
}

#[derive(Default)]
pub(crate) enum CurrentBatch {
    #[default]
    None,
    /// Until the jobs of its services have ended.
    Waiting(BatchRequest),
    Running {
        plan: Arc<BatchPlan>,
        members: BTreeMap<ServiceName, BatchMember>,
        task: AbortHandle,
        reply: BatchReply,
    },
}

impl BatchQueue {
    /// Whether a message about a request has to wait: it is given back if it has not.
    pub(crate) fn defer(&mut self, message: ManagerMsg) -> Option<ManagerMsg> {
        let is_batch = matches!(message, ManagerMsg::Batch(_));
        let has_to_wait = match (&self.current, &message) {
            (CurrentBatch::None, _) => false,
            (CurrentBatch::Waiting(_), _) => is_batch,
            (CurrentBatch::Running { .. }, ManagerMsg::Request(..) | ManagerMsg::SectionChanged(_)) => true,
            (CurrentBatch::Running { .. }, _) => is_batch,
        };
        if !has_to_wait {
            return Some(message);
        }
        self.deferred.push_back(message);
        None
    }

    /// Whether a batch decides what becomes of a service at present.
    pub(crate) fn has(&self, name: &ServiceName) -> bool {
        matches!(&self.current, CurrentBatch::Running { members, .. } if members.contains_key(name))
    }
}
