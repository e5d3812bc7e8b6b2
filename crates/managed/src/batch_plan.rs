//! The plan of a batch: make before break.
//!
//! # Invariants
//!
//! 1. Until the first name is handed over, each name that had a service has the same one.
//! 2. A step comes after the steps that start what its service needs.
//! 3. Stops come last, those of services that need others before these.
//! 4. The undo of the steps, from any of them on and also if that was not completed, leaves the services as before; what
//!    did not work before is left to the manager.

use std::collections::BTreeSet;

use foundation_kernel::names::ServiceName;

use super::fact::{BatchPlan, PlannedStep, ServiceFact};
use super::needs::{Need, NeedGraph};
use super::reconcile::actual::{ActualService, ActualServices};
use super::replacement::{ReplacementStrategy, ServiceStep};
use super::roster::{DesiredService, Roster};

impl BatchPlan {
    /// The plan that makes these changes of the roster.
    pub(crate) fn make(roster: &Roster, changes: Vec<ServiceFact>, actual: &ActualServices) -> Self {
        let after = roster.after(&changes);
        let changed = changes.iter().map(|change| change.name().clone()).collect();
        let planner = Planner { before: roster.needs(), graph: after.needs(), after, changed, actual };
        Self { changes, steps: planner.steps() }
    }
}

/// What the steps follow from.
struct Planner<'a> {
    before: NeedGraph,
    after: Roster,
    graph: NeedGraph,
    /// The services that the batch is about: the others are left to the manager.
    changed: BTreeSet<ServiceName>,
    actual: &'a ActualServices,
}

/// What becomes of a service that is to run.
enum Transition {
    Nothing,
    /// It does not run; started.
    Start,
    /// It works; its successor is started beside it.
    BlueGreen {
        from: u64,
    },
    /// It works, and there is a gap or a reload.
    Replace {
        from: u64,
    },
    /// It does not work; stopped and started.
    Renew {
        from: u64,
    },
}

impl Planner<'_> {
    fn steps(&self) -> Vec<PlannedStep> {
        // There is no circle: a batch that would make one is refused.
        let order = self.graph.start_order().unwrap_or_default();
        let early = self.early(&order);
        let late: Vec<_> = order.iter().filter(|name| !early.contains(name)).cloned().collect();
        let mut steps: Vec<_> = early.iter().filter_map(|name| self.make(name)).collect();
        steps.extend(early.iter().filter_map(|name| self.hand_over(name)));
        steps.extend(late.iter().flat_map(|name| self.late(name)));
        steps.extend(order.iter().rev().flat_map(|name| self.retire(name)));
        steps.extend(self.stops());
        steps
    }

    fn transition(&self, name: &ServiceName) -> Transition {
        let desired = self.after.get(name).filter(|it| it.is_wanted() && self.changed.contains(name));
        let Some(desired) = desired else { return Transition::Nothing };
        match self.actual.get(name) {
            ActualService::Stopped | ActualService::Stopping { .. } => Transition::Start,
            found if found.generation() == Some(desired.generation) => Transition::Nothing,
            ActualService::Ready { generation: from } => {
                match self.actual.strategy(name, desired.strategy_from(from)) {
                    ReplacementStrategy::BlueGreen { .. } => Transition::BlueGreen { from },
                    _ => Transition::Replace { from },
                }
            }
            ActualService::Starting { generation: from }
            | ActualService::Unhealthy { generation: from }
            | ActualService::GaveUp { generation: from } => Transition::Renew { from },
        }
    }

    /// The services that are started or prepared before anything else changes: those whose needs are met by services that
    /// work already, or by those before them in this list.
    fn early(&self, order: &[ServiceName]) -> Vec<ServiceName> {
        let (ready, mut early, mut started) = (self.actual.ready(), Vec::new(), BTreeSet::new());
        for name in order {
            let transition = self.transition(name);
            let is_made = matches!(transition, Transition::Start | Transition::BlueGreen { .. });
            if !is_made || !self.graph.needs(name).iter().all(|need| self.is_met(need, &ready, &started)) {
                continue;
            }
            early.push(name.clone());
            // A successor is found under its name only after its hand-over.
            if matches!(transition, Transition::Start) {
                started.insert(name.clone());
            }
        }
        early
    }

    fn is_met(&self, need: &Need, ready: &BTreeSet<ServiceName>, started: &BTreeSet<ServiceName>) -> bool {
        self.actual.met_outside.contains(need)
            || self.before.providers(need).any(|name| ready.contains(name))
            || self.graph.providers(need).any(|name| started.contains(name))
    }

    /// The start of a service, or of its successor beside it.
    fn make(&self, name: &ServiceName) -> Option<PlannedStep> {
        match self.transition(name) {
            Transition::Start => Some(planned(self.start(name))),
            Transition::BlueGreen { from } => self.replacement(name, from).into_iter().next().map(planned),
            _ => None,
        }
    }

    /// The predecessor need not be there any more when a hand-over is taken back: it is started beside its successor, as
    /// the successor was beside it.
    fn hand_over(&self, name: &ServiceName) -> Option<PlannedStep> {
        let Transition::BlueGreen { from } = self.transition(name) else { return None };
        let take = self.replacement(name, from).into_iter().nth(1)?;
        Some(PlannedStep { take, undo: self.strategy(name, from).steps(name, self.generation(name), from) })
    }

    /// The end of a predecessor. What takes back its hand-over takes back this.
    fn retire(&self, name: &ServiceName) -> Vec<PlannedStep> {
        let Transition::BlueGreen { from } = self.transition(name) else { return Vec::new() };
        let steps = self.replacement(name, from).into_iter().skip(2);
        steps.map(|take| PlannedStep { take, undo: Vec::new() }).collect()
    }

    /// All steps of a service that cannot be made early, or breaks before it makes.
    fn late(&self, name: &ServiceName) -> Vec<PlannedStep> {
        match self.transition(name) {
            Transition::Nothing => Vec::new(),
            Transition::Start | Transition::BlueGreen { .. } => {
                self.make(name).into_iter().chain(self.hand_over(name)).collect()
            }
            Transition::Replace { from } => self.replacement(name, from).into_iter().map(planned).collect(),
            Transition::Renew { from } => vec![
                PlannedStep { take: ServiceStep::Stop { name: name.clone(), generation: from }, undo: Vec::new() },
                planned(self.start(name)),
            ],
        }
    }

    fn start(&self, name: &ServiceName) -> ServiceStep {
        ServiceStep::Start { name: name.clone(), generation: self.generation(name) }
    }

    fn strategy(&self, name: &ServiceName, from: u64) -> ReplacementStrategy {
        self.after.get(name).map(|it| self.actual.strategy(name, it.strategy_from(from))).unwrap_or_default()
    }

    fn replacement(&self, name: &ServiceName, from: u64) -> Vec<ServiceStep> {
        self.strategy(name, from).steps(name, from, self.generation(name))
    }

    fn stops(&self) -> Vec<PlannedStep> {
        let order = self.before.stop_order().unwrap_or_default();
        let is_unwanted = |name: &&ServiceName| !self.after.get(name).is_some_and(DesiredService::is_wanted);
        let changed = order.iter().filter(|name| self.changed.contains(*name));
        changed.filter(is_unwanted).filter_map(|name| self.stop(name)).collect()
    }

    fn stop(&self, name: &ServiceName) -> Option<PlannedStep> {
        let found = self.actual.get(name);
        let stop = |generation| ServiceStep::Stop { name: name.clone(), generation };
        match found {
            ActualService::Stopped | ActualService::Stopping { .. } => None,
            ActualService::Ready { generation } => Some(planned(stop(generation))),
            other => other.generation().map(|generation| PlannedStep { take: stop(generation), undo: Vec::new() }),
        }
    }

    fn generation(&self, name: &ServiceName) -> u64 {
        self.after.get(name).map_or(0, |it| it.generation)
    }
}

fn planned(take: ServiceStep) -> PlannedStep {
    let undo = vec![take.inverse()];
    PlannedStep { take, undo }
}

#[cfg(test)]
mod tests;
