//! Places for the instances that are about to be registered.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use foundation_kernel::names::ServiceName;
use foundation_kernel::ractor::{ActorId, ActorStatus};
use tokio::time::Instant;

use super::Shared;
use crate::client::leases::LeaseKey;
use crate::client::places::{LimitReached, PlaceOf};
use crate::instance::InstanceName;

impl Shared {
    /// Reserves a place for an instance that is about to be registered.
    pub(in crate::client) fn reserve_place(&self, name: &InstanceName) -> Result<(), LimitReached> {
        self.refresh(Instant::now());
        let revision = self.followed().applied.load(Ordering::Acquire);
        let mut state = self.state.lock();
        state.places.release_ended(revision);
        let reserved = state.reserve(name, self.options.places, &BTreeSet::new());
        drop(state);
        let Err(full) = reserved else { return Ok(()) };
        // The name of an actor that has ended may not be free yet.
        let ended = self.ended(name.service(), full);
        if ended.is_empty() { Err(full) } else { self.state.lock().reserve(name, self.options.places, &ended) }
    }

    /// The incarnations whose actors have ended and that count for this limit. One that handles its last messages is there
    /// until it has. Cost: a lookup for each; the lock is taken for each service by itself.
    fn ended(&self, service: &ServiceName, limit: LimitReached) -> BTreeSet<LeaseKey> {
        let services = match limit {
            LimitReached::Service => vec![service.clone()],
            LimitReached::Namespace => self.state.lock().catalog.services().cloned().collect(),
        };
        let of = |service| -> Vec<LeaseKey> {
            self.state.lock().catalog.instances(service).map(|it| (it.name().clone(), it.actor)).collect()
        };
        services.iter().flat_map(of).filter(|(name, actor)| self.has_ended(name, *actor)).collect()
    }

    fn has_ended(&self, name: &InstanceName, actor: ActorId) -> bool {
        let status = self.names.status_of(name.registered());
        status.is_none_or(|(holder, status)| holder != actor || status == ActorStatus::Stopped)
    }

    pub(in crate::client) fn give_place_to_child(&self, name: &InstanceName) {
        self.state.lock().places.give_to_child(name);
    }

    /// Gives the place of a registration that has ended back, or that of a child: first the catalog takes in what was registered,
    /// so that it counts without a gap. For a registration the next reader of the catalog does that.
    pub(in crate::client) fn release_place(&self, name: &InstanceName, of: PlaceOf) {
        match of {
            PlaceOf::Registration => {
                let revision = self.followed().revision.get();
                self.state.lock().places.release_at(revision, name.clone());
            }
            PlaceOf::Child => {
                self.refresh(Instant::now());
                self.state.lock().places.release(name, of);
            }
        }
    }
}
