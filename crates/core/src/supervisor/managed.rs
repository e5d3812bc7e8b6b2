//! The wrapper of every actor that we start.

#[cfg(feature = "cluster")]
use ractor::message::SerializedMessage;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::group::Ticket;
use super::metering::Metering;

/// An actor with what it holds for as long as it is there: a lease `L` (of its name, or nothing) and a ticket.
///
/// A meter `M` is asked for each message, and measures how it is handled.
///
/// Same messages and arguments as the actor itself. Handler and state share the lease, because ractor drops the two at
/// different moments, in an order that depends on how the actor ends; the last one to go gives it back.
///
/// Fields drop in the order in which they are declared: first the user's value, then the lease, then the ticket. So a
/// name is free only after the destructors of its holder have run, and a group is empty only after its names are free.
pub(crate) struct Managed<A, L, M> {
    actor: A,
    meter: M,
    lease: L,
    _ticket: Ticket,
}

/// The state of a managed actor; `None` once its `post_stop` has run.
pub(crate) struct Held<S, L>(Option<(S, L)>);

impl<A, L, M> Managed<A, L, M> {
    pub(crate) fn new(actor: A, lease: L, meter: M, ticket: Ticket) -> Self {
        Self { actor, meter, lease, _ticket: ticket }
    }
}

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl<A, L, M> Actor for Managed<A, L, M>
where
    A: Actor,
    L: Clone + Send + Sync + 'static,
    M: Metering,
{
    type Msg = A::Msg;
    type State = Held<A::State, L>;
    type Arguments = A::Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let state = self.actor.pre_start(myself, args).await?;
        Ok(Held(Some((state, self.lease.clone()))))
    }

    async fn post_start(&self, myself: ActorRef<Self::Msg>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        match &mut state.0 {
            Some((state, _)) => self.actor.post_start(myself, state).await,
            None => Ok(()),
        }
    }

    async fn post_stop(&self, myself: ActorRef<Self::Msg>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        if let Some((inner, _)) = &mut state.0 {
            self.actor.post_stop(myself, inner).await?;
        }
        // ractor would send the state along with the exit event, and keep the name taken until somebody reads it.
        state.0 = None;
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match &mut state.0 {
            Some((state, _)) => {
                let actor = myself.get_id();
                self.meter.meter(actor, self.actor.handle(myself, message, state)).await
            }
            None => Ok(()),
        }
    }

    #[cfg(feature = "cluster")]
    async fn handle_serialized(
        &self,
        myself: ActorRef<Self::Msg>,
        message: SerializedMessage,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match &mut state.0 {
            Some((state, _)) => {
                let actor = myself.get_id();
                self.meter.meter(actor, self.actor.handle_serialized(myself, message, state)).await
            }
            None => Ok(()),
        }
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match &mut state.0 {
            Some((state, _)) => self.actor.handle_supervisor_evt(myself, event, state).await,
            None => Ok(()),
        }
    }
}
