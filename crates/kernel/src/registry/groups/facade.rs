//! The way from a namespace to its groups.

use std::collections::BTreeSet;
use std::sync::Arc;

use ractor::{ActorCell, Message};

use super::group::Group;
use super::key::GroupKey;
use crate::namespace::ServiceName;
use crate::registry::service_registry::ServiceRegistry;

impl ServiceRegistry {
    /// A group of actors in this namespace. It need not have members; making the handle makes nothing else.
    pub fn group<M: Message, V: Send + Sync + 'static>(&self, key: &GroupKey<M, V>) -> Group<M, V> {
        Group::new(Arc::clone(self.state()), key.clone())
    }

    /// The groups that have a live member, sorted. Cost: linear in the groups.
    pub fn groups(&self) -> Vec<ServiceName> {
        let mut groups = self.state().groups.live(usize::MAX);
        groups.sort();
        groups
    }

    /// The groups that this actor is in. Cost: linear in the memberships of the namespace.
    pub fn groups_of(&self, actor: &ActorCell) -> BTreeSet<ServiceName> {
        self.state().groups.of(actor.get_id())
    }
}
