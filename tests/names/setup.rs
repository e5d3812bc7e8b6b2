//! The keys, lookups and actors that the tests of names share.

use foundation::ServiceKey;
use foundation::names::ServiceRegistry;
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef};
use foundation_testkit::{Command, Probe};

// Statics, not constants: a future may borrow them beyond the statement that made it.
pub(crate) static PROBE: ServiceKey<Command> = ServiceKey::from_static("probe");
pub(crate) static OTHER: ServiceKey<Command> = ServiceKey::from_static("other");

/// A key that is made at run time.
pub(crate) fn key<M>(name: impl AsRef<str>) -> ServiceKey<M> {
    ServiceKey::new(name).unwrap()
}

/// The names of a namespace as texts.
pub(crate) fn names_in(registry: &ServiceRegistry) -> Vec<String> {
    registry.list_services().iter().map(ToString::to_string).collect()
}

/// A counter of a namespace.
pub(crate) fn count(registry: &ServiceRegistry, counter: &str) -> u64 {
    registry.counters().counter(counter).unwrap()
}

/// An actor without a supervisor.
pub(crate) async fn foreign(probe: Probe) -> ActorRef<Command> {
    Actor::spawn(None, probe, ()).await.unwrap().0
}

/// An actor of another message type.
pub(crate) struct Lamp;

pub(crate) enum LampMsg {
    Shine,
}
foundation::local_message!(LampMsg);

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Lamp {
    type Msg = LampMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<LampMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}
