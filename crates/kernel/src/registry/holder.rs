//! One incarnation of a name: its holder, since when, and whether it still holds the name.

use std::any::TypeId;

use ractor::{ActorCell, ActorId, ActorStatus, Message};
use scc::{AtomicShared, Guard, Shared, Tag};
use tokio::time::Instant;

use super::metadata::{Description, Metadata};
use crate::containment::drop_contained;
use crate::exit::ExitReason;
use crate::namespace::ServiceName;
use crate::sync::OnceLock;
use crate::sync::atomic::{AtomicBool, Ordering};

/// Where a holder was started, which decides what gives its name back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Started by us: it carries its name guard, and the name is free when it is gone.
    Managed,
    /// Started elsewhere and only registered here: the process registry monitors it.
    Foreign,
}

/// Whether a held name can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No: its holder lives, or is being started.
    Living,
    /// Soon: its holder is stopping, or its destructors have not all run.
    Leaving,
    /// Yes: its holder is gone, which has not been noticed yet.
    Gone,
}

/// Laid out in the order of declaration: the fields that a lookup reads come first, on one cache line as a rule.
#[repr(C)]
pub(crate) struct Holder {
    /// Set once, when the actor runs: until then the name is only claimed.
    life: OnceLock<(ActorCell, Instant)>,
    retired: AtomicBool,
    /// Whether the reason of the actor's end is certain to be reported.
    reason_requested: AtomicBool,
    /// Whether its beginning has been reported to the watches of that time.
    announced: AtomicBool,
    origin: Origin,
    restarts: u32,
    /// The message type that it was registered with, and its name for display. The actor knows its type too, but to
    /// read it there costs one more cache miss for each lookup in a large table.
    answers_to: TypeId,
    message: &'static str,
    name: ServiceName,
    description: AtomicShared<Description>,
    /// Why the actor ended, once it has been reported: for watches that begin between that and the end of the holding.
    reason: OnceLock<ExitReason>,
    /// Boxed, since few holders have one.
    previous: Option<Box<ActorId>>,
}

impl Holder {
    pub(crate) fn new<M: 'static>(name: ServiceName, origin: Origin, restarts: u32) -> Self {
        Self {
            life: OnceLock::new(),
            retired: AtomicBool::new(false),
            reason_requested: AtomicBool::new(false),
            announced: AtomicBool::new(false),
            origin,
            restarts,
            answers_to: TypeId::of::<M>(),
            message: std::any::type_name::<M>(),
            name,
            description: AtomicShared::null(),
            reason: OnceLock::new(),
            previous: None,
        }
    }

    /// With its initial metadata.
    pub(crate) fn with_metadata(self, metadata: Option<Metadata>) -> Self {
        if let Some(metadata) = metadata {
            self.describe(Shared::new(Description { version: 0, metadata }));
        }
        self
    }

    /// With the previous incarnation of the same child.
    pub(crate) fn replacing(mut self, previous: Option<ActorId>) -> Self {
        self.previous = previous.map(Box::new);
        self
    }

    pub(crate) fn name(&self) -> &ServiceName {
        &self.name
    }

    /// Whether it was registered with this message type.
    #[inline]
    pub(crate) fn answers_to<M: 'static>(&self) -> bool {
        self.answers_to == TypeId::of::<M>()
    }

    /// The message type that it was registered with, for display.
    pub(crate) fn message(&self) -> &'static str {
        self.message
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    pub(crate) fn restarts(&self) -> u32 {
        self.restarts
    }

    /// The incarnation of the same child that had the name before.
    pub(crate) fn previous(&self) -> Option<ActorId> {
        self.previous.as_deref().copied()
    }

    /// Its owner's description, borrowed for the lifetime of the guard.
    pub(crate) fn description<'g>(&self, guard: &'g Guard) -> Option<&'g Description> {
        self.description.load(Ordering::Acquire, guard).as_ref()
    }

    /// Its metadata and their version.
    pub(crate) fn metadata(&self) -> Option<(u64, Metadata)> {
        self.description(&Guard::new()).map(|it| (it.version, it.metadata.clone()))
    }

    /// Replaces the description. Two concurrent calls would lose one: see the table.
    pub(crate) fn describe(&self, description: Shared<Description>) {
        drop(self.description.swap((Some(description), Tag::None), Ordering::AcqRel));
    }

    /// The description itself, to be shared with the holder that gets the name next.
    pub(crate) fn share_description(&self) -> Option<Shared<Description>> {
        self.description.get_shared(Ordering::Acquire, &Guard::new())
    }

    pub(crate) fn is_reason_requested(&self) -> bool {
        self.reason_requested.load(Ordering::Relaxed)
    }

    pub(crate) fn set_reason_requested(&self) {
        self.reason_requested.store(true, Ordering::Relaxed);
    }

    /// Why its actor ended, if that has been reported.
    pub(crate) fn reason(&self) -> Option<&ExitReason> {
        self.reason.get()
    }

    pub(crate) fn set_reason(&self, reason: ExitReason) {
        // An actor ends once, so every report has the same reason.
        let _ = self.reason.set(reason);
    }

    /// True for the first caller.
    pub(crate) fn announce(&self) -> bool {
        !self.announced.swap(true, Ordering::Relaxed)
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

    /// The same, for a caller that has this holder's actor.
    #[inline]
    pub(crate) fn is_current(&self, actor: &ActorCell) -> bool {
        !self.retired.load(Ordering::Acquire) && actor.get_status() < ActorStatus::Draining
    }

    /// Ends the holding; true for the first caller.
    pub(crate) fn retire(&self) -> bool {
        // In one order with the check for watches that follows, and with their check of this flag: see `Watches`.
        !self.retired.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
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

impl Drop for Holder {
    /// Dropping the last reference to an actor drops its unread messages. The map of names drops its entries at any
    /// time, on the thread of any reader.
    fn drop(&mut self) {
        drop_contained("an actor's unread messages", self.life.take());
    }
}

/// Whether an actor answers to `M`; for one on another machine only that machine knows.
pub(crate) fn answers_to<M: Message>(actor: &ActorCell) -> bool {
    actor.is_message_type_of::<M>() != Some(false)
}
