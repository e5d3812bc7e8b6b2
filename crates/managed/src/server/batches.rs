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

pub(super) mod member;
pub(super) mod queue;
mod runner;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use foundation_events::EventStoreError;
use foundation_kernel::answer;
use foundation_kernel::containment::report;
use foundation_kernel::names::ServiceName;
use tokio::time::Instant;

use self::member::{BatchMember, Position};
use self::queue::{CurrentBatch, EndReport, RunningBatch, Unrecorded};
use self::runner::BatchRunner;
use super::message::{BatchEnd, BatchReply, BatchRequest, ManagerMsg};
use super::service_table::{RunningService, ServiceTable};
use super::state::{Manager, delay};
use super::state::{Phase, State};
use crate::batch::{Batch, DescribedConfig, KindRules};
use crate::batch_error::{BatchError, BatchFault, BatchFaultReason, BatchReport, LeftBehind};
use crate::batch_error::{ENDED_BEFORE, FailedStep};
use crate::batch_run::{take_steps, undo_steps};
use crate::error::ManagedError;
use crate::fact::{BatchOutcome, BatchPlan, RosterFact, ServiceConfig};
use crate::kinds::instance_name;
use crate::lifecycle::LifecycleFact;
use crate::reconcile::actual::ActualServices;
use crate::replacement::ReplacementStrategy;
use crate::roster::Roster;

/// How long after a failure the end of a batch is recorded again.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

/// What the kinds of a namespace say of the configurations of a batch.
struct TableKinds<'a> {
    manager: &'a Manager,
    table: &'a ServiceTable,
}

impl KindRules for TableKinds<'_> {
    fn describe(
        &self,
        name: &ServiceName,
        kind: &str,
        config: &ServiceConfig,
    ) -> Result<DescribedConfig, BatchFaultReason> {
        instance_name(name).map_err(|error| BatchFaultReason::Kind(error.to_string()))?;
        let prepared = self.manager.prepare(name, kind, config)?;
        let strategy = match self.table.services.contains_key(name) {
            true => self.manager.strategy(self.table, name, &prepared)?,
            false => ReplacementStrategy::default(),
        };
        let (needs, provides, running) = (prepared.needs.clone(), prepared.provides(), self.table.generation(name));
        Ok(DescribedConfig { needs, provides, strategy, running })
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
        state.batches.current = CurrentBatch::Waiting { request, since: Instant::now() };
        self.try_begin_batch(state).await;
        if matches!(state.batches.current, CurrentBatch::Waiting { .. }) {
            state.reconcile();
            state.tasks.spawn(async move {
                delay(within).await;
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
            CurrentBatch::Waiting { request: BatchRequest { batch, within, reply }, .. } => {
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
        let CurrentBatch::Waiting { request, .. } = &state.batches.current else { return };
        if state.jobs.keys().any(|name| request.is_about(name)) {
            return;
        }
        let CurrentBatch::Waiting { request, since } = mem::take(&mut state.batches.current) else { return };
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
        let (plan, members) = self.plan_batch(&state.table, batch)?;
        if plan.changes.is_empty() {
            return Ok((plan, members));
        }
        let facts = match plan.steps.is_empty() {
            true => plan.changes.iter().cloned().map(RosterFact::from).collect(),
            false => vec![RosterFact::BatchBegun(plan.clone())],
        };
        match self.journal.record(&facts).await {
            Ok(()) => {
                state.table.apply(&facts);
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
                self.unsettled(state, &reason);
                BatchError::Unclear { namespace, reason }
            }
            _ => BatchError::NotRecorded { reason },
        }
    }

    async fn settle_batches(&self, state: &mut State) -> Result<(), BatchError> {
        if state.in_sync {
            return Ok(());
        }
        let roster = self.read_roster(state.takeover).await.map_err(|reason| BatchError::NotRecorded { reason })?;
        self.synced(state, roster);
        Ok(())
    }

    fn plan_batch(
        &self,
        table: &ServiceTable,
        batch: &Batch,
    ) -> Result<(BatchPlan, BTreeMap<ServiceName, BatchMember>), BatchError> {
        let kinds = TableKinds { manager: self, table };
        let find = |after: &Roster| self.found(table, after);
        let changes = batch.validate(&table.roster, find, &kinds).map_err(|faults| BatchError::Refused { faults })?;
        let after = table.roster.after(&changes);
        let plan = BatchPlan::make(&table.roster, changes, &find(&after));
        let members = self.members(table, &after, &plan).map_err(BatchError::refused)?;
        Ok((plan, members))
    }

    /// The services that a batch takes steps of.
    fn members(
        &self,
        table: &ServiceTable,
        after: &Roster,
        plan: &BatchPlan,
    ) -> Result<BTreeMap<ServiceName, BatchMember>, ManagedError> {
        let names: BTreeSet<_> = plan.steps.iter().map(|step| step.take.name().clone()).collect();
        names.into_iter().map(|name| Ok((name.clone(), self.member(table, after, &name)?))).collect()
    }

    /// What is found of the services, with the needs that others meet.
    fn found(&self, table: &ServiceTable, after: &Roster) -> ActualServices {
        let needs = after.iter().flat_map(|(_, it)| it.needs.iter().cloned()).collect();
        table.actual(self.met_outside(&needs))
    }

    /// A service with the generations that it runs in, before and after.
    fn member(&self, table: &ServiceTable, after: &Roster, name: &ServiceName) -> Result<BatchMember, ManagedError> {
        let live = table.services.get(name);
        let mut prepared = live.map(|live| live.prepared.clone()).unwrap_or_default();
        for desired in [&table.roster, after].into_iter().filter_map(|roster| roster.get(name)) {
            // The plan may be about what ran before what is desired. It is known already, except after a crash.
            if let Some(former) = desired.former.as_ref().filter(|former| !prepared.contains_key(&former.generation))
                && let Ok(made) = self.prepare(name, &desired.kind, &former.config)
            {
                prepared.insert(former.generation, Arc::new(made));
            }
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
        state.batches.current = CurrentBatch::Running(RunningBatch { plan, members, task, reply: Some(reply) });
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
                .table
                .services
                .get(name)
                .map_or(member.position, |live| Position { generation: live.generation, successor: None });
            (name.clone(), BatchMember { position, prepared: member.prepared.clone() })
        });
        BatchRunner::new(Arc::clone(&self.shared), members.collect(), notify)
    }

    /// Takes note of a step of a batch.
    pub(super) fn batch_moved(&self, state: &mut State, name: &ServiceName, position: Position) {
        let CurrentBatch::Running(RunningBatch { members, .. }) = &state.batches.current else { return };
        let Some(member) = members.get(name) else { return };
        // A service that the batch declares is not in the roster yet, and is known from its first step on.
        let live = state.table.services.entry(name.clone()).or_default();
        live.prepared.extend(member.prepared.clone());
        let before = live.generation;
        (live.generation, live.replacing) = (position.generation, position.successor);
        let facts = match (before, position.generation) {
            (Some(_), None) => vec![LifecycleFact::Gone { reason: "it was stopped".to_owned() }],
            (_, Some(Position::UNSURE)) => vec![LifecycleFact::StopRequested],
            (None, Some(_)) => vec![LifecycleFact::StartRequested],
            _ => Vec::new(),
        };
        facts.into_iter().for_each(|fact| state.table.note(name, fact));
        self.observe(state, name);
        self.show(state);
    }

    // ---- end ----

    /// Records how a batch ended, and answers. Without an end its task has failed, or was stopped.
    pub(super) async fn batch_ended(&self, state: &mut State, end: Option<BatchEnd>) {
        let running = match mem::take(&mut state.batches.current) {
            CurrentBatch::Running(running) => running,
            CurrentBatch::Cancelled(running) => return self.batch_cancelled(state, running).await,
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
                state.table.apply(&[RosterFact::BatchEnded(outcome)]);
                self.conclude(state, running, end);
            }
        }
    }

    /// Takes note of what became of the services, and answers.
    fn conclude(&self, state: &mut State, running: RunningBatch, BatchEnd { taken, left }: BatchEnd) {
        let RunningBatch { plan, members, reply, .. } = running;
        members.keys().for_each(|name| self.settle_member(state, name));
        state.table.forget_removed();
        self.shared.batches.lock().left_behind.clone_from(&left);
        // Before the answer: the caller sees what the batch has done.
        self.show(state);
        let done = taken.map(|()| BatchReport::of(&plan)).map_err(|failed| failed.into_error(&plan, left));
        reply.into_iter().for_each(|reply| answer(reply, done.clone()));
        state.reconcile();
    }

    /// Takes note of what became of a service of a batch that has ended.
    fn settle_member(&self, state: &mut State, name: &ServiceName) {
        self.forget_old(state, name);
        let is_unsure = |live: &&mut RunningService| live.generation == Some(Position::UNSURE);
        if state.table.running(name).filter(is_unsure).is_some() {
            // It is stopped, and started if it is wanted.
            return state.table.note(name, LifecycleFact::StopRequested);
        }
        self.observe_or_find(state, name);
        self.give_what_runs(state, name);
    }

    /// The end of a batch counts if it is recorded, or if it changes nothing.
    async fn record_end(&self, state: &mut State, outcome: &BatchOutcome) -> Result<(), Unrecorded> {
        if !state.in_sync && self.found_ended(state).await? {
            return Ok(());
        }
        let ended = [RosterFact::BatchEnded(outcome.clone())];
        match self.journal.record(&ended).await {
            Ok(()) => {
                state.table.apply(&ended);
                Ok(())
            }
            Err(error @ EventStoreError::NoAnswer { .. }) => {
                self.unsettled(state, &error.to_string());
                let is_recorded = self.found_ended(state).await?;
                if is_recorded { Ok(()) } else { Err(Unrecorded::Certain(error.to_string())) }
            }
            Err(error) => Err(Unrecorded::Certain(error.to_string())),
        }
    }

    /// Whether the end of the batch is recorded, as the store shows it.
    async fn found_ended(&self, state: &mut State) -> Result<bool, Unrecorded> {
        let roster = self.journal.read().await.map_err(|error| Unrecorded::Unclear(error.to_string()))?;
        let is_ended = roster.open_batch().is_none();
        // Also if it is not ended: other facts may be recorded that are not applied.
        self.settled(state, roster);
        Ok(is_ended)
    }

    /// Records the end of a batch after a while, since it is not known whether it is recorded. The caller is not kept.
    fn record_again(&self, state: &mut State, mut running: RunningBatch, end: BatchEnd, reason: &str) {
        report(|| tracing::warn!(reason, "it is not known whether the end of a batch is recorded"));
        let unclear = BatchError::Unclear { namespace: self.shared.names.namespace(), reason: reason.to_owned() };
        running.reply.take().into_iter().for_each(|reply| answer(reply, Err(unclear.clone())));
        let report = EndReport { myself: state.myself.clone(), end: Some(end) };
        running.task = state.tasks.spawn(async move {
            delay(RECORD_AGAIN).await;
            drop(report);
        });
        state.batches.current = CurrentBatch::Running(running);
    }

    /// Undoes a batch whose end cannot be recorded.
    fn undo_unrecorded(&self, state: &mut State, running: RunningBatch, error: &str) {
        let RunningBatch { plan, members, reply, .. } = running;
        self.undo_all(state, (plan, members), reply, format!("the end of the batch cannot be recorded: {error}"));
    }

    /// Takes all steps of a batch back, as it is recorded with them.
    fn undo_all(
        &self,
        state: &mut State,
        (plan, members): (Arc<BatchPlan>, BTreeMap<ServiceName, BatchMember>),
        reply: Option<BatchReply>,
        reason: String,
    ) {
        let (of, begun) = (Arc::clone(&plan), plan.steps.len());
        let failed = FailedStep { at: None, begun, reason };
        let runner = self.batch_runner(state, &members);
        let report = EndReport { myself: state.myself.clone(), end: None };
        let task = state.tasks.spawn(async move {
            let left = undo_steps(&of, begun, &runner).await;
            report.send(BatchEnd { taken: Err(failed), left });
        });
        state.batches.current = CurrentBatch::Running(RunningBatch { plan, members, task, reply });
    }

    /// Takes back the batch that an earlier manager has begun. If none of its services runs, nothing is to be taken back.
    pub(super) async fn undo_open_batch(&self, state: &mut State) {
        let Some(plan) = state.table.roster.open_batch().cloned() else { return };
        let (reason, after) = (ENDED_BEFORE.to_owned(), state.table.roster.with_open_batch());
        let members = self.members(&state.table, &after, &plan).inspect_err(|error| {
            report(|| tracing::warn!(%error, "a batch is taken back by what is wanted, and not by its own undo"));
        });
        let runs = |name: &ServiceName| state.table.generation(name).is_some();
        match members {
            Ok(members) if matches!(state.phase, Phase::Open) && members.keys().any(runs) => {
                self.undo_all(state, (Arc::new(plan), members), None, reason);
            }
            _ => {
                let outcome = BatchOutcome::Undone { failed: None, why: reason };
                if self.record_end(state, &outcome).await.is_err() {
                    // The next manager finds the batch not ended, and nothing of it counts.
                    state.table.apply(&[RosterFact::BatchEnded(outcome)]);
                }
            }
        }
    }

    /// Gives a batch up, since everything is stopped: it counts for nothing. One that runs is over when its task is.
    pub(super) fn cancel_batch(&self, state: &mut State) {
        match mem::take(&mut state.batches.current) {
            CurrentBatch::None => {}
            CurrentBatch::Waiting { request, .. } => answer(request.reply, Err(self.cancelled())),
            CurrentBatch::Running(running) => {
                running.task.abort();
                state.batches.current = CurrentBatch::Cancelled(running);
            }
            cancelled @ CurrentBatch::Cancelled(_) => state.batches.current = cancelled,
        }
        state.reconcile();
    }

    fn cancelled(&self) -> BatchError {
        BatchError::ShuttingDown { namespace: self.shared.names.namespace() }
    }

    /// The task of a batch that is given up has ended.
    async fn batch_cancelled(&self, state: &mut State, running: RunningBatch) {
        let outcome = BatchOutcome::Undone { failed: None, why: "the managed services are shut down".to_owned() };
        if self.record_end(state, &outcome).await.is_err() {
            // The next manager finds the batch not ended, and nothing of it counts.
            state.table.apply(&[RosterFact::BatchEnded(outcome)]);
        }
        running.become_unsure(state);
        // What it started after the shutdown began is stopped by it, too.
        state.note_stopping();
        running.reply.into_iter().for_each(|reply| answer(reply, Err(self.cancelled())));
        state.reconcile();
    }
}

impl RunningBatch {
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
        self.members.keys().for_each(|name| state.table.become_unsure(name));
    }
}

impl BatchError {
    fn refused(error: ManagedError) -> Self {
        let fault = BatchFault { at: None, operation: "the batch".to_owned(), reason: error.into() };
        Self::Refused { faults: vec![fault] }
    }
}
