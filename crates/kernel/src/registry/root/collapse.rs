//! Why a registry ended without having been asked to.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use tokio::runtime::Handle;

use crate::supervisor::{
    ChildEvent, InspectingReporter, OneLine, Report, Reporter, RestartLimitExceeded, TracingReporter,
};

/// Why the root of a registry ended without having been asked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Collapse {
    /// Production's restarts were more than the restart intensity of the root allows; with the chain of failures.
    GaveUp(#[serde(serialize_with = "crate::written::shared")] Arc<RestartLimitExceeded>),
    /// The actor at the root was killed, or stopped without the registry.
    Killed,
    /// The runtime that it ran on was dropped.
    RuntimeGone,
}

impl Collapse {
    /// The cause for a root that has ended.
    fn of(gave_up: Option<Arc<RestartLimitExceeded>>, runtime: &Handle) -> Self {
        match gave_up {
            Some(cause) => Self::GaveUp(cause),
            None if is_gone(runtime) => Self::RuntimeGone,
            None => Self::Killed,
        }
    }
}

/// A runtime that was dropped ends a task as soon as it is given one.
fn is_gone(runtime: &Handle) -> bool {
    let task = runtime.spawn(std::future::pending::<()>());
    let is_gone = task.is_finished();
    task.abort();
    is_gone
}

/// On one line.
impl fmt::Display for Collapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GaveUp(cause) => OneLine::write(f, format_args!("too many restarts: {cause:#}")),
            Self::Killed => f.pad("the root supervisor was killed, or stopped from outside"),
            Self::RuntimeGone => f.pad("the runtime was dropped"),
        }
    }
}

/// Why the root gave up, as soon as it has.
#[derive(Clone, Default)]
pub(super) struct GiveUpNote(Arc<OnceLock<Arc<RestartLimitExceeded>>>);

impl GiveUpNote {
    /// The cause for the end of the root, which ran on this runtime.
    pub(super) fn collapse(&self, runtime: &Handle) -> Collapse {
        Collapse::of(self.0.get().cloned(), runtime)
    }

    /// The reporter of the root, which takes the note.
    pub(super) fn reporter(&self) -> impl Reporter {
        let gave_up = self.clone();
        let note = move |report: &Report| {
            if let ChildEvent::GaveUp { cause } = &report.happened {
                // A supervisor gives up once.
                let _ = gave_up.0.set(Arc::clone(cause));
            }
        };
        InspectingReporter::new(note, Arc::new(TracingReporter))
    }
}
