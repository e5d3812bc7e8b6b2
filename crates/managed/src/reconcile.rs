//! The difference between the services that are to be and those that are, and the steps that close it.
//!
//! # Invariants
//!
//! 1. Nothing is started before a provider of each of its needs is ready.
//! 2. Nothing is stopped while a service that needs it is still to be stopped.
//! 3. A service that was given up is not started again by itself.
//! 4. While a batch is not ended there is no other step: the batch has its own.
//! 5. A service that is being stopped is stopped again until it is gone: its stop may have been lost.

pub(crate) mod actual;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use foundation_kernel::names::ServiceName;

use self::actual::{ActualService, ActualServices};
use super::needs::{Need, NeedGraph};
use super::replacement::ServiceStep;
use super::roster::{DesiredService, Roster};

/// The steps that one service is to take now, one after the other. Those of different services can be taken at once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServicePlan {
    /// The service.
    pub name: ServiceName,
    /// Its steps, of which there is at least one.
    pub steps: Vec<ServiceStep>,
}

impl fmt::Display for ServicePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.steps.iter().map(ServiceStep::to_string).collect::<Vec<_>>().join(", "))
    }
}

impl Roster {
    /// The steps that can be taken now towards what is desired, stops before starts, each in its order.
    ///
    /// They are to be asked for again after each change of what is found, until there is none. Cost: as
    /// [`NeedGraph::start_order`].
    pub fn next_steps(&self, actual: &ActualServices) -> Vec<ServicePlan> {
        if self.open_batch().is_some() {
            return Vec::new();
        }
        let (graph, mut ready) = (self.needs(), actual.ready());
        // What is about to be stopped meets no need.
        ready.retain(|name| self.get(name).is_some_and(DesiredService::is_wanted));
        // There is no circle: a request that would make one is refused.
        let order = graph.start_order().unwrap_or_default();
        let starts = order.iter().filter(|name| graph.missing(name, &ready, &actual.met_outside).is_empty());
        let starts = starts.filter_map(|name| self.next_start(name, actual));
        self.next_stops(&graph, actual).into_iter().chain(starts).collect()
    }

    /// The services that lack something, and what, of those that are to run.
    pub fn waiting(&self, actual: &ActualServices) -> BTreeMap<ServiceName, Vec<Need>> {
        let (graph, ready) = (self.needs(), actual.ready());
        let wanted = self.iter().filter(|(_, it)| it.is_wanted());
        let missing = wanted.map(|(name, _)| (name.clone(), graph.missing(name, &ready, &actual.met_outside)));
        missing.filter(|(_, needs)| !needs.is_empty()).collect()
    }

    fn next_stops(&self, graph: &NeedGraph, actual: &ActualServices) -> Vec<ServicePlan> {
        let with_removed = graph.clone().with_those_of(&actual.removed);
        // What is removed may be in a circle with what replaced it: then its needs order nothing.
        let (graph, order) = match with_removed.stop_order() {
            Ok(order) => (&with_removed, order),
            Err(_) => (graph, graph.stop_order().unwrap_or_default()),
        };
        let is_unwanted = |name: &ServiceName| !self.get(name).is_some_and(DesiredService::is_wanted);
        let to_stop = |name: &&ServiceName| is_unwanted(name) && actual.get(name).generation().is_some();
        let needed = graph.needed_by(actual.services.keys().filter(to_stop));
        let known: BTreeSet<_> = order.iter().collect();
        let others = actual.services.keys().filter(|name| !known.contains(name));
        let in_order = others.chain(&order).filter(|name| to_stop(name) && !needed.contains(name));
        in_order.filter_map(|name| stop(name, actual.get(name))).collect()
    }

    fn next_start(&self, name: &ServiceName, actual: &ActualServices) -> Option<ServicePlan> {
        let desired = self.get(name).filter(|it| it.is_wanted())?;
        let to = desired.generation;
        let start = || ServiceStep::Start { name: name.clone(), generation: to };
        let steps = match actual.get(name) {
            ActualService::Stopped => vec![start()],
            // It is started when it is gone.
            found @ ActualService::Stopping { .. } => return stop(name, found),
            running if running.generation() == Some(to) => return None,
            ActualService::Ready { generation } => {
                actual.strategy(name, desired.strategy_from(generation)).steps(name, generation, to)
            }
            // There is nothing to finish.
            ActualService::Starting { generation }
            | ActualService::Unhealthy { generation }
            | ActualService::GaveUp { generation } => {
                vec![ServiceStep::Stop { name: name.clone(), generation }, start()]
            }
        };
        Some(ServicePlan { name: name.clone(), steps })
    }
}

fn stop(name: &ServiceName, actual: ActualService) -> Option<ServicePlan> {
    let generation = actual.generation()?;
    Some(ServicePlan { name: name.clone(), steps: vec![ServiceStep::Stop { name: name.clone(), generation }] })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::roster::RosterRequest;
    use super::super::samples::{self, BLUE_GREEN, name};
    use super::*;
    use crate::replacement::ReplacementStrategy;

    fn actual() -> impl Strategy<Value = ActualServices> {
        let state = (0..6_u8, 0..40_u64).prop_map(|(state, generation)| match state {
            0 => ActualService::Stopped,
            1 => ActualService::Starting { generation },
            2 => ActualService::Ready { generation },
            3 => ActualService::Unhealthy { generation },
            4 => ActualService::GaveUp { generation },
            _ => ActualService::Stopping { generation },
        });
        let services = proptest::collection::btree_map("[a-g]".prop_map(|it| name(&it)), state, 0..6);
        (services, proptest::collection::btree_set(samples::needs(), 0..3))
            .prop_map(|(services, met_outside)| ActualServices { services, met_outside, ..ActualServices::default() })
    }

    impl ActualService {
        fn is_stopping(self) -> bool {
            matches!(self, Self::Stopping { .. })
        }
    }

    fn settle(actual: &mut ActualServices) {
        for it in actual.services.values_mut() {
            if let ActualService::Starting { generation } = *it {
                *it = ActualService::Ready { generation };
            }
        }
    }

    fn take(actual: &mut ActualServices, step: &ServiceStep) {
        let after = match *step {
            ServiceStep::Stop { .. } => ActualService::Stopped,
            ServiceStep::Start { generation, .. } => ActualService::Ready { generation },
            ServiceStep::HandOver { to, .. } | ServiceStep::Reload { to, .. } => {
                ActualService::Ready { generation: to }
            }
            _ => return,
        };
        actual.services.insert(step.name().clone(), after);
    }

    proptest! {
        #[test]
        fn the_steps_lead_from_any_state_to_the_desired_one(
            requests in samples::requests(), mut actual in actual(),
        ) {
            let roster = samples::roster(&requests).0;
            for round in 0.. {
                prop_assert!(round < 60, "it never ends");
                settle(&mut actual);
                let plans = roster.next_steps(&actual);
                if plans.is_empty() {
                    break;
                }
                plans.iter().flat_map(|plan| &plan.steps).for_each(|step| take(&mut actual, step));
            }
            let waiting = roster.waiting(&actual);
            for name in actual.services.keys().chain(roster.iter().map(|it| it.0)) {
                let found = actual.get(name).generation();
                match roster.get(name).filter(|it| it.is_wanted()) {
                    None => prop_assert_eq!(found, None, "{} runs", name),
                    Some(_) if waiting.contains_key(name) => {}
                    Some(desired) => prop_assert_eq!(found, Some(desired.generation), "{} does not run", name),
                }
            }
        }

        #[test]
        fn starts_follow_and_stops_precede_the_needs(requests in samples::requests(), actual in actual()) {
            let roster = samples::roster(&requests).0;
            let (graph, ready) = (roster.needs(), actual.ready());
            let plans = roster.next_steps(&actual);
            for ServicePlan { name, steps } in &plans {
                prop_assert!(!steps.is_empty());
                if steps.iter().any(|step| matches!(step, ServiceStep::Start { .. } | ServiceStep::StartBeside { .. })) {
                    prop_assert!(graph.missing(name, &ready, &actual.met_outside).is_empty(), "invariant 1");
                } else if matches!(steps[0], ServiceStep::Stop { .. }) && !actual.get(name).is_stopping() {
                    let is_stop = |plan: &ServicePlan| matches!(plan.steps[..], [ServiceStep::Stop { .. }]);
                    let stops = |it: &&ServiceName| plans.iter().any(|plan| is_stop(plan) && plan.name == **it);
                    prop_assert_eq!(graph.dependents(name).find(stops), None, "invariant 2");
                }
            }
        }
    }

    fn with(services: &[(&str, ActualService)]) -> ActualServices {
        let services = services.iter().map(|(service, found)| (name(service), *found)).collect();
        ActualServices { services, ..ActualServices::default() }
    }

    fn texts(plans: &[ServicePlan]) -> Vec<String> {
        plans.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_stop_that_was_lost_is_taken_again_before_the_start() {
        let roster = samples::roster(&[samples::declare("a", &[], &[]), samples::start("a")]).0;
        let stopping = with(&[("a", ActualService::Stopping { generation: 0 })]);
        assert_eq!(texts(&roster.next_steps(&stopping)), ["stop a#0"]);
        let stopped = roster.after(&roster.decide(&RosterRequest::Stop(name("a"))).unwrap());
        assert_eq!(texts(&stopped.next_steps(&stopping)), ["stop a#0"]);
    }

    #[test]
    fn what_a_removed_service_needs_is_stopped_after_it() {
        let requests = [samples::declare("db", &[], &[]), samples::start("db"), RosterRequest::Stop(name("db"))];
        let roster = samples::roster(&requests).0;
        let ready = |generation| ActualService::Ready { generation };
        let mut actual = with(&[("app", ready(2)), ("db", ready(1))]);
        actual.removed.insert(name("app"), vec![Need::service(&name("db"))], Vec::new());
        assert_eq!(texts(&roster.next_steps(&actual)), ["stop app#2"]);
        actual.services.remove(&name("app"));
        assert_eq!(texts(&roster.next_steps(&actual)), ["stop db#1"]);

        // What replaced it needs it: both are stopped, in any order.
        let turned = roster.after(&roster.decide(&samples::configure("db", 1, &["app"], &[], BLUE_GREEN)).unwrap());
        actual.services.insert(name("app"), ready(2));
        assert_eq!(turned.next_steps(&actual).len(), 2);
    }

    #[test]
    fn a_generation_that_was_never_begun_does_not_decide_how_the_next_is() {
        let mut roster = samples::roster(&[samples::declare("a", &[], &[]), samples::start("a")]).0;
        for number in [1, 2] {
            samples::grant(&mut roster, &samples::configure("a", number, &[], &[], ReplacementStrategy::Reload));
        }
        let mut actual = with(&[("a", ActualService::Ready { generation: 1 })]);
        actual.strategies.insert(name("a"), BLUE_GREEN);
        assert!(texts(&roster.next_steps(&actual))[0].starts_with("start a#3 beside, hand a over"));
        actual.strategies.insert(name("a"), ReplacementStrategy::Nothing);
        assert_eq!(texts(&roster.next_steps(&actual)), ["drain a#1, stop a#1, start a#3"]);
        actual.services.insert(name("a"), ActualService::Ready { generation: 2 });
        assert_eq!(texts(&roster.next_steps(&actual)), ["reload a from #2 to #3"]);
    }

    #[test]
    fn a_service_that_was_given_up_waits_for_a_request() {
        let mut roster = samples::roster(&[samples::declare("a", &[], &[]), samples::start("a")]).0;
        let gave_up = ActualService::GaveUp { generation: 1 };
        let actual = ActualServices { services: BTreeMap::from([(name("a"), gave_up)]), ..ActualServices::default() };
        assert!(roster.next_steps(&actual).is_empty());
        samples::grant(&mut roster, &samples::restart("a"));
        assert_eq!(roster.next_steps(&actual)[0].to_string(), "stop a#1, start a#2");
    }
}
