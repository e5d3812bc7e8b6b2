//! The events of children, passed to an injected reporter.

use std::any::Any;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::Duration;

use ractor::ActorId;
use serde::Serialize;

use super::child_id::ChildId;
use super::child_rules::{AutoShutdown, NameTaken, Restart, Stopped};
use super::one_line::OneLine;
use super::restart::{RestartCause, RestartLimitExceeded};
use crate::containment::{Contained, catch_panic, report as report_panic};
use crate::exit::ExitReason;
use crate::written;

/// One event of one child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The supervisor's path, from the top: `registry/production/application`.
    #[serde(serialize_with = "written::shared")]
    pub supervisor: Arc<str>,
    /// Which child.
    pub child: ChildId,
    /// The event.
    pub happened: ChildEvent,
}

impl Report {
    /// A report, for tests of reporters.
    pub fn new(supervisor: impl Into<Arc<str>>, child: impl Into<ChildId>, happened: ChildEvent) -> Self {
        Self { supervisor: supervisor.into(), child: child.into(), happened }
    }
}

/// An event of a child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChildEvent {
    /// It runs.
    Started {
        /// Its new incarnation.
        #[serde(serialize_with = "written::text")]
        actor: ActorId,
        /// How often its supervisor has restarted it so far.
        restarts: u32,
        /// Why it was started again; `None` at a start by request.
        #[serde(serialize_with = "written::some_shared")]
        cause: Option<Arc<RestartCause>>,
    },
    /// Its start function returned [`Start::Ignore`](crate::supervision::Start::Ignore).
    Ignored,
    /// It did not start.
    StartFailed {
        /// The child's own cause.
        cause: String,
    },
    /// Its restart was refused, as another actor has its name.
    NameTaken {
        /// Which actor has which name.
        cause: String,
        /// The consequence.
        rule: NameTaken,
    },
    /// It ended without a request of its supervisor.
    Exited {
        /// The incarnation that ended.
        #[serde(serialize_with = "written::text")]
        actor: ActorId,
        /// The exit reason.
        reason: ExitReason,
        /// The chain below, if it is a supervisor that gave up.
        #[serde(serialize_with = "written::some_shared")]
        escalation: Option<Arc<RestartLimitExceeded>>,
    },
    /// It failed, and will be started again, with the siblings that the strategy affects.
    Restarting {
        /// Its failure, and the rules that were applied.
        #[serde(serialize_with = "written::shared")]
        cause: Arc<RestartCause>,
        /// The delay before the starts, once all affected children are stopped.
        #[serde(rename = "delay_ms", serialize_with = "written::millis")]
        delay: Duration,
    },
    /// It ended, and its restart rule refuses a restart.
    NotRestarted {
        /// The exit reason.
        reason: ExitReason,
        /// The rule.
        rule: Restart,
    },
    /// Its supervisor stopped it, and it is gone.
    Stopped {
        /// The incarnation that was stopped.
        #[serde(serialize_with = "written::text")]
        actor: ActorId,
        /// Whether it stopped in time, or was killed.
        how: Stopped,
    },
    /// Its failure exceeded the restart intensity: the supervisor stops.
    GaveUp {
        /// The failures, the restart intensity that they exceed, and the chain below.
        #[serde(serialize_with = "written::shared")]
        cause: Arc<RestartLimitExceeded>,
    },
    /// It was significant and has ended for good: the supervisor stops, as configured.
    AutoShutdown {
        /// The supervisor's setting.
        mode: AutoShutdown,
    },
}

/// One line, with line breaks and other control characters escaped; `{:.80}` gives at most 80 characters, the last of
/// them `…` if there were more.
///
/// ```
/// use foundation_kernel::supervision::{ChildEvent, Report};
///
/// let happened = ChildEvent::StartFailed { cause: "no desk".into() };
/// let report = Report::new("top/office", "clerk", happened);
/// assert_eq!(report.to_string(), "top/office: child clerk did not start: no desk");
/// assert_eq!(format!("{report:.20}"), "top/office: child c…");
/// ```
impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Report { supervisor, child, happened } = self;
        OneLine::write(f, format_args!("{supervisor}: child {child} {happened}"))
    }
}

/// One line, to be read after the child's name; limited as a [`Report`].
impl Display for ChildEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { actor, restarts: 0, .. } => OneLine::write(f, format_args!("started, as actor {actor}")),
            Self::Started { actor, restarts, cause: None } => {
                OneLine::write(f, format_args!("started again, as actor {actor}, restart {restarts}"))
            }
            Self::Started { actor, restarts, cause: Some(cause) } => {
                OneLine::write(f, format_args!("started again, as actor {actor}, restart {restarts}, since {cause}"))
            }
            Self::Ignored => OneLine::write(f, format_args!("is not wanted now")),
            Self::StartFailed { cause } => OneLine::write(f, format_args!("did not start: {cause}")),
            Self::NameTaken { cause, rule: NameTaken::Wait } => {
                OneLine::write(f, format_args!("waits until its name is free: {cause}"))
            }
            Self::NameTaken { cause, rule: NameTaken::Rest } => {
                OneLine::write(f, format_args!("is left stopped, as its name is taken: {cause}"))
            }
            Self::NameTaken { cause, rule: NameTaken::Fail } => {
                OneLine::write(f, format_args!("did not start, as its name is taken: {cause}"))
            }
            Self::Exited { actor, reason, escalation: None } => {
                OneLine::write(f, format_args!("exited, as actor {actor}: {reason}"))
            }
            Self::Exited { actor, reason, escalation: Some(below) } => {
                OneLine::write(f, format_args!("exited, as actor {actor}: {reason}, after {below:#}"))
            }
            Self::Restarting { cause, delay: Duration::ZERO } => {
                OneLine::write(f, format_args!("is to be restarted, since {cause}"))
            }
            Self::Restarting { cause, delay } => {
                OneLine::write(f, format_args!("is to be restarted in {delay:?}, since {cause}"))
            }
            Self::NotRestarted { reason, rule } => {
                OneLine::write(f, format_args!("is not restarted after {reason}, as it is {rule}"))
            }
            Self::Stopped { actor, how } => OneLine::write(f, format_args!("{how}, as actor {actor}")),
            Self::GaveUp { cause } => {
                OneLine::write(f, format_args!("failed once too often: the supervisor gives up after {cause:#}"))
            }
            Self::AutoShutdown { mode } => {
                OneLine::write(f, format_args!("was significant and has ended: the supervisor stops ({mode})"))
            }
        }
    }
}

/// A receiver of the events of a supervisor's children.
///
/// Called on the supervisor's task, between two of its steps: count or pass on, and return. A reporter that panics
/// loses that report and nothing else.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use foundation_kernel::supervision::{ChildEvent, Report, Reporter};
///
/// #[derive(Default)]
/// struct Exits(AtomicU64);
///
/// impl Reporter for Exits {
///     fn report(&self, report: &Report) {
///         if let ChildEvent::Exited { .. } = report.happened {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
/// ```
pub trait Reporter: Send + Sync + 'static {
    /// Takes note of one report.
    fn report(&self, report: &Report);

    /// The same for a child that was started on demand, by a dynamic supervisor or as a task: there may be thousands of
    /// them.
    fn report_on_demand(&self, report: &Report) {
        self.report(report);
    }
}

/// A reporter that passes each report on after a function has seen it, as `Iterator::inspect` does.
pub(crate) struct InspectingReporter<F> {
    inspect: F,
    next: Arc<dyn Reporter>,
}

impl<F: Fn(&Report) + Send + Sync + 'static> InspectingReporter<F> {
    pub(crate) fn new(inspect: F, next: Arc<dyn Reporter>) -> Self {
        Self { inspect, next }
    }
}

impl<F: Fn(&Report) + Send + Sync + 'static> Reporter for InspectingReporter<F> {
    fn report(&self, report: &Report) {
        (self.inspect)(report);
        self.next.report(report);
    }

    fn report_on_demand(&self, report: &Report) {
        (self.inspect)(report);
        self.next.report_on_demand(report);
    }
}

/// A user's reporter: supervisors share it, and any of them may drop it last.
impl<R: Reporter> Reporter for Contained<R> {
    fn report(&self, report: &Report) {
        if let Some(reporter) = self.get() {
            reporter.report(report);
        }
    }

    fn report_on_demand(&self, report: &Report) {
        if let Some(reporter) = self.get() {
            reporter.report_on_demand(report);
        }
    }
}

/// The default reporter: a `tracing` event for each report, with the supervisor's path and the child's id as fields.
///
/// | level | what |
/// |---|---|
/// | `ERROR` | a supervisor gives up |
/// | `WARN` | an abnormal exit, a failed start, a restart that finds its name taken, a child that did not stop in time and was killed |
/// | `INFO` | a start, a restart and the delay before it, a normal exit, a stop, an auto-shutdown |
/// | `DEBUG` | all else; the starts, normal exits and stops of children that were started on demand |
#[derive(Debug, Clone, Copy, Default)]
pub struct TracingReporter;

impl Reporter for TracingReporter {
    fn report(&self, report: &Report) {
        log(report, false);
    }

    fn report_on_demand(&self, report: &Report) {
        log(report, true);
    }
}

/// Logs an event of every child's life at `info`, and at `debug` for children that may number thousands.
macro_rules! routine {
    ($on_demand:expr, $($event:tt)*) => {
        if $on_demand { tracing::debug!($($event)*) } else { tracing::info!($($event)*) }
    };
}

fn log(Report { supervisor, child, happened }: &Report, on_demand: bool) {
    match happened {
        ChildEvent::Started { actor, restarts, cause: None } => {
            routine!(on_demand, %supervisor, %child, %actor, restarts, "child started");
        }
        ChildEvent::Started { actor, restarts, cause: Some(cause) } => {
            tracing::info!(%supervisor, %child, %actor, restarts, %cause, "child restarted");
        }
        ChildEvent::Ignored => tracing::debug!(%supervisor, %child, "child is not wanted now"),
        ChildEvent::StartFailed { cause } => tracing::warn!(%supervisor, %child, cause, "child did not start"),
        ChildEvent::NameTaken { cause, rule } => {
            tracing::warn!(%supervisor, %child, cause, ?rule, "child is not restarted: its name is taken");
        }
        ChildEvent::Exited { actor, reason, escalation: Some(cause) } => {
            tracing::warn!(%supervisor, %child, %actor, %reason, %cause, "child supervisor gave up");
        }
        ChildEvent::Exited { actor, reason, .. } if reason.is_abnormal() => {
            tracing::warn!(%supervisor, %child, %actor, %reason, "child exited");
        }
        ChildEvent::Exited { actor, reason, .. } => {
            routine!(on_demand, %supervisor, %child, %actor, %reason, "child exited");
        }
        ChildEvent::Restarting { cause, delay: Duration::ZERO } => {
            tracing::debug!(%supervisor, %child, %cause, "child is going to be restarted");
        }
        ChildEvent::Restarting { cause, delay } => {
            tracing::info!(%supervisor, %child, %cause, ?delay, "child is going to be restarted");
        }
        ChildEvent::NotRestarted { reason, rule } => {
            tracing::debug!(%supervisor, %child, %reason, %rule, "child is not restarted");
        }
        ChildEvent::Stopped { actor, how: how @ Stopped::Killed } => {
            tracing::warn!(%supervisor, %child, %actor, ?how, "child did not stop in time and was killed");
        }
        ChildEvent::Stopped { actor, how } => {
            routine!(on_demand, %supervisor, %child, %actor, ?how, "child stopped");
        }
        ChildEvent::GaveUp { cause } => {
            tracing::error!(%supervisor, %child, %cause, "supervisor gives up: too many restarts");
        }
        ChildEvent::AutoShutdown { mode } => {
            tracing::info!(%supervisor, %child, %mode, "supervisor stops: its significant children have ended");
        }
    }
}

/// The followers of a tree, as far as reports concern them.
pub(super) trait Followers: Any + Send + Sync {
    /// Whether there are any.
    fn are_there(&self) -> bool;

    /// Takes note of an event of the child at this path.
    fn happened(&self, path: Vec<ChildId>, event: ChildEvent);
}

/// Where a supervisor is in its tree, with the followers of the tree.
#[derive(Clone)]
pub(crate) struct TreePlace {
    path: Arc<str>,
    /// `None` at the top.
    level: Option<Arc<Level>>,
    followers: Arc<dyn Followers>,
}

/// One level of a path.
struct Level {
    id: ChildId,
    above: Option<Arc<Level>>,
}

/// Drops one after the other: a tree may be deeper than a stack is.
impl Drop for Level {
    fn drop(&mut self) {
        let mut above = self.above.take().and_then(Arc::into_inner);
        while let Some(mut level) = above {
            above = level.above.take().and_then(Arc::into_inner);
        }
    }
}

impl TreePlace {
    /// The top of a tree.
    pub(super) fn top(path: &str, followers: Arc<dyn Followers>) -> Self {
        Self { path: path.into(), level: None, followers }
    }

    /// The place of a child.
    pub(crate) fn below(&self, child: &ChildId) -> Self {
        let level = Level { id: child.clone(), above: self.level.clone() };
        let path = format!("{}/{child}", self.path).into();
        Self { path, level: Some(Arc::new(level)), followers: Arc::clone(&self.followers) }
    }

    pub(crate) fn path(&self) -> &Arc<str> {
        &self.path
    }

    pub(super) fn followers(&self) -> &dyn Followers {
        &*self.followers
    }

    /// The ids from below the top to here.
    pub(super) fn segments(&self) -> Vec<ChildId> {
        let levels = std::iter::successors(self.level.as_ref(), |level| level.above.as_ref());
        let mut segments: Vec<_> = levels.map(|level| level.id.clone()).collect();
        segments.reverse();
        segments
    }

    /// The path of a child here.
    pub(super) fn to(&self, child: &ChildId) -> Vec<ChildId> {
        let mut path = self.segments();
        path.push(child.clone());
        path
    }
}

/// A reporter with the place of the supervisor that reports.
#[derive(Clone)]
pub(crate) struct Reporting {
    place: TreePlace,
    /// How many supervisors are above.
    depth: usize,
    reporter: Arc<dyn Reporter>,
    /// Whether the children are started on demand.
    on_demand: bool,
}

impl Reporting {
    /// The reporter of a specification, if it has one, at the top of a tree.
    pub(super) fn at_top(place: TreePlace, reporter: Option<&Arc<dyn Reporter>>) -> Self {
        let reporter = reporter.map_or_else(|| Arc::new(TracingReporter) as Arc<dyn Reporter>, Arc::clone);
        Self { place, depth: 0, reporter, on_demand: false }
    }

    /// The same reporter, one level down, or that of a specification there.
    pub(super) fn below(&self, child: &ChildId, reporter: Option<&Arc<dyn Reporter>>) -> Self {
        let reporter = Arc::clone(reporter.unwrap_or(&self.reporter));
        Self { place: self.place.below(child), depth: self.depth + 1, reporter, on_demand: self.on_demand }
    }

    /// The same reporter for a supervisor with such children.
    pub(crate) fn of_children(self, on_demand: bool) -> Self {
        Self { on_demand, ..self }
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    pub(crate) fn place(&self) -> &TreePlace {
        &self.place
    }

    fn pass_on(&self, report: &Report) {
        if self.on_demand { self.reporter.report_on_demand(report) } else { self.reporter.report(report) }
    }

    pub(crate) fn send(&self, child: &ChildId, happened: ChildEvent) {
        let report = Report { supervisor: Arc::clone(&self.place.path), child: child.clone(), happened };
        // Telemetry that fails must not break supervision.
        if let Err(panic) = catch_panic(|| self.pass_on(&report)) {
            let Report { supervisor, child, .. } = &report;
            report_panic(|| tracing::warn!(%supervisor, %child, %panic, "a reporter panicked; its report is lost"));
        }
        if self.place.followers.are_there() {
            self.place.followers.happened(self.place.to(child), report.happened);
        }
    }
}
