//! Taking the steps of a batch, and taking them back.
//!
//! # Invariants
//!
//! 1. Steps are taken one after the other, except the hand-overs that follow each other: these are taken at once.
//! 2. After a failure, or when the time is over, each step that was begun is taken back, the last one first.
//! 3. An undo that fails does not keep the others from being taken.

use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use tokio::time::{Instant, timeout_at};

use super::batch_error::{FailedStep, LeftBehind};
use super::fact::{BatchPlan, PlannedStep};
use super::replacement::ServiceStep;

/// How the steps of a batch are taken. An error says why a step was not.
pub(crate) trait TakeSteps: Sync {
    /// Takes a step.
    fn take<'a>(&'a self, step: &'a ServiceStep) -> BoxFuture<'a, Result<(), String>>;

    /// Takes a step of an undo.
    fn take_back<'a>(&'a self, step: &'a ServiceStep) -> BoxFuture<'a, Result<(), String>>;
}

/// Takes all steps within the time. A step whose time is over is dropped, and counts as begun.
pub(crate) async fn take_steps(plan: &BatchPlan, within: Duration, taker: &impl TakeSteps) -> Result<(), FailedStep> {
    // A time that the clock cannot count is no limit.
    let end = Instant::now().checked_add(within);
    let (mut at, steps) = (0, &plan.steps[..]);
    while at < steps.len() {
        let begun = at + together(&steps[at..]);
        let taken = join_all(steps[at..begun].iter().map(|step| taker.take(&step.take)));
        let results = match end {
            Some(end) => timeout_at(end, taken).await.map_err(|_| format!("the batch has not ended within {within:?}")),
            None => Ok(taken.await),
        };
        let results = results.map_err(|reason| FailedStep { at: Some(at), begun, reason })?;
        if let Some((offset, reason)) = first_error(results) {
            return Err(FailedStep { at: Some(at + offset), begun, reason });
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
pub(crate) async fn undo_steps(plan: &BatchPlan, begun: usize, taker: &impl TakeSteps) -> Vec<LeftBehind> {
    let (steps, mut left) = (plan.undo_of_first(begun).cloned().collect::<Vec<_>>(), Vec::new());
    for step in steps {
        if let Err(reason) = taker.take_back(&step).await {
            left.push(LeftBehind { step, reason });
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures::FutureExt;
    use parking_lot::Mutex;
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

    /// Notes each step when it is begun, and each that is ended; one of them fails, or never ends.
    #[derive(Default)]
    struct Log {
        steps: Mutex<Vec<String>>,
        fails: &'static str,
        fails_back: &'static str,
        hangs: &'static str,
    }

    impl Log {
        async fn run(&self, step: String, fails: &str) -> Result<(), String> {
            self.steps.lock().push(step.clone());
            yield_now().await;
            if step == self.hangs {
                pending::<()>().await;
            }
            if step == fails {
                return Err("no answer".to_owned());
            }
            self.steps.lock().push(format!("{step} ended"));
            Ok(())
        }
    }

    impl TakeSteps for Log {
        fn take<'a>(&'a self, step: &'a ServiceStep) -> BoxFuture<'a, Result<(), String>> {
            self.run(step.to_string(), self.fails).boxed()
        }

        fn take_back<'a>(&'a self, step: &'a ServiceStep) -> BoxFuture<'a, Result<(), String>> {
            self.run(format!("back: {step}"), self.fails_back).boxed()
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn hand_overs_are_taken_at_once_and_the_others_one_after_the_other() {
        let log = Log::default();
        assert_eq!(take_steps(&plan(), MINUTE, &log).await, Ok(()));
        let steps = log.steps.into_inner();
        assert_eq!(steps[..2], ["start a#2 beside", "start a#2 beside ended"]);
        assert_eq!(steps[4..6], ["hand a over from #1 to #2", "hand b over from #1 to #2"]);
        assert_eq!(steps.last().map(String::as_str), Some("stop c#3 ended"));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_all_that_was_begun_is_taken_back_in_reverse() {
        let (plan, fails, fails_back) = (plan(), "hand b over from #1 to #2", "back: hand b over from #2 to #1");
        let log = Log { fails, fails_back, ..Log::default() };
        let failed = take_steps(&plan, Duration::MAX, &log).await.unwrap_err();
        assert_eq!((failed.at, failed.begun), (Some(3), 4));

        log.steps.lock().clear();
        let left = undo_steps(&plan, failed.begun, &log).await;
        let mut steps = log.steps.into_inner();
        steps.retain(|step| !step.ends_with("ended"));
        let back = |text: &str| {
            let steps = BLUE_GREEN.steps(&name(text), 2, 1).into_iter();
            steps.map(|step| format!("back: {step}")).collect::<Vec<_>>()
        };
        let made = ["back: stop b#2 beside", "back: stop a#2 beside"].map(str::to_owned);
        assert_eq!(steps, [back("b"), back("a"), made.to_vec()].concat());
        let error = failed.into_error(&plan, left).to_string();
        let text = "hand b over from #1 to #2 failed: no answer; not undone: hand b over from #2 to #1: no answer \
                    (a, b restarted)";
        assert_eq!(error, text);
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_never_ends_fails_when_the_time_of_the_batch_is_over() {
        let (plan, log) = (plan(), Log { hangs: "stop c#3", ..Log::default() });
        let failed = take_steps(&plan, MINUTE, &log).await.unwrap_err();
        assert_eq!(
            (failed.at, failed.begun, failed.reason.as_str()),
            (Some(4), 5, "the batch has not ended within 60s")
        );
        assert!(matches!(failed.outcome(), crate::fact::BatchOutcome::Undone { failed: Some(4), .. }));
        let text = "stop c#3 failed, and everything before it is undone (a, b, c restarted): the batch has not ended \
                    within 60s";
        assert_eq!(failed.into_error(&plan, Vec::new()).to_string(), text);
    }
}
