//! The instances that a selector knows: those that fit, and who of them is in rotation.

use std::sync::Arc;

use foundation_kernel::names::{Namespace, RegistryError, ServiceKey, Via};
use foundation_kernel::ractor::{ActorRef, Message};
use tokio::time::Instant;

use super::fitting::Fitting;
use crate::choice::{Choice, NoneInRotationError, OutReason, Rotation};
use crate::client::calls::{InstanceCalls, ServiceCalls};
use crate::client::error::PickError;
use crate::client::now::Now;
use crate::client::state::Shared;
use crate::criteria::Criteria;
use crate::instance::InstanceRecord;

/// During the slow start a weight grows in so many steps.
const STEPS: u32 = 32;

/// The instances that fit, and who of them is in rotation.
pub(in crate::client) struct Known<M> {
    generation: Option<u64>,
    /// Empty if no instance fits.
    pub(in crate::client) list: Vec<Arc<Fitting<M>>>,
    pub(in crate::client) rotation: Result<Rotation, PickError>,
    /// When the rotation has to be made anew.
    due: Option<Instant>,
}

impl<M> Known<M> {
    /// Nothing yet: without a generation it is not looked at.
    pub(in crate::client) fn nothing(namespace: Namespace) -> Self {
        let none = PickError::NoneInRotation { namespace, source: NoneInRotationError::counting([]) };
        Self { generation: None, list: Vec::new(), rotation: Err(none), due: None }
    }
}

impl<M: Message> Known<M> {
    /// Brings the instances and the rotation up to date.
    #[inline(always)]
    pub(in crate::client) fn update(
        &mut self,
        shared: &Shared,
        calls: Option<&ServiceCalls>,
        (criteria, choice): (&Criteria, &Choice),
        now: &Now,
    ) {
        let generation = shared.current(calls, now);
        if self.generation != Some(generation) {
            self.find(generation, shared, (criteria, choice), now);
        } else if self.due.is_some_and(|due| due <= now.get()) {
            self.rotate(shared, choice, now);
        }
    }

    #[cold]
    fn find(&mut self, generation: u64, shared: &Shared, (criteria, choice): (&Criteria, &Choice), now: &Now) {
        self.generation = Some(generation);
        match find(shared, criteria) {
            Ok(list) => {
                self.list = list;
                self.rotate(shared, choice, now);
            }
            Err(error) => (self.list, self.rotation, self.due) = (Vec::new(), Err(error), None),
        }
    }

    /// Why there is no rotation.
    #[cold]
    pub(in crate::client) fn why_none(&self, shared: &Shared) -> PickError {
        let (namespace, names) = (shared.names.namespace(), &shared.names);
        match &self.rotation {
            Err(PickError::Find { .. } | PickError::OtherMessage { .. }) if names.has_ended() => {
                PickError::NotRunning { namespace }
            }
            Err(error) => error.clone(),
            Ok(_) => PickError::NoneInRotation { namespace, source: NoneInRotationError::counting([]) },
        }
    }

    #[cold]
    fn rotate(&mut self, shared: &Shared, choice: &Choice, now: &Now) {
        let now = now.get();
        let (candidates, ends): (Vec<_>, Vec<_>) = self.list.iter().map(|it| it.in_rotation(now)).unzip();
        let grows = candidates.iter().any(|it| it.is_ramping(choice.slow_start_time()));
        let grows = grows.then(|| now + choice.slow_start_time() / STEPS);
        let due = ends.into_iter().flatten().chain(grows).min();
        let none = |source| PickError::NoneInRotation { namespace: shared.names.namespace(), source };
        (self.rotation, self.due) = (choice.rotation(&candidates).map_err(none), due);
    }
}

fn find<M: Message>(shared: &Shared, criteria: &Criteria) -> Result<Vec<Arc<Fitting<M>>>, PickError> {
    let namespace = shared.names.namespace();
    let records = shared.select(criteria).map_err(|source| PickError::Find { namespace, source })?;
    let (number, mut other) = (records.len(), None);
    let bound: Vec<_> = records.into_iter().filter_map(|it| bind(shared, it, &mut other)).collect();
    if bound.is_empty() {
        let ended = || NoneInRotationError::counting(std::iter::repeat_n(OutReason::Ended, number));
        return Err(match other {
            Some((wanted, found)) => PickError::OtherMessage { namespace, instances: number, wanted, found },
            None => PickError::NoneInRotation { namespace, source: ended() },
        });
    }
    let names: Arc<[_]> = bound.iter().map(|(record, ..)| record.name().clone()).collect();
    let fitting = |(record, via, actor, calls, service)| Fitting {
        record,
        via,
        actor,
        calls,
        service,
        names: Arc::clone(&names),
    };
    Ok(bound.into_iter().map(fitting).map(Arc::new).collect())
}

/// The message type that was asked for, and the one that an instance answers to.
type Types = (&'static str, &'static str);

/// An instance with a handle to its incarnation, and with what is known of its calls.
type Bound<M> = (InstanceRecord, Via<M>, ActorRef<M>, Arc<InstanceCalls>, Arc<ServiceCalls>);

fn bind<M: Message>(shared: &Shared, record: InstanceRecord, other: &mut Option<Types>) -> Option<Bound<M>> {
    let (calls, service) = shared.calls(&record)?;
    let via = shared.names.via(&ServiceKey::from(record.name().registered().clone())).pinned();
    match via.and_then(|via| via.actor_ref().map(|actor| (via, actor))) {
        Ok((via, actor)) if actor.get_id() == record.actor => Some((record, via, actor, calls, service)),
        Err(RegistryError::WrongType { wanted, found, .. }) => {
            *other = Some((wanted, found));
            None
        }
        // It has ended, or another actor has its name by now: the next generation says so.
        _ => None,
    }
}
