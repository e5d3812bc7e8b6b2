//! An actor on strings.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foundation::ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::{ChildKind, ChildSpec, Start, StartContext, StartError};
use tokio::task::block_in_place;

use super::{Conduct, Log, Moment, soon};

/// An order to a running [`Puppet`].
#[derive(Debug)]
pub enum Order {
    /// Stop, as its own decision, with this reason or none.
    Stop(Option<&'static str>),
    /// Return this error.
    Fail(&'static str),
    /// Panic with this text.
    Panic(&'static str),
    /// Never return from this message.
    Hang,
    /// Block the thread, without yielding to a kill, until a value is sent or the sender is dropped; on a runtime of
    /// several threads only.
    Block(Receiver<()>),
    /// Answer with the incarnation: 1 for the first actor of this puppet, 2 for the next.
    Ping(RpcReplyPort<u32>),
}
foundation::local_message!(Order);

/// A name, its behaviour, and its latest actor. Clones are the same puppet.
#[derive(Clone)]
pub struct Puppet {
    name: Arc<str>,
    log: Log,
    stage: Arc<Mutex<Stage>>,
}

#[derive(Default)]
struct Stage {
    always: Vec<(Moment, Conduct)>,
    next: VecDeque<(Moment, Conduct)>,
    actor: Option<ActorRef<Order>>,
    incarnations: u32,
    alive: usize,
    overlaps: usize,
    hold: Option<Receiver<()>>,
}

impl Puppet {
    /// A puppet without faults, yet.
    pub fn new(name: &str, log: &Log) -> Self {
        Self { name: name.into(), log: log.clone(), stage: Arc::default() }
    }

    /// The puppet as a worker whose id is its name.
    pub fn spec(&self) -> ChildSpec {
        self.spec_as(ChildKind::Worker)
    }

    /// The puppet as a child of this kind.
    pub fn spec_as(&self, kind: ChildKind) -> ChildSpec {
        let puppet = self.clone();
        ChildSpec::from_fn(&*self.name, kind, move |context| puppet.clone().start(context))
    }

    async fn start(self, context: StartContext) -> Result<Start, StartError> {
        self.log.note(&self.name, Moment::Called);
        if let Conduct::Ignore = self.conduct(Moment::Called).await.map_err(StartError::failed)? {
            return Ok(Start::Ignore);
        }
        Ok(context.spawn(self.actor(), ()).await?.into())
    }

    /// A fresh actor of this puppet, to be spawned by hand.
    pub fn actor(&self) -> Performer {
        Performer { puppet: self.clone(), number: 0.into() }
    }

    /// Sets its behaviour at this moment, from now on.
    pub fn always(&self, moment: Moment, conduct: Conduct) {
        let mut stage = self.stage();
        stage.always.retain(|(at, _)| *at != moment);
        stage.always.push((moment, conduct));
    }

    /// Sets its behaviour at the next time of this moment; several of them queue up.
    pub fn next(&self, moment: Moment, conduct: Conduct) {
        self.stage().next.push_back((moment, conduct));
    }

    /// Gives an order to the latest incarnation.
    ///
    /// # Panics
    /// If that has ended, or there was none.
    pub fn order(&self, order: Order) {
        self.latest().cast(order).unwrap_or_else(|error| panic!("{} does not listen: {error}", self.name));
    }

    /// The latest incarnation.
    ///
    /// # Panics
    /// If there was none.
    pub fn latest(&self) -> ActorRef<Order> {
        let latest = self.stage().actor.clone();
        latest.unwrap_or_else(|| panic!("{} was never started", self.name))
    }

    /// The id of the latest incarnation.
    pub fn id(&self) -> ActorId {
        self.latest().get_id()
    }

    /// Lets the destructor of the next ending actor block its thread until a value is sent, or the sender is dropped;
    /// on a runtime of several threads only.
    pub fn hold(&self, released: Receiver<()>) {
        self.stage().hold = Some(released);
    }

    /// The number of actors of this puppet, from the beginning of `pre_start` until the handler is dropped.
    pub fn alive(&self) -> usize {
        self.stage().alive
    }

    /// How often an incarnation began its `pre_start` while another was not gone.
    pub fn overlaps(&self) -> usize {
        self.stage().overlaps
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn conduct(&self, moment: Moment) -> Result<Conduct, ActorProcessingErr> {
        let conduct = self.pick(moment);
        match &conduct {
            Conduct::Proceed | Conduct::Ignore => {}
            Conduct::Fail(text) => return Err((*text).into()),
            Conduct::Panic(text) => panic!("{text}"),
            Conduct::Hang => pending().await,
            Conduct::Wait(gate) => gate.passed().await,
            Conduct::Take(time) => take(*time).await,
            Conduct::Ask(question) => question.ask().await,
        }
        Ok(conduct)
    }

    fn pick(&self, moment: Moment) -> Conduct {
        let mut stage = self.stage();
        if let Some(first) = stage.next.iter().position(|(at, _)| *at == moment) {
            return stage.next.remove(first).map_or(Conduct::Proceed, |(_, conduct)| conduct);
        }
        let always = stage.always.iter().find(|(at, _)| *at == moment);
        always.map_or(Conduct::Proceed, |(_, conduct)| conduct.clone())
    }

    fn enter(&self, myself: &ActorRef<Order>) -> u32 {
        let mut stage = self.stage();
        stage.overlaps += usize::from(stage.alive > 0);
        stage.alive += 1;
        stage.incarnations += 1;
        stage.actor = Some(myself.clone());
        stage.incarnations
    }
}

#[expect(clippy::disallowed_methods, reason = "an actor that takes its time is what is tested, on a paused clock")]
async fn take(time: Duration) {
    tokio::time::sleep(time).await;
}

/// One actor of a [`Puppet`].
pub struct Performer {
    puppet: Puppet,
    /// The number of the incarnation; 0 before `pre_start`.
    number: AtomicU32,
}

impl Performer {
    fn number(&self) -> u32 {
        self.number.load(Ordering::Relaxed)
    }
}

impl Drop for Performer {
    fn drop(&mut self) {
        let hold = self.puppet.stage().hold.take();
        if let Some(released) = hold {
            // A task that the end has woken would otherwise wait on this thread, and no other thread may run it.
            let _ = block_in_place(|| released.recv());
        }
        if self.number() > 0 {
            self.puppet.stage().alive -= 1;
        }
        self.puppet.log.note(&self.puppet.name, Moment::Dropped);
    }
}

/// The state of a [`Performer`], which records its own end.
pub struct Costume(Puppet);

impl Drop for Costume {
    fn drop(&mut self) {
        self.0.log.note(&self.0.name, Moment::StateDropped);
    }
}

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Performer {
    type Msg = Order;
    type State = Costume;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Order>, (): ()) -> Result<Costume, ActorProcessingErr> {
        self.number.store(self.puppet.enter(&myself), Ordering::Relaxed);
        let Puppet { name, log, .. } = &self.puppet;
        log.note(name, Moment::Starting);
        self.puppet.conduct(Moment::Starting).await?;
        log.note(name, Moment::Up);
        Ok(Costume(self.puppet.clone()))
    }

    async fn post_start(&self, _: ActorRef<Order>, _: &mut Costume) -> Result<(), ActorProcessingErr> {
        self.puppet.log.note(&self.puppet.name, Moment::Started);
        self.puppet.conduct(Moment::Started).await?;
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Order>, _: &mut Costume) -> Result<(), ActorProcessingErr> {
        self.puppet.log.note(&self.puppet.name, Moment::Stopping);
        self.puppet.conduct(Moment::Stopping).await?;
        self.puppet.log.note(&self.puppet.name, Moment::Down);
        Ok(())
    }

    async fn handle(&self, myself: ActorRef<Order>, order: Order, _: &mut Costume) -> Result<(), ActorProcessingErr> {
        match order {
            Order::Stop(reason) => myself.stop(reason.map(str::to_owned)),
            Order::Fail(text) => return Err(text.into()),
            Order::Panic(text) => panic!("{text}"),
            Order::Hang => pending().await,
            Order::Block(released) => {
                self.puppet.log.note(&self.puppet.name, Moment::Blocked);
                let _ = block_in_place(|| released.recv());
            }
            Order::Ping(reply) => {
                let _ = reply.send(self.number());
            }
        }
        Ok(())
    }
}

/// The number of this actor's incarnation; `None` if it does not answer.
pub async fn ping(actor: &ActorCell) -> Option<u32> {
    let (sender, answer) = tokio::sync::oneshot::channel();
    ActorRef::<Order>::from(actor.clone()).cast(Order::Ping(sender.into())).ok()?;
    soon("the answer to a ping", answer).await.ok()
}
