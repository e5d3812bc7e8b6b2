//! Handles that survive restarts.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ractor::{ActorCell, ActorId, ActorRef, Message, RpcReplyPort};
use tokio::sync::oneshot;

use super::error::RegistryError;
use crate::ask::{TimeLimit, reply, send};
use crate::namespace::{Namespace, ServiceKey};
use crate::registry::names::{Holder, LookupError, Table};

/// A typed, late-bound handle: it names a service and finds its actor at each use, so it survives restarts.
///
/// Elixir's via tuple, with the message type. It remembers the incarnation that it met first and uses it for as long as
/// that one is current (one atomic flag and the actor's status, about 2 ns); afterwards it reads the table (about 15
/// ns). A handle that is owned comes up to date with [`resolve`](Via::resolve) or [`refresh`](Via::refresh). Cloning is
/// cheap; the actor need not exist when the handle is made.
///
/// ```
/// use std::time::Duration;
/// use foundation_kernel::names::{Namespace, ProcessRegistry, ServiceKey};
/// use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
///
/// struct Counter;
/// enum CounterMsg { Add(u64), Total(RpcReplyPort<u64>) }
/// foundation_kernel::local_message!(CounterMsg);
/// const COUNTER: ServiceKey<CounterMsg> = ServiceKey::from_static("counter");
///
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// impl Actor for Counter {
///     type Msg = CounterMsg;
///     type State = u64;
///     type Arguments = ();
///     async fn pre_start(&self, _: ActorRef<CounterMsg>, _: ()) -> Result<u64, ActorProcessingErr> { Ok(0) }
///     async fn handle(&self, _: ActorRef<CounterMsg>, message: CounterMsg, total: &mut u64) -> Result<(), ActorProcessingErr> {
///         match message {
///             CounterMsg::Add(n) => *total += n,
///             CounterMsg::Total(reply) => { let _ = reply.send(*total); }
///         }
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let registry = ProcessRegistry::start().await?;
/// let mine = registry.namespace(Namespace::test()).await?;
/// let counter = mine.via(&COUNTER);
/// assert!(!counter.is_alive());
///
/// mine.spawn(&COUNTER, Counter, ()).await?;
/// counter.cast(CounterMsg::Add(2))?;
/// assert_eq!(counter.call(CounterMsg::Total, Duration::from_secs(1)).await?, 2);
/// registry.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct Via<M> {
    table: Arc<Table>,
    key: ServiceKey<M>,
    first: OnceLock<Bound>,
    /// Whether the first incarnation is the only one.
    pinned: bool,
}

/// An incarnation, with its actor at hand: one indirection less than through its holder.
#[derive(Clone)]
struct Bound {
    holder: Arc<Holder>,
    actor: ActorCell,
}

impl Bound {
    fn new(holder: &Arc<Holder>, actor: &ActorCell) -> Self {
        Self { holder: Arc::clone(holder), actor: actor.clone() }
    }

    /// The actor for as long as the incarnation is current.
    #[inline]
    fn live(&self) -> Option<&ActorCell> {
        self.holder.is_current(&self.actor).then_some(&self.actor)
    }
}

/// Why a message was not taken.
enum Unsent {
    /// There is no actor for it.
    NotFound(LookupError),
    /// The actor that was found ended before it took the message.
    Ended(ActorId),
}

impl<M: Message> Via<M> {
    pub(crate) fn new(table: Arc<Table>, key: ServiceKey<M>) -> Self {
        Self { table, key, first: OnceLock::new(), pinned: false }
    }

    /// The same handle for the present incarnation alone: after its end, or when it has lost its name, no message goes to
    /// its successor. For callers that keep something about one incarnation, such as its calls in flight.
    ///
    /// # Errors
    /// As [`actor_ref`](Self::actor_ref).
    pub fn pinned(mut self) -> Result<Self, RegistryError> {
        self.resolve()?;
        Ok(Self { pinned: true, ..self })
    }

    /// The key of the service.
    pub fn key(&self) -> &ServiceKey<M> {
        &self.key
    }

    /// The namespace in which the name is looked up.
    pub fn namespace(&self) -> Namespace {
        self.table.namespace()
    }

    /// Sends a message and does not wait.
    ///
    /// # Errors
    /// [`CastError`] gives the message back if no actor takes it: nothing is lost.
    pub fn cast(&self, message: M) -> Result<(), CastError<M>> {
        self.send_bound(message).map(drop).or_else(|message| self.send_anew(message, |_| ()))
    }

    /// Sends to the incarnation that the handle met first, and returns the actor that took it.
    #[inline]
    fn send_bound(&self, message: M) -> Result<&ActorCell, M> {
        match self.first.get() {
            // The send itself finds out whether the actor still takes messages.
            Some(bound) if !bound.holder.is_retired() => send(&bound.actor, message).map(|()| &bound.actor),
            _ => Err(message),
        }
    }

    /// Sends to the current incarnation, and returns the result of `taken` for it.
    #[inline(never)]
    fn send_anew<T>(&self, message: M, taken: impl Fn(&ActorCell) -> T) -> Result<T, CastError<M>> {
        let (mut message, mut before) = (message, None);
        loop {
            // An actor may end between the lookup and the send. Its successor, if it has one by then, gets the message. So
            // each turn is the end of another incarnation; without any progress, the second is the last.
            let (unsent, why) = match self.try_send(message, &taken) {
                Ok(taken) => return Ok(taken),
                Err(failed) => failed,
            };
            message = unsent;
            match why {
                Unsent::NotFound(miss) if miss != LookupError::Absent || before == Some(None) => {
                    return Err(CastError { message, reason: self.explain(miss) });
                }
                Unsent::Ended(actor) if before == Some(Some(actor)) => {
                    return Err(CastError { message, reason: self.explain(LookupError::Absent) });
                }
                Unsent::NotFound(_) => before = Some(None),
                Unsent::Ended(actor) => before = Some(Some(actor)),
            }
        }
    }

    fn try_send<T>(&self, message: M, taken: impl Fn(&ActorCell) -> T) -> Result<T, (M, Unsent)> {
        let mut unsent = Some(message);
        let outcome = self.borrow(|actor| match unsent.take().map(|message| send(actor, message)) {
            Some(Err(message)) => {
                unsent = Some(message);
                Err(actor.get_id())
            }
            _ => Ok(taken(actor)),
        });
        match (outcome, unsent) {
            (Ok(Ok(taken)), _) => Ok(taken),
            (Ok(Err(actor)), Some(message)) => Err((message, Unsent::Ended(actor))),
            (Err(miss), Some(message)) => Err((message, Unsent::NotFound(miss))),
            (_, None) => unreachable!("a message that no actor took is here"),
        }
    }

    /// Sends a message with a reply port and waits for the answer.
    ///
    /// The end of the service is an answer too: a service that hands the reply port on to another actor must not end
    /// before that one has replied, as in OTP.
    ///
    /// # Errors
    /// [`CallError::NotDelivered`] gives the message back; [`CallError::TimedOut`] if no answer came in time (the
    /// service may still have acted); [`CallError::NoReply`], at once, if the service ended, or dropped the port,
    /// without answering; [`CallError::NoRuntime`] outside a tokio runtime, before anything is sent.
    pub async fn call<R: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<R>) -> M,
        limit: Duration,
    ) -> Result<R, CallError<M>> {
        let (key, namespace) = (|| self.key.to_string(), || self.namespace());
        let time =
            TimeLimit::try_begin(limit).ok_or_else(|| CallError::NoRuntime { key: key(), namespace: namespace() })?;
        let (sender, answer) = oneshot::channel();
        let current;
        let actor = match self.send_bound(message((sender, limit).into())) {
            Ok(actor) => actor,
            Err(message) => {
                current = self.send_anew(message, ActorCell::clone)?;
                &current
            }
        };
        match time.within(pin!(reply(actor, answer))).await {
            Some(Some(reply)) => Ok(reply),
            Some(None) => Err(CallError::NoReply { key: key(), namespace: namespace() }),
            None => Err(CallError::TimedOut { key: key(), namespace: namespace(), limit }),
        }
    }

    /// The current incarnation. A reference dies with it; a `Via` does not.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::WrongType`], [`RegistryError::WrongKind`].
    pub fn actor_ref(&self) -> Result<ActorRef<M>, RegistryError> {
        self.with(|actor| actor.clone().into())
    }

    /// Whether there is an actor that would take a message now.
    pub fn is_alive(&self) -> bool {
        self.borrow(|_| ()).is_ok()
    }

    /// Borrows the current incarnation for the time of a function. About 2 ns while it is the one that the handle met
    /// first, and what [`ServiceRegistry::with`](crate::names::ServiceRegistry::with) costs afterwards.
    ///
    /// # Errors
    /// As [`actor_ref`](Self::actor_ref).
    #[inline]
    pub fn with<R>(&self, read: impl FnOnce(&ActorCell) -> R) -> Result<R, RegistryError> {
        self.borrow(read).map_err(|miss| self.explain(miss))
    }

    /// The current incarnation, borrowed. The handle binds to it, so it takes the short path, about 1 ns, after
    /// restarts too: the cheapest way for the owner of the handle.
    ///
    /// # Errors
    /// As [`actor_ref`](Self::actor_ref).
    #[inline]
    pub fn resolve(&mut self) -> Result<&ActorCell, RegistryError> {
        if !self.is_bound() {
            self.rebind().map_err(|miss| self.explain(miss))?;
        }
        match self.first.get_mut() {
            Some(bound) => Ok(&bound.actor),
            None => Err(explain(&self.table, &self.key, LookupError::Absent)),
        }
    }

    /// Binds to the current incarnation, if there is one, so that the next uses take the short path again.
    pub fn refresh(&mut self) -> &mut Self {
        if !self.is_bound() {
            // A miss does no harm: the next use looks the name up again.
            let _ = self.rebind();
        }
        self
    }

    #[inline]
    fn is_bound(&mut self) -> bool {
        self.first.get_mut().is_some_and(|bound| bound.live().is_some())
    }

    #[cold]
    fn rebind(&mut self) -> Result<(), LookupError> {
        if self.pinned {
            return Err(LookupError::Absent);
        }
        self.first = OnceLock::new();
        self.borrow(|_| ())
    }

    #[inline]
    fn borrow<R>(&self, read: impl FnOnce(&ActorCell) -> R) -> Result<R, LookupError> {
        match self.first.get().and_then(Bound::live) {
            Some(actor) => Ok(read(actor)),
            None => self.borrow_by_name(read),
        }
    }

    /// Borrows by a lookup, and binds to the first actor that it finds.
    #[inline(never)]
    fn borrow_by_name<R>(&self, read: impl FnOnce(&ActorCell) -> R) -> Result<R, LookupError> {
        if self.pinned {
            return Err(LookupError::Absent);
        }
        self.table.with::<M, R>(self.key.name().as_str(), |holder, actor| {
            self.first.get_or_init(|| Bound::new(holder, actor));
            read(actor)
        })
    }

    #[cold]
    fn explain(&self, miss: LookupError) -> RegistryError {
        explain(&self.table, &self.key, miss)
    }
}

fn explain<M>(table: &Table, key: &ServiceKey<M>, miss: LookupError) -> RegistryError {
    RegistryError::lookup_failed::<M>(table.namespace(), key.name(), miss, |most| table.live_names(most))
}

impl<M> Clone for Via<M> {
    fn clone(&self) -> Self {
        Self { table: Arc::clone(&self.table), key: self.key.clone(), first: self.first.clone(), pinned: self.pinned }
    }
}

impl<M> fmt::Debug for Via<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Via({} in {})", self.key, self.table.namespace())
    }
}

/// A message that no actor took, with the reason.
#[derive(thiserror::Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct CastError<M> {
    /// The message, as it was given.
    pub message: M,
    /// Why it could not be delivered.
    pub reason: RegistryError,
}

/// Why a call has no answer.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CallError<M> {
    /// No actor took the message.
    #[error("{}", .0.reason)]
    NotDelivered(CastError<M>),
    /// No answer came in time.
    #[error("service {key} in namespace {namespace} did not answer within {limit:?}")]
    TimedOut {
        /// The service that was called.
        key: String,
        /// Where.
        namespace: Namespace,
        /// How long was waited.
        limit: Duration,
    },
    /// The message was taken and dropped without an answer, because the service ended or chose not to.
    #[error("service {key} in namespace {namespace} took the message and ended without an answer")]
    NoReply {
        /// The service that was called.
        key: String,
        /// Where.
        namespace: Namespace,
    },
    /// The caller runs outside a tokio runtime, or in one whose time is not enabled: its limit cannot be kept. Nothing
    /// was sent.
    #[error(
        "service {key} in namespace {namespace} was not called: a call needs a tokio runtime with time enabled, to keep its limit"
    )]
    NoRuntime {
        /// The service that was to be called.
        key: String,
        /// Where.
        namespace: Namespace,
    },
}

impl<M> From<CastError<M>> for CallError<M> {
    fn from(error: CastError<M>) -> Self {
        Self::NotDelivered(error)
    }
}

// By hand: a message need not be `Debug` for its error to be.
impl<M> fmt::Debug for CastError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CastError({:?})", self.reason)
    }
}

impl<M> fmt::Debug for CallError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDelivered(error) => write!(f, "NotDelivered({:?})", error.reason),
            other => write!(f, "{other}"),
        }
    }
}
