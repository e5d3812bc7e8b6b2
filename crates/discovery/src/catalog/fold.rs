//! What a watch of names shows, taken into the catalog.

use std::collections::BTreeSet;
use std::sync::Arc;

use foundation_kernel::names::{NameChange, Registration, ServiceName, Watched};
use foundation_kernel::ractor::ActorId;

use super::change::{InstanceChange, RemovalCause};
use super::value::{Catalog, Entry};
use crate::health::{CheckRole, InstanceHealth};
use crate::instance::{Instance, InstanceName};

impl Catalog {
    /// Takes in what a watch of all names has shown, and returns what it changes.
    pub fn apply(&mut self, watched: Watched) -> Vec<InstanceChange> {
        match watched {
            Watched::Snapshot(snapshot) | Watched::Lagged { snapshot, .. } => self.reset(snapshot),
            Watched::Change(change) => self.change(change),
            // The watch has no other items today.
            _ => Vec::new(),
        }
    }

    fn reset(&mut self, snapshot: Vec<Registration>) -> Vec<InstanceChange> {
        let left: BTreeSet<_> = snapshot.iter().map(|registration| registration.name.clone()).collect();
        self.invalid.retain(|name, _| left.contains(name));
        let known: Vec<_> = self.iter().map(|record| record.name().registered().clone()).collect();
        let gone = known.iter().filter(|name| !left.contains(*name));
        let mut changes: Vec<_> = gone.filter_map(|name| self.end(name, RemovalCause::Missed)).collect();
        changes.extend(snapshot.iter().flat_map(|registration| self.put(registration, RemovalCause::Missed)));
        changes
    }

    fn change(&mut self, change: NameChange) -> Vec<InstanceChange> {
        let cause = match &change {
            NameChange::Died { reason, .. } => RemovalCause::of_exit(reason.clone()),
            NameChange::Unregistered { .. } => RemovalCause::Unregistered,
            NameChange::HandedOver { to, .. } => RemovalCause::HandedOver { to: to.actor },
            // A name that is taken was free.
            _ => RemovalCause::Missed,
        };
        match change.service() {
            Some(registration) => self.put(registration, cause),
            None => {
                self.invalid.remove(change.name());
                self.end(change.name(), cause).into_iter().collect()
            }
        }
    }

    /// Shows a registration in the place of the one that its name had.
    fn put(&mut self, registration: &Registration, cause: RemovalCause) -> Vec<InstanceChange> {
        let (name, actor) = (&registration.name, registration.actor);
        let before = self.remove(name);
        let next = self.read(registration);
        match (before, next) {
            (Some(before), Some(instance)) if before.record.actor == actor => {
                self.update(before, instance).into_iter().collect()
            }
            (before, next) => {
                let cause = match &before {
                    Some(before) if before.record.actor == actor => RemovalCause::MetadataReplaced,
                    _ => cause,
                };
                let removed = before.map(|before| InstanceChange::Removed { instance: before.record, cause });
                let added = next.map(|instance| self.insert(Entry::new(instance, actor, InstanceHealth::UNKNOWN)));
                removed.into_iter().chain(added.map(InstanceChange::Added)).collect()
            }
        }
    }

    fn update(&mut self, before: Entry, instance: Arc<Instance>) -> Option<InstanceChange> {
        let after = self.insert(Entry::new(instance, before.record.actor, before.checked));
        let before = before.record;
        (before != after).then_some(InstanceChange::Updated { before, after })
    }

    /// The instance that a registration is, if it is one.
    fn read(&mut self, registration: &Registration) -> Option<Arc<Instance>> {
        let metadata = registration.metadata.as_ref();
        let read = metadata.map_or(Ok(None), |metadata| Instance::read_shared(&registration.name, metadata));
        match &read {
            Ok(_) => self.invalid.remove(&registration.name),
            Err(error) => self.invalid.insert(registration.name.clone(), error.to_string()),
        };
        read.ok().flatten()
    }

    fn end(&mut self, name: &ServiceName, cause: RemovalCause) -> Option<InstanceChange> {
        let instance = self.remove(name)?.record;
        Some(InstanceChange::Removed { instance, cause })
    }

    /// Sets what the checks of an incarnation have found, and returns the change if its status is another now. Nothing
    /// happens if the actor does not have the name.
    pub fn set_health(
        &mut self,
        name: &InstanceName,
        actor: ActorId,
        checked: InstanceHealth,
    ) -> Option<InstanceChange> {
        let entry = self.services.get_mut(name.service())?.get_mut(name.registered())?;
        let record = &mut entry.record;
        if record.actor != actor {
            return None;
        }
        entry.checked = checked.clone();
        let health = InstanceHealth::combined([(CheckRole::Readiness, checked)], record.instance.is_draining());
        let from = std::mem::replace(&mut record.health, health);
        (from.status != record.health.status).then(|| InstanceChange::StatusChanged { from, instance: record.clone() })
    }
}
