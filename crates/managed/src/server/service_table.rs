//! The managed services of a namespace: which are to be, and what is found of each. A value, changed by facts.
//!
//! # Invariants
//!
//! 1. A service has a generation exactly if a child of it may run, or is given up.
//! 2. Each change of a state is kept until it is shown, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foundation_discovery::Instance;
use foundation_kernel::names::ServiceName;
use foundation_kernel::ractor::ActorId;

use super::goal::Goal;
use super::prepared::{Prepared, generation_of};
use crate::change::ServiceChange;
use crate::error::ManagedError;
use crate::fact::{RosterFact, ServiceGeneration};
use crate::lifecycle::{LifecycleFact, ServiceState, UnhealthyCause};
use crate::needs::{Need, NeedGraph};
use crate::reconcile::{ActualService, ActualServices};
use crate::record::{Records, ServiceRecord};
use crate::replacement::ReplacementStrategy;
use crate::roster::Roster;

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
    /// The actor whose checks run.
    pub(crate) checked: Option<ActorId>,
    pub(crate) last_error: Option<String>,
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

    /// Takes note of what a generation is made from. What runs keeps what it was made from.
    pub(crate) fn prepare(&mut self, generation: u64, prepared: Prepared) {
        let prepared = Arc::new(prepared);
        match self.generation == Some(generation) {
            true => drop(self.prepared.entry(generation).or_insert(prepared)),
            false => drop(self.prepared.insert(generation, prepared)),
        }
    }

    /// Whether it works.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.actual(), ActualService::Ready { .. })
    }

    fn actual(&self) -> ActualService {
        let Some(generation) = self.generation else { return ActualService::Stopped };
        match &self.state {
            ServiceState::Healthy => ActualService::Ready { generation },
            ServiceState::ShuttingDown => ActualService::Stopping { generation },
            ServiceState::Unhealthy(UnhealthyCause::GaveUp { .. }) => ActualService::GaveUp { generation },
            ServiceState::Unhealthy(_) => ActualService::Unhealthy { generation },
            _ => ActualService::Starting { generation },
        }
    }
}

/// The services that are to be, and those that are.
#[derive(Default)]
pub(crate) struct ServiceTable {
    pub(crate) roster: Roster,
    pub(crate) services: BTreeMap<ServiceName, RunningService>,
    changes: Vec<ServiceChange>,
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
    pub(crate) fn all_to_take_back(&self) -> Vec<ServiceName> {
        let names = self.services.keys().filter(|name| self.to_take_back(name).is_some());
        names.cloned().collect()
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

    /// Which needs are not met by a declared service.
    pub(crate) fn needed_outside(&self) -> BTreeSet<Need> {
        let graph = self.roster.needs();
        let needs = self.roster.iter().flat_map(|(_, it)| &it.needs);
        needs.filter(|need| graph.providers(need).next().is_none()).cloned().collect()
    }

    /// The records of all services.
    pub(crate) fn records(&self) -> Records {
        let records = self.roster.iter().filter_map(|(name, it)| {
            let live = self.services.get(name)?;
            let record = ServiceRecord {
                name: name.clone(),
                kind: it.kind.clone(),
                config: it.config.clone(),
                wanted: it.state,
                state: live.state.clone(),
                generation: it.generation,
                running: live.generation,
                needs: it.needs.clone(),
                actor: live.actor,
                last_error: live.last_error.clone(),
            };
            Some((name.clone(), Arc::new(record)))
        });
        records.collect()
    }

    /// The changes since they were taken last.
    pub(crate) fn take_changes(&mut self) -> Vec<ServiceChange> {
        std::mem::take(&mut self.changes)
    }
}
