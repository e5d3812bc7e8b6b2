//! Batches of the manager: one at a time, recorded before its first step and after its last.
//!
//! # Invariants
//!
//! 1. While a batch runs no other request is decided: they wait, and are decided before later ones. While a batch waits,
//!    so do the requests about its services, and no job of these begins.
//! 2. A batch that is recorded as begun is recorded as ended, by this manager or by the next.
//! 3. A batch counts as done only when that is recorded. If it certainly is not recorded, the batch is undone. If that is
//!    unclear, nothing is undone or decided until it is clear.
//! 4. The task of a batch reports its end however it ends, and a batch is over when its task is.
//! 5. What is not known of a service after a batch is found out: it is stopped, and started if it is wanted.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use foundation_events::EventStoreError;
use foundation_kernel::answer;
use foundation_kernel::containment::report;
use foundation_kernel::names::ServiceName;
use foundation_kernel::ractor::{ActorRef, RpcReplyPort};
use foundation_kernel::supervision::ChildState;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::{Manager, ManagerMsg, Phase, State};
use crate::batch::{Batch, DescribedConfig, KindRules};
use crate::batch_error::{BatchError, BatchFault, BatchFaultReason, BatchReport, LeftBehind};
use crate::batch_run::{FailedStep, take_steps, undo_steps};
use crate::error::ManagedError;
use crate::fact::{BatchOutcome, BatchPlan, RosterFact, ServiceConfig};
use crate::kinds::instance_name;
use crate::lifecycle::LifecycleFact;
use crate::reconcile::ActualServices;
use crate::replacement::ReplacementStrategy;
use crate::roster::Roster;
use crate::server::batch_runner::{BatchMember, BatchRunner, Position};
use crate::server::fleet::{Fleet, Live};

/// How long after a failure the end of a batch is recorded again.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

/// The answer to a batch.
pub(crate) type BatchReply = RpcReplyPort<Result<BatchReport, BatchError>>;

/// A batch that is to be applied.
pub(crate) struct BatchRequest {
    pub(crate) batch: Batch,
    pub(crate) within: Duration,
    pub(crate) reply: BatchReply,
}

/// The end of the steps of a batch.
pub(crate) struct BatchEnd {
    taken: Result<(), FailedStep>,
    left: Vec<LeftBehind>,
}

/// The batch that waits or runs, and what waits for its end.
#[derive(Default)]
pub(super) struct Batches {
    current: Current,
    deferred: VecDeque<ManagerMsg>,
    /// How many batches have waited.
    number: u64,
}

#[derive(Default)]
enum Current {
    #[default]
    None,
    /// Until the jobs of its services have ended.
    Waiting { request: BatchRequest, since: Instant },
    Running(Running),
    /// Until its task has ended.
    Cancelled(Running),
}

/// A batch whose steps are being taken, or taken back.
struct Running {
    plan: Arc<BatchPlan>,
    members: BTreeMap<ServiceName, BatchMember>,
    task: AbortHandle,
    /// `None` when it is answered.
    reply: Option<BatchReply>,
}

/// Why the end of a batch is not recorded.
enum Unrecorded {
    /// It certainly is not.
    Certain(String),
    /// It may be recorded.
    Unclear(String),
}

/// Reports the end of the task of a batch; `None` if it has panicked or was stopped.
struct EndReport {
    myself: ActorRef<ManagerMsg>,
    end: Option<BatchEnd>,
}

impl EndReport {
    fn send(mut self, end: BatchEnd) {
        self.end = Some(end);
    }
}

impl Drop for EndReport {
    fn drop(&mut self) {
        // A manager that has ended leaves the undo to its successor.
        let _ = self.myself.cast(ManagerMsg::BatchEnded(self.end.take()));
    }
}

impl BatchRequest {
    fn is_about(&self, name: &ServiceName) -> bool {
        self.batch.operations().iter().any(|operation| operation.name() == name)
    }
}

impl Batches {
    /// Whether a message about a request has to wait: it is given back if it has not.
    pub(super) fn defer(&mut self, message: ManagerMsg) -> Option<ManagerMsg> {
        let is_batch = matches!(message, ManagerMsg::Batch(_));
        let is_request = matches!(message, ManagerMsg::Request(..) | ManagerMsg::SectionChanged(_));
        let has_to_wait = match (&self.current, &message) {
            (Current::None, _) => false,
            (Current::Waiting { request, .. }, ManagerMsg::Request(about, _)) => {
                request.is_about(about.name()) || !self.deferred.is_empty()
            }
            (Current::Waiting { .. }, _) => is_batch,
            (Current::Running(_) | Current::Cancelled(_), _) => is_batch || is_request,
        };
        if !has_to_wait {
            return Some(message);
        }
        self.deferred.push_back(message);
        None
    }

    /// The next message that has waited long enough.
    pub(super) fn next_deferred(&mut self) -> Option<ManagerMsg> {
        let is_free = matches!(self.current, Current::None);
        if is_free { self.deferred.pop_front() } else { None }
    }

    /// Whether a batch waits until a service has no job.
    pub(super) fn waits_for(&self, name: &ServiceName) -> bool {
        matches!(&self.current, Current::Waiting { request, .. } if request.is_about(name))
    }

    /// Whether a batch decides what becomes of a service at present.
    pub(super) fn has(&self, name: &ServiceName) -> bool {
        matches!(&self.current, Current::Running(running) | Current::Cancelled(running) if running.members.contains_key(name))
    }
}

/// What the kinds of a namespace say of the configurations of a batch.
struct FleetKinds<'a> {
    manager: &'a Manager,
    fleet: &'a Fleet,
}

impl KindRules for FleetKinds<'_> {
    fn describe(
        &self,
        name: &ServiceName,
        kind: &str,
        config: &ServiceConfig,
    ) -> Result<DescribedConfig, BatchFaultReason> {
        instance_name(name).map_err(|error| BatchFaultReason::Kind(error.to_string()))?;
        let prepared = self.manager.prepare(name, kind, config)?;
        let running = self.fleet.lives.contains_key(name);
        let strategy = match running {
            true => self.manager.strategy(self.fleet, name, &prepared)?,
            false => ReplacementStrategy::default(),
        };
        Ok(DescribedConfig { needs: prepared.needs.clone(), provides: prepared.provides(), strategy })
    }
}

impl From<ManagedError> for BatchFaultReason {
    fn from(error: ManagedError) -> Self {
        Self::Kind(error.to_string())
    }
}

impl Manager {
    // ---- beginning ----

    /// Begins a batch when no job of its services runs.
    pub(super) async fn batch(&self, state: &mut State, request: BatchRequest) {
        state.batches.number += 1;
        let (number, within, myself) = (state.batches.number, request.within, state.myself.clone());
        state.batches.current = Current::Waiting { request, since: Instant::now() };
        self.try_begin_batch(state).await;
        if matches!(state.batches.current, Current::Waiting { .. }) {
            state.tasks.spawn(async move {
                sleep(within).await;
                // A manager that has ended has no batch that waits.
                let _ = myself.cast(ManagerMsg::BatchLate(number));
            });
        }
    }

    /// Gives up a batch that has waited for as long as it may take.
    pub(super) fn batch_late(&self, state: &mut State, number: u64) {
        if state.batches.number != number {
            return;
        }
        match mem::take(&mut state.batches.current) {
            Current::Waiting { request: BatchRequest { batch, within, reply }, .. } => {
                let names: BTreeSet<_> = batch.operations().iter().map(|operation| operation.name().clone()).collect();
                let services = names.into_iter().filter(|name| state.jobs.contains_key(name)).collect();
                answer(reply, Err(BatchError::Busy { services, within }));
                state.reconcile();
            }
            other => state.batches.current = other,
        }
    }

    /// Begins the batch that waits, if it can begin.
    pub(super) async fn try_begin_batch(&self, state: &mut State) {
        let Current::Waiting { request, .. } = &state.batches.current else { return };
        if state.jobs.keys().any(|name| request.is_about(name)) {
            return;
        }
        let Current::Waiting { request, since } = mem::take(&mut state.batches.current) else { return };
        let BatchRequest { batch, within, reply } = request;
        if !reply.is_closed() {
            let within = within.saturating_sub(since.elapsed());
            match self.begin_batch(state, &batch).await {
                Ok((plan, members)) if !plan.steps.is_empty() => self.run_batch(state, plan, members, within, reply),
                Ok((plan, _)) => {
                    self.show(state);
                    answer(reply, Ok(BatchReport::of(&plan)));
                }
                Err(error) => answer(reply, Err(error)),
            }
        }
        state.reconcile();
    }

    /// Checks, plans and records a batch.
    async fn begin_batch(
        &self,
        state: &mut State,
        batch: &Batch,
    ) -> Result<(BatchPlan, BTreeMap<ServiceName, BatchMember>), BatchError> {
        if let Phase::ShuttingDown(_) = state.phase {
            return Err(BatchError::ShuttingDown { namespace: self.shared.names.namespace() });
        }
        self.settle_batches(state).await?;
        let (plan, members) = self.plan_batch(&state.fleet, batch)?;
        if plan.changes.is_empty() {
            return Ok((plan, members));
        }
        let facts = match plan.steps.is_empty() {
            true => plan.changes.iter().cloned().map(RosterFact::from).collect(),
            false => vec![RosterFact::BatchBegun(plan.clone())],
        };
        match self.journal.record(&facts).await {
            Ok(()) => {
                state.fleet.apply(&facts);
                Ok((plan, members))
            }
            Err(error) => Err(self.not_begun(state, &error)),
        }
    }

    /// What the caller gets if it is not recorded that a batch begins, or what it changes.
    fn not_begun(&self, state: &mut State, error: &EventStoreError) -> BatchError {
        let (namespace, reason) = (self.shared.names.namespace(), error.to_string());
        match error {
            EventStoreError::NoAnswer { .. } => {
                state.in_sync = false;
                BatchError::Unclear { namespace, reason }
            }
            _ => BatchError::NotRecorded { reason },
        }
    }

    async fn settle_batches(&self, state: &mut State) -> Result<(), BatchError> {
        if state.in_sync {
            return Ok(());
        }
        let roster = self.read_roster().await.map_err(|reason| BatchError::NotRecorded { reason })?;
        state.fleet.restore(roster);
        state.in_sync = true;
        Ok(())
    }

    /// The recorded roster. A batch that was begun and not ended is undone: nothing of it counts.
    pub(super) async fn read_roster(&self) -> Result<Roster, String> {
        let mut roster = self.journal.read().await.map_err(|error| error.to_string())?;
        if roster.open_batch().is_some() {
            let why = "the manager ended before the batch did".to_owned();
            let ended = RosterFact::BatchEnded(BatchOutcome::Undone { failed: None, why });
            self.journal.record(std::slice::from_ref(&ended)).await.map_err(|error| error.to_string())?;
            roster.apply(&ended);
        }
        Ok(roster)
    }

    fn plan_batch(
        &self,
        fleet: &Fleet,
        batch: &Batch,
    ) -> Result<(BatchPlan, BTreeMap<ServiceName, BatchMember>), BatchError> {
        let kinds = FleetKinds { manager: self, fleet };
        let find = |after: &Roster| self.found(fleet, after);
        let changes = batch.validate(&fleet.roster, find, &kinds).map_err(|faults| BatchError::Refused { faults })?;
        let after = fleet.roster.after(&changes);
        let plan = BatchPlan::make(&fleet.roster, changes, &find(&after));
        let names: BTreeSet<_> = plan.steps.iter().map(|step| step.take.name().clone()).collect();
        let members = names.into_iter().map(|name| Ok((name.clone(), self.member(fleet, &after, &name)?)));
        let members = members.collect::<Result<_, ManagedError>>().map_err(BatchError::refused)?;
        Ok((plan, members))
    }

    /// What is found of the services, with the needs that others meet.
    fn found(&self, fleet: &Fleet, after: &Roster) -> ActualServices {
        let needs = after.iter().flat_map(|(_, it)| it.needs.iter().cloned()).collect();
        fleet.actual(self.met_outside(&needs))
    }

    /// A service with the generations that it runs in, before and after.
    fn member(&self, fleet: &Fleet, after: &Roster, name: &ServiceName) -> Result<BatchMember, ManagedError> {
        let live = fleet.lives.get(name);
        let mut prepared = live.map(|live| live.prepared.clone()).unwrap_or_default();
        for desired in [&fleet.roster, after].into_iter().filter_map(|roster| roster.get(name)) {
            if let Entry::Vacant(vacant) = prepared.entry(desired.generation) {
                vacant.insert(Arc::new(self.prepare(name, &desired.kind, &desired.config)?));
            }
        }
        let position = Position { generation: live.and_then(|live| live.generation), successor: None };
        Ok(BatchMember { position, prepared })
    }

    // ---- running ----

    fn run_batch(
        &self,
        state: &mut State,
        plan: BatchPlan,
        members: BTreeMap<ServiceName, BatchMember>,
        within: Duration,
        reply: BatchReply,
    ) {
        let plan = Arc::new(plan);
        let runner = self.batch_runner(state, &members);
        let (of, report) = (Arc::clone(&plan), EndReport { myself: state.myself.clone(), end: None });
        let task = state.tasks.spawn(async move {
            let taken = take_steps(&of, within, &runner).await;
            let begun = taken.as_ref().err().map_or(0, |failed| failed.begun);
            let left = undo_steps(&of, begun, &runner).await;
            report.send(BatchEnd { taken, left });
        });
        state.batches.current = Current::Running(Running { plan, members, task, reply: Some(reply) });
    }

    fn batch_runner(
        &self,
        state: &State,
        members: &BTreeMap<ServiceName, BatchMember>,
    ) -> BatchRunner<impl Fn(&ServiceName, Position) + Send + Sync + 'static> {
        let myself = state.myself.clone();
        // It fails only if the manager is ending, and the batch with it.
        let notify = move |name: &ServiceName, position| {
            let _ = myself.cast(ManagerMsg::BatchMoved(name.clone(), position));
        };
        let members = members.iter().map(|(name, member)| {
            let position = state
                .fleet
                .lives
                .get(name)
                .map_or(member.position, |live| Position { generation: live.generation, successor: None });
            (name.clone(), BatchMember { position, prepared: member.prepared.clone() })
        });
        BatchRunner::new(Arc::clone(&self.shared), members.collect(), notify)
    }

    /// Takes note of a step of a batch.
    pub(super) fn batch_moved(&self, state: &mut State, name: &ServiceName, position: Position) {
        let Current::Running(Running { members, .. }) = &state.batches.current else { return };
        let Some(member) = members.get(name) else { return };
        // A service that the batch declares is not in the roster yet, and is known from its first step on.
        let live = state.fleet.lives.entry(name.clone()).or_default();
        live.prepared.extend(member.prepared.clone());
        let before = live.generation;
        (live.generation, live.replacing) = (position.generation, position.successor);
        let facts = match (before, position.generation) {
            (Some(_), None) => vec![LifecycleFact::Gone { reason: "it was stopped".to_owned() }],
            (_, Some(Position::UNSURE)) => vec![LifecycleFact::StopRequested],
            (None, Some(_)) => vec![LifecycleFact::StartRequested],
            _ => Vec::new(),
        };
        facts.into_iter().for_each(|fact| state.fleet.note(name, fact));
        self.observe(state, name);
        self.show(state);
    }

    // ---- end ----

    /// Records how a batch ended, and answers. Without an end its task has failed, or was stopped.
    pub(super) async fn batch_ended(&self, state: &mut State, end: Option<BatchEnd>) {
        let running = match mem::take(&mut state.batches.current) {
            Current::Running(running) => running,
            Current::Cancelled(running) => return self.batch_cancelled(state, running).await,
            other => return state.batches.current = other,
        };
        let end = end.unwrap_or_else(|| running.lost(state));
        let outcome = end.taken.as_ref().err().map_or(BatchOutcome::Done, FailedStep::outcome);
        match (self.record_end(state, &outcome).await, &end.taken) {
            (Ok(()), _) => self.conclude(state, running, end),
            (Err(Unrecorded::Unclear(reason)), _) => self.record_again(state, running, end, &reason),
            (Err(Unrecorded::Certain(reason)), Ok(())) => self.undo_unrecorded(state, running, &reason),
            (Err(Unrecorded::Certain(error)), Err(_)) => {
                // The next manager finds the batch not ended, and nothing of it counts.
                report(|| tracing::warn!(%error, "the end of a batch that is undone is not recorded"));
                state.fleet.apply(&[RosterFact::BatchEnded(outcome)]);
                self.conclude(state, running, end);
            }
        }
    }

    /// Takes note of what became of the services, and answers.
    fn conclude(&self, state: &mut State, running: Running, BatchEnd { taken, left }: BatchEnd) {
        let Running { plan, members, reply, .. } = running;
        members.keys().for_each(|name| self.settle_member(state, name));
        state.fleet.forget_removed();
        // Before the answer: the caller sees what the batch has done.
        self.show(state);
        let done = taken.map(|()| BatchReport::of(&plan)).map_err(|failed| failed.into_error(&plan, left));
        reply.into_iter().for_each(|reply| answer(reply, done.clone()));
        state.reconcile();
    }

    /// Takes note of what became of a service of a batch that has ended.
    fn settle_member(&self, state: &mut State, name: &ServiceName) {
        state.fleet.forget_old(name);
        let is_unsure = |live: &&mut Live| live.generation == Some(Position::UNSURE);
        if state.fleet.live(name).filter(is_unsure).is_some() {
            // It is stopped, and started if it is wanted.
            return state.fleet.note(name, LifecycleFact::StopRequested);
        }
        self.observe(state, name);
        let is_missing = |live: &&mut Live| live.generation.is_some() && live.actor.is_none();
        if state.fleet.live(name).filter(is_missing).is_some() {
            self.find_child(state, name);
        }
    }

    /// Finds out whether a service whose actor is not there is started again: its end may have been during the batch.
    fn find_child(&self, state: &mut State, name: &ServiceName) {
        let Ok(instance) = instance_name(name) else { return };
        let (supervisor, myself, name) = (self.shared.supervisor(), state.myself.clone(), name.clone());
        state.tasks.spawn(async move {
            let child = supervisor.which_child(&instance.to_string()).await;
            let is_restarted = child.is_ok_and(|child| child.state != ChildState::Stopped);
            // A manager that has ended leaves it to its successor.
            let _ = myself.cast(ManagerMsg::Ended { name, reason: None, is_restarted });
        });
    }

    /// The end of a batch counts if it is recorded, or if it changes nothing.
    async fn record_end(&self, state: &mut State, outcome: &BatchOutcome) -> Result<(), Unrecorded> {
        if !state.in_sync && self.found_ended(state).await? {
            return Ok(());
        }
        let ended = [RosterFact::BatchEnded(outcome.clone())];
        match self.journal.record(&ended).await {
            Ok(()) => {
                state.fleet.apply(&ended);
                Ok(())
            }
            Err(error @ EventStoreError::NoAnswer { .. }) => {
                state.in_sync = false;
                let is_recorded = self.found_ended(state).await?;
                if is_recorded { Ok(()) } else { Err(Unrecorded::Certain(error.to_string())) }
            }
            Err(error) => Err(Unrecorded::Certain(error.to_string())),
        }
    }

    /// Whether the end of the batch is recorded, as the store shows it.
    async fn found_ended(&self, state: &mut State) -> Result<bool, Unrecorded> {
        let roster = self.journal.read().await.map_err(|error| Unrecorded::Unclear(error.to_string()))?;
        state.in_sync = true;
        let is_ended = roster.open_batch().is_none();
        if is_ended {
            state.fleet.restore(roster);
        }
        Ok(is_ended)
    }

    /// Records the end of a batch after a while, since it is not known whether it is recorded. The caller is not kept.
    fn record_again(&self, state: &mut State, mut running: Running, end: BatchEnd, reason: &str) {
        report(|| tracing::warn!(reason, "it is not known whether the end of a batch is recorded"));
        let unclear = BatchError::Unclear { namespace: self.shared.names.namespace(), reason: reason.to_owned() };
        running.reply.take().into_iter().for_each(|reply| answer(reply, Err(unclear.clone())));
        let report = EndReport { myself: state.myself.clone(), end: Some(end) };
        running.task = state.tasks.spawn(async move {
            sleep(RECORD_AGAIN).await;
            drop(report);
        });
        state.batches.current = Current::Running(running);
    }

    /// Undoes a batch whose end cannot be recorded.
    fn undo_unrecorded(&self, state: &mut State, mut running: Running, error: &str) {
        let (of, begun) = (Arc::clone(&running.plan), running.plan.steps.len());
        let reason = format!("the end of the batch cannot be recorded: {error}");
        let failed = FailedStep { at: None, begun, reason };
        let runner = self.batch_runner(state, &running.members);
        let report = EndReport { myself: state.myself.clone(), end: None };
        running.task = state.tasks.spawn(async move {
            let left = undo_steps(&of, begun, &runner).await;
            report.send(BatchEnd { taken: Err(failed), left });
        });
        state.batches.current = Current::Running(running);
    }

    /// Gives a batch up, since everything is stopped: it counts for nothing. One that runs is over when its task is.
    pub(super) fn cancel_batch(&self, state: &mut State) {
        match mem::take(&mut state.batches.current) {
            Current::None => {}
            Current::Waiting { request, .. } => answer(request.reply, Err(self.cancelled())),
            Current::Running(running) => {
                running.task.abort();
                state.batches.current = Current::Cancelled(running);
            }
            cancelled @ Current::Cancelled(_) => state.batches.current = cancelled,
        }
        state.reconcile();
    }

    fn cancelled(&self) -> BatchError {
        BatchError::ShuttingDown { namespace: self.shared.names.namespace() }
    }

    /// The task of a batch that is given up has ended.
    async fn batch_cancelled(&self, state: &mut State, running: Running) {
        let outcome = BatchOutcome::Undone { failed: None, why: "the managed services are shut down".to_owned() };
        if self.record_end(state, &outcome).await.is_err() {
            // The next manager finds the batch not ended, and nothing of it counts.
            state.fleet.apply(&[RosterFact::BatchEnded(outcome)]);
        }
        running.become_unsure(state);
        running.reply.into_iter().for_each(|reply| answer(reply, Err(self.cancelled())));
        state.reconcile();
    }
}

impl Running {
    /// The end of a batch whose task has panicked: nothing is known of its services.
    fn lost(&self, state: &mut State) -> BatchEnd {
        self.become_unsure(state);
        let reason = || "the task of the batch has failed".to_owned();
        let begun = self.plan.steps.len();
        let left = self.plan.undo_of_first(begun).cloned().map(|step| LeftBehind { step, reason: reason() }).collect();
        BatchEnd { taken: Err(FailedStep { at: None, begun, reason: reason() }), left }
    }

    /// The services are stopped, and started if they are wanted.
    fn become_unsure(&self, state: &mut State) {
        for name in self.members.keys() {
            let Some(live) = state.fleet.live(name) else { continue };
            (live.generation, live.replacing) = (Some(Position::UNSURE), None);
            state.fleet.note(name, LifecycleFact::StopRequested);
        }
    }
}

impl BatchError {
    fn refused(error: ManagedError) -> Self {
        let fault = BatchFault { at: None, operation: "the batch".to_owned(), reason: error.into() };
        Self::Refused { faults: vec![fault] }
    }
}
