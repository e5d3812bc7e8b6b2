//! The health of a whole tree. Every supervisor is asked for its children that count, all of a level at once; then the
//! children's own checks run, all at once.
//!
//! 1. A child that does not run is judged by how long it has not: a fact of its supervisor, by the supervisor's clock.
//!    So the frequency of checks does not matter.
//! 2. A child that fails again before it has been up for a grace has been failing since the first of these failures: so
//!    a crash loop shows, however short its pauses are.
//! 3. Every wait is bounded: a supervisor or a check that does not answer in time is a finding.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use ractor::{ActorCell, ActorStatus};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::containment::waking_contained;
use crate::exit::ExitReason;
use crate::health::{Health, HealthRule, run_check};
use crate::limits::HealthLimits;
use crate::namespace::ServiceName;
use crate::supervisor::child_id::ChildId;
use crate::supervisor::children::Trouble;
use crate::supervisor::info::ChildState;

/// The health of one child that counts in the health of its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ChildHealth {
    /// Its path in its tree.
    pub path: String,
    /// Its own health.
    pub health: Health,
    /// What it needs to do all of its work.
    pub needs: Vec<ServiceName>,
}

/// One child that counts, or that may have children below it that count.
pub(crate) struct Examinee {
    pub(crate) id: ChildId,
    pub(crate) state: ChildState,
    /// How long it has been in it, or at least not running.
    pub(crate) for_long: Option<Duration>,
    pub(crate) last_exit: Option<ExitReason>,
    pub(crate) trouble: Trouble,
    /// By the supervisor's clock.
    pub(crate) now: Instant,
    /// `None` if it does not count.
    pub(crate) rule: Option<Arc<HealthRule>>,
    /// If it runs.
    pub(crate) actor: Option<ActorCell>,
    pub(crate) is_supervisor: bool,
}

impl Examinee {
    /// Its health, if that is known without its own check, which needs it to run.
    fn known(&self, grace: Duration) -> Option<Health> {
        let down = self.down(grace)?;
        if down.is_healthy() { self.unsteady(grace).or(Some(down)) } else { Some(down) }
    }

    /// Its health if it fails again and again, each time before it has been up for a grace.
    fn unsteady(&self, grace: Duration) -> Option<Health> {
        let run = self.trouble.run(grace)?;
        let is_steady = matches!(self.state, ChildState::Running(_)) && self.for_long.is_none_or(|up| up >= grace);
        let lasts = self.now.saturating_duration_since(run.since);
        if run.failures < 2 || is_steady || lasts < grace {
            return None;
        }
        let exit = self.last_exit.as_ref().map(|exit| format!("; last exit: {exit}")).unwrap_or_default();
        Some(Health::Degraded(format!("failed {} times within {:.1}s{exit}", run.failures, lasts.as_secs_f64())))
    }

    /// Its health if it does not run: a restart has some grace.
    fn down(&self, grace: Duration) -> Option<Health> {
        let state = match self.state {
            ChildState::Running(_) => return None,
            ChildState::Starting => "starting",
            ChildState::Restarting => "restarting",
            ChildState::NameTaken => "waiting for its name",
            ChildState::Stopping => "stopping",
            ChildState::Stopped => "stopped",
        };
        if self.state != ChildState::Stopped && self.for_long.is_some_and(|for_long| for_long < grace) {
            return Some(Health::Healthy);
        }
        let for_long = self.for_long.map(|for_long| format!(" for {:.1}s", for_long.as_secs_f64())).unwrap_or_default();
        let exit = self.last_exit.as_ref().map(|exit| format!("; last exit: {exit}")).unwrap_or_default();
        Some(Health::Down(format!("{state}{for_long}{exit}")))
    }
}

/// A child that counts, before its health is complete.
struct Finding {
    path: String,
    rule: Arc<HealthRule>,
    /// `None` while its own check decides.
    health: Option<Health>,
    /// What it is at best: a check that finds it healthy says nothing of its failures.
    unsteady: Option<Health>,
    actor: Option<ActorCell>,
}

/// A supervisor to be asked.
struct Next {
    path: String,
    supervisor: ActorCell,
    /// Its index in the findings, if it counts itself.
    finding: Option<usize>,
}

/// The health of the children that count below a supervisor; `None` if it does not run. `ask` requests a supervisor's
/// children in start order, and is answered with nothing if it no longer runs.
pub(crate) async fn checkup<F>(
    path: &str,
    supervisor: ActorCell,
    limits: &HealthLimits,
    ask: impl Fn(ActorCell) -> F,
) -> Option<Vec<ChildHealth>>
where
    F: Future<Output = Option<Vec<Examinee>>>,
{
    if !is_live(&supervisor) {
        return None;
    }
    let deadline = Instant::now() + limits.answer;
    let mut findings = Vec::new();
    let mut level = vec![Next { path: path.to_owned(), supervisor, finding: None }];
    while !level.is_empty() {
        let asked = level.iter().map(|next| timeout_at(deadline, ask(next.supervisor.clone())));
        let answers = waking_contained(join_all(asked)).await;
        let mut below = Vec::new();
        for (next, answer) in level.into_iter().zip(answers) {
            match answer {
                Ok(examinees) => note(&next.path, examinees.into_iter().flatten(), limits, &mut findings, &mut below),
                Err(_) => silent(next, limits, &mut findings),
            }
        }
        level = below;
    }
    Some(join_all(findings.into_iter().map(|finding| finding.find(limits))).await)
}

/// Notes a supervisor's children.
fn note(
    path: &str,
    examinees: impl Iterator<Item = Examinee>,
    limits: &HealthLimits,
    findings: &mut Vec<Finding>,
    below: &mut Vec<Next>,
) {
    for examinee in examinees {
        let (path, health) = (format!("{path}/{}", examinee.id), examinee.known(limits.grace));
        let unsteady = examinee.unsteady(limits.grace);
        let counts = examinee.rule.is_some();
        if let Some(rule) = examinee.rule {
            findings.push(Finding { path: path.clone(), rule, health, unsteady, actor: examinee.actor.clone() });
        }
        if let (true, Some(actor)) = (examinee.is_supervisor, examinee.actor) {
            let finding = counts.then(|| findings.len() - 1);
            below.push(Next { path, supervisor: actor, finding });
        }
    }
}

/// Notes a supervisor that does not answer: which children count below it is unknown.
fn silent(next: Next, limits: &HealthLimits, findings: &mut Vec<Finding>) {
    let health = Some(Health::TimedOut(limits.answer));
    match next.finding.and_then(|at| findings.get_mut(at)) {
        Some(finding) => finding.health = health,
        None => findings.push(Finding { path: next.path, rule: Arc::default(), health, unsteady: None, actor: None }),
    }
}

impl Finding {
    async fn find(self, limits: &HealthLimits) -> ChildHealth {
        let Self { path, rule, health, unsteady, actor } = self;
        let health = match (health, actor) {
            (Some(health), _) => health,
            (None, Some(actor)) => examine(&actor, &rule, limits).await,
            (None, None) => Health::NotFound,
        };
        let health = if health.is_healthy() { unsteady.unwrap_or(health) } else { health };
        ChildHealth { path, health, needs: rule.needs.clone() }
    }
}

async fn examine(actor: &ActorCell, rule: &HealthRule, limits: &HealthLimits) -> Health {
    let health = match rule.check.clone() {
        Some(check) if is_live(actor) => {
            let (actor, grace) = (actor.clone(), limits.grace);
            run_check(limits.answer, move || check(actor, grace)).await
        }
        _ => Health::Healthy,
    };
    if is_live(actor) {
        return health;
    }
    // On its way out, since an unknown time: it has the whole grace from here, in which its restart begins.
    match waking_contained(actor.wait(Some(limits.grace))).await {
        Ok(()) => Health::Healthy,
        Err(_) => Health::Dead,
    }
}

fn is_live(actor: &ActorCell) -> bool {
    actor.get_status() < ActorStatus::Draining
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GRACE: Duration = Duration::from_secs(1);

    fn down(state: ChildState, for_long: Option<Duration>) -> Option<Health> {
        let last_exit = Some(ExitReason::Killed);
        let (id, rule, actor) = (ChildId::from("clerk"), None, None);
        let (trouble, now) = (Trouble::default(), Instant::now());
        Examinee { id, state, for_long, last_exit, trouble, now, rule, actor, is_supervisor: false }.known(GRACE)
    }

    /// A child that was up this long before each of this many failures, a tenth of a second apart, and is up now for as
    /// long.
    fn looping(failures: u32, up: Duration) -> Option<Health> {
        let (mut trouble, mut now) = (Trouble::default(), Instant::now());
        for _ in 0..failures {
            now += up;
            trouble.failed(now, up);
            now += Duration::from_millis(100);
        }
        let (state, last_exit) = (ChildState::Running(ractor::ActorId::Local(1)), Some(ExitReason::Killed));
        let (id, rule, actor, for_long, now) = (ChildId::from("clerk"), None, None, Some(up), now + up);
        Examinee { id, state, for_long, last_exit, trouble, now, rule, actor, is_supervisor: false }.unsteady(GRACE)
    }

    #[test]
    fn a_crash_loop_within_the_grace_is_degraded_and_failures_with_a_steady_life_in_between_are_none() {
        let short = Duration::from_millis(400);
        let degraded = looping(3, short).unwrap();
        assert_eq!(degraded.to_string(), "degraded: failed 3 times within 1.5s; last exit: killed");
        assert_eq!(looping(1, short), None, "it has come back within its grace");
        assert_eq!(looping(2, short / 2), None, "this is not going on for a grace");
        assert_eq!(looping(9, GRACE), None, "it was steady before each failure");
    }

    proptest! {
        #[test]
        fn a_child_that_restarts_is_healthy_for_the_grace_and_then_down(millis in 0u64..10_000) {
            let health = down(ChildState::Restarting, Some(Duration::from_millis(millis))).unwrap();
            prop_assert_eq!(health.is_healthy(), millis < 1_000);
        }

        #[test]
        fn a_child_that_stopped_for_good_is_down_at_once(millis in 0u64..10_000) {
            let health = down(ChildState::Stopped, Some(Duration::from_millis(millis))).unwrap();
            prop_assert!(!health.is_healthy());
        }
    }

    #[test]
    fn a_child_that_is_down_is_reported_with_duration_and_cause() {
        let health = down(ChildState::Restarting, Some(Duration::from_millis(3_210))).unwrap();
        assert_eq!(health.to_string(), "down: restarting for 3.2s; last exit: killed");
        assert_eq!(down(ChildState::Running(ractor::ActorId::Local(1)), None), None);
    }
}
