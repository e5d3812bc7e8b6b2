//! The limit on series of services: which services have their own, and the sum of the others. Pure.
//!
//! # Invariants
//!
//! 1. A service that has its own series keeps it, and one of the others stays with them, for as long as the registry has
//!    figures of it: no count moves from one series to another.
//! 2. The sum of the others never falls: what a service had counted when it was seen last stays in it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use foundation_kernel::instruments::HistogramSnapshot;
use foundation_kernel::names::{ServiceMeasures, ServiceName};

/// The default number of services that have series of their own.
pub(crate) const MAX_SERVICES: usize = 1_000;

/// The figures of a service, or of several together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServiceFigures {
    pub(crate) messages: u64,
    pub(crate) failures: u64,
    pub(crate) idle: Duration,
    pub(crate) handling_ns: HistogramSnapshot,
}

impl From<ServiceMeasures> for ServiceFigures {
    fn from(measures: ServiceMeasures) -> Self {
        let ServiceMeasures { messages, failures, idle, handling_ns, .. } = measures;
        Self { messages, failures, idle, handling_ns }
    }
}

impl ServiceFigures {
    fn add(&mut self, other: &Self) {
        self.messages = self.messages.wrapping_add(other.messages);
        self.failures = self.failures.wrapping_add(other.failures);
        self.idle = self.idle.min(other.idle);
        self.handling_ns.merge(&other.handling_ns);
    }

    /// Whether these are figures of a service that has begun anew since then.
    fn has_begun_since(&self, before: &Self) -> bool {
        self.messages < before.messages
    }
}

/// Which services have series of their own, and what the others have counted.
#[derive(Debug)]
pub(crate) struct ServiceLimit {
    limit: usize,
    own: HashSet<ServiceName>,
    others: HashMap<ServiceName, ServiceFigures>,
    /// What those of the others had counted that are gone.
    gone: Option<ServiceFigures>,
}

impl Default for ServiceLimit {
    fn default() -> Self {
        Self { limit: MAX_SERVICES, own: HashSet::new(), others: HashMap::new(), gone: None }
    }
}

impl ServiceLimit {
    /// A lower one takes no series away.
    pub(crate) fn set(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The services that have series of their own, and the sum of the others, from figures in the order of the names.
    pub(crate) fn apply(
        &mut self,
        measured: Vec<(ServiceName, ServiceFigures)>,
    ) -> (Vec<(ServiceName, ServiceFigures)>, Option<ServiceFigures>) {
        self.remove_gone(&measured);
        let (own, others): (Vec<_>, Vec<_>) = measured.into_iter().partition(|(name, _)| self.has_own(name));
        for (name, figures) in others {
            self.note_other(name, figures);
        }
        (own, self.sum())
    }

    fn remove_gone(&mut self, measured: &[(ServiceName, ServiceFigures)]) {
        let is_there = |name: &ServiceName| measured.binary_search_by(|(known, _)| known.cmp(name)).is_ok();
        self.own.retain(is_there);
        for (_, last) in self.others.extract_if(|name, _| !is_there(name)) {
            add_to(&mut self.gone, &last);
        }
    }

    fn has_own(&mut self, name: &ServiceName) -> bool {
        if self.own.contains(name) {
            return true;
        }
        let has_room = self.own.len() < self.limit && !self.others.contains_key(name);
        has_room && self.own.insert(name.clone())
    }

    fn note_other(&mut self, name: ServiceName, figures: ServiceFigures) {
        match self.others.get_mut(&name) {
            Some(known) => {
                if figures.has_begun_since(known) {
                    add_to(&mut self.gone, known);
                }
                *known = figures;
            }
            None => drop(self.others.insert(name, figures)),
        }
    }

    fn sum(&self) -> Option<ServiceFigures> {
        let mut sum = self.gone.clone();
        self.others.values().for_each(|figures| add_to(&mut sum, figures));
        sum
    }
}

fn add_to(sum: &mut Option<ServiceFigures>, figures: &ServiceFigures) {
    match sum {
        Some(sum) => sum.add(figures),
        None => *sum = Some(figures.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use foundation_kernel::instruments::Histogram;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A service that has handled so many messages, each in as many nanoseconds as its number.
    fn figures(messages: u64) -> ServiceFigures {
        let handling = Histogram::new();
        (1..=messages).for_each(|number| handling.record(number as f64));
        ServiceFigures { messages, failures: messages / 2, idle: Duration::ZERO, handling_ns: handling.snapshot() }
    }

    fn name(number: u8) -> ServiceName {
        ServiceName::new(format!("s{number:03}")).unwrap()
    }

    fn measured(counts: &BTreeMap<u8, u64>) -> Vec<(ServiceName, ServiceFigures)> {
        counts.iter().map(|(number, messages)| (name(*number), figures(*messages))).collect()
    }

    fn limit(limit: usize) -> ServiceLimit {
        ServiceLimit { limit, ..ServiceLimit::default() }
    }

    #[test]
    fn a_service_keeps_its_series_when_one_before_it_in_the_alphabet_comes() {
        let mut limit = limit(1);
        let (own, other) = limit.apply(measured(&BTreeMap::from([(7, 5)])));
        assert_eq!((own, other), (vec![(name(7), figures(5))], None));
        let (own, other) = limit.apply(measured(&BTreeMap::from([(1, 3), (7, 6)])));
        assert_eq!((own, other), (vec![(name(7), figures(6))], Some(figures(3))));
        // Its place is free again, for a new one.
        let (own, other) = limit.apply(measured(&BTreeMap::from([(1, 4), (9, 1)])));
        assert_eq!((own, other), (vec![(name(9), figures(1))], Some(figures(4))));
    }

    #[test]
    fn what_others_have_counted_stays_when_they_are_gone_or_begin_anew() {
        let mut limit = limit(0);
        let mut other = |counts: &[(u8, u64)]| {
            let (_, other) = limit.apply(measured(&counts.iter().copied().collect()));
            other.map(|sum| (sum.messages, sum.handling_ns.count))
        };
        assert_eq!(other(&[]), None);
        assert_eq!(other(&[(1, 5), (2, 2)]), Some((7, 7)));
        assert_eq!(other(&[(2, 3)]), Some((8, 8)));
        assert_eq!(other(&[(1, 1), (2, 1)]), Some((10, 10)));
        assert_eq!(other(&[]), Some((10, 10)));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_count_falls_while_services_come_and_go(
            limit_of in 0..4usize,
            steps in vec((0..8u8, prop_oneof![Just(None), (1..9u64).prop_map(Some)]), 1..60),
        ) {
            let mut limit = limit(limit_of);
            let (mut counts, mut counted) = (BTreeMap::<u8, u64>::new(), 0);
            let (mut gone_of_own, mut before) = (0, 0);
            let mut owners: HashSet<ServiceName> = HashSet::new();
            for (service, step) in steps {
                match step {
                    Some(messages) => {
                        *counts.entry(service).or_default() += messages;
                        counted += messages;
                    }
                    None => {
                        let lost = counts.remove(&service).unwrap_or_default();
                        gone_of_own += if owners.contains(&name(service)) { lost } else { 0 };
                    }
                }
                let (own, other) = limit.apply(measured(&counts));
                prop_assert!(own.len() <= limit_of && own.is_sorted_by(|(a, _), (b, _)| a < b));
                let others = other.as_ref().map_or(0, |sum| sum.messages);
                prop_assert_eq!(own.iter().map(|(_, it)| it.messages).sum::<u64>() + others + gone_of_own, counted);
                prop_assert!(others >= before);
                prop_assert_eq!(other.map_or(0, |sum| sum.handling_ns.count), others);
                owners = own.into_iter().map(|(name, _)| name).collect();
                before = others;
            }
        }
    }
}
