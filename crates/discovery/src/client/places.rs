//! Places: the limited number of instances of a namespace, and of each of its services.
//!
//! # Invariants
//!
//! 1. An instance has a place while it is in the catalog and its actor has not ended, and while a place is reserved for its
//!    name; never two.
//! 2. A reservation is given back after what was registered with it is in the catalog. So at no time more instances have a
//!    place than the limits say, however many register at the same time.
//! 3. A child has its place for as long as its specification is there: a restart is never refused.

use std::collections::{BTreeMap, HashMap};

use foundation_kernel::names::ServiceName;

use crate::instance::InstanceName;
use crate::limits::PlaceLimits;

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LimitReached {
    Service,
    Namespace,
}

/// The places that are reserved, with how often.
#[derive(Debug, Default)]
pub(super) struct Places {
    of: HashMap<ServiceName, BTreeMap<InstanceName, usize>>,
    /// How many names there are in all.
    names: usize,
}

/// The instances that are there, as far as places depend on them.
pub(super) struct Present<H> {
    /// How many the service of the instance has.
    pub(super) of_service: usize,
    /// How many the namespace has.
    pub(super) of_namespace: usize,
    /// Whether an instance is one of them.
    pub(super) has: H,
}

impl Places {
    /// Reserves a place for an instance, which may have one already.
    pub(super) fn reserve<H: Fn(&InstanceName) -> bool>(
        &mut self,
        name: &InstanceName,
        present: &Present<H>,
        limits: PlaceLimits,
    ) -> Result<(), LimitReached> {
        let has_one = (present.has)(name) || self.reserved(name.service()).any(|it| it == name);
        if !has_one && self.taken_of(name.service(), present) >= limits.service {
            return Err(LimitReached::Service);
        }
        if !has_one && self.is_full(present, limits.namespace) {
            return Err(LimitReached::Namespace);
        }
        let times = self.of.entry(name.service().clone()).or_default().entry(name.clone()).or_insert(0);
        self.names += usize::from(*times == 0);
        *times += 1;
        Ok(())
    }

    /// Gives one reservation of this name back.
    pub(super) fn release(&mut self, name: &InstanceName) {
        let Some(names) = self.of.get_mut(name.service()) else { return };
        let Some(times) = names.get_mut(name) else { return };
        *times -= 1;
        if *times == 0 {
            names.remove(name);
            self.names -= 1;
        }
        if names.is_empty() {
            self.of.remove(name.service());
        }
    }

    /// The services for which a place is reserved.
    pub(super) fn services(&self) -> impl Iterator<Item = &ServiceName> {
        self.of.keys()
    }

    fn reserved(&self, service: &ServiceName) -> impl Iterator<Item = &InstanceName> {
        self.of.get(service).into_iter().flat_map(BTreeMap::keys)
    }

    fn taken_of<H: Fn(&InstanceName) -> bool>(&self, service: &ServiceName, present: &Present<H>) -> usize {
        present.of_service + self.reserved(service).filter(|name| !(present.has)(name)).count()
    }

    fn is_full<H: Fn(&InstanceName) -> bool>(&self, present: &Present<H>, limit: usize) -> bool {
        // Those that are both are looked for only near the limit.
        if present.of_namespace + self.names < limit {
            return false;
        }
        let reserved = self.of.values().flat_map(BTreeMap::keys);
        present.of_namespace + reserved.filter(|name| !(present.has)(name)).count() >= limit
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const LIMITS: PlaceLimits = PlaceLimits { namespace: 5, service: 3 };

    #[derive(Debug, Clone)]
    enum Deed {
        Reserve(usize),
        /// Registers with a reservation.
        Register(usize),
        Release(usize),
        End(usize),
    }

    fn name(number: usize) -> InstanceName {
        let service = ServiceName::new(["orders", "mail"][number % 2]).unwrap();
        InstanceName::new(&service, &format!("i{number}")).unwrap()
    }

    fn deeds() -> impl Strategy<Value = Vec<Deed>> {
        let number = || 0..10_usize;
        vec(
            prop_oneof![
                number().prop_map(Deed::Reserve),
                number().prop_map(Deed::Register),
                number().prop_map(Deed::Release),
                number().prop_map(Deed::End),
            ],
            0..80,
        )
    }

    /// Of the instances that are there, by number.
    fn present<'a>(there: &'a [bool], of: &InstanceName) -> Present<impl Fn(&InstanceName) -> bool + 'a> {
        let is_like = |at: &usize| name(*at).service() == of.service();
        Present {
            of_service: (0..10).filter(|at| there[*at]).filter(is_like).count(),
            of_namespace: there.iter().filter(|it| **it).count(),
            has: |of: &InstanceName| (0..10).any(|at| there[at] && name(at) == *of),
        }
    }

    proptest! {
        #[test]
        fn no_more_instances_have_a_place_than_the_limits_say_and_a_place_is_refused_only_then(deeds in deeds()) {
            let (mut places, mut there, mut reserved) = (Places::default(), [false; 10], [0_usize; 10]);
            for deed in deeds {
                match deed {
                    Deed::Reserve(it) => {
                        let has_place = |at: usize| reserved[at] > 0 || there[at];
                        let all = (0..10).filter(|at| has_place(*at)).count();
                        let like = (0..10).filter(|at| at % 2 == it % 2 && has_place(*at)).count();
                        let fits = has_place(it) || (all < LIMITS.namespace && like < LIMITS.service);
                        let result = places.reserve(&name(it), &present(&there, &name(it)), LIMITS);
                        prop_assert_eq!(result.is_ok(), fits);
                        reserved[it] += usize::from(fits);
                    }
                    Deed::Register(it) if reserved[it] > 0 => there[it] = true,
                    Deed::Release(it) if reserved[it] > 0 => {
                        places.release(&name(it));
                        reserved[it] -= 1;
                    }
                    Deed::End(it) => there[it] = false,
                    _ => {}
                }
                prop_assert!(there.iter().filter(|it| **it).count() <= LIMITS.namespace);
                prop_assert_eq!(places.names, reserved.iter().filter(|times| **times > 0).count());
            }
        }
    }
}
