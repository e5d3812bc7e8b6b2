//! The steps that follow from what is wanted and what is found, taken by one job a service.

use std::sync::Arc;

use foundation_kernel::containment::report;
use foundation_kernel::names::ServiceName;

use super::manager::Manager;
use super::message::ManagerMsg;
use super::runner::StepRunner;
use super::state::{Job, JobKind, Phase, State};
use crate::error::ManagedError;
use crate::fact::ServiceFact;
use crate::reconcile::ServicePlan;
use crate::replacement::{ReplacementStrategy, ServiceStep};

impl Manager {
    pub(super) fn reconcile(&self, state: &mut State) {
        state.is_due = false;
        let met = self.met_outside(&state.table.needed_outside());
        self.note_needs(state, &met);
        let actual = state.table.actual(met);
        let plans = match state.phase {
            Phase::Open => state.table.roster.next_steps(&actual),
            Phase::ShuttingDown(_) => state.table.roster.after(&state.all_stopped()).next_steps(&actual),
        };
        plans.into_iter().for_each(|plan| self.launch(state, plan));
        state.table.forget_removed();
        self.show(state);
    }

    /// Begins the steps of a service, unless others are being taken.
    fn launch(&self, state: &mut State, plan: ServicePlan) {
        let Some(kind) = kind_of(&plan.steps).filter(|_| !state.batches.waits_for(&plan.name)) else { return };
        match state.jobs.get(&plan.name) {
            // The child may hang in its start: the supervisor stops it all the same.
            Some(Job { kind: JobKind::Start(_), task, .. }) if plan.steps[0].ends_a_generation() => task.abort(),
            Some(_) => return,
            None => {}
        }
        if let JobKind::Start(generation) | JobKind::Replace(generation) = kind
            && let Err(error) = self.make_prepared(state, &plan.name, generation)
        {
            return state.give_up(&plan.name, generation, &error.to_string());
        }
        state.begin(&plan, kind);
        self.spawn_job(state, plan, kind);
    }

    /// Makes sure that a generation can be started: after a restart of the manager it is known by its configuration only.
    fn make_prepared(&self, state: &mut State, name: &ServiceName, generation: u64) -> Result<(), ManagedError> {
        let is_prepared = |live: &mut super::service_table::RunningService| live.prepared.contains_key(&generation);
        if state.table.running(name).is_some_and(is_prepared) {
            return Ok(());
        }
        let prepared = self.prepare_again(&state.table, name)?;
        self.follow(&mut state.tasks, &mut state.followed, &state.myself, &prepared.source);
        if let Some(live) = state.table.running(name) {
            live.prepared.insert(generation, Arc::new(prepared));
        }
        Ok(())
    }

    fn spawn_job(&self, state: &mut State, plan: ServicePlan, kind: JobKind) {
        let ServicePlan { name, mut steps } = plan;
        if let Some(within) = state.limits.remove(&name).filter(|_| kind == JobKind::Stop) {
            let generation = state.table.running(&name).and_then(|live| live.generation).unwrap_or_default();
            steps.insert(0, ServiceStep::Drain { name: name.clone(), generation, within });
        }
        state.job_number += 1;
        let (number, myself) = (state.job_number, state.myself.clone());
        let prepared = state.table.running(&name).map(|live| live.prepared.clone()).unwrap_or_default();
        let (supervisor, discovery) = (self.shared.supervisor(), self.shared.discovery.clone());
        let of = name.clone();
        let task = state.tasks.spawn(async move {
            let outcome = match StepRunner::new(supervisor, discovery, &of, prepared) {
                Some(mut runner) => runner.run_all(&steps).await,
                None => Err("it has no valid name".to_owned()),
            };
            // A manager that has ended leaves the rest to its successor.
            let _ = myself.cast(ManagerMsg::JobEnded { name: of, job: number, outcome });
        });
        state.jobs.insert(name, Job { number, kind, task });
    }

    pub(super) async fn job_ended(
        &self,
        state: &mut State,
        name: ServiceName,
        number: u64,
        outcome: Result<(), String>,
    ) {
        if state.jobs.get(&name).is_none_or(|job| job.number != number) {
            return;
        }
        let Some(job) = state.jobs.remove(&name) else { return };
        match (job.kind, outcome) {
            (JobKind::Start(_), Ok(())) => self.observe(state, &name),
            (JobKind::Start(generation), Err(reason)) => state.give_up(&name, generation, &reason),
            (JobKind::Stop, outcome) => state.stopped(&name, outcome),
            (JobKind::Replace(generation), Ok(())) => {
                state.replaced(&name, generation);
                self.observe(state, &name);
            }
            (JobKind::Replace(generation), Err(reason)) if state.is_wanted(&name, generation) => {
                self.take_back(state, &name, reason).await;
            }
            // Another generation is wanted by now.
            (JobKind::Replace(_), Err(reason)) => state.not_replaced(&name, reason),
        }
        state.table.forget_old(&name);
        state.reconcile();
        self.try_begin_batch(state).await;
    }

    /// Lets a service that was not replaced be as it was: its former configuration is recorded again.
    async fn take_back(&self, state: &mut State, name: &ServiceName, reason: String) {
        state.not_replaced(name, reason.clone());
        let Some(live) = state.table.running(name) else { return };
        let before = live.generation.and_then(|generation| live.prepared.get(&generation)).cloned();
        if let Some(before) = before
            && state.table.roster.get(name).is_some()
        {
            let (config, needs, provides) = (before.source.clone(), before.needs.clone(), before.provides());
            let strategy = ReplacementStrategy::Nothing;
            let fact = ServiceFact::Configured { name: name.clone(), config, needs, provides, strategy };
            if let Err(error) = self.record(state, name, vec![fact]).await {
                report(|| tracing::warn!(service = %name, %error, "the former configuration is not recorded again"));
            }
            state.run_as_wanted(name, before);
        }
        let error = || ManagedError::Replace { name: name.clone(), reason: reason.clone() };
        state.waiters.fail(name, error);
    }
}

/// What steps are for; `None` if there is none.
fn kind_of(steps: &[ServiceStep]) -> Option<JobKind> {
    let (first, last) = (steps.first()?, steps.last()?);
    Some(match (first, last) {
        (ServiceStep::StartBeside { generation, .. }, _) | (ServiceStep::Reload { to: generation, .. }, _) => {
            JobKind::Replace(*generation)
        }
        (_, ServiceStep::Start { generation, .. }) => JobKind::Start(*generation),
        _ => JobKind::Stop,
    })
}
