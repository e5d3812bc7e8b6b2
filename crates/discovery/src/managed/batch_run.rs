//! Taking the steps of a batch, and taking them back.
//!
//! # Invariants
//!
//! 1. Steps are taken one after the other, except the hand-overs that follow each other: these are taken at once.
//! 2. After a failure, or when the time is over, each step that was begun is taken back, the last one first.
//! 3. An undo that fails does not keep the others from being taken.

use std::time::Duration;

use foundation_kernel::names::ServiceName;
use futures::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::batch_error::{BatchError, LeftBehind};
use super::fact::{BatchOutcome, BatchPlan, PlannedStep};
use super::replacement::ServiceStep;

/// A step that failed, and how many were begun until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FailedStep {
    pub(super) at: usize,
    pub(super) begun: usize,
    pub(super) reason: String,
}

/// Takes all steps within the time. A step whose time is over is dropped, and counts as begun.
pub(super) async fn take_steps(
    plan: &BatchPlan,
    within: Duration,
    take: impl AsyncFn(&ServiceStep) -> Result<(), String>,
) -> Result<(), FailedStep> {
    // A time that the clock cannot count is no limit.
    let end = Instant::now().checked_add(within);
    let (mut at, steps) = (0, &plan.steps[..]);
    while at < steps.len() {
        let begun = at + together(&steps[at..]);
        let taken = join_all(steps[at..begun].iter().map(|step| take(&step.take)));
        let results = match end {
            Some(end) => timeout_at(end, taken).await.map_err(|_| format!("the batch has not ended within {within:?}")),
            None => Ok(taken.await),
        };
        let results = results.map_err(|reason| FailedStep { at, begun, reason })?;
        if let Some((offset, reason)) = first_error(results) {
            return Err(FailedStep { at: at + offset, begun, reason });
        }
        at = begun;
    }
    Ok(())
}

/// How many of the next steps are taken at once.
fn together(steps: &[PlannedStep]) -> usize {
    steps.iter().take_while(|step| matches!(step.take, ServiceStep::HandOver { .. })).count().max(1)
}

fn first_error(results: Vec<Result<(), String>>) -> Option<(usize, String)> {
    results.into_iter().enumerate().find_map(|(at, result)| Some((at, result.err()?)))
}

/// Takes back the first steps, and returns those that could not be taken back.
pub(super) async fn undo_steps(
    plan: &BatchPlan,
    begun: usize,
    take: impl AsyncFn(&ServiceStep) -> Result<(), String>,
) -> Vec<LeftBehind> {
    let mut left = Vec::new();
    for step in plan.undo_of_first(begun) {
        if let Err(reason) = take(step).await {
            left.push(LeftBehind { step: step.clone(), reason });
        }
    }
    left
}

impl FailedStep {
    /// How the batch is recorded.
    pub(super) fn outcome(&self) -> BatchOutcome {
        BatchOutcome::Undone { failed: Some(self.at), why: self.reason.clone() }
    }

    /// What the caller gets.
    pub(super) fn into_error(self, plan: &BatchPlan, left: Vec<LeftBehind>) -> BatchError {
        let failed = plan.steps[self.at].take.clone();
        let restarted: Vec<ServiceName> = plan.restarted_by_first(self.begun);
        match left.is_empty() {
            true => BatchError::Undone { failed, reason: self.reason, restarted },
            false => BatchError::UndoFailed { failed, reason: self.reason, left },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;

    use tokio::task::yield_now;

    use super::super::samples::{BLUE_GREEN, name};
    use super::*;

    fn plan() -> BatchPlan {
        let steps = |text: &str| BLUE_GREEN.steps(&name(text), 1, 2);
        let back = |text: &str| BLUE_GREEN.steps(&name(text), 2, 1);
        let made = |text: &str| PlannedStep { take: steps(text)[0].clone(), undo: vec![steps(text)[0].inverse()] };
        let handed = |text: &str| PlannedStep { take: steps(text)[1].clone(), undo: back(text) };
        let stop = ServiceStep::Stop { name: name("c"), generation: 3 };
        let stop = PlannedStep { undo: vec![stop.inverse()], take: stop };
        BatchPlan { steps: vec![made("a"), made("b"), handed("a"), handed("b"), stop], changes: Vec::new() }
    }

    /// The steps, each when it is begun and when it has ended.
    type Log = RefCell<Vec<String>>;

    async fn note(log: &Log, step: &ServiceStep) -> Result<(), String> {
        log.borrow_mut().push(format!("{step}"));
        yield_now().await;
        log.borrow_mut().push(format!("{step} ended"));
        Ok(())
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn hand_overs_are_taken_at_once_and_the_others_one_after_the_other() {
        let (log, plan) = (Log::default(), plan());
        let all = take_steps(&plan, MINUTE, async |step| note(&log, step).await).await;
        assert_eq!(all, Ok(()));
        let log = log.into_inner();
        assert_eq!(log[..2], ["start a#2 beside", "start a#2 beside ended"]);
        assert_eq!(log[4..6], ["hand a over from #1 to #2", "hand b over from #1 to #2"]);
        assert_eq!(log.last().map(String::as_str), Some("stop c#3 ended"));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_all_that_was_begun_is_taken_back_in_reverse() {
        let plan = plan();
        let fails = async |step: &ServiceStep| match step {
            ServiceStep::HandOver { name, .. } if name.as_str() == "b" => Err("no answer".to_owned()),
            _ => Ok(()),
        };
        let failed = take_steps(&plan, Duration::MAX, fails).await.unwrap_err();
        assert_eq!((failed.at, failed.begun), (3, 4));

        let undone = RefCell::new(Vec::new());
        let undo = async |step: &ServiceStep| {
            undone.borrow_mut().push(step.to_string());
            let fails = matches!(step, ServiceStep::StopBeside { generation: 2, .. });
            if fails && step.name().as_str() == "b" { Err("no supervisor".to_owned()) } else { Ok(()) }
        };
        let left = undo_steps(&plan, failed.begun, undo).await;
        let of_b = ["start b#1 beside", "hand b over from #2 to #1", "drain b#2", "stop b#2 beside"];
        assert_eq!(undone.borrow()[..4], of_b);
        assert_eq!(undone.borrow()[8..], ["stop b#2 beside", "stop a#2 beside"]);
        let error = failed.into_error(&plan, left).to_string();
        let text = "hand b over from #1 to #2 failed: no answer; not undone: stop b#2 beside: no supervisor; stop b#2 \
                    beside: no supervisor";
        assert_eq!(error, text);
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_never_ends_fails_when_the_time_of_the_batch_is_over() {
        let plan = plan();
        let hangs = async |step: &ServiceStep| match step {
            ServiceStep::Stop { .. } => pending().await,
            _ => Ok(()),
        };
        let failed = take_steps(&plan, MINUTE, hangs).await.unwrap_err();
        assert_eq!((failed.at, failed.begun, failed.reason.as_str()), (4, 5, "the batch has not ended within 60s"));
        assert!(matches!(failed.outcome(), BatchOutcome::Undone { failed: Some(4), .. }));
        let text = "stop c#3 failed, and everything before it is undone (a, b, c restarted): the batch has not ended \
                    within 60s";
        assert_eq!(failed.into_error(&plan, Vec::new()).to_string(), text);
    }
}
