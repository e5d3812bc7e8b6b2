//! The managed services of a namespace: which are to be, and what is found of each. A value, changed by facts.
//!
//! # Invariants
//!
//! 1. A service has a generation exactly if a child of it may run, or is given up.
//! 2. Each change of a state is kept until it is shown, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use foundation_discovery::Instance;
use foundation_kernel::names::ServiceName;
use foundation_kernel::ractor::ActorId;

use super::batches::member::Position;
use super::goal::Goal;
use super::prepared::{Prepared, generation_of};
use super::running_checks::RunningChecks;
use crate::change::ServiceChange;
use crate::error::ManagedError;
use crate::fact::{RosterFact, ServiceGeneration};
use crate::lifecycle::{LifecycleFact, ServiceState, UnhealthyCause};
use crate::needs::{Need, NeedGraph};
use crate::reconcile::actual::{ActualService, ActualServices};
use crate::record::{Records, ServiceRecord};
use crate::replacement::ReplacementStrategy;
use crate::roster::{DesiredService, Roster};

/// What is found of one service.
#[derive(Default)]
pub(crate) struct RunningService {
    pub(crate) state: ServiceState,
    /// The generation that runs, or is given up.
    pub(crate) generation: Option<u64>,
    /// The generation that is to take its place, while it does.
    pub(crate) replacing: Option<u64>,
    /// A generation that did not take its place, and is not tried again.
    pub(crate) refused: Option<u64>,
    pub(crate) actor: Option<ActorId>,
    pub(crate) checks: Option<RunningChecks>,
    pub(crate) last_error: Option<String>,
    /// How long its stop may take, if one is requested that says so.
    pub(crate) stop_within: Option<Duration>,
    /// The generations that can be started.
    pub(crate) prepared: BTreeMap<u64, Arc<Prepared>>,
}

impl RunningService {
    /// Whether it was given up.
    pub(crate) fn has_given_up(&self) -> bool {
        self.state.give_up_reason().is_some()
    }

    /// Why it was given up.
    pub(crate) fn give_up_reason(&self) -> Option<&str> {
        match self.state.cause() {
            Some(UnhealthyCause::GaveUp { reason }) => Some(reason),
            _ => None,
        }
    }

    /// The generation of its instance.
    pub(crate) fn generation_of(&self, instance: &Instance) -> Option<u64> {
        generation_of(instance).or(self.generation)
    }

    /// Whether this generation runs, or is taking the place of what runs.
    pub(crate) fn is_of(&self, generation: u64) -> bool {
        [self.generation, self.replacing].contains(&Some(generation))
    }

    /// Takes note of what a generation is made from. What runs, or is about to, keeps what it was made from.
    pub(crate) fn prepare(&mut self, generation: u64, prepared: Prepared) {
        let prepared = Arc::new(prepared);
        match self.is_of(generation) {
            true => drop(self.prepared.entry(generation).or_insert(prepared)),
            false => drop(self.prepared.insert(generation, prepared)),
        }
    }

    fn record(&self, name: &ServiceName, desired: &DesiredService) -> ServiceRecord {
        ServiceRecord {
            name: name.clone(),
            kind: desired.kind.clone(),
            config: desired.config.clone(),
            wanted: desired.state,
            state: self.state.clone(),
            generation: desired.generation,
            running: self.generation,
            needs: desired.needs.clone(),
            actor: self.actor,
            last_error: self.last_error.clone(),
        }
    }

    /// Whether a record of this service is as it would be made now. Copies nothing.
    fn is_shown_by(&self, record: &ServiceRecord, desired: &DesiredService) -> bool {
        let ServiceRecord { name: _, kind, config, wanted, state, generation, running, needs, actor, last_error } =
            record;
        (kind, config, wanted, generation, needs)
            == (&desired.kind, &desired.config, &desired.state, &desired.generation, &desired.needs)
            && (state, running, actor, last_error) == (&self.state, &self.generation, &self.actor, &self.last_error)
    }

    /// Whether it works.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.actual(), ActualService::Ready { .. })
    }

    fn actual(&self) -> ActualService {
        let Some(generation) = self.generation else { return ActualService::Stopped };
        match &self.state {
            ServiceState::Healthy => ActualService::Ready { generation },
            // One that is at rest and has a generation is not known to be stopped: it is stopped before it is started.
            ServiceState::ShuttingDown | ServiceState::Shutdown | ServiceState::Unknown => {
                ActualService::Stopping { generation }
            }
            ServiceState::Unhealthy(UnhealthyCause::GaveUp { .. }) => ActualService::GaveUp { generation },
            ServiceState::Unhealthy(_) => ActualService::Unhealthy { generation },
            ServiceState::Initializing => ActualService::Starting { generation },
        }
    }
}

/// The services that are to be, and those that are.
#[derive(Default)]
pub(crate) struct ServiceTable {
    pub(crate) roster: Roster,
    pub(crate) services: BTreeMap<ServiceName, RunningService>,
    changes: Vec<ServiceChange>,
    shown: Arc<Records>,
}

impl ServiceTable {
    /// How the wait of a request ended; `None` if it has not.
    pub(crate) fn outcome(&self, name: &ServiceName, goal: Goal) -> Option<Result<(), ManagedError>> {
        let superseded = || Some(Err(ManagedError::Superseded { name: name.clone() }));
        let (desired, live) = (self.roster.get(name), self.services.get(name));
        match goal {
            Goal::Recorded => Some(Ok(())),
            Goal::Stopped if live.is_none_or(|live| live.generation.is_none()) => Some(Ok(())),
            Goal::Stopped => match desired {
                Some(it) if it.is_wanted() => superseded(),
                _ => None,
            },
            Goal::Configured(_) if desired.is_some_and(|it| !it.is_wanted()) => Some(Ok(())),
            Goal::Healthy(generation) | Goal::Configured(generation) => {
                let (Some(desired), Some(live)) = (desired, live) else { return superseded() };
                if !desired.is_wanted() || desired.generation != generation {
                    return superseded();
                }
                if live.generation != Some(generation) || live.replacing.is_some() {
                    return None;
                }
                let reason = live.give_up_reason().map(str::to_owned);
                match (&live.state, reason) {
                    (ServiceState::Healthy, _) => Some(Ok(())),
                    (_, Some(reason)) => Some(Err(ManagedError::Start { name: name.clone(), reason })),
                    _ => None,
                }
            }
        }
    }

    /// The generation of a service that runs, or is given up.
    pub(crate) fn generation(&self, name: &ServiceName) -> Option<u64> {
        self.services.get(name)?.generation
    }

    /// The generation that is to be the desired one again: it runs, and the desired one is refused or made from the same.
    pub(crate) fn to_take_back(&self, name: &ServiceName) -> Option<ServiceGeneration> {
        let (desired, live) = (self.roster.get(name)?, self.services.get(name)?);
        let running = live.generation.filter(|it| *it < desired.generation && live.replacing.is_none())?;
        if live.refused == Some(desired.generation) {
            return Some(live.prepared.get(&running)?.to_generation(running));
        }
        desired.former_with(&desired.config, Some(running)).cloned()
    }

    /// The services that have a generation which is to be the desired one again.
    pub(crate) fn all_to_take_back(&self) -> impl Iterator<Item = &ServiceName> {
        self.services.keys().filter(|name| self.to_take_back(name).is_some())
    }

    /// Applies facts that are recorded.
    pub(crate) fn apply(&mut self, facts: &[RosterFact]) {
        for fact in facts {
            self.roster.apply(fact);
        }
        // A batch declares services with its end.
        for (name, _) in self.roster.iter() {
            self.services.entry(name.clone()).or_default();
        }
        self.forget_removed();
    }

    /// Takes over a roster that was read.
    pub(crate) fn restore(&mut self, roster: Roster) {
        for (name, _) in roster.iter() {
            self.services.entry(name.clone()).or_default();
        }
        self.roster = roster;
        self.forget_removed();
    }

    /// Forgets services that are neither declared nor there.
    pub(crate) fn forget_removed(&mut self) {
        let roster = &self.roster;
        self.services.retain(|name, live| roster.get(name).is_some() || live.generation.is_some());
    }

    /// It is not known which generation of a service runs, if any: it is stopped, and started if it is wanted.
    pub(crate) fn become_unsure(&mut self, name: &ServiceName) {
        // One that a batch declares is known from its first step on, which may not have been reported yet.
        let live = self.services.entry(name.clone()).or_default();
        (live.generation, live.replacing) = (Some(Position::UNSURE), None);
        self.note(name, LifecycleFact::StopRequested);
    }

    /// What is found of a service; nothing of one that is not known.
    pub(crate) fn running(&mut self, name: &ServiceName) -> Option<&mut RunningService> {
        self.services.get_mut(name)
    }

    /// Takes note of a fact.
    pub(crate) fn note(&mut self, name: &ServiceName, fact: LifecycleFact) {
        let Some(live) = self.services.get_mut(name) else { return };
        if fact == LifecycleFact::NeedsMet && live.has_given_up() {
            // It is started anew.
            live.generation = None;
        }
        // A start of what is being stopped waits until it is stopped.
        let Ok((state, change)) = live.state.clone().next(fact) else { return };
        live.state = state;
        self.changes.extend(change.map(|change| ServiceChange { name: name.clone(), change }));
    }

    /// Forgets the limits of stops that are not to be any more.
    pub(crate) fn forget_stop_limits(&mut self) {
        for (name, live) in &mut self.services {
            if self.roster.get(name).is_some_and(|it| it.is_wanted()) {
                live.stop_within = None;
            }
        }
    }

    /// Keeps only the generations that are, or are to be.
    pub(crate) fn forget_old(&mut self, name: &ServiceName) {
        let wanted = self.roster.get(name).map(|it| it.generation);
        let Some(live) = self.services.get_mut(name) else { return };
        let kept = [wanted, live.generation, live.replacing];
        live.prepared.retain(|generation, _| kept.contains(&Some(*generation)));
    }

    /// What is found of all, with the needs that others meet.
    pub(crate) fn actual(&self, met_outside: BTreeSet<Need>) -> ActualServices {
        let services = self.services.iter().map(|(name, live)| (name.clone(), live.actual()));
        let services = services.filter(|(_, it)| *it != ActualService::Stopped).collect();
        let (strategies, removed) = (self.strategies(), self.removed());
        ActualServices { services, met_outside, strategies, removed }
    }

    /// How the generations that run get those that are desired, as their kinds say.
    fn strategies(&self) -> BTreeMap<ServiceName, ReplacementStrategy> {
        let strategy = |(name, live): (&ServiceName, &RunningService)| {
            let (running, desired) = (live.generation?, self.roster.get(name)?);
            // The roster has decided it for the former generation, and for itself.
            let next = live.prepared.get(&desired.generation).filter(|_| desired.config_of(running).is_none())?;
            // A kind that fails to say it has the strategy that always works.
            Some((name.clone(), live.prepared.get(&running)?.strategy_to(next).ok()?))
        };
        self.services.iter().filter_map(strategy).collect()
    }

    /// What the services need and provide that run and are removed.
    fn removed(&self) -> NeedGraph {
        let mut removed = NeedGraph::new();
        for (name, live) in self.services.iter().filter(|(name, _)| self.roster.get(name).is_none()) {
            if let Some(running) = live.generation.and_then(|generation| live.prepared.get(&generation)) {
                removed.insert(name.clone(), running.needs.clone(), running.provides());
            }
        }
        removed
    }

    /// All needs. Each may be met outside, also one of a declared service: that need not run.
    pub(crate) fn needs(&self) -> BTreeSet<Need> {
        self.roster.iter().flat_map(|(_, it)| it.needs.iter().cloned()).collect()
    }

    /// The records of all services. One whose service has not changed is shared with those that were shown before.
    pub(crate) fn records(&mut self) -> Arc<Records> {
        let Self { roster, services, shown, .. } = self;
        if shown.keys().any(|name| roster.get(name).is_none()) {
            Arc::make_mut(shown).retain(|name, _| roster.get(name).is_some());
        }
        for (name, desired) in roster.iter() {
            let Some(live) = services.get(name) else { continue };
            if shown.get(name).is_none_or(|record| !live.is_shown_by(record, desired)) {
                Arc::make_mut(shown).insert(name.clone(), Arc::new(live.record(name, desired)));
            }
        }
        Arc::clone(shown)
    }

    /// The changes since they were taken last.
    pub(crate) fn take_changes(&mut self) -> Vec<ServiceChange> {
        std::mem::take(&mut self.changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{self, name};

    fn texts(table: &ServiceTable) -> Vec<String> {
        table.roster.next_steps(&table.actual(BTreeSet::new())).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_service_of_which_nothing_is_known_is_stopped_and_started_if_it_is_wanted() {
        let mut table = ServiceTable::default();
        // A batch that was given up may have started one that is not declared.
        table.become_unsure(&name("b"));
        assert_eq!(texts(&table), ["stop b#0"]);

        table.restore(samples::roster(&[samples::declare("a", &[], &[]), samples::start("a")]).0);
        table.become_unsure(&name("a"));
        assert!(texts(&table).contains(&"stop a#0".to_owned()), "a service at rest that may run is stopped first");
        table.running(&name("a")).unwrap().generation = None;
        assert!(texts(&table).contains(&"start a#1".to_owned()));
    }

    #[test]
    fn a_record_is_made_anew_if_something_of_it_has_changed() {
        let mut table = ServiceTable::default();
        table.restore(samples::roster(&[samples::declare("a", &[], &[]), samples::declare("b", &[], &[])]).0);
        let before = table.records();
        assert!(Arc::ptr_eq(&before, &table.records()));
        table.note(&name("a"), LifecycleFact::StartRequested);
        let after = table.records();
        assert!(after[&name("a")] != before[&name("a")] && Arc::ptr_eq(&after[&name("b")], &before[&name("b")]));
        table.restore(samples::roster(&[samples::declare("b", &[], &[])]).0);
        assert_eq!(table.records().len(), 1);
    }
}
