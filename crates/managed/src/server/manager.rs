//! The manager of a namespace: an actor that decides one request after the other, and leaves all that takes time to tasks.
//!
//! # Invariants
//!
//! 1. A change is recorded before it is made: what is not recorded has changed nothing.
//! 2. One job of a service runs at a time. What is to be done next follows from what is wanted and what is found.
//! 3. The manager waits for the event store and for nothing else.

mod batches;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use foundation_events::EventStoreError;
use foundation_kernel::answer;
use foundation_kernel::containment::report;
use foundation_kernel::local_message;
use foundation_kernel::names::{ServiceKey, ServiceName};
use foundation_kernel::ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation_kernel::supervision::{ChildState, ExitReason};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use self::batches::BatchEnd;
pub(crate) use self::batches::BatchRequest;
use self::batches::Batches;
use super::batch_runner::Position;
use super::fleet::Fleet;
use super::journal::Journal;
use super::prepared::{Prepared, Workshop};
use super::runner::StepRunner;
use super::shared::Shared;
use super::waiters::{Answer, Goal, Waiters};
use crate::error::ManagedError;
use crate::fact::{RosterFact, ServiceConfig, ServiceFact};
use crate::kinds::instance_name;
use crate::lifecycle::{LifecycleFact, ServiceState, ServiceStatus, UnhealthyCause};
use crate::needs::Need;
use crate::reconcile::ServicePlan;
use crate::replacement::{ReplacementStrategy, ServiceStep};
use crate::roster::RosterRequest;
use foundation_discovery::Criteria;
use foundation_discovery::InstanceWatched;
use foundation_discovery::health::InstanceStatus;
use foundation_discovery::{FieldError, InstanceRecord};
use foundation_discovery::{InstanceChange, RemovalCause};

/// How long a manager that starts waits for the event store.
const STORE_AT_START: Duration = Duration::from_secs(10);

/// A request about one service.
pub(crate) enum Request {
    Declare { name: ServiceName, kind: String, config: ServiceConfig },
    Configure { name: ServiceName, config: ServiceConfig },
    Start(ServiceName),
    Stop { name: ServiceName, within: Option<Duration> },
    Restart(ServiceName),
    Remove(ServiceName),
}

impl Request {
    pub(crate) fn name(&self) -> &ServiceName {
        match self {
            Self::Declare { name, .. } | Self::Configure { name, .. } | Self::Stop { name, .. } => name,
            Self::Start(name) | Self::Restart(name) | Self::Remove(name) => name,
        }
    }
}

pub(crate) enum ManagerMsg {
    Request(Request, Answer),
    /// Operations that take effect together, or not at all.
    Batch(BatchRequest),
    /// A step of a batch is about to be taken, or is taken.
    BatchMoved(ServiceName, Position),
    /// The steps of a batch are taken, or taken back; `None` if its task has failed.
    BatchEnded(Option<BatchEnd>),
    /// The time of a batch is over, if it waits still.
    BatchLate(u64),
    /// An instance has changed.
    Observed(InstanceWatched),
    /// Whether a service whose actor has ended is started again.
    Ended {
        name: ServiceName,
        reason: Option<ExitReason>,
        is_restarted: bool,
    },
    /// The steps of a service are taken, or one of them has failed.
    JobEnded {
        name: ServiceName,
        job: u64,
        outcome: Result<(), String>,
    },
    /// A section of the configuration has changed.
    SectionChanged(String),
    /// A kind was registered: services of it may be started now.
    KindRegistered,
    /// Something has changed: what is to be done?
    Reconcile,
    /// Stop all services; the answer comes when they are stopped.
    Shutdown(RpcReplyPort<()>),
    /// The time of the shutdown is over.
    KillAll,
    /// The event store is about to prune events that are held.
    Checkpoint,
}
local_message!(ManagerMsg);

/// The dependencies of a manager.
#[derive(Clone)]
pub(crate) struct Manager {
    shared: Arc<Shared>,
    journal: Journal,
}

/// Whether requests are accepted.
enum Phase {
    Open,
    ShuttingDown(Vec<RpcReplyPort<()>>),
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JobKind {
    Start(u64),
    Stop,
    Replace(u64),
}

struct Job {
    number: u64,
    kind: JobKind,
    task: AbortHandle,
}

pub(crate) struct State {
    myself: ActorRef<ManagerMsg>,
    fleet: Fleet,
    waiters: Waiters,
    phase: Phase,
    /// Whether every recorded fact is applied.
    in_sync: bool,
    /// Whether a message to reconcile is on its way.
    is_due: bool,
    jobs: BTreeMap<ServiceName, Job>,
    job_number: u64,
    batches: Batches,
    /// How long the next stop of a service may take.
    limits: BTreeMap<ServiceName, Duration>,
    followed: BTreeSet<String>,
    /// The jobs, the checks, and the watches. They end with the manager.
    tasks: JoinSet<()>,
}

impl Manager {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let journal = Journal::of(&shared.names);
        // Before any store checks its retention.
        journal.hold_all();
        Self { shared, journal }
    }

    // ---- requests ----

    async fn request(&self, state: &mut State, request: Request, reply: Answer) {
        match self.accept(state, &request).await {
            Ok(goal) => {
                state.waiters.add(request.name().clone(), goal, reply);
                state.reconcile();
            }
            Err(error) => answer(reply, Err(error)),
        }
    }

    /// Decides a request and records what follows from it. Returns what the caller waits for.
    async fn accept(&self, state: &mut State, request: &Request) -> Result<Goal, ManagedError> {
        let name = request.name();
        if let Phase::ShuttingDown(_) = state.phase {
            return Err(ManagedError::ShuttingDown { namespace: self.shared.names.namespace() });
        }
        self.settle(state, name).await?;
        let (facts, prepared) = self.decide(&state.fleet, request)?;
        self.record(state, name, facts).await?;
        Ok(self.requested(state, request, prepared))
    }

    /// Makes sure that every recorded fact is applied before the next one is decided.
    async fn settle(&self, state: &mut State, name: &ServiceName) -> Result<(), ManagedError> {
        if state.in_sync {
            return Ok(());
        }
        let unclear = |reason: String| {
            let source = EventStoreError::NoAnswer { reason };
            ManagedError::NotRecorded { name: name.clone(), source }
        };
        let roster = self.read_roster().await.map_err(unclear)?;
        state.fleet.restore(roster);
        state.in_sync = true;
        Ok(())
    }

    async fn record(&self, state: &mut State, name: &ServiceName, facts: Vec<ServiceFact>) -> Result<(), ManagedError> {
        if facts.is_empty() {
            return Ok(());
        }
        let facts: Vec<_> = facts.into_iter().map(RosterFact::from).collect();
        match self.journal.record(&facts).await {
            Ok(()) => {
                state.fleet.apply(&facts);
                Ok(())
            }
            Err(source @ EventStoreError::NoAnswer { .. }) => {
                state.in_sync = false;
                Err(ManagedError::Unclear { name: name.clone(), source })
            }
            Err(source) => Err(ManagedError::NotRecorded { name: name.clone(), source }),
        }
    }

    /// The facts that a request leads to, with what is to be started by it. Nothing is changed.
    fn decide(&self, fleet: &Fleet, request: &Request) -> Result<(Vec<ServiceFact>, Option<Prepared>), ManagedError> {
        let (request, prepared) = match request {
            Request::Declare { name, kind, config } => {
                let invalid = |error: FieldError| ManagedError::Kind { name: name.clone(), source: error.into() };
                instance_name(name).map_err(invalid)?;
                let prepared = self.prepare(name, kind, config)?;
                let (name, kind, config) = (name.clone(), kind.clone(), config.clone());
                let (needs, provides) = (prepared.needs.clone(), prepared.provides());
                (RosterRequest::Declare { name, kind, config, needs, provides }, Some(prepared))
            }
            Request::Configure { name, config } => {
                let prepared = self.prepare(name, &fleet.roster.known(name)?.kind, config)?;
                let strategy = self.strategy(fleet, name, &prepared)?;
                let (name, config) = (name.clone(), config.clone());
                let (needs, provides) = (prepared.needs.clone(), prepared.provides());
                (RosterRequest::Configure { name, config, needs, provides, strategy }, Some(prepared))
            }
            Request::Start(name) => (RosterRequest::Start(name.clone()), Some(self.prepare_again(fleet, name)?)),
            Request::Restart(name) => (RosterRequest::Restart(name.clone()), Some(self.prepare_again(fleet, name)?)),
            Request::Stop { name, .. } => (RosterRequest::Stop(name.clone()), None),
            Request::Remove(name) => (RosterRequest::Remove(name.clone()), None),
        };
        Ok((fleet.roster.decide(&request)?, prepared))
    }

    fn prepare(&self, name: &ServiceName, kind: &str, config: &ServiceConfig) -> Result<Prepared, ManagedError> {
        let Shared { kinds, discovery, config: server, .. } = &*self.shared;
        Workshop { kinds, discovery, config: server }.prepare(name, kind, config)
    }

    fn prepare_again(&self, fleet: &Fleet, name: &ServiceName) -> Result<Prepared, ManagedError> {
        let desired = fleet.roster.known(name)?;
        self.prepare(name, &desired.kind, &desired.config)
    }

    /// How a service gets this configuration, if it runs.
    fn strategy(
        &self,
        fleet: &Fleet,
        name: &ServiceName,
        next: &Prepared,
    ) -> Result<ReplacementStrategy, ManagedError> {
        let live = fleet.lives.get(name);
        let running = live.and_then(|live| live.prepared.get(&live.generation?));
        let strategy = running.map_or(Ok(ReplacementStrategy::default()), |running| running.strategy_to(next));
        strategy.map_err(|source| ManagedError::Kind { name: name.clone(), source })
    }

    /// Takes note of a request that is recorded. Returns what its caller waits for.
    fn requested(&self, state: &mut State, request: &Request, prepared: Option<Prepared>) -> Goal {
        let name = request.name();
        let generation = state.fleet.roster.get(name).map(|it| it.generation).unwrap_or_default();
        if let (Some(live), Some(prepared)) = (state.fleet.live(name), prepared) {
            live.last_error = None;
            self.follow(&mut state.tasks, &mut state.followed, &state.myself, &prepared.source);
            live.prepared.insert(generation, Arc::new(prepared));
        }
        match request {
            Request::Declare { .. } => Goal::Recorded,
            Request::Configure { .. } => Goal::Configured(generation),
            Request::Start(_) | Request::Restart(_) => {
                if let Some(live) = state.fleet.live(name).filter(|live| live.has_given_up()) {
                    live.generation = None;
                }
                state.fleet.note(name, LifecycleFact::StartRequested);
                Goal::Healthy(generation)
            }
            Request::Stop { within, .. } => {
                state.limits.extend(within.map(|within| (name.clone(), within)));
                state.stop_if_at_rest(name);
                Goal::Stopped
            }
            Request::Remove(_) => {
                state.stop_if_at_rest(name);
                Goal::Stopped
            }
        }
    }

    // ---- what is to be done ----

    fn reconcile(&self, state: &mut State) {
        state.is_due = false;
        let met = self.met_outside(&state.fleet.needed_outside());
        self.note_needs(state, &met);
        let actual = state.fleet.actual(met);
        let plans = match state.phase {
            Phase::Open => state.fleet.roster.next_steps(&actual),
            Phase::ShuttingDown(_) => state.fleet.roster.after(&state.all_stopped()).next_steps(&actual),
        };
        plans.into_iter().for_each(|plan| self.launch(state, plan));
        state.fleet.forget_removed();
        self.show(state);
    }

    /// Which of these needs others than the declared services meet.
    fn met_outside(&self, needs: &BTreeSet<Need>) -> BTreeSet<Need> {
        let is_up = |record: &InstanceRecord| record.status().is_in_rotation();
        let is_met = |need: &&Need| match need {
            Need::Service(name) => {
                let is_registered = self.shared.names.is_registered(&ServiceKey::<()>::from(name.clone()));
                let found = self.shared.discovery.instances(&Criteria::service(name));
                is_registered || found.is_ok_and(|found| found.iter().any(is_up))
            }
            Need::Capability(needed) => self.shared.discovery.providers(needed).iter().any(is_up),
        };
        needs.iter().filter(is_met).cloned().collect()
    }

    /// Takes note of which services lack something, until that changes no more.
    fn note_needs(&self, state: &mut State, met: &BTreeSet<Need>) {
        for _ in 0..=state.fleet.lives.len() {
            let waiting = state.fleet.roster.waiting(&state.fleet.actual(met.clone()));
            let lacking = |live: &ServiceState| matches!(live.cause(), Some(UnhealthyCause::Lacks { .. }));
            let names: Vec<_> =
                state.fleet.lives.iter().map(|(name, live)| (name.clone(), lacking(&live.state))).collect();
            let mut is_done = true;
            for (name, was_lacking) in names {
                match waiting.get(&name) {
                    Some(needs) if !was_lacking => {
                        state.fleet.note(&name, LifecycleFact::NeedsMissing { needs: needs.clone() });
                        is_done &= !state.fleet.lives.get(&name).is_some_and(|live| lacking(&live.state));
                    }
                    None if was_lacking => {
                        state.fleet.note(&name, LifecycleFact::NeedsMet);
                        self.observe(state, &name);
                        is_done = false;
                    }
                    _ => {}
                }
            }
            if is_done {
                return;
            }
        }
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
        let is_prepared = |live: &mut super::fleet::Live| live.prepared.contains_key(&generation);
        if state.fleet.live(name).is_some_and(is_prepared) {
            return Ok(());
        }
        let prepared = self.prepare_again(&state.fleet, name)?;
        self.follow(&mut state.tasks, &mut state.followed, &state.myself, &prepared.source);
        if let Some(live) = state.fleet.live(name) {
            live.prepared.insert(generation, Arc::new(prepared));
        }
        Ok(())
    }

    fn spawn_job(&self, state: &mut State, plan: ServicePlan, kind: JobKind) {
        let ServicePlan { name, mut steps } = plan;
        if let Some(within) = state.limits.remove(&name).filter(|_| kind == JobKind::Stop) {
            let generation = state.fleet.live(&name).and_then(|live| live.generation).unwrap_or_default();
            steps.insert(0, ServiceStep::Drain { name: name.clone(), generation, within });
        }
        state.job_number += 1;
        let (number, myself) = (state.job_number, state.myself.clone());
        let prepared = state.fleet.live(&name).map(|live| live.prepared.clone()).unwrap_or_default();
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

    /// Shows what there is, and answers those who waited for it.
    fn show(&self, state: &mut State) {
        let records = state.fleet.records();
        *self.shared.running.lock() =
            state.fleet.lives.iter().filter_map(|(name, live)| Some((name.clone(), live.generation?))).collect();
        self.shared.published.show(records.clone(), state.fleet.take_changes());
        state.waiters.answer(&state.fleet, &records);
        let is_over = state.jobs.is_empty() && state.fleet.lives.values().all(|live| live.generation.is_none());
        if let Phase::ShuttingDown(replies) = &mut state.phase
            && is_over
        {
            replies.drain(..).for_each(|reply| answer(reply, ()));
        }
    }

    // ---- what has happened ----

    async fn job_ended(&self, state: &mut State, name: ServiceName, number: u64, outcome: Result<(), String>) {
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
            (JobKind::Replace(_), Err(reason)) => self.take_back(state, &name, reason).await,
        }
        state.fleet.forget_old(&name);
        state.reconcile();
        self.try_begin_batch(state).await;
    }

    /// Lets a service that was not replaced be as it was: its former configuration is recorded again.
    async fn take_back(&self, state: &mut State, name: &ServiceName, reason: String) {
        let Some(live) = state.fleet.live(name) else { return };
        live.replacing = None;
        live.last_error = Some(reason.clone());
        let before = live.generation.and_then(|generation| live.prepared.get(&generation)).cloned();
        if let Some(before) = before
            && state.fleet.roster.get(name).is_some()
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

    fn observed(&self, state: &mut State, watched: InstanceWatched) {
        match watched {
            InstanceWatched::Snapshot(records) => records.iter().for_each(|record| self.arrived(state, record)),
            InstanceWatched::Lagged { snapshot, .. } => self.compare(state, &snapshot),
            InstanceWatched::Change(InstanceChange::Added(record)) => self.arrived(state, &record),
            InstanceWatched::Change(InstanceChange::Removed { instance, cause }) if is_instance(&instance) => {
                self.departed(state, instance.service(), instance.actor, cause);
            }
            InstanceWatched::Change(change) => self.observe(state, change.name().service()),
            _ => {}
        }
        state.reconcile();
    }

    /// Some changes were dropped: compares what is there with what was found before.
    fn compare(&self, state: &mut State, records: &[InstanceRecord]) {
        let there: BTreeMap<_, _> =
            records.iter().filter(|it| is_instance(it)).map(|it| (it.service().clone(), it)).collect();
        let known = state.fleet.lives.iter().filter_map(|(name, live)| Some((name.clone(), live.actor?)));
        let known: BTreeMap<_, _> = known.collect();
        for (name, actor) in &known {
            if there.get(name).is_none_or(|record| record.actor != *actor) {
                self.departed(state, name, *actor, RemovalCause::Missed);
            }
        }
        for (name, record) in there {
            match known.get(&name) {
                Some(actor) if *actor == record.actor => self.observe(state, &name),
                _ => self.arrived(state, record),
            }
        }
    }

    /// The instance of a service is there: it is checked from now on.
    fn arrived(&self, state: &mut State, record: &InstanceRecord) {
        let service = record.service();
        if !is_instance(record) {
            return;
        }
        let Some(live) = state.fleet.live(service) else { return };
        let checks = live.in_place(record.actor).map(|prepared| prepared.checks.clone()).unwrap_or_default();
        live.actor = Some(record.actor);
        for check in checks {
            let (discovery, record) = (self.shared.discovery.clone(), record.clone());
            state.tasks.spawn(async move { discovery.check_incarnation(record, check).await });
        }
        state.fleet.note(service, LifecycleFact::ChildStarted);
        self.observe(state, service);
    }

    /// The instance of a service is gone: its supervisor knows whether it comes back.
    fn departed(&self, state: &mut State, name: &ServiceName, actor: ActorId, cause: RemovalCause) {
        let Some(live) = state.fleet.live(name).filter(|live| live.actor == Some(actor)) else { return };
        let Ok(instance) = instance_name(name) else { return };
        let reason = match cause {
            RemovalCause::HandedOver { .. } => return,
            RemovalCause::Ended(reason) => reason,
            _ => None,
        };
        live.actor = None;
        let (supervisor, myself, name) = (self.shared.supervisor(), state.myself.clone(), name.clone());
        state.tasks.spawn(async move {
            let child = supervisor.which_child(&instance.to_string()).await;
            let is_restarted = child.is_ok_and(|child| child.state != ChildState::Stopped);
            // A manager that has ended leaves it to its successor.
            let _ = myself.cast(ManagerMsg::Ended { name, reason, is_restarted });
        });
    }

    fn ended(&self, state: &mut State, name: &ServiceName, reason: Option<ExitReason>, is_restarted: bool) {
        let Some(live) = state.fleet.live(name).filter(|live| live.actor.is_none()) else { return };
        // A job of its own says how it ends.
        if live.generation.is_none() || state.jobs.contains_key(name) || state.batches.has(name) {
            return;
        }
        let reason = reason.map_or_else(|| "its actor has ended".to_owned(), |reason| reason.to_string());
        live.last_error = Some(reason.clone());
        match is_restarted {
            true => state.fleet.note(name, LifecycleFact::RestartDue),
            false => state.fleet.note(name, LifecycleFact::Gone { reason }),
        }
        state.reconcile();
    }

    /// Takes note of what discovery says of a service now.
    fn observe(&self, state: &mut State, service: &ServiceName) {
        let Ok(name) = instance_name(service) else { return };
        let Some(record) = self.shared.discovery.instance(&name) else { return };
        let Some(live) = state.fleet.live(service).filter(|live| live.generation.is_some()) else { return };
        live.actor = Some(record.actor);
        let is_checked = live.in_place(record.actor).is_some_and(|prepared| !prepared.checks.is_empty());
        let fact = match record.status() {
            InstanceStatus::Healthy | InstanceStatus::Degraded => LifecycleFact::Ready,
            InstanceStatus::Unknown if !is_checked => LifecycleFact::Ready,
            InstanceStatus::Unhealthy => LifecycleFact::CheckFell { reason: record.health.to_string() },
            _ => return,
        };
        state.fleet.note(service, fact);
    }

    // ---- sections ----

    /// Follows the section that a service is configured by.
    fn follow(
        &self,
        tasks: &mut JoinSet<()>,
        followed: &mut BTreeSet<String>,
        myself: &ActorRef<ManagerMsg>,
        source: &ServiceConfig,
    ) {
        let ServiceConfig::Section(path) = source else { return };
        if followed.contains(path) {
            return;
        }
        // A section that there is not was refused when it was read.
        let Ok(mut changes) = self.shared.config.subscribe(path) else { return };
        followed.insert(path.clone());
        let (path, myself) = (path.clone(), myself.clone());
        tasks.spawn(async move {
            while !matches!(changes.next().await, Ok(None)) {
                if myself.cast(ManagerMsg::SectionChanged(path.clone())).is_err() {
                    return;
                }
            }
        });
    }

    /// Replaces the services whose section has changed.
    async fn section_changed(&self, state: &mut State, path: &str) {
        let of_path = ServiceConfig::Section(path.to_owned());
        let names: Vec<_> =
            state.fleet.roster.iter().filter(|(_, it)| it.config == of_path).map(|(name, _)| name.clone()).collect();
        for name in names {
            if let Err(error) = self.reconfigure(state, &name).await {
                report(|| tracing::warn!(service = %name, %error, "its section has changed, and it goes on as it was"));
                state.fleet.live(&name).into_iter().for_each(|live| live.last_error = Some(error.to_string()));
            }
        }
        state.reconcile();
    }

    /// Gives a service what its section says now.
    async fn reconfigure(&self, state: &mut State, name: &ServiceName) -> Result<(), ManagedError> {
        self.settle(state, name).await?;
        let prepared = self.prepare_again(&state.fleet, name)?;
        let strategy = self.strategy(&state.fleet, name, &prepared)?;
        let (config, needs, provides) = (prepared.source.clone(), prepared.needs.clone(), prepared.provides());
        let fact = ServiceFact::Configured { name: name.clone(), config, needs, provides, strategy };
        self.record(state, name, vec![fact]).await?;
        let generation = state.fleet.roster.get(name).map(|it| it.generation).unwrap_or_default();
        if let Some(live) = state.fleet.live(name) {
            live.prepared.insert(generation, Arc::new(prepared));
        }
        Ok(())
    }

    // ---- beginning and end ----

    /// Reads what is recorded, and finds out what runs.
    async fn begin(&self, state: &mut State) -> Result<(), ActorProcessingErr> {
        let roster = timeout(STORE_AT_START, self.read_roster()).await;
        let late = |_| format!("the event store did not show within {STORE_AT_START:?} which services are declared");
        state.fleet.restore(roster.map_err(late)??);
        for (name, generation) in self.shared.running.lock().iter() {
            state.fleet.lives.entry(name.clone()).or_default().generation = Some(*generation);
        }
        let records = self.shared.published.records();
        for (name, live) in &mut state.fleet.lives {
            let is_wanted = state.fleet.roster.get(name).is_some_and(|it| it.is_wanted());
            live.state = match (is_wanted, records.get(name)) {
                (true, _) => ServiceState::Initializing,
                (false, Some(record)) if record.status() == ServiceStatus::Unknown => ServiceState::Unknown,
                (false, None) => ServiceState::Unknown,
                (false, Some(_)) => ServiceState::Shutdown,
            };
        }
        Ok(())
    }

    async fn shut_down(&self, state: &mut State, reply: RpcReplyPort<()>) {
        self.cancel_batch(state);
        match &mut state.phase {
            Phase::ShuttingDown(replies) => replies.push(reply),
            Phase::Open => state.phase = Phase::ShuttingDown(vec![reply]),
        }
        state.reconcile();
    }

    /// Kills the services that are not stopped yet.
    fn kill_all(&self, state: &State) {
        let names = state.fleet.lives.iter().filter(|(_, live)| live.generation.is_some()).map(|(name, _)| name);
        for name in names.filter_map(|name| instance_name(name).ok()) {
            let found = self.shared.names.lookup_any(name.registered());
            found.iter().for_each(|found| ActorCell::kill(found.cell()));
        }
    }

    /// Records what is wanted anew, so that older events can be pruned. If that fails they are kept, and the store asks again.
    async fn checkpoint(&self, state: &mut State) {
        if !state.in_sync {
            return;
        }
        if let Err(error) = self.journal.checkpoint(&state.fleet.roster).await {
            report(|| tracing::warn!(%error, "the declared services are not recorded anew, and older events are kept"));
        }
    }

    /// Watches the instances of the namespace from now on.
    fn watch(&self, state: &mut State) {
        let (mut watch, myself) = (self.shared.discovery.watch(Criteria::any()), state.myself.clone());
        state.tasks.spawn(async move {
            while let Some(watched) = watch.next().await {
                if myself.cast(ManagerMsg::Observed(watched)).is_err() {
                    return;
                }
            }
        });
    }

    async fn serve(&self, state: &mut State, message: ManagerMsg) {
        // Those that have ended are of no interest.
        while state.tasks.try_join_next().is_some() {}
        let Some(message) = state.batches.defer(message) else { return };
        self.serve_one(state, message).await;
        // Before those that came later.
        while let Some(message) = state.batches.next_deferred() {
            self.serve_one(state, message).await;
        }
    }

    async fn serve_one(&self, state: &mut State, message: ManagerMsg) {
        match message {
            ManagerMsg::Request(request, reply) => self.request(state, request, reply).await,
            ManagerMsg::Batch(request) => self.batch(state, request).await,
            ManagerMsg::BatchMoved(name, position) => self.batch_moved(state, &name, position),
            ManagerMsg::BatchEnded(end) => self.batch_ended(state, end).await,
            ManagerMsg::BatchLate(number) => self.batch_late(state, number),
            ManagerMsg::Observed(watched) => self.observed(state, watched),
            ManagerMsg::Ended { name, reason, is_restarted } => self.ended(state, &name, reason, is_restarted),
            ManagerMsg::JobEnded { name, job, outcome } => self.job_ended(state, name, job, outcome).await,
            ManagerMsg::SectionChanged(path) => self.section_changed(state, &path).await,
            ManagerMsg::KindRegistered => state.try_again(),
            ManagerMsg::Reconcile => self.reconcile(state),
            ManagerMsg::Shutdown(reply) => self.shut_down(state, reply).await,
            ManagerMsg::KillAll => self.kill_all(state),
            ManagerMsg::Checkpoint => self.checkpoint(state).await,
        }
    }
}

/// Whether an instance is that of a managed service, and no successor of it.
fn is_instance(record: &InstanceRecord) -> bool {
    instance_name(record.service()).is_ok_and(|name| name == *record.name())
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

impl State {
    fn new(myself: ActorRef<ManagerMsg>) -> Self {
        Self {
            myself,
            fleet: Fleet::default(),
            waiters: Waiters::default(),
            phase: Phase::Open,
            in_sync: true,
            is_due: false,
            jobs: BTreeMap::new(),
            job_number: 0,
            batches: Batches::default(),
            limits: BTreeMap::new(),
            followed: BTreeSet::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Reconciles when the messages that are here are handled.
    fn reconcile(&mut self) {
        if !self.is_due {
            // It fails only if this actor is ending.
            self.is_due = self.myself.cast(ManagerMsg::Reconcile).is_ok();
        }
    }

    fn stop_if_at_rest(&mut self, name: &ServiceName) {
        if self.fleet.live(name).is_some_and(|live| live.generation.is_none()) {
            self.fleet.note(name, LifecycleFact::StopRequested);
            self.fleet.note(name, LifecycleFact::Gone { reason: "it was not running".to_owned() });
        }
    }

    fn all_stopped(&self) -> Vec<ServiceFact> {
        let stopped = |name: &ServiceName| ServiceFact::Wanted {
            name: name.clone(),
            state: crate::fact::DesiredState::Stopped,
            restart: false,
        };
        self.fleet.roster.iter().map(|(name, _)| stopped(name)).collect()
    }

    /// Takes note of a job that begins.
    fn begin(&mut self, plan: &ServicePlan, kind: JobKind) {
        let Some(live) = self.fleet.live(&plan.name) else { return };
        let fact = match kind {
            JobKind::Start(generation) => {
                let was_running = live.generation.replace(generation).is_some();
                if was_running { LifecycleFact::RestartDue } else { LifecycleFact::StartRequested }
            }
            JobKind::Stop => LifecycleFact::StopRequested,
            JobKind::Replace(generation) => {
                live.replacing = Some(generation);
                return;
            }
        };
        self.fleet.note(&plan.name, fact);
    }

    fn give_up(&mut self, name: &ServiceName, generation: u64, reason: &str) {
        if let Some(live) = self.fleet.live(name) {
            live.generation = Some(generation);
            live.last_error = Some(reason.to_owned());
        }
        self.fleet.note(name, LifecycleFact::StartRequested);
        self.fleet.note(name, LifecycleFact::GaveUp { reason: reason.to_owned() });
        self.reconcile();
    }

    fn stopped(&mut self, name: &ServiceName, outcome: Result<(), String>) {
        if let Some(live) = self.fleet.live(name) {
            live.generation = None;
            live.actor = None;
            live.last_error = outcome.err();
        }
        self.fleet.note(name, LifecycleFact::Gone { reason: "it was stopped".to_owned() });
    }

    fn replaced(&mut self, name: &ServiceName, generation: u64) {
        if let Some(live) = self.fleet.live(name) {
            live.generation = Some(generation);
            live.replacing = None;
            live.last_error = None;
        }
    }

    /// What runs is what is wanted, whatever its generation was.
    fn run_as_wanted(&mut self, name: &ServiceName, prepared: Arc<Prepared>) {
        let Some(wanted) = self.fleet.roster.get(name).map(|it| it.generation) else { return };
        if let Some(live) = self.fleet.live(name) {
            live.generation = Some(wanted);
            live.prepared.insert(wanted, prepared);
        }
    }

    /// Lets the services that could not be prepared be tried again.
    fn try_again(&mut self) {
        for live in self.fleet.lives.values_mut() {
            let is_unprepared = live.generation.is_some_and(|it| !live.prepared.contains_key(&it));
            if live.has_given_up() && is_unprepared {
                live.generation = None;
                live.state = ServiceState::Initializing;
            }
        }
        self.reconcile();
    }
}

#[cfg_attr(feature = "async-trait", foundation_kernel::ractor::async_trait)]
impl Actor for Manager {
    type Msg = ManagerMsg;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<ManagerMsg>, (): ()) -> Result<State, ActorProcessingErr> {
        let manager = myself.clone();
        self.journal.on_pruning(move || drop(manager.cast(ManagerMsg::Checkpoint)));
        let mut state = State::new(myself);
        self.begin(&mut state).await?;
        // Before the start is over: a namespace that runs shows which services it has.
        self.show(&mut state);
        self.watch(&mut state);
        state.reconcile();
        Ok(state)
    }

    async fn handle(
        &self,
        _: ActorRef<ManagerMsg>,
        message: ManagerMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // Boxed: otherwise the actor would keep the room that a request takes for as long as it lives.
        Box::pin(self.serve(state, message)).await;
        Ok(())
    }
}
