//! The steps that follow from what is wanted and what is found, taken by one job a service.

use std::time::Duration;

use foundation_kernel::names::{ServiceKey, ServiceName};
use foundation_kernel::ractor::{ActorCell, ActorRef};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::goal::Goal;
use super::message::ManagerMsg;
use super::prepared::generation_of;
use super::runner::StepRunner;
use super::service_table::RunningService;
use super::state::{Job, JobKind, Phase, State, Takeover};
use super::state::{Manager, delay};
use crate::error::ManagedError;
use crate::kinds::instance_name;
use crate::needs::Need;
use crate::reconcile::ServicePlan;
use crate::replacement::ServiceStep;
use crate::roster::RosterRequest;

/// The pause after a stop that failed.
const STOP_AGAIN: Duration = Duration::from_secs(1);

impl Manager {
    pub(super) async fn reconcile(&self, state: &mut State) {
        state.is_due = false;
        if state.takeover != Takeover::Done {
            return;
        }
        state.table.forget_stop_limits();
        self.watch_outside(state);
        let met = self.met_outside(&state.table.needs());
        self.note_needs(state, &met);
        let actual = state.table.actual(met);
        let plans = match state.phase {
            Phase::Open => state.table.roster.next_steps(&actual),
            Phase::ShuttingDown(_) => state.table.roster.after(&state.all_stopped()).next_steps(&actual),
        };
        for plan in plans {
            self.launch(state, plan).await;
        }
        state.table.forget_removed();
        self.show(state);
    }

    /// Watches the names of the services outside that others need: such a service need not be an instance.
    fn watch_outside(&self, state: &mut State) {
        for need in state.table.needs() {
            let Need::Service(name) = need else { continue };
            if !state.watched.insert(name.clone()) {
                continue;
            }
            let mut watch = self.shared.names.watch_service(&ServiceKey::<()>::from(name));
            let myself = state.myself.clone();
            state.tasks.spawn(async move {
                while watch.next().await.is_some() {
                    if myself.cast(ManagerMsg::Reconcile).is_err() {
                        return;
                    }
                }
            });
        }
    }

    /// Begins the steps of a service, unless others are being taken.
    async fn launch(&self, state: &mut State, plan: ServicePlan) {
        let Some(kind) = kind_of(&plan.steps).filter(|_| !state.batches.waits_for(&plan.name)) else { return };
        let before = match state.jobs.get(&plan.name) {
            // The child may hang in its start: the supervisor stops it all the same.
            Some(job) if plan.steps[0].ends_a_generation() && job.kind.gives_way_to(kind) => {
                job.task.abort();
                Some(Before { ended: job.ended.clone(), actors: job.actors.clone() })
            }
            Some(_) => return,
            None => None,
        };
        if state.paused.contains(&plan.name) {
            return;
        }
        if let JobKind::Start(generation) | JobKind::Replace(generation) = kind {
            if state.is_refused(&plan.name, kind) || state.table.to_take_back(&plan.name).is_some() {
                return;
            }
            if let Err(error) = self.make_prepared(state, &plan.name, generation) {
                return self.not_prepared(state, &plan.name, generation, error.to_string()).await;
            }
        }
        state.begin(&plan, kind);
        self.spawn_job(state, plan, kind, before);
    }

    /// A generation cannot be started: what runs goes on, and if nothing does, the service is given up.
    async fn not_prepared(&self, state: &mut State, name: &ServiceName, generation: u64, reason: String) {
        match state.table.running(name).is_some_and(|live| live.actor.is_some()) {
            true => self.take_back(state, name, generation, reason).await,
            false => state.give_up(name, generation, &reason),
        }
    }

    /// Makes sure that a generation can be started: after a restart of the manager it is known by its configuration only.
    pub(super) fn make_prepared(
        &self,
        state: &mut State,
        name: &ServiceName,
        generation: u64,
    ) -> Result<(), ManagedError> {
        let is_prepared = |live: &mut RunningService| live.prepared.contains_key(&generation);
        if state.table.running(name).is_some_and(is_prepared) {
            return Ok(());
        }
        let desired = state.table.roster.known(name)?;
        let config = desired.config_of(generation).unwrap_or(&desired.config);
        // What runs was given its section by an earlier manager.
        let runs = state.table.generation(name) == Some(generation);
        let given = self.shared.sections.of(name, generation).filter(|_| runs);
        let is_given = given.is_some();
        let tree = given.unwrap_or_else(|| self.shared.config.tree());
        let prepared = self.prepare_as_of(name, &desired.kind, config, &tree)?;
        self.follow(&mut state.tasks, &mut state.followed, &state.myself, &prepared.source);
        if prepared.tree.is_some() && !is_given {
            self.shared.sections.give(name, generation, &tree);
        }
        state.compared = None;
        if let Some(live) = state.table.running(name) {
            live.prepare(generation, prepared);
        }
        Ok(())
    }

    fn spawn_job(&self, state: &mut State, plan: ServicePlan, kind: JobKind, before: Option<Before>) {
        let ServicePlan { name, mut steps } = plan;
        let live = state.table.running(&name).filter(|_| kind == JobKind::Stop);
        let limit = live.and_then(|live| Some((live.generation.unwrap_or_default(), live.stop_within.take()?)));
        if let Some((generation, within)) = limit {
            steps.insert(0, ServiceStep::Drain { name: name.clone(), generation, within });
        }
        let limit = limit.map(|(_, within)| within);
        state.job_number += 1;
        let prepared = state.table.running(&name).map(|live| live.prepared.clone()).unwrap_or_default();
        let (supervisor, discovery) = (self.shared.supervisor(), self.shared.discovery.clone());
        let actor = instance_name(&name).ok().and_then(|name| self.shared.names.lookup_any(name.registered()).ok());
        let mut actors = before.as_ref().map(|before| before.actors.clone()).unwrap_or_default();
        actors.extend(actor.map(|found| found.cell().clone()));
        let (ended, is_ended) = watch::channel(());
        let end = JobEnd::new(state.myself.clone(), name.clone(), state.job_number, ended);
        let task = state.tasks.spawn(async move {
            let mut end = end;
            let (begun, mut predecessors) = (Instant::now(), Vec::new());
            // A job that is aborted may be in a step still, and its effect must not come after this one.
            if let Some(mut before) = before {
                let _ = before.ended.changed().await;
                predecessors = before.actors;
            }
            end.outcome = match (StepRunner::new(supervisor, discovery, &end.name, prepared), kind) {
                (Some(mut runner), JobKind::Settle(generation)) => runner.settle(generation).await,
                (Some(mut runner), _) => runner.run_all(&steps).await,
                (None, _) => Err("it has no valid name".to_owned()),
            };
            // One whose successor was stopped may be finishing still.
            for actor in predecessors {
                // A time that has no end is no deadline.
                gone(&actor, limit.and_then(|within| begun.checked_add(within))).await;
            }
        });
        state.jobs.insert(name, Job { number: state.job_number, kind, task, actors, ended: is_ended });
    }

    /// Makes sure that the next start of a service that was taken over is as any other: an earlier manager may have ended
    /// before its successor was settled. A job, so that it is not late for the next replacement.
    pub(super) fn settle_child(&self, state: &mut State, name: &ServiceName, generation: u64) {
        let is_prepared = state.table.services.get(name).is_some_and(|live| live.prepared.contains_key(&generation));
        if is_prepared && state.table.roster.open_batch().is_none() {
            let plan = ServicePlan { name: name.clone(), steps: Vec::new() };
            self.spawn_job(state, plan, JobKind::Settle(generation), None);
        }
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
            (JobKind::Start(_), Ok(())) | (JobKind::Settle(_), _) => self.observe_or_find(state, &name),
            (JobKind::Start(generation), Err(reason)) => state.give_up(&name, generation, &reason),
            (JobKind::Stop, Ok(())) => state.stopped(&name),
            (JobKind::Stop, Err(reason)) => not_stopped(state, &name, &reason),
            (JobKind::Replace(generation), Ok(())) => {
                state.replaced(&name, generation, None);
                self.observe_or_find(state, &name);
            }
            (JobKind::Replace(generation), Err(reason)) if self.has_name(&name, generation) => {
                state.replaced(&name, generation, Some(reason));
                self.observe_or_find(state, &name);
            }
            (JobKind::Replace(generation), Err(reason)) if state.is_wanted(&name, generation) => {
                self.take_back(state, &name, generation, reason).await;
                self.observe_or_find(state, &name);
            }
            // Another generation is wanted by now. It may be made from the same as what runs.
            (JobKind::Replace(_), Err(reason)) => {
                state.not_replaced(&name, reason);
                self.record_taken_back(state, &name).await.unwrap_or_else(|error| state.failed(&name, &error));
                self.observe_or_find(state, &name);
            }
        }
        self.forget_old(state, &name);
        state.reconcile();
        self.try_begin_batch(state).await;
    }

    /// Keeps only the generations of a service that are, or are to be.
    pub(super) fn forget_old(&self, state: &mut State, name: &ServiceName) {
        state.table.forget_old(name);
        if let Some(live) = state.table.services.get(name) {
            let kept = [live.generation, live.replacing, state.table.roster.get(name).map(|it| it.generation)];
            self.shared.sections.keep_generations(name, |generation| kept.contains(&Some(generation)));
        }
    }

    /// Whether the actor that has the name of a service is of this generation.
    fn has_name(&self, service: &ServiceName, generation: u64) -> bool {
        let found = instance_name(service).ok().and_then(|name| self.shared.discovery.instance(&name));
        found.is_some_and(|found| generation_of(&found.instance) == Some(generation))
    }

    /// Lets a service that was not replaced be as it was: the generation that runs is recorded as the desired one.
    async fn take_back(&self, state: &mut State, name: &ServiceName, generation: u64, reason: String) {
        let Some(live) = state.table.running(name) else { return };
        live.replacing = None;
        // Also if the former one is not known or cannot be recorded: the same failure is not repeated without end.
        live.refused = Some(generation);
        let recorded = self.record_taken_back(state, name).await;
        let reason = match recorded {
            Ok(()) => reason,
            Err(error) => format!("{reason}; its former configuration is to be recorded again: {error}"),
        };
        state.failed(name, &reason);
        let error = || ManagedError::Replace { name: name.clone(), reason: reason.clone() };
        state.waiters.fail(name, |goal| matches!(goal, Goal::Configured(_) | Goal::Healthy(_)), error);
    }

    /// Records that what runs is the desired generation again, if that is so. It is tried again until it is recorded.
    pub(super) async fn record_taken_back(&self, state: &mut State, name: &ServiceName) -> Result<(), ManagedError> {
        let Some(to) = state.table.to_take_back(name) else { return Ok(()) };
        let (name, generation) = (name.clone(), to.generation);
        let refused = state.table.roster.known(&name)?.generation;
        let facts = state.table.roster.decide(&RosterRequest::TakeBack { name: name.clone(), to })?;
        self.record(state, &name, facts).await?;
        state.waiters.renumber(&name, refused, generation);
        Ok(())
    }
}

/// Returns when an actor that is being stopped is gone. It is killed at the deadline.
async fn gone(actor: &ActorCell, deadline: Option<Instant>) {
    let is_late = match deadline {
        Some(deadline) => timeout_at(deadline, actor.wait(None)).await.is_err(),
        // It fails only for a time-out.
        None => actor.wait(None).await.is_err(),
    };
    if is_late {
        actor.kill();
        let _ = actor.wait(None).await;
    }
}

/// A job that is aborted for another one.
struct Before {
    /// Closed when its task is gone.
    ended: watch::Receiver<()>,
    /// The actors that it may have left.
    actors: Vec<ActorCell>,
}

/// A service goes on although it was to be stopped: that is tried again after a pause.
fn not_stopped(state: &mut State, name: &ServiceName, reason: &str) {
    state.failed(name, &reason);
    let error = || ManagedError::Stop { name: name.clone(), reason: reason.to_owned() };
    state.waiters.fail(name, |goal| goal == Goal::Stopped, error);
    state.paused.insert(name.clone());
    let (myself, name) = (state.myself.clone(), name.clone());
    state.tasks.spawn(async move {
        delay(STOP_AGAIN).await;
        // It fails only if this manager is ending.
        let _ = myself.cast(ManagerMsg::StopAgain(name));
    });
}

/// Reports the end of a job when it is dropped, so that a job that panics ends, too.
struct JobEnd {
    myself: ActorRef<ManagerMsg>,
    name: ServiceName,
    number: u64,
    outcome: Result<(), String>,
    _ended: watch::Sender<()>,
}

impl JobEnd {
    fn new(myself: ActorRef<ManagerMsg>, name: ServiceName, number: u64, ended: watch::Sender<()>) -> Self {
        Self { myself, name, number, outcome: Err("its steps have ended by a panic".to_owned()), _ended: ended }
    }
}

impl Drop for JobEnd {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Ok(()));
        // A manager that has ended leaves the rest to its successor.
        let _ = self.myself.cast(ManagerMsg::JobEnded { name: self.name.clone(), job: self.number, outcome });
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
