//! The errors of requests about children, and of starting a supervisor.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use ractor::{ActorId, SpawnErr};

use super::child_id::ChildId;
use crate::containment::error_text;
use crate::near::NearMisses;

/// The most ids compared when a child is not found, since the supervisor itself compares them. Fixed, since it concerns
/// only the names that an error suggests.
const MAX_COMPARED_IDS: usize = 256;

/// The error type of user code.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Why an actor, or the supervisor with all its children, did not start.
///
/// Its text has that of its cause, which [`source`](std::error::Error::source) therefore does not return: it is in the
/// field `error`, and the one at the bottom is [`root_cause`](Self::root_cause).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The child's own code failed: `pre_start` or the start function returned an error, or `pre_start` panicked.
    #[error("{}", error_text(&**.0))]
    Failed(BoxError),
    /// The start function itself panicked.
    #[error("the start function panicked: {0}")]
    Panicked(String),
    /// The start took longer than the child's start time-out.
    #[error("the start did not finish within {0:?}")]
    TimedOut(Duration),
    /// A child of the supervisor did not start; those before it were stopped again, in reverse order.
    #[error("child {id} did not start: {error}")]
    Child {
        /// Which child.
        id: ChildId,
        /// Its own cause.
        error: Box<StartError>,
    },
    /// The specification was refused before anything was started.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// There is no tokio runtime to start on.
    #[error("there is no tokio runtime here: a supervisor is started within one")]
    NoRuntime,
    /// The tokio runtime has no timers, so no time-out would ever elapse.
    #[error("the tokio runtime has no timers: build it with enable_time() or enable_all()")]
    NoTimers,
    /// Another actor has the child's name. In a restart this is no failure: see
    /// [`ChildSpec::on_name_taken`](crate::supervision::ChildSpec::on_name_taken).
    #[error("{}", error_text(&**error))]
    NameTaken {
        /// Which actor has which name.
        error: BoxError,
        /// A wait until it is free.
        free: NameFree,
    },
    /// The child was terminated, or its supervisor stopped, before the start had finished.
    #[error("it was terminated while it was starting")]
    Terminated,
}

/// A wait until a name is free, which may be started any number of times.
#[derive(Clone)]
pub struct NameFree(Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>);

impl NameFree {
    /// Returns when the name is free. Another actor may have taken it before it is used.
    pub fn wait(&self) -> impl Future<Output = ()> + Send + use<> {
        (self.0)()
    }
}

impl fmt::Debug for NameFree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameFree")
    }
}

impl StartError {
    /// The error of a start refused because another actor has the child's name. `free` starts the wait until it is
    /// free.
    pub fn name_taken<F>(error: impl Into<BoxError>, free: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::NameTaken { error: error.into(), free: NameFree(Arc::new(move || free().boxed())) }
    }

    /// Wraps an error of the child's own.
    pub fn failed(error: impl Into<BoxError>) -> Self {
        Self::Failed(error.into())
    }

    /// The cause at the bottom: the child's own error, through any number of supervisors.
    pub fn root_cause(&self) -> &StartError {
        match self {
            Self::Child { error, .. } => error.root_cause(),
            other => other,
        }
    }
}

impl From<SpawnErr> for StartError {
    fn from(error: SpawnErr) -> Self {
        match error {
            // A nested supervisor reports its own StartError, which is passed on unchanged.
            SpawnErr::StartupFailed(cause) => match cause.downcast::<StartError>() {
                Ok(error) => *error,
                Err(cause) => Self::Failed(cause),
            },
            other => Self::Failed(Box::new(other)),
        }
    }
}

/// A specification that no supervisor accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Two children of one supervisor have the same id.
    #[error("two children have the id {id}; ids are unique within a supervisor")]
    DuplicateId {
        /// The duplicate id.
        id: ChildId,
    },
    /// An empty child id.
    #[error("a child id must not be empty")]
    EmptyId,
    /// A specification without its start function, of a temporary child: it is not started twice.
    #[error("the start function of child {id} is gone: it is temporary and has been started; give a new specification")]
    Spent {
        /// Which child.
        id: ChildId,
    },
    /// A significant child of a supervisor without auto-shutdown.
    #[error(
        "child {id} is significant, but its supervisor has no auto-shutdown; give it one, or let the child be as any other"
    )]
    SignificantInVain {
        /// Which child.
        id: ChildId,
    },
    /// A significant child that never ends for good.
    #[error(
        "child {id} is significant and permanent; a permanent child is always restarted, make it transient or temporary"
    )]
    SignificantPermanent {
        /// Which child.
        id: ChildId,
    },
    /// A significant child on demand.
    #[error("child {id} is significant, but a dynamic supervisor never shuts down by itself")]
    SignificantOnDemand {
        /// Which child.
        id: ChildId,
    },
    /// A new configuration for a supervisor of the other kind.
    #[error("the supervisor is {is}, and a configuration of a {asked} one does not fit it")]
    OtherKind {
        /// The kind of the supervisor: `static` or `dynamic`.
        is: &'static str,
        /// The kind of the new configuration.
        asked: &'static str,
    },
    /// A restart intensity with a window of zero length.
    #[error("a restart intensity of {max_restarts} restarts within 0 s has no meaning; give a time above zero")]
    ZeroPeriod {
        /// The number of restarts given.
        max_restarts: u32,
    },
    /// A partition supervisor with no partitions, or too many.
    #[error("a partition supervisor cannot have {asked} partitions; give it 1 to {max}")]
    Partitions {
        /// The number requested.
        asked: usize,
        /// The highest number accepted.
        max: usize,
    },
}

/// Why a request about a child was refused.
///
/// Its text has that of its cause, which [`source`](std::error::Error::source) therefore does not return.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// A child of this id is running.
    #[error("child {id} is already started, as actor {actor}")]
    AlreadyStarted {
        /// The id requested.
        id: ChildId,
        /// The actor that runs under it.
        actor: ActorId,
    },
    /// A child of this id is known but not running; restart or delete it.
    #[error("child {id} is already present, {state}; restart it or delete it first")]
    AlreadyPresent {
        /// The id requested.
        id: ChildId,
        /// Its state.
        state: &'static str,
    },
    /// Only a child that is not running can be deleted or restarted.
    #[error("child {id} is running, as actor {actor}; terminate it first")]
    Running {
        /// The id requested.
        id: ChildId,
        /// The actor that runs under it.
        actor: ActorId,
    },
    /// Only a child that runs can be replaced.
    #[error("child {id} is stopped; restart it instead of replacing it")]
    Stopped {
        /// The id requested.
        id: ChildId,
    },
    /// The supervisor is about to start this child itself, or has yet to stop it.
    #[error("child {id} is restarting; terminate it first")]
    Restarting {
        /// The id requested.
        id: ChildId,
    },
    /// No child has this id or actor.
    #[error("no child {asked}{near}")]
    NotFound {
        /// The id or the actor requested.
        asked: String,
        /// The closest ids, among 256 of them at most; none for an actor.
        near: NearMisses,
    },
    /// A dynamic supervisor has its maximum of children.
    #[error("the supervisor has {max_children} children, as many as it may have")]
    TooManyChildren {
        /// The limit.
        max_children: usize,
    },
    /// The start itself failed.
    #[error("child {id} did not start: {error}")]
    Start {
        /// Which child.
        id: ChildId,
        /// Its own cause.
        error: StartError,
    },
    /// The child was terminated before its start had begun.
    #[error("the child was terminated before it was started")]
    Terminated,
    /// The specification was refused.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The handle finds its supervisor by a name, and that led to none. The registry's own error, a
    /// [`RegistryError`](crate::names::RegistryError).
    #[error(transparent)]
    Lookup(BoxError),
    /// The supervisor has stopped, is stopping, or has not finished starting.
    #[error("supervisor {supervisor} is not running")]
    NotRunning {
        /// Which supervisor.
        supervisor: String,
    },
}

impl ChildError {
    pub(crate) fn not_found<'a>(asked: impl fmt::Display, known: impl Iterator<Item = &'a str>) -> Self {
        let asked = asked.to_string();
        let near = NearMisses::of(&asked, known.take(MAX_COMPARED_IDS));
        Self::NotFound { asked, near }
    }
}
