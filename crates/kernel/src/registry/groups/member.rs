//! One membership: an actor in a group, with its value there.

use std::any::Any;

use ractor::{ActorCell, ActorStatus};

pub(crate) struct Member {
    actor: ActorCell,
    /// Of the type that the group's kind says. Nothing is allocated for `()`.
    value: Box<dyn Any + Send + Sync>,
}

impl Member {
    pub(crate) fn new<V: Send + Sync + 'static>(actor: ActorCell, value: V) -> Self {
        Self { actor, value: Box::new(value) }
    }

    pub(crate) fn actor(&self) -> &ActorCell {
        &self.actor
    }

    /// The actor if messages can be sent to it: a draining one refuses them.
    #[inline]
    pub(crate) fn live(&self) -> Option<&ActorCell> {
        (self.actor.get_status() < ActorStatus::Draining).then_some(&self.actor)
    }

    /// Whether its actor is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.actor.get_status() == ActorStatus::Stopped
    }

    pub(crate) fn value<V: 'static>(&self) -> Option<&V> {
        self.value.downcast_ref()
    }
}
