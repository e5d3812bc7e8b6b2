//! The messages of the manager.

use std::sync::Arc;
use std::time::Duration;

use foundation_discovery::InstanceWatched;
use foundation_kernel::answer;
use foundation_kernel::local_message;
use foundation_kernel::names::ServiceName;
use foundation_kernel::ractor::RpcReplyPort;
use foundation_kernel::supervision::{ChildInfo, ExitReason};

use super::batches::member::Position;
use crate::batch::Batch;
use crate::batch_error::FailedStep;
use crate::batch_error::{BatchError, BatchReport, LeftBehind};
use crate::error::ManagedError;
use crate::fact::ServiceConfig;
use crate::limits::MAX_WAITING_REQUESTS;
use crate::record::ServiceRecord;

/// The answer to a request about a service.
pub(crate) type Answer = RpcReplyPort<Result<Option<Arc<ServiceRecord>>, ManagedError>>;

/// The answer to a batch.
pub(crate) type BatchReply = RpcReplyPort<Result<BatchReport, BatchError>>;

/// The answer to a shutdown, with the services that it has stopped.
pub(crate) type ShutdownReply = RpcReplyPort<Vec<ServiceName>>;

/// A batch that is to be applied.
pub(crate) struct BatchRequest {
    pub(crate) batch: Batch,
    pub(crate) within: Duration,
    pub(crate) reply: BatchReply,
}

/// The end of the steps of a batch.
pub(crate) struct BatchEnd {
    pub(crate) taken: Result<(), FailedStep>,
    pub(crate) left: Vec<LeftBehind>,
}

/// A request about one service.
pub(crate) enum Request {
    Declare { name: ServiceName, kind: String, config: ServiceConfig },
    Configure { name: ServiceName, config: ServiceConfig },
    Start(ServiceName),
    Stop { name: ServiceName, within: Option<Duration> },
    Restart(ServiceName),
    Remove(ServiceName),
}

impl Request {
    pub(crate) fn name(&self) -> &ServiceName {
        match self {
            Self::Declare { name, .. } | Self::Configure { name, .. } | Self::Stop { name, .. } => name,
            Self::Start(name) | Self::Restart(name) | Self::Remove(name) => name,
        }
    }
}

/// How far a shutdown has come.
pub(crate) struct ShutdownProgress {
    /// The services that it stops.
    pub(crate) to_stop: Vec<ServiceName>,
    /// Those of which something may run still.
    pub(crate) left: Vec<ServiceName>,
}

pub(crate) enum ManagerMsg {
    Request(Request, Answer),
    /// Operations that take effect together, or not at all.
    Batch(BatchRequest),
    /// A step of a batch is about to be taken, or is taken.
    BatchMoved(ServiceName, Position),
    /// The steps of a batch are taken, or taken back; `None` if its task has failed.
    BatchEnded(Option<BatchEnd>),
    /// The time of a batch is over, if it waits still.
    BatchLate(u64),
    /// An instance has changed.
    Observed(InstanceWatched),
    /// Whether a service whose actor has ended is started again.
    Ended {
        name: ServiceName,
        reason: Option<ExitReason>,
        is_restarted: bool,
    },
    /// The steps of a service are taken, or one of them has failed.
    JobEnded {
        name: ServiceName,
        job: u64,
        outcome: Result<(), String>,
    },
    /// A section of the configuration has changed.
    SectionChanged,
    /// A kind was registered: services of it may be started now.
    KindRegistered,
    /// The children of the supervisor, for a manager that takes over.
    Found(Vec<ChildInfo>),
    /// What is recorded is to be read again.
    ReadAgain,
    /// A service that could not be stopped is to be stopped again.
    StopAgain(ServiceName),
    /// Something has changed: what is to be done?
    Reconcile,
    /// Stop all services; the answer comes when they are stopped.
    Shutdown(ShutdownReply),
    /// The time of the shutdown is over: kill those that run, which the answer names.
    KillAll(RpcReplyPort<ShutdownProgress>),
    /// The event store is about to prune events that are held.
    Checkpoint,
}
local_message!(ManagerMsg);

impl ManagerMsg {
    /// Whether it asks for a change, which is decided by what is wanted and what runs.
    pub(super) fn is_decided(&self) -> bool {
        matches!(self, Self::Request(..) | Self::Batch(_))
    }

    /// Refuses a request that would have to wait, since as many wait as may.
    pub(super) fn refuse_to_wait(self) {
        let limit = MAX_WAITING_REQUESTS;
        match self {
            Self::Request(request, reply) => {
                answer(reply, Err(ManagedError::TooManyWaiting { name: request.name().clone(), limit }));
            }
            Self::Batch(request) => answer(request.reply, Err(BatchError::TooManyWaiting { limit })),
            _ => {}
        }
    }
}
