//! Places: the limited number of instances of a namespace, and of each of its services.
//!
//! # Invariants
//!
//! 1. An instance has a place while it is in the catalog and its actor has not ended, and while a place is reserved for its
//!    name; never two.
//! 2. A reservation is given back after what was registered with it is in the catalog, by the next one that is made: so a
//!    registration itself does not bring the catalog up to date. At no time more instances have a place than the limits say,
//!    however many register at the same time.
//! 3. A child has its place for as long as its specification is there: a restart is never refused.
//! 4. A service of which a child has a place should have an instance. One whose instance is being registered need not.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use foundation_kernel::names::ServiceName;

use crate::instance::InstanceName;
use crate::limits::PlaceLimits;

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LimitReached {
    Service,
    Namespace,
}

/// Whose a reserved place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlaceOf {
    /// Of a registration that is under way.
    Registration,
    /// Of a child, between its lives too.
    Child,
}

/// How often a place is reserved for one name.
#[derive(Debug, Default)]
struct Reserved {
    registrations: usize,
    children: usize,
}

impl Reserved {
    fn of(&mut self, of: PlaceOf) -> &mut usize {
        match of {
            PlaceOf::Registration => &mut self.registrations,
            PlaceOf::Child => &mut self.children,
        }
    }

    fn is_none(&self) -> bool {
        self.registrations + self.children == 0
    }
}

/// The places that are reserved, with how often.
#[derive(Debug, Default)]
pub(super) struct Places {
    of: HashMap<ServiceName, BTreeMap<InstanceName, Reserved>, RandomState>,
    /// How many names there are in all.
    names: usize,
    /// The names of registrations that have ended, each with the revision of the names that the catalog must have for it.
    ended: Vec<(u64, InstanceName)>,
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
    /// Reserves a place for the registration of an instance, which may have one already.
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
        let reserved = self.of.entry(name.service().clone()).or_default().entry(name.clone()).or_default();
        self.names += usize::from(reserved.is_none());
        reserved.registrations += 1;
        Ok(())
    }

    /// Makes the reservation of a registration that of a child.
    pub(super) fn give_to_child(&mut self, name: &InstanceName) {
        let reserved = self.of.get_mut(name.service()).and_then(|names| names.get_mut(name));
        if let Some(reserved) = reserved.filter(|reserved| reserved.registrations > 0) {
            reserved.registrations -= 1;
            reserved.children += 1;
        }
    }

    /// The reservation of a registration that has ended is to be given back as soon as the catalog has this revision.
    pub(super) fn release_at(&mut self, revision: u64, name: InstanceName) {
        self.ended.push((revision, name));
    }

    /// Gives those back for which the catalog, at this revision, has what was registered.
    pub(super) fn release_ended(&mut self, revision: u64) {
        let of = |(needed, _): &mut (u64, InstanceName)| *needed <= revision;
        let read: Vec<_> = self.ended.extract_if(.., of).collect();
        read.iter().for_each(|(_, name)| self.release(name, PlaceOf::Registration));
    }

    /// Gives one reservation of this name back.
    pub(super) fn release(&mut self, name: &InstanceName, of: PlaceOf) {
        let Some(names) = self.of.get_mut(name.service()) else { return };
        let Some(reserved) = names.get_mut(name) else { return };
        let times = reserved.of(of);
        *times = times.saturating_sub(1);
        if reserved.is_none() {
            names.remove(name);
            self.names -= 1;
        }
        if names.is_empty() {
            self.of.remove(name.service());
        }
    }

    /// The services of which a child has a place.
    pub(super) fn services(&self) -> impl Iterator<Item = &ServiceName> {
        let has_child = |names: &BTreeMap<_, Reserved>| names.values().any(|reserved| reserved.children > 0);
        self.of.iter().filter(move |(_, names)| has_child(names)).map(|(service, _)| service)
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
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const LIMITS: PlaceLimits = PlaceLimits { namespace: 5, service: 3 };

    #[derive(Debug, Clone)]
    enum Deed {
        Reserve(usize),
        /// Gives a reservation to a child.
        Give(usize),
        /// Registers with a reservation.
        Register(usize),
        EndChild(usize),
        EndRegistration(usize),
        /// The catalog is so many revisions behind.
        Read(u64),
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
                number().prop_map(Deed::Give),
                number().prop_map(Deed::Register),
                number().prop_map(Deed::EndChild),
                number().prop_map(Deed::EndRegistration),
                (0..5_u64).prop_map(Deed::Read),
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
            let (mut places, mut there) = (Places::default(), [false; 10]);
            // The registrations under way, the children, and the registrations that have ended, with their revisions.
            let (mut under_way, mut children, mut ended) = ([0_usize; 10], [0_usize; 10], Vec::<(u64, usize)>::new());
            for (revision, deed) in (0..).zip(deeds) {
                let reserved = |at: usize| under_way[at] + children[at] + ended.iter().filter(|it| it.1 == at).count();
                match deed {
                    Deed::Reserve(it) => {
                        let has_place = |at: usize| reserved(at) > 0 || there[at];
                        let all = (0..10).filter(|at| has_place(*at)).count();
                        let like = (0..10).filter(|at| at % 2 == it % 2 && has_place(*at)).count();
                        let fits = has_place(it) || (all < LIMITS.namespace && like < LIMITS.service);
                        let result = places.reserve(&name(it), &present(&there, &name(it)), LIMITS);
                        prop_assert_eq!(result.is_ok(), fits);
                        under_way[it] += usize::from(fits);
                    }
                    Deed::Give(it) if under_way[it] > 0 => {
                        places.give_to_child(&name(it));
                        (under_way[it], children[it]) = (under_way[it] - 1, children[it] + 1);
                    }
                    Deed::Register(it) if reserved(it) > 0 => there[it] = true,
                    Deed::EndChild(it) if children[it] > 0 => {
                        places.release(&name(it), PlaceOf::Child);
                        children[it] -= 1;
                    }
                    Deed::EndRegistration(it) if under_way[it] > 0 => {
                        places.release_at(revision + 1, name(it));
                        ended.push((revision + 1, it));
                        under_way[it] -= 1;
                    }
                    Deed::Read(behind) => {
                        let read = revision.saturating_sub(behind);
                        places.release_ended(read);
                        ended.retain(|(needed, _)| *needed > read);
                    }
                    Deed::End(it) => there[it] = false,
                    _ => {}
                }
                prop_assert!(there.iter().filter(|it| **it).count() <= LIMITS.namespace);
                let expected: BTreeSet<_> = (0..10).filter(|at| children[*at] > 0).map(|at| name(at).service().clone()).collect();
                prop_assert_eq!(places.services().cloned().collect::<BTreeSet<_>>(), expected);
                let reserved = |at: &usize| under_way[*at] + children[*at] > 0 || ended.iter().any(|it| it.1 == *at);
                prop_assert_eq!(places.names, (0..10).filter(reserved).count());
            }
        }
    }
}
