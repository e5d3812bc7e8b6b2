//! A reader that builds a table from a watch, and fails on impossible changes.

use std::collections::BTreeMap;

use foundation::names::{Metadata, NameChange, Registration, ServiceName, Watch, Watched};
use foundation::ractor::ActorId;
use foundation::supervision::ExitReason;
use foundation_testkit::SOON;
use tokio::time::timeout;

/// The next item of a watch; fails if there is none.
pub(super) async fn shown(watch: &mut Watch) -> Option<Watched> {
    timeout(SOON, watch.next()).await.expect("the watch shows something")
}

/// The names and actors of the snapshot that a watch begins with.
pub(super) async fn snapshot(watch: &mut Watch) -> Vec<(String, ActorId)> {
    match shown(watch).await {
        Some(Watched::Snapshot(services)) => holders(&services),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn holders(services: &[Registration]) -> Vec<(String, ActorId)> {
    services.iter().map(|service| (service.name.to_string(), service.actor)).collect()
}

/// The next change.
pub(super) async fn change(watch: &mut Watch) -> NameChange {
    match shown(watch).await {
        Some(Watched::Change(change)) => change,
        other => panic!("{other:?}"),
    }
}

/// The next change, which is the registration of this actor.
pub(super) async fn registered(watch: &mut Watch, actor: ActorId) -> Registration {
    match change(watch).await {
        NameChange::Registered(service) if service.actor == actor => service,
        other => panic!("{other}, and not that {actor} is registered"),
    }
}

/// The next change, which is the death of this actor.
pub(super) async fn died(watch: &mut Watch, actor: ActorId) -> Option<ExitReason> {
    match change(watch).await {
        NameChange::Died { actor: dead, reason, .. } if dead == actor => reason,
        other => panic!("{other}, and not that {actor} died"),
    }
}

/// A table built from the items of a watch.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    pub(super) has: BTreeMap<ServiceName, (ActorId, Option<Metadata>)>,
    pub(super) changes: usize,
    pub(super) lagged: usize,
}

impl Mirror {
    pub(super) fn believe(&mut self, watched: Watched) {
        match watched {
            Watched::Snapshot(services) => {
                assert!(self.has.is_empty() && self.changes == 0, "a snapshot comes first");
                self.replace(services);
            }
            Watched::Lagged { missed, snapshot } => {
                assert!(missed > 0);
                self.lagged += 1;
                self.replace(snapshot);
            }
            Watched::Change(change) => {
                self.changes += 1;
                self.change(change);
            }
            other => panic!("{other:?}"),
        }
    }

    fn replace(&mut self, services: Vec<Registration>) {
        self.has.clear();
        services.into_iter().for_each(|service| self.begin(service));
    }

    fn change(&mut self, change: NameChange) {
        match change {
            NameChange::Registered(service) | NameChange::Replaced { by: service, .. } => self.begin(service),
            NameChange::HandedOver { from, to } => {
                assert_ne!(from, to.actor);
                self.end(&to.name, from);
                self.begin(to);
            }
            NameChange::Updated(service) => {
                let known = self.has.insert(service.name, (service.actor, service.metadata.clone()));
                let (actor, metadata) = known.expect("the described name has a holder");
                assert_eq!(actor, service.actor);
                assert_ne!(metadata, service.metadata, "an update is news");
            }
            NameChange::Unregistered { name, actor } | NameChange::Died { name, actor, .. } => self.end(&name, actor),
            other => panic!("{other}"),
        }
    }

    fn begin(&mut self, service: Registration) {
        let name = service.name.clone();
        let had = self.has.insert(service.name, (service.actor, service.metadata));
        assert!(had.is_none(), "{name} begins while it is {had:?}'s");
    }

    fn end(&mut self, name: &ServiceName, actor: ActorId) {
        let had = self.has.remove(name).map(|(actor, _)| actor);
        assert_eq!(had, Some(actor), "the reported end of {name} is that of another incarnation");
    }
}
