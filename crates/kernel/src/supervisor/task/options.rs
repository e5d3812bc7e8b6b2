//! The options of a task.

use crate::supervisor::child_id::ChildId;
use crate::supervisor::child_rules::Shutdown;

/// How an awaited task is listed, linked and stopped.
///
/// ```
/// use std::time::Duration;
/// use foundation_kernel::{Shutdown, TaskOptions};
///
/// let options = TaskOptions::new("upload").nolink().shutdown(Shutdown::Timeout(Duration::from_secs(1)));
/// # let _ = options;
/// ```
#[derive(Debug, Clone)]
pub struct TaskOptions {
    pub(super) id: ChildId,
    pub(super) shutdown: Option<Shutdown>,
    pub(super) link: Link,
}

/// Whether a task lives on without its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// It stops when its owner is gone.
    Owner,
    /// It does not.
    None,
}

impl TaskOptions {
    /// A linked task with this label, which need not be unique, and
    /// [5 s](crate::SupervisorLimits::worker_stop) to stop in.
    pub fn new(id: impl Into<ChildId>) -> Self {
        Self { id: id.into(), shutdown: None, link: Link::Owner }
    }

    /// It goes on when its [`Task`](crate::Task) is dropped.
    pub fn nolink(self) -> Self {
        Self { link: Link::None, ..self }
    }

    /// How it is stopped: by request, with its supervisor, or because its owner is gone.
    ///
    /// A task that holds no [`TaskStop`](crate::TaskStop) needs no time, as it is dropped at its next await point; the
    /// time then only limits how long it may work without one.
    pub fn shutdown(self, shutdown: Shutdown) -> Self {
        self.stopped_by(Some(shutdown))
    }

    pub(super) fn stopped_by(self, shutdown: Option<Shutdown>) -> Self {
        Self { shutdown, ..self }
    }
}

/// The label `task`.
impl Default for TaskOptions {
    fn default() -> Self {
        Self::new("task")
    }
}
