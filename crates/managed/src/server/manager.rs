//! The manager of managed services: what it works with, and what its parts have in common.

use std::collections::BTreeSet;
use std::sync::Arc;

use foundation_events::EventStoreError;
use foundation_kernel::answer;
use foundation_kernel::names::{ServiceKey, ServiceName};
use foundation_kernel::ractor::ActorRef;
use tokio::task::JoinSet;

use super::journal::Journal;
use super::message::ManagerMsg;
use super::prepared::{Prepared, Preparer};
use super::service_table::ServiceTable;
use super::shared::Shared;
use super::state::{Phase, State};
use crate::error::ManagedError;
use crate::fact::{BatchOutcome, RosterFact, ServiceConfig, ServiceFact};
use crate::kinds::instance_name;
use crate::lifecycle::LifecycleFact;
use crate::needs::Need;
use crate::replacement::ReplacementStrategy;
use crate::roster::Roster;
use foundation_discovery::health::{InstanceHealth, InstanceStatus, StatusReason};
use foundation_discovery::{Criteria, InstanceRecord};

/// The dependencies of a manager.
#[derive(Clone)]
pub(crate) struct Manager {
    pub(super) shared: Arc<Shared>,
    pub(super) journal: Journal,
}

impl Manager {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let journal = Journal::of(&shared.names);
        // Before any store checks its retention.
        journal.hold_all();
        Self { shared, journal }
    }

    pub(super) fn prepare(
        &self,
        name: &ServiceName,
        kind: &str,
        config: &ServiceConfig,
    ) -> Result<Prepared, ManagedError> {
        let Shared { kinds, discovery, config: server, .. } = &*self.shared;
        Preparer { kinds, discovery, config: server }.prepare(name, kind, config)
    }

    pub(super) fn prepare_again(&self, table: &ServiceTable, name: &ServiceName) -> Result<Prepared, ManagedError> {
        let desired = table.roster.known(name)?;
        self.prepare(name, &desired.kind, &desired.config)
    }

    /// How a service gets this configuration, if it runs. While it is being replaced, it is to be compared with what it
    /// will be.
    pub(super) fn strategy(
        &self,
        table: &ServiceTable,
        name: &ServiceName,
        next: &Prepared,
    ) -> Result<ReplacementStrategy, ManagedError> {
        let wanted = table.roster.get(name).map(|it| it.generation);
        let running = table.services.get(name).and_then(|live| {
            let running = live.generation?;
            live.prepared.get(&wanted?).or_else(|| live.prepared.get(&running))
        });
        let strategy = running.map_or(Ok(ReplacementStrategy::default()), |running| running.strategy_to(next));
        strategy.map_err(|source| ManagedError::Kind { name: name.clone(), source })
    }

    /// Makes sure that every recorded fact is applied before the next one is decided.
    pub(super) async fn settle(&self, state: &mut State, name: &ServiceName) -> Result<(), ManagedError> {
        if state.in_sync {
            return Ok(());
        }
        let unclear = |reason: String| {
            let source = EventStoreError::NoAnswer { reason };
            ManagedError::NotRecorded { name: name.clone(), source }
        };
        let roster = self.read_roster().await.map_err(unclear)?;
        state.table.restore(roster);
        state.in_sync = true;
        Ok(())
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
                state.in_sync = false;
                Err(ManagedError::Unclear { name: name.clone(), source })
            }
            Err(source) => Err(ManagedError::NotRecorded { name: name.clone(), source }),
        }
    }

    /// Which of these needs others than the declared services meet.
    pub(super) fn met_outside(&self, needs: &BTreeSet<Need>) -> BTreeSet<Need> {
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

    /// Shows what there is, and answers those who waited for it.
    pub(super) fn show(&self, state: &mut State) {
        let records = state.table.records();
        *self.shared.running.lock() =
            state.table.services.iter().filter_map(|(name, live)| Some((name.clone(), live.generation?))).collect();
        self.shared.published.show(records.clone(), state.table.take_changes());
        state.waiters.answer(&state.table, &records);
        let is_over = state.jobs.is_empty() && state.table.services.values().all(|live| live.generation.is_none());
        if let Phase::ShuttingDown(replies) = &mut state.phase
            && is_over
        {
            replies.drain(..).for_each(|reply| answer(reply, ()));
        }
    }

    /// Takes note of what discovery says of a service now.
    pub(super) fn observe(&self, state: &mut State, service: &ServiceName) {
        let Ok(name) = instance_name(service) else { return };
        let Some(record) = self.shared.discovery.instance(&name) else { return };
        let Some(live) = state.table.running(service).filter(|live| live.generation.is_some()) else { return };
        live.actor = Some(record.actor);
        let is_checked = live.prepared_for(record.actor).is_some_and(|prepared| !prepared.checks.is_empty());
        let fact = match record.status() {
            InstanceStatus::Healthy | InstanceStatus::Degraded => LifecycleFact::Ready,
            InstanceStatus::Unknown if !is_checked => LifecycleFact::Ready,
            InstanceStatus::Unhealthy => unhealthy(&record.health),
            _ => return,
        };
        state.table.note(service, fact);
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
        let (path, myself) = (path.clone(), myself.clone());
        tasks.spawn(async move {
            while !matches!(changes.next().await, Ok(None)) {
                if myself.cast(ManagerMsg::SectionChanged(path.clone())).is_err() {
                    return;
                }
            }
        });
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
}

/// Why an instance is unhealthy.
fn unhealthy(health: &InstanceHealth) -> LifecycleFact {
    let reason = health.to_string();
    match health.reason {
        Some(StatusReason::RestartWithheld { .. }) => LifecycleFact::RestartWithheld { reason },
        _ => LifecycleFact::CheckFell { reason },
    }
}
