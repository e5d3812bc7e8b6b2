//! One incarnation of a name: who holds it, since when, and whether it still does.

use std::any::TypeId;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use ractor::{ActorCell, ActorId, ActorStatus, Message};
use tokio::time::Instant;

use crate::namespace::ServiceName;

/// Where a holder was started, and so who gives its name back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Started by us: it carries its lease, and the name is free when it is gone.
    Managed,
    /// Started elsewhere and only registered here: the process registry monitors it.
    Foreign,
}

/// Whether a name can be had that somebody holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No: its holder lives, or is being started.
    Living,
    /// Soon: its holder is on its way out, or its destructors have not all run.
    Leaving,
    /// Yes: its holder is gone, and only nobody has taken note of it yet.
    Gone,
}

pub(crate) struct Holder {
    name: ServiceName,
    /// The message type that it was registered with, and how people call it. The actor knows its type too, but that lies
    /// further away: in a large table, one cache miss more for each look-up.
    answers_to: TypeId,
    message: &'static str,
    origin: Origin,
    restarts: u32,
    /// Set once, when the actor runs: until then the name is only claimed.
    life: OnceLock<(ActorCell, Instant)>,
    retired: AtomicBool,
}

impl Holder {
    pub(crate) fn new<M: 'static>(name: ServiceName, origin: Origin, restarts: u32) -> Self {
        let (answers_to, message) = (TypeId::of::<M>(), std::any::type_name::<M>());
        Self { name, answers_to, message, origin, restarts, life: OnceLock::new(), retired: AtomicBool::new(false) }
    }

    pub(crate) fn name(&self) -> &ServiceName {
        &self.name
    }

    /// Whether it was registered with this message type.
    #[inline]
    pub(crate) fn answers_to<M: 'static>(&self) -> bool {
        self.answers_to == TypeId::of::<M>()
    }

    /// The message type that it was registered with, for people.
    pub(crate) fn message(&self) -> &'static str {
        self.message
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    pub(crate) fn restarts(&self) -> u32 {
        self.restarts
    }

    pub(crate) fn begin(&self, actor: ActorCell) {
        // A claim is filled once; a second call would be a bug of ours and must not replace a live actor.
        let _ = self.life.set((actor, Instant::now()));
    }

    /// The actor, alive or not; `None` while the name is only claimed.
    pub(crate) fn actor(&self) -> Option<&ActorCell> {
        self.life.get().map(|(actor, _)| actor)
    }

    pub(crate) fn actor_id(&self) -> Option<ActorId> {
        self.actor().map(ActorCell::get_id)
    }

    pub(crate) fn since(&self) -> Option<Instant> {
        self.life.get().map(|(_, since)| *since)
    }

    /// The actor if messages can be sent to it: a draining one refuses them.
    #[inline]
    pub(crate) fn live(&self) -> Option<&ActorCell> {
        let (actor, _) = self.life.get()?;
        self.is_current(actor).then_some(actor)
    }

    /// The same for whoever has this holder's actor at hand.
    #[inline]
    pub(crate) fn is_current(&self, actor: &ActorCell) -> bool {
        !self.retired.load(Ordering::Acquire) && actor.get_status() < ActorStatus::Draining
    }

    /// Ends the holding; true for the first who says so.
    pub(crate) fn retire(&self) -> bool {
        !self.retired.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn standing(&self) -> Standing {
        match (self.actor().map(ActorCell::get_status), self.origin) {
            (None, _) => Standing::Living,
            (Some(status), _) if status < ActorStatus::Draining => Standing::Living,
            (Some(ActorStatus::Stopped), Origin::Foreign) => Standing::Gone,
            _ => Standing::Leaving,
        }
    }
}

/// Whether an actor answers to `M`; of one on another machine only that machine knows.
pub(crate) fn answers_to<M: Message>(actor: &ActorCell) -> bool {
    actor.is_message_type_of::<M>() != Some(false)
}
