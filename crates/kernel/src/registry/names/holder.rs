//! One incarnation of a name: its holder, since when, and whether it still holds the name.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Arc, Weak};

use ractor::{ActorCell, ActorId, ActorStatus};
use scc::{AtomicShared, Guard, Shared, Tag};
use tokio::time::Instant;

use super::metadata::Metadata;
use super::origin::Origin;
use crate::containment::drop_contained;
use crate::exit::ExitReason;
use crate::namespace::ServiceName;
use crate::sync::OnceLock;
use crate::sync::atomic::{AtomicBool, Ordering};

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

/// Why a lookup failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LookupError {
    Absent,
    /// The holder answers to this type and no other.
    WrongType(&'static str),
    /// The holder is a supervisor of this kind.
    WrongKind(&'static str),
}

/// The metadata of one holder; the version grows with each update, so that an old one is never taken for new.
struct Description {
    version: u64,
    metadata: Metadata,
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
    /// The message type that it was registered with, and for display the name of that or of the supervisor's kind. The
    /// actor knows its type too, but to read it there costs one more cache miss for each lookup in a large table.
    answers_to: TypeId,
    message: &'static str,
    name: ServiceName,
    description: AtomicShared<Description>,
    /// Why the actor ended, once it has been reported: for watches that begin between that and the end of the holding.
    reason: OnceLock<ExitReason>,
    /// Boxed, since few holders have any of it.
    rare: Option<Box<Rare>>,
}

/// What few holders have.
#[derive(Default)]
struct Rare {
    /// The previous incarnation of a child.
    previous: Option<ActorId>,
    /// What the name of a supervisor leads to.
    value: Option<Arc<dyn Any + Send + Sync>>,
}

impl Holder {
    /// A claim of a name for an actor that answers to `M`, with its initial metadata.
    pub(crate) fn new<M: 'static>(name: ServiceName, origin: Origin, metadata: Option<Metadata>) -> Self {
        let description = metadata.map(|metadata| Description { version: 0, metadata });
        Self {
            life: OnceLock::new(),
            retired: AtomicBool::new(false),
            reason_requested: AtomicBool::new(false),
            announced: AtomicBool::new(false),
            origin,
            restarts: 0,
            answers_to: TypeId::of::<M>(),
            message: std::any::type_name::<M>(),
            name,
            description: description.map_or_else(AtomicShared::null, AtomicShared::new),
            reason: OnceLock::new(),
            rare: None,
        }
    }

    /// With the number of restarts of a child so far, and its previous incarnation.
    pub(crate) fn restarted(mut self, restarts: u32, previous: Option<ActorId>) -> Self {
        self.restarts = restarts;
        if let Some(previous) = previous {
            self.rare.get_or_insert_default().previous = Some(previous);
        }
        self
    }

    /// Of a supervisor of this kind, with what its name leads to.
    pub(crate) fn leading_to(mut self, kind: &'static str, value: Arc<dyn Any + Send + Sync>) -> Self {
        self.message = kind;
        self.rare.get_or_insert_default().value = Some(value);
        self
    }

    pub(crate) fn value(&self) -> Option<&(dyn Any + Send + Sync)> {
        self.rare.as_ref()?.value.as_deref()
    }

    pub(crate) fn name(&self) -> &ServiceName {
        &self.name
    }

    pub(crate) fn message(&self) -> &'static str {
        self.message
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// Its metadata and their version.
    pub(crate) fn metadata(&self) -> Option<(u64, Metadata)> {
        let guard = Guard::new();
        let description = self.description.load(Ordering::Acquire, &guard).as_ref()?;
        Some((description.version, description.metadata.clone()))
    }

    /// Replaces the metadata. Two concurrent calls would lose one: see the table.
    pub(crate) fn describe(&self, version: u64, metadata: Metadata) {
        self.set_description(Shared::new(Description { version, metadata }));
    }

    /// Shares the description of the holder that had the name before, unless it has one of its own.
    pub(crate) fn inherit(&self, before: &Self) {
        let guard = Guard::new();
        if self.description.load(Ordering::Acquire, &guard).as_ref().is_some() {
            return;
        }
        if let Some(description) = before.description.get_shared(Ordering::Acquire, &guard) {
            self.set_description(description);
        }
    }

    fn set_description(&self, description: Shared<Description>) {
        drop(self.description.swap((Some(description), Tag::None), Ordering::AcqRel));
    }

    pub(crate) fn is_reason_requested(&self) -> bool {
        self.reason_requested.load(Ordering::Relaxed)
    }

    pub(crate) fn set_reason_requested(&self) {
        self.reason_requested.store(true, Ordering::Relaxed);
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

    /// Which incarnation of the same child it replaces.
    pub(crate) fn previous(&self) -> Option<ActorId> {
        self.rare.as_ref()?.previous
    }

    /// Why its actor ended, if that has been reported.
    pub(crate) fn reason(&self) -> Option<ExitReason> {
        self.reason.get().cloned()
    }

    /// The actor if messages can be sent to it: a draining one refuses them.
    #[inline]
    pub(crate) fn live(&self) -> Option<&ActorCell> {
        let (actor, _) = self.life.get()?;
        self.is_current(actor).then_some(actor)
    }

    /// The same, if it answers to `M`.
    #[inline]
    pub(crate) fn live_as<M: 'static>(&self) -> Result<&ActorCell, LookupError> {
        let actor = self.live().ok_or(LookupError::Absent)?;
        self.check_type::<M>().map(|()| actor)
    }

    /// Whether it answers to `M`.
    #[inline]
    pub(crate) fn check_type<M: 'static>(&self) -> Result<(), LookupError> {
        if self.answers_to == TypeId::of::<M>() { Ok(()) } else { Err(self.wrong_type()) }
    }

    #[cold]
    fn wrong_type(&self) -> LookupError {
        match self.value() {
            Some(_) => LookupError::WrongKind(self.message),
            None => LookupError::WrongType(self.message),
        }
    }

    /// The registration of this actor under the name.
    pub(crate) fn registration_of(&self, actor: ActorId, metadata: Option<Metadata>) -> Registration {
        let (name, message, restarts, origin) = (self.name.clone(), self.message, self.restarts, self.origin);
        Registration { name, actor, message, restarts, origin, metadata }
    }

    /// The registration of its actor under the name; `None` while the name is only claimed.
    pub(crate) fn registration(&self, metadata: Option<Metadata>) -> Option<Registration> {
        Some(self.registration_of(self.actor_id()?, metadata))
    }

    /// Whether messages can be sent to it, for a caller that has this holder's actor.
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
        match self.actor().map(ActorCell::get_status) {
            None => Standing::Living,
            Some(status) if status < ActorStatus::Draining => Standing::Living,
            Some(ActorStatus::Stopped) if self.origin.is_monitored() => Standing::Gone,
            Some(_) => Standing::Leaving,
        }
    }
}

impl Drop for Holder {
    /// Dropping the last reference to an actor drops its unread messages. The map of names drops its entries at any
    /// time, on the thread of any reader.
    fn drop(&mut self) {
        drop_contained("an actor's unread messages", self.life.take());
        drop_contained("the value of a supervisor's name", self.rare.take());
    }
}

/// A name with the actor that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registration {
    /// The name.
    pub name: ServiceName,
    /// The actor that has it: its incarnation.
    pub actor: ActorId,
    /// The message type that it answers to, for display; of a supervisor its kind, such as `DynamicSupervisor`.
    pub message: &'static str,
    /// How often the child that registers this name was started again, since it has its present specification.
    pub restarts: u32,
    /// Where the actor was started.
    pub origin: Origin,
    /// The metadata that its owner has set.
    pub metadata: Option<Metadata>,
}

/// One incarnation of a name, as its watches know it; in tests a number.
pub(crate) trait NameIncarnation: Clone {
    fn is(&self, other: &Self) -> bool;
    fn name(&self) -> &ServiceName;
    /// Which incarnation of the same child it replaces.
    fn previous(&self) -> Option<ActorId>;
    /// Why it ended, if that had been reported when this value was made.
    fn reason(&self) -> Option<ExitReason>;
    /// Its registration with this metadata.
    fn registration(&self, metadata: Option<Metadata>) -> Registration;
}

/// A holder without its actor: it owns nothing foreign, since dropping the last reference to an actor drops the messages
/// that the actor has not read. It is this incarnation and no other: the memory of a holder is not used again while there
/// is a weak reference.
#[derive(Clone)]
pub(crate) struct Incarnation(Arc<Parts>);

struct Parts {
    holder: Weak<Holder>,
    /// Without metadata.
    registration: Registration,
    previous: Option<ActorId>,
    reason: Option<ExitReason>,
}

impl Incarnation {
    /// `None` if the name is only claimed.
    pub(crate) fn of(holder: &Arc<Holder>) -> Option<Self> {
        let registration = holder.registration(None)?;
        let (previous, reason) = (holder.previous(), holder.reason());
        Some(Self(Arc::new(Parts { holder: Arc::downgrade(holder), registration, previous, reason })))
    }
}

impl NameIncarnation for Incarnation {
    fn is(&self, other: &Self) -> bool {
        Weak::ptr_eq(&self.0.holder, &other.0.holder)
    }

    fn name(&self) -> &ServiceName {
        &self.0.registration.name
    }

    fn previous(&self) -> Option<ActorId> {
        self.0.previous
    }

    fn reason(&self) -> Option<ExitReason> {
        self.0.reason.clone()
    }

    fn registration(&self, metadata: Option<Metadata>) -> Registration {
        Registration { metadata, ..self.0.registration.clone() }
    }
}

/// What a predicate sees of a service: borrowed, for the time of one call.
pub struct ServiceEntry<'a> {
    holder: &'a Holder,
    actor: &'a ActorCell,
    metadata: Option<&'a Metadata>,
}

impl fmt::Debug for ServiceEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceEntry")
            .field("name", self.holder.name())
            .field("actor", &self.actor.get_id())
            .finish_non_exhaustive()
    }
}

impl<'a> ServiceEntry<'a> {
    /// `None` if the holder has no live actor.
    pub(crate) fn of(holder: &'a Holder, guard: &'a Guard) -> Option<Self> {
        let actor = holder.live()?;
        let description = holder.description.load(Ordering::Acquire, guard).as_ref();
        Some(Self { holder, actor, metadata: description.map(|description| &description.metadata) })
    }

    /// Its name.
    pub fn name(&self) -> &'a ServiceName {
        &self.holder.name
    }

    /// The actor that has the name.
    pub fn actor(&self) -> &'a ActorCell {
        self.actor
    }

    /// The metadata that its owner has set.
    pub fn metadata(&self) -> Option<&'a Metadata> {
        self.metadata
    }

    /// The message type that it answers to, for display; of a supervisor its kind, such as `DynamicSupervisor`.
    pub fn message(&self) -> &'static str {
        self.holder.message
    }

    /// How often the child that registers this name was started again, since it has its present specification.
    pub fn restarts(&self) -> u32 {
        self.holder.restarts
    }

    /// Where the actor was started.
    pub fn origin(&self) -> Origin {
        self.holder.origin
    }
}
