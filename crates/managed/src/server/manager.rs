//! The manager of managed services: what it works with, and what its parts have in common.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use foundation_config_server::ConfigTree;
use foundation_events::EventStoreError;
use foundation_kernel::answer;
use foundation_kernel::containment::report;
use foundation_kernel::names::{ServiceKey, ServiceName};
use foundation_kernel::ractor::ActorRef;
use tokio::task::JoinSet;

use super::message::ManagerMsg;
use super::prepared::preparer::Preparer;
use super::prepared::{Prepared, generation_of};
use super::running_checks::RunningChecks;
use super::service_table::ServiceTable;
use super::shared::Shared;
use super::state::{Manager, Phase, State, Takeover, delay};
use crate::batch_error::ENDED_BEFORE;
use crate::error::ManagedError;
use crate::fact::{BatchOutcome, RosterFact, ServiceConfig, ServiceFact};
use crate::kinds::instance_name;
use crate::lifecycle::LifecycleFact;
use crate::needs::Need;
use crate::replacement::ReplacementStrategy;
use crate::roster::Roster;
use foundation_discovery::health::{InstanceHealth, InstanceStatus, StatusReason};
use foundation_discovery::{Criteria, InstanceRecord};

/// How long a supervisor that does not answer is left alone.
const ASK_AGAIN: Duration = Duration::from_millis(100);

impl Manager {
    pub(super) fn prepare(
        &self,
        name: &ServiceName,
        kind: &str,
        config: &ServiceConfig,
    ) -> Result<Prepared, ManagedError> {
        self.prepare_as_of(name, kind, config, &self.shared.config.tree())
    }

    pub(super) fn prepare_as_of(
        &self,
        name: &ServiceName,
        kind: &str,
        config: &ServiceConfig,
        tree: &Arc<ConfigTree>,
    ) -> Result<Prepared, ManagedError> {
        let Shared { kinds, discovery, .. } = &*self.shared;
        Preparer { kinds, discovery, tree }.prepare(name, kind, config)
    }

    /// The desired generation of a service.
    pub(super) fn prepare_again(&self, table: &ServiceTable, name: &ServiceName) -> Result<Prepared, ManagedError> {
        self.prepare_again_as_of(table, name, &self.shared.config.tree())
    }

    pub(super) fn prepare_again_as_of(
        &self,
        table: &ServiceTable,
        name: &ServiceName,
        tree: &Arc<ConfigTree>,
    ) -> Result<Prepared, ManagedError> {
        let desired = table.roster.known(name)?;
        self.prepare_as_of(name, &desired.kind, &desired.config, tree)
    }

    /// How a service gets this configuration, if it runs: as what runs does. If that need not change, and the service is
    /// being replaced, as what it will be does.
    pub(super) fn strategy(
        &self,
        table: &ServiceTable,
        name: &ServiceName,
        next: &Prepared,
    ) -> Result<ReplacementStrategy, ManagedError> {
        let (wanted, running) = (table.roster.get(name).map(|it| it.generation), table.generation(name));
        let strategy_of = |generation: Option<u64>| {
            let prepared = generation.and_then(|it| table.services.get(name)?.prepared.get(&it));
            let strategy = prepared.map(|prepared| prepared.strategy_to(next)).transpose();
            strategy.map_err(|source| ManagedError::Kind { name: name.clone(), source })
        };
        let strategy = match strategy_of(running)? {
            Some(ReplacementStrategy::Nothing) if running != wanted => strategy_of(wanted)?,
            strategy => strategy,
        };
        Ok(strategy.unwrap_or_default())
    }

    pub(super) async fn record(
        &self,
        state: &mut State,
        name: &ServiceName,
        facts: Vec<ServiceFact>,
    ) -> Result<(), ManagedError> {
        if facts.is_empty() {
            return Ok(());
        }
        let facts: Vec<_> = facts.into_iter().map(RosterFact::from).collect();
        match self.journal.record(&facts).await {
            Ok(()) => {
                state.table.apply(&facts);
                Ok(())
            }
            Err(source @ EventStoreError::NoAnswer { .. }) => {
                self.unsettled(state, &source.to_string());
                Err(ManagedError::Unclear { name: name.clone(), source })
            }
            Err(source) => Err(ManagedError::NotRecorded { name: name.clone(), source }),
        }
    }

    /// Which of these needs others than managed services meet.
    pub(super) fn met_outside(&self, needs: &BTreeSet<Need>) -> BTreeSet<Need> {
        // A managed service meets a need when its own state says so, and its instance bears a generation.
        let is_up =
            |record: &InstanceRecord| generation_of(&record.instance).is_none() && record.status().is_in_rotation();
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

    /// Shows what there is, and answers those who waited for it.
    pub(super) fn show(&self, state: &mut State) {
        let records = state.table.records();
        self.shared.batches.lock().pending = state.batches.pending();
        self.shared.published.show(Arc::clone(&records), state.table.take_changes());
        state.waiters.answer(|name, goal| state.table.outcome(name, goal), &records);
        let is_over = state.is_at_rest();
        if let Phase::ShuttingDown(replies) = &mut state.phase
            && is_over
        {
            replies.drain(..).for_each(|reply| answer(reply, state.stopping.iter().cloned().collect()));
        }
    }

    /// Follows the section that a service is configured by.
    pub(super) fn follow(
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
        let myself = myself.clone();
        tasks.spawn(async move {
            while !matches!(changes.next().await, Ok(None)) {
                if myself.cast(ManagerMsg::SectionChanged).is_err() {
                    return;
                }
            }
        });
    }

    // ---- what is recorded ----

    /// Makes sure that every recorded fact is applied before the next one is decided.
    pub(super) async fn settle(&self, state: &mut State, name: &ServiceName) -> Result<(), ManagedError> {
        if state.in_sync {
            return Ok(());
        }
        let unclear = |reason: String| {
            let source = EventStoreError::NoAnswer { reason };
            ManagedError::NotRecorded { name: name.clone(), source }
        };
        let roster = self.read_roster(state.takeover).await.map_err(unclear)?;
        self.synced(state, roster);
        Ok(())
    }

    /// Takes note that what is recorded may differ from what is applied.
    pub(super) fn unsettled(&self, state: &mut State, reason: &str) {
        state.in_sync = false;
        *self.shared.problem.lock() = Some(format!("it is not known whether the last change is recorded: {reason}"));
    }

    /// Applies what is recorded.
    pub(super) fn settled(&self, state: &mut State, roster: Roster) {
        state.table.restore(roster);
        // How often it was read in vain is forgotten by `read_later`, when what waited for it is recorded, too.
        state.in_sync = true;
        *self.shared.problem.lock() = None;
    }

    /// Takes note of what is recorded, and goes on from there.
    pub(super) fn synced(&self, state: &mut State, roster: Roster) {
        self.settled(state, roster);
        if state.takeover == Takeover::Unread {
            self.ask_what_runs(state);
        }
        state.reconcile();
    }

    /// The recorded roster. A batch that was begun and not ended is one of an earlier manager while it is not known what
    /// runs, and its steps are taken back then. Afterwards no step of it was taken, and nothing of it counts.
    pub(super) async fn read_roster(&self, takeover: Takeover) -> Result<Roster, String> {
        let mut roster = self.journal.read().await.map_err(|error| error.to_string())?;
        if takeover == Takeover::Done && roster.open_batch().is_some() {
            let why = ENDED_BEFORE.to_owned();
            let ended = RosterFact::BatchEnded(BatchOutcome::Undone { failed: None, why });
            if let Err(error) = self.journal.record(std::slice::from_ref(&ended)).await {
                // What is read after it is the same with it and without it; the next manager records it.
                report(|| tracing::warn!(%error, "the end of a batch that is undone is not recorded"));
            }
            roster.apply(&ended);
        }
        Ok(roster)
    }

    /// Asks the supervisor which services run.
    pub(super) fn ask_what_runs(&self, state: &mut State) {
        state.takeover = Takeover::Asking;
        let (supervisor, myself) = (self.shared.supervisor(), state.myself.clone());
        state.tasks.spawn(async move {
            loop {
                if let Ok(children) = supervisor.which_children().await {
                    // It fails only if this manager is ending.
                    let _ = myself.cast(ManagerMsg::Found(children));
                    return;
                }
                // A supervisor that is about to start has no name yet; one that is ending ends this task.
                delay(ASK_AGAIN).await;
            }
        });
    }

    // ---- instances ----

    /// Takes note of what discovery says of a service now, and begins the checks of an actor that was not seen before.
    pub(super) fn observe(&self, state: &mut State, service: &ServiceName) {
        let Ok(name) = instance_name(service) else { return };
        let Some(record) = self.shared.discovery.instance(&name) else { return };
        let is_changing = state.jobs.contains_key(service) || state.batches.has(service);
        let Some(live) = state.table.running(service).filter(|live| live.generation.is_some()) else { return };
        let generation = live.generation_of(&record.instance);
        live.generation = generation.filter(|_| !is_changing).or(live.generation);
        let prepared = generation.and_then(|generation| live.prepared.get(&generation)).cloned();
        let is_of_service = [live.generation, live.replacing].contains(&generation);
        live.actor = Some(record.actor);
        // Also of one that was seen before: a reload may bring other checks.
        if let Some(prepared) =
            prepared.filter(|it| !live.checks.as_ref().is_some_and(|checks| checks.are_of(&record, it)))
        {
            let (discovery, before) = (self.shared.discovery.clone(), live.checks.take());
            live.checks = Some(RunningChecks::begin(&mut state.tasks, discovery, record.clone(), prepared, before));
        }
        let is_checked = live.checks.as_ref().is_some_and(|checks| checks.check(&record));
        // What is being stopped does not say how its successor is.
        if is_of_service && let Some(fact) = health_fact(&record, is_checked) {
            state.table.note(service, fact);
        }
    }
}

/// What the status of an instance says of its service; `None` if nothing.
fn health_fact(record: &InstanceRecord, is_checked: bool) -> Option<LifecycleFact> {
    match record.status() {
        InstanceStatus::Healthy | InstanceStatus::Degraded => Some(LifecycleFact::Ready),
        InstanceStatus::Unknown if !is_checked => Some(LifecycleFact::Ready),
        InstanceStatus::Unhealthy => Some(unhealthy(&record.health)),
        _ => None,
    }
}

/// Why an instance is unhealthy.
fn unhealthy(health: &InstanceHealth) -> LifecycleFact {
    let reason = health.to_string();
    match health.reason {
        Some(StatusReason::RestartWithheld { .. }) => LifecycleFact::RestartWithheld { reason },
        _ => LifecycleFact::CheckFell { reason },
    }
}
