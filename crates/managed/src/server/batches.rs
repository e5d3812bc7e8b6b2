//! Batches of the manager: one at a time, recorded before its first step and after its last.
//!
//! # Invariants
//!
//! 1. While a batch runs no other request is decided: they wait.
//! 2. A batch that is recorded as begun is recorded as ended, by this manager or by the next.
//! 3. A batch counts as done only when that is recorded. If it cannot be recorded, the batch is undone.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use foundation_events::EventStoreError;
use foundation_kernel::answer;
use foundation_kernel::containment::report;
use foundation_kernel::names::ServiceName;

use super::batch_queue::CurrentBatch;
use super::batch_runner::{BatchMember, BatchRunner, Position};
use super::manager::Manager;
use super::message::{BatchEnd, BatchReply, BatchRequest, ManagerMsg};
use super::service_table::{RunningService, ServiceTable};
use super::state::{Phase, State};
use crate::batch::{Batch, DescribedConfig, KindRules};
use crate::batch_error::{BatchError, BatchFault, BatchFaultReason, BatchReport};
use crate::batch_run::{FailedStep, take_steps, undo_steps};
use crate::error::ManagedError;
use crate::fact::{BatchOutcome, BatchPlan, RosterFact, ServiceConfig};
use crate::kinds::instance_name;
use crate::lifecycle::LifecycleFact;
use crate::reconcile::ActualServices;
use crate::replacement::ReplacementStrategy;
use crate::roster::Roster;

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
        let running = self.table.services.contains_key(name);
        let strategy = match running {
            true => self.manager.strategy(self.table, name, &prepared)?,
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
        state.batches.current = CurrentBatch::Waiting(request);
        self.try_begin_batch(state).await;
    }

    /// Begins the batch that waits, if it can begin.
    pub(super) async fn try_begin_batch(&self, state: &mut State) {
        let CurrentBatch::Waiting(BatchRequest { batch, .. }) = &state.batches.current else { return };
        if batch.operations().iter().any(|operation| state.jobs.contains_key(operation.name())) {
            return;
        }
        let CurrentBatch::Waiting(request) = std::mem::take(&mut state.batches.current) else { return };
        let BatchRequest { batch, within, reply } = request;
        if !reply.is_closed() {
            match self.begin_batch(state, &batch).await {
                Ok((plan, members)) if !plan.steps.is_empty() => self.run_batch(state, plan, members, within, reply),
                Ok((plan, _)) => {
                    self.show(state);
                    answer(reply, Ok(BatchReport::of(&plan)));
                }
                Err(error) => answer(reply, Err(error)),
            }
        }
        self.go_on(state);
    }

    /// Lets go on what had to wait, unless a batch runs.
    fn go_on(&self, state: &mut State) {
        if matches!(state.batches.current, CurrentBatch::None) {
            // It fails only if this actor is ending.
            state.batches.deferred.drain(..).for_each(|message| drop(state.myself.cast(message)));
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
            Err(error) => {
                state.in_sync &= !matches!(error, EventStoreError::NoAnswer { .. });
                Err(BatchError::NotRecorded { reason: error.to_string() })
            }
        }
    }

    async fn settle_batches(&self, state: &mut State) -> Result<(), BatchError> {
        if state.in_sync {
            return Ok(());
        }
        let roster = self.read_roster().await.map_err(|reason| BatchError::NotRecorded { reason })?;
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
        let names: BTreeSet<_> = plan.steps.iter().map(|step| step.take.name().clone()).collect();
        let members = names.into_iter().map(|name| Ok((name.clone(), self.member(table, &after, &name)?)));
        let members = members.collect::<Result<_, ManagedError>>().map_err(BatchError::refused)?;
        Ok((plan, members))
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
        let (of, myself) = (Arc::clone(&plan), state.myself.clone());
        let task = state.tasks.spawn(async move {
            let taken = take_steps(&of, within, &runner).await;
            let begun = taken.as_ref().err().map_or(0, |failed| failed.begun);
            let left = undo_steps(&of, begun, &runner).await;
            // A manager that has ended leaves the undo to its successor.
            let _ = myself.cast(ManagerMsg::BatchEnded(BatchEnd { taken, left }));
        });
        state.batches.current = CurrentBatch::Running { plan, members, task, reply };
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
        let CurrentBatch::Running { members, .. } = &state.batches.current else { return };
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

    /// Records how a batch ended, and answers.
    pub(super) async fn batch_ended(&self, state: &mut State, end: BatchEnd) {
        let CurrentBatch::Running { plan, members, reply, .. } = std::mem::take(&mut state.batches.current) else {
            return;
        };
        let outcome = end.taken.as_ref().err().map_or(BatchOutcome::Done, FailedStep::outcome);
        let recorded = self.record_end(state, outcome).await;
        if let (Err(reason), Ok(())) = (&recorded, &end.taken) {
            return self.undo_unrecorded(state, (plan, members, reply), reason);
        }
        for name in members.keys() {
            self.settle_member(state, name);
        }
        state.table.forget_removed();
        // Before the answer: the caller sees what the batch has done.
        self.show(state);
        answer(reply, end.taken.map(|()| BatchReport::of(&plan)).map_err(|failed| failed.into_error(&plan, end.left)));
        self.go_on(state);
    }

    /// Takes note of what became of a service of a batch that has ended.
    fn settle_member(&self, state: &mut State, name: &ServiceName) {
        state.table.forget_old(name);
        let is_unsure = |live: &&mut RunningService| live.generation == Some(Position::UNSURE);
        if state.table.running(name).filter(is_unsure).is_some() {
            // Its undo failed: it is stopped, and started if it is wanted.
            state.table.note(name, LifecycleFact::Gone { reason: "a batch was not undone".to_owned() });
        }
        self.observe(state, name);
    }

    /// The end of a batch counts if it is recorded, or if it changes nothing.
    async fn record_end(&self, state: &mut State, outcome: BatchOutcome) -> Result<(), String> {
        let ended = [RosterFact::BatchEnded(outcome.clone())];
        let Err(error) = self.journal.record(&ended).await else {
            state.table.apply(&ended);
            return Ok(());
        };
        if let Ok(roster) = self.journal.read().await
            && roster.open_batch().is_none()
        {
            state.table.restore(roster);
            return Ok(());
        }
        if outcome != BatchOutcome::Done {
            // The next manager finds the batch not ended, and undoes it again.
            report(|| tracing::warn!(%error, "the end of a batch that is undone is not recorded"));
            state.table.apply(&ended);
        }
        Err(error.to_string())
    }

    /// Undoes a batch whose end cannot be recorded.
    fn undo_unrecorded(
        &self,
        state: &mut State,
        (plan, members, reply): (Arc<BatchPlan>, BTreeMap<ServiceName, BatchMember>, BatchReply),
        error: &str,
    ) {
        let (at, begun) = (plan.steps.len().saturating_sub(1), plan.steps.len());
        let failed = FailedStep { at, begun, reason: format!("the end of the batch cannot be recorded: {error}") };
        let runner = self.batch_runner(state, &members);
        let (of, myself) = (Arc::clone(&plan), state.myself.clone());
        let task = state.tasks.spawn(async move {
            let left = undo_steps(&of, begun, &runner).await;
            // A manager that has ended leaves the undo to its successor.
            let _ = myself.cast(ManagerMsg::BatchEnded(BatchEnd { taken: Err(failed), left }));
        });
        state.batches.current = CurrentBatch::Running { plan, members, task, reply };
    }

    /// Gives a batch up, since everything is stopped: it counts for nothing.
    pub(super) async fn cancel_batch(&self, state: &mut State) {
        let refused = || BatchError::ShuttingDown { namespace: self.shared.names.namespace() };
        match std::mem::take(&mut state.batches.current) {
            CurrentBatch::None => {}
            CurrentBatch::Waiting(BatchRequest { reply, .. }) => answer(reply, Err(refused())),
            CurrentBatch::Running { task, reply, .. } => {
                task.abort();
                let why = "the managed services are shut down".to_owned();
                // If it is not recorded, the next manager does it.
                let _ = self.record_end(state, BatchOutcome::Undone { failed: None, why }).await;
                answer(reply, Err(refused()));
            }
        }
        self.go_on(state);
    }
}

impl BatchError {
    fn refused(error: ManagedError) -> Self {
        let fault = BatchFault { at: None, operation: "the batch".to_owned(), reason: error.into() };
        Self::Refused { faults: vec![fault] }
    }
}
