//! The actors that are found and restarted.

use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use ractor::ActorProcessingErr;

use crate::started;

/// kameo's.
#[derive(Actor)]
pub(crate) struct Found;

impl Found {
    /// Starts a named actor; must be called in a runtime.
    pub(crate) fn spawn_named(name: &str) -> ActorRef<Self> {
        let actor = Self::spawn(Self);
        started(actor.register(name.to_owned()));
        actor
    }
}

/// ractor's.
pub(crate) struct Echo;

impl ractor::Actor for Echo {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ractor::ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}
