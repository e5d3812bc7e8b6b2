//! How a batch ended: its report, and its errors.

use std::fmt;
use std::time::Duration;

use foundation_kernel::names::{Namespace, ServiceName};
use serde::Serialize;

use super::fact::{BatchOutcome, BatchPlan};
use super::needs::Need;
use super::replacement::ServiceStep;
use super::roster::error::RosterError;

/// What is wrong with one operation of a batch.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BatchFault {
    /// Which operation, from 0; `None` for the batch as a whole.
    pub at: Option<usize>,
    /// What it was to do.
    pub operation: String,
    /// Why it is refused.
    pub reason: BatchFaultReason,
}

impl BatchFault {
    pub(crate) fn new(at: usize, operation: &impl ToString, reason: BatchFaultReason) -> Self {
        Self { at: Some(at), operation: operation.to_string(), reason }
    }
}

impl fmt::Display for BatchFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, reason, .. } = self;
        match self.at {
            Some(at) => write!(f, "operation {at} ({operation}): {reason}"),
            None => write!(f, "{operation}: {reason}"),
        }
    }
}

/// Why an operation of a batch is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchFaultReason {
    /// The roster does not allow it.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// Its kind does not allow it, or there is no such kind.
    #[error("{0}")]
    Kind(String),
    /// The service would be started and could never be ready.
    #[error("it needs {}, and no service that is to run provides that", listed(.needs))]
    Lacks {
        /// What is missing.
        needs: Vec<Need>,
    },
    /// The batch has too many operations.
    #[error("it has {operations} operations, and at most {limit} are allowed")]
    TooMany {
        /// How many it has.
        operations: usize,
        /// How many it may have.
        limit: usize,
    },
}

fn listed<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What a batch has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BatchReport {
    /// The services that were started.
    pub started: Vec<ServiceName>,
    /// The services that run with another generation.
    pub replaced: Vec<ServiceName>,
    /// The services that were stopped.
    pub stopped: Vec<ServiceName>,
    /// How many changes of the roster were recorded.
    pub changes: usize,
}

impl BatchReport {
    pub(crate) fn of(plan: &BatchPlan) -> Self {
        let mut report = Self { changes: plan.changes.len(), ..Self::default() };
        for step in &plan.steps {
            let list = match &step.take {
                ServiceStep::Start { .. } => &mut report.started,
                ServiceStep::Stop { .. } => &mut report.stopped,
                ServiceStep::HandOver { .. } | ServiceStep::Reload { .. } => &mut report.replaced,
                _ => continue,
            };
            list.push(step.take.name().clone());
        }
        report.pair_up();
        report
    }

    /// A service that was stopped and started is replaced.
    fn pair_up(&mut self) {
        let Self { started, stopped, replaced, .. } = self;
        replaced.extend(started.extract_if(.., |name| stopped.contains(name)));
        stopped.retain(|name| !replaced.contains(name));
    }
}

impl fmt::Display for BatchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [("started", &self.started), ("replaced", &self.replaced), ("stopped", &self.stopped)];
        let texts: Vec<_> = lists
            .iter()
            .filter(|it| !it.1.is_empty())
            .map(|(what, names)| format!("{what} {}", listed(names)))
            .collect();
        f.write_str(&if texts.is_empty() { "nothing to be done".to_owned() } else { texts.join("; ") })
    }
}

/// A step that was to be taken back, and was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeftBehind {
    /// The step that would have taken it back.
    pub step: ServiceStep,
    /// Why it failed.
    pub reason: String,
}

impl fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.reason)
    }
}

/// Why a batch is not done.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Operations are not valid; nothing was done.
    #[error("nothing was done: {}", joined(.faults))]
    Refused {
        /// All that is wrong.
        faults: Vec<BatchFault>,
    },
    /// The event store has not recorded it; nothing was done.
    #[error("nothing was done, as it cannot be recorded: {reason}")]
    NotRecorded {
        /// Why not.
        reason: String,
    },
    /// Services of the batch were being started, stopped or replaced until its time was over; nothing was done.
    #[error("nothing was done: the batch waited {within:?} for {}", listed(.services))]
    Busy {
        /// The services.
        services: Vec<ServiceName>,
        /// The time of the batch.
        within: Duration,
    },
    /// It would have to wait for the end of another batch, and as many requests wait as may; nothing was done.
    #[error("nothing was done: {limit} requests wait for the end of a batch, as many as may")]
    TooManyWaiting {
        /// How many may wait.
        limit: usize,
    },
    /// The managed services are being shut down: nothing of the batch counts.
    #[error("the managed services of namespace {namespace} are shut down, and nothing of the batch counts")]
    ShuttingDown {
        /// The namespace.
        namespace: Namespace,
    },
    /// The manager has not answered. The batch may be done, or is undone.
    #[error(
        "it is not known whether the batch is done: the manager of namespace {namespace} has not answered: {reason}"
    )]
    Unclear {
        /// The namespace.
        namespace: Namespace,
        /// What happened instead.
        reason: String,
    },
    /// A step failed, or the end could not be recorded, and all steps that were taken are taken back: the services are as
    /// before.
    #[error("{} failed, and everything before it is undone{}: {reason}", what_failed(.failed), with_restarts(.restarted))]
    Undone {
        /// The step that failed; `None` if it was none of them.
        failed: Option<Box<ServiceStep>>,
        /// Why.
        reason: String,
        /// The services that were stopped and run again, so that what they had in their state is lost.
        restarted: Vec<ServiceName>,
    },
    /// As [`Undone`](Self::Undone), but not all steps that were taken could be taken back. The manager goes on to bring
    /// about what was desired before the batch.
    #[error("{} failed: {reason}; not undone: {}{}", what_failed(.failed), joined(.left), with_restarts(.restarted))]
    UndoFailed {
        /// The step that failed; `None` if it was none of them.
        failed: Option<Box<ServiceStep>>,
        /// Why.
        reason: String,
        /// The services that were stopped and run again, so that what they had in their state is lost.
        restarted: Vec<ServiceName>,
        /// The steps that would have taken the others back, and failed.
        left: Vec<LeftBehind>,
    },
}

fn what_failed(step: &Option<Box<ServiceStep>>) -> String {
    step.as_ref().map_or_else(|| "the batch".to_owned(), |step| step.to_string())
}

fn joined<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn with_restarts(names: &[ServiceName]) -> String {
    if names.is_empty() { String::new() } else { format!(" ({} restarted)", listed(names)) }
}

/// Why a batch is undone by the next manager.
pub(crate) const ENDED_BEFORE: &str = "the manager ended before the batch did";

/// A step that failed, and how many were begun until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailedStep {
    /// `None` if all were taken, or it is not known which.
    pub(crate) at: Option<usize>,
    pub(crate) begun: usize,
    pub(crate) reason: String,
}

impl FailedStep {
    /// How the batch is recorded.
    pub(crate) fn outcome(&self) -> BatchOutcome {
        BatchOutcome::Undone { failed: self.at, why: self.reason.clone() }
    }

    /// What the caller gets.
    pub(crate) fn into_error(self, plan: &BatchPlan, left: Vec<LeftBehind>) -> BatchError {
        let failed = self.at.and_then(|at| plan.steps.get(at)).map(|step| Box::new(step.take.clone()));
        let restarted: Vec<ServiceName> = plan.restarted_by_first(self.begun);
        match left.is_empty() {
            true => BatchError::Undone { failed, reason: self.reason, restarted },
            false => BatchError::UndoFailed { failed, reason: self.reason, restarted, left },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fact::PlannedStep;
    use super::super::samples::{BLUE_GREEN, name};
    use super::*;

    #[test]
    fn errors_say_what_failed_and_what_became_of_the_others() {
        let failed = ServiceStep::Start { name: name("mail"), generation: 3 };
        let reason = "no port".to_owned();
        let left = vec![LeftBehind { step: failed.inverse(), reason: "no answer".to_owned() }];
        let step = Some(Box::new(failed.clone()));
        let restarted = vec![name("db")];
        let undo_failed = BatchError::UndoFailed { failed: step, reason: reason.clone(), restarted, left };
        let text = "start mail#3 failed: no port; not undone: stop mail#3: no answer (db restarted)";
        assert_eq!(undo_failed.to_string(), text);
        let undone = BatchError::Undone { failed: Some(Box::new(failed)), reason, restarted: vec![name("db")] };
        let text = "start mail#3 failed, and everything before it is undone (db restarted): no port";
        assert_eq!(undone.to_string(), text);
        let reason = "its end cannot be recorded".to_owned();
        let unrecorded = BatchError::Undone { failed: None, reason, restarted: Vec::new() };
        let text = "the batch failed, and everything before it is undone: its end cannot be recorded";
        assert_eq!(unrecorded.to_string(), text);
    }

    #[test]
    fn a_report_says_what_became_of_each_service() {
        let planned = |take| PlannedStep { take, undo: Vec::new() };
        let steps = BLUE_GREEN.steps(&name("a"), 1, 2).into_iter().map(planned);
        let steps = steps.chain([planned(ServiceStep::Stop { name: name("b"), generation: 3 })]).collect();
        let report = BatchReport::of(&BatchPlan { steps, ..BatchPlan::default() });
        assert_eq!(report.to_string(), "replaced a; stopped b");
    }

    #[test]
    fn a_service_that_is_stopped_and_started_is_replaced() {
        let report = |started: &[&str], stopped: &[&str]| {
            let names = |names: &[&str]| names.iter().map(|it| name(it)).collect();
            let (started, stopped) = (names(started), names(stopped));
            let mut report = BatchReport { started, stopped, ..BatchReport::default() };
            report.pair_up();
            report.to_string()
        };
        assert_eq!(report(&["a", "b"], &["b", "c"]), "started a; replaced b; stopped c");
        assert_eq!(report(&[], &[]), "nothing to be done");
    }
}
