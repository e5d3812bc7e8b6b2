//! The health of a whole tree. Every supervisor is asked for its children that count, all of a level at once; then the
//! children's own checks run, all at once.
//!
//! Every wait is bounded: a supervisor or a check that does not answer in time is a finding.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use ractor::{ActorCell, ActorStatus};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::containment::waking_contained;
use crate::health::{Health, HealthRule, run_check};
use crate::limits::HealthLimits;
use crate::namespace::ServiceName;
use crate::supervisor::child_id::ChildId;

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

/// One child that counts, or that may have children below it that count, as its supervisor sees it.
pub(crate) struct Examinee {
    id: ChildId,
    /// `None` if it does not count.
    rule: Option<Arc<HealthRule>>,
    /// Its health as far as its supervisor knows it: if that needs no check of its own, and if it fails again and again.
    judged: (Option<Health>, Option<Health>),
    /// If it runs.
    actor: Option<ActorCell>,
    is_supervisor: bool,
}

impl Examinee {
    pub(crate) fn new(
        id: ChildId,
        rule: Option<Arc<HealthRule>>,
        judged: (Option<Health>, Option<Health>),
        actor: Option<ActorCell>,
        is_supervisor: bool,
    ) -> Self {
        Self { id, rule, judged, actor, is_supervisor }
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
/// children in start order, judged by this grace, and is answered with nothing if it no longer runs.
pub(crate) async fn checkup<F>(
    path: &str,
    supervisor: ActorCell,
    limits: &HealthLimits,
    ask: impl Fn(ActorCell, Duration) -> F,
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
        let asked = level.iter().map(|next| timeout_at(deadline, ask(next.supervisor.clone(), limits.grace)));
        let answers = waking_contained(join_all(asked)).await;
        let mut below = Vec::new();
        for (next, answer) in level.into_iter().zip(answers) {
            match answer {
                Ok(examinees) => note(&next.path, examinees.into_iter().flatten(), &mut findings, &mut below),
                Err(_) => silent(next, limits, &mut findings),
            }
        }
        level = below;
    }
    Some(join_all(findings.into_iter().map(|finding| finding.find(limits))).await)
}

/// Notes a supervisor's children.
fn note(path: &str, examinees: impl Iterator<Item = Examinee>, findings: &mut Vec<Finding>, below: &mut Vec<Next>) {
    for examinee in examinees {
        let (path, (health, unsteady)) = (format!("{path}/{}", examinee.id), examinee.judged);
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
