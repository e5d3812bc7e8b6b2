//! Hostile foreign code: values whose destructors panic, errors without a text, and an actor that carries them.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use foundation::ChildSpec;
use foundation::ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use foundation::supervision::{ChildKind, StartContext, StartError, Started};
use futures::future::BoxFuture;

/// Panics when it is dropped, with a payload that does so too.
pub(super) struct Explosive;

impl Drop for Explosive {
    fn drop(&mut self) {
        std::panic::panic_any(Payload);
    }
}

/// A panic's payload that panics when it is dropped, once.
pub(super) struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("the payload of a panic");
        }
    }
}

/// Errors, each with a property that an error should not have.
#[derive(Debug)]
pub(super) enum BadError {
    /// No text.
    Wordless,
    /// Itself as its cause.
    OwnCause,
    /// A text that panics.
    Panics,
    /// A text without an end.
    Endless,
    /// A destructor that panics.
    Explosive,
}

impl BadError {
    pub(super) const ALL: [fn() -> Self; 5] =
        [|| Self::Wordless, || Self::OwnCause, || Self::Panics, || Self::Endless, || Self::Explosive];
}

impl fmt::Display for BadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wordless => Err(fmt::Error),
            Self::OwnCause | Self::Explosive => f.write_str("a bad error"),
            Self::Panics => panic!("a text that panics"),
            Self::Endless => loop {
                f.write_str("and so on, ")?;
            },
        }
    }
}

impl Error for BadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        matches!(self, Self::OwnCause).then_some(self)
    }
}

impl Drop for BadError {
    fn drop(&mut self) {
        if matches!(self, Self::Explosive) {
            std::panic::panic_any(Payload);
        }
    }
}

type Made = Arc<dyn Fn() -> Box<dyn Any + Send> + Send + Sync>;
type Deed = Box<dyn FnOnce(ActorRef<Carry>) -> BoxFuture<'static, Result<(), ActorProcessingErr>> + Send>;

/// A message to a [`Carrier`]: a function to run.
pub(super) struct Carry(Deed);
foundation::local_message!(Carry);

/// An actor whose handler and state hold a value.
#[derive(Clone)]
pub(super) struct Carrier {
    state: Made,
    #[expect(dead_code, reason = "it is there to be dropped")]
    held: Option<Arc<Explosive>>,
}

impl Carrier {
    /// Its state is the function's result.
    pub(super) fn of<T: Send + 'static>(state: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self { state: Arc::new(move || Box::new(state())), held: None }
    }

    /// As a child.
    pub(super) fn spec(&self, id: &str) -> ChildSpec {
        let carrier = self.clone();
        ChildSpec::worker(id, move || (carrier.clone(), ()))
    }

    /// As a child whose handler panics when it is dropped, too.
    pub(super) fn explosive_spec(&self, id: &str) -> ChildSpec {
        let carrier = self.clone();
        ChildSpec::worker(id, move || (Self { held: Some(Arc::new(Explosive)), ..carrier.clone() }, ()))
    }

    /// As a child that ractor alone has spawned.
    pub(super) fn bare_spec(&self, id: &str) -> ChildSpec {
        let carrier = self.clone();
        ChildSpec::from_fn(id, ChildKind::Worker, move |context: StartContext| {
            let carrier = carrier.clone();
            async move {
                let spawned = Actor::spawn_linked(None, carrier, (), context.supervisor().clone()).await;
                let (actor, task) = spawned.map_err(StartError::failed)?;
                Ok(Started::new(actor, task))
            }
        })
    }
}

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Carrier {
    type Msg = Carry;
    type State = Box<dyn Any + Send>;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Carry>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        Ok((self.state)())
    }

    async fn handle(
        &self,
        myself: ActorRef<Carry>,
        Carry(deed): Carry,
        _: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        deed(myself).await
    }
}

/// Makes a carrier run a function.
pub(super) fn tell<F>(actor: &ActorCell, deed: impl FnOnce(ActorRef<Carry>) -> F + Send + 'static)
where
    F: Future<Output = Result<(), ActorProcessingErr>> + Send + 'static,
{
    let carry = Carry(Box::new(move |myself| Box::pin(deed(myself))));
    ActorRef::<Carry>::from(actor.clone()).cast(carry).expect("the carrier takes messages");
}
