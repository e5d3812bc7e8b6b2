use std::collections::VecDeque;
use std::fmt;
use std::future::pending;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use foundation::ChildSpec;
use foundation::ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::supervision::{ChildKind, Start, StartContext, StartError};
use tokio::sync::watch;
use tokio::task::block_in_place;

use crate::{Behavior, Gate, Log, Moment, soon};

/// A message to a [`Probe`].
#[derive(Debug)]
pub enum Command {
    /// Stop, as its own decision, with this reason or none.
    Stop(Option<&'static str>),
    /// Return this error.
    Fail(&'static str),
    /// Panic with this text.
    Panic(&'static str),
    /// Never return from this message.
    Hang,
    /// Return from this message when the gate is open.
    Stay(Gate),
    /// Block the thread, without yielding to a kill, until a value is sent or the sender is dropped; on a runtime of
    /// several threads only.
    Block(Receiver<()>),
    /// Answer with the incarnation: 1 for the first actor of this puppet, 2 for the next.
    Ping(RpcReplyPort<u32>),
    /// Answer with the actor's id.
    Id(RpcReplyPort<ActorId>),
    /// Answer with the puppet's name.
    Name(RpcReplyPort<String>),
    /// Take a note.
    Note(&'static str),
    /// Answer with the notes so far.
    Notes(RpcReplyPort<Vec<String>>),
    /// Answer with this value.
    Answer(bool, RpcReplyPort<bool>),
    /// Answer with this result.
    AnswerResult(Result<u8, &'static str>, RpcReplyPort<Result<u8, &'static str>>),
    /// Keep the port until the end, without an answer.
    Keep(RpcReplyPort<bool>),
    /// Drop the port without an answer.
    Drop(RpcReplyPort<bool>),
}
foundation::local_message!(Command);

/// One name with all its actors, one after the other: their behaviour, the latest of them, and how many there were.
/// Clones are the same puppet.
#[derive(Clone)]
pub struct Puppet(Arc<PuppetState>);

struct PuppetState {
    name: String,
    log: Log,
    script: Mutex<Script>,
    lives: watch::Sender<Lives>,
}

#[derive(Default)]
struct Script {
    always: Vec<(Moment, Behavior)>,
    next: VecDeque<(Moment, Behavior)>,
    latest: Option<ActorRef<Command>>,
    hold: Option<Receiver<()>>,
}

/// The numbers of lives, each from the beginning of `pre_start` until state and handler are dropped.
#[derive(Clone, Copy, Default)]
struct Lives {
    begun: u32,
    ended: u32,
    overlaps: usize,
}

impl Lives {
    fn alive(self) -> usize {
        (self.begun - self.ended) as usize
    }
}

impl Puppet {
    /// A puppet without faults, yet.
    pub fn new(name: &str, log: &Log) -> Self {
        let (script, lives) = Default::default();
        Self(Arc::new(PuppetState { name: name.to_owned(), log: log.clone(), script, lives }))
    }

    /// The puppet as a worker whose id is its name.
    pub fn spec(&self) -> ChildSpec {
        self.spec_as(ChildKind::Worker)
    }

    /// The puppet as a child of this kind.
    pub fn spec_as(&self, kind: ChildKind) -> ChildSpec {
        let puppet = self.clone();
        ChildSpec::from_fn(&*self.0.name, kind, move |context| puppet.clone().start(context))
    }

    async fn start(self, context: StartContext) -> Result<Start, StartError> {
        self.note(Moment::Called);
        let behavior = self.pick(Moment::Called);
        behavior.run().await.map_err(StartError::failed)?;
        match behavior {
            Behavior::Ignore => Ok(Start::Ignore),
            _ => Ok(context.spawn(self.actor(), ()).await?.into()),
        }
    }

    /// A fresh actor of this puppet, to be spawned by hand.
    pub fn actor(&self) -> Probe {
        Probe {
            start: None,
            stop: None,
            on_drop: OnDrop::default(),
            life: OnceLock::new(),
            puppet: PuppetRef(self.clone()),
        }
    }

    /// Sets its behaviour at this moment, from now on.
    pub fn always(&self, moment: Moment, behavior: Behavior) {
        let mut script = self.script();
        script.always.retain(|(at, _)| *at != moment);
        script.always.push((moment, behavior));
    }

    /// Sets its behaviour at the next time of this moment; several of them queue up.
    pub fn next(&self, moment: Moment, behavior: Behavior) {
        self.script().next.push_back((moment, behavior));
    }

    /// Sends a command to the latest incarnation.
    ///
    /// # Panics
    /// If that has ended, or there was none.
    #[track_caller]
    pub fn order(&self, command: Command) {
        self.latest().cast(command).unwrap_or_else(|error| panic!("{} takes no message: {error}", self.0.name));
    }

    /// The latest incarnation.
    ///
    /// # Panics
    /// If there was none.
    #[track_caller]
    pub fn latest(&self) -> ActorRef<Command> {
        let latest = self.script().latest.clone();
        latest.unwrap_or_else(|| panic!("{} was never started", self.0.name))
    }

    /// The id of the latest incarnation.
    #[track_caller]
    pub fn id(&self) -> ActorId {
        self.latest().get_id()
    }

    /// Lets the destructor of the next ending actor block its thread until a value is sent, or the sender is dropped;
    /// on a runtime of several threads only.
    pub fn hold(&self, released: Receiver<()>) {
        self.script().hold = Some(released);
    }

    /// The number of its actors that are alive, from the beginning of `pre_start` until all of an actor is dropped.
    pub fn alive(&self) -> usize {
        self.0.lives.borrow().alive()
    }

    /// The number of lives that have begun so far.
    pub fn lives(&self) -> usize {
        self.0.lives.borrow().begun as usize
    }

    /// How often an incarnation began its `pre_start` while another was not gone.
    pub fn overlaps(&self) -> usize {
        self.0.lives.borrow().overlaps
    }

    /// Returns when this many lives have begun.
    pub async fn lived(&self, lives: usize) {
        let mut seen = self.0.lives.subscribe();
        let lived = seen.wait_for(|seen| seen.begun as usize >= lives);
        let _ = soon(format!("life {lives} of {}", self.0.name), lived).await;
    }

    /// Returns when this many lives have ended.
    pub async fn ended(&self, ends: usize) {
        let mut seen = self.0.lives.subscribe();
        let ended = seen.wait_for(|seen| seen.ended as usize >= ends);
        let _ = soon(format!("end {ends} of {}", self.0.name), ended).await;
    }

    fn note(&self, moment: Moment) {
        self.0.log.note(&self.0.name, moment);
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pick(&self, moment: Moment) -> Behavior {
        let mut script = self.script();
        if let Some(first) = script.next.iter().position(|(at, _)| *at == moment) {
            return script.next.remove(first).map_or(Behavior::Proceed, |(_, behavior)| behavior);
        }
        let always = script.always.iter().find(|(at, _)| *at == moment);
        always.map_or(Behavior::Proceed, |(_, behavior)| behavior.clone())
    }

    fn begin_life(&self, myself: &ActorRef<Command>) -> Arc<PuppetLife> {
        self.script().latest = Some(myself.clone());
        let mut number = 0;
        self.0.lives.send_modify(|lives| {
            lives.overlaps += usize::from(lives.alive() > 0);
            lives.begun += 1;
            number = lives.begun;
        });
        Arc::new(PuppetLife { puppet: self.clone(), number })
    }
}

/// A puppet of its own, with the name `probe`.
impl Default for Puppet {
    fn default() -> Self {
        Self::new("probe", &Log::new())
    }
}

impl fmt::Debug for Puppet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Puppet").field("name", &self.0.name).finish_non_exhaustive()
    }
}

/// One life, until state and handler are dropped.
struct PuppetLife {
    puppet: Puppet,
    number: u32,
}

impl Drop for PuppetLife {
    fn drop(&mut self) {
        self.puppet.0.lives.send_modify(|lives| lives.ended += 1);
    }
}

/// One actor of a [`Puppet`].
///
/// Its fields are dropped in order: its destructor's own work comes before the end of its life, and that before the last
/// entry of the log.
#[derive(Default)]
pub struct Probe {
    start: Option<Behavior>,
    stop: Option<Behavior>,
    on_drop: OnDrop,
    life: OnceLock<Arc<PuppetLife>>,
    puppet: PuppetRef,
}

/// The puppet of a probe; records the end of the probe's destructor.
#[derive(Default)]
struct PuppetRef(Puppet);

impl Drop for PuppetRef {
    fn drop(&mut self) {
        self.0.note(Moment::Dropped);
    }
}

/// Runs a function when it is dropped.
#[derive(Default)]
struct OnDrop(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            work();
        }
    }
}

impl Probe {
    /// Its behaviour in its `pre_start`, in place of the puppet's.
    pub fn start(mut self, start: Behavior) -> Self {
        self.start = Some(start);
        self
    }

    /// Its behaviour in its `post_stop`, in place of the puppet's.
    pub fn stop(mut self, stop: Behavior) -> Self {
        self.stop = Some(stop);
        self
    }

    /// What its destructor does.
    pub fn on_drop(mut self, work: impl FnOnce() + Send + Sync + 'static) -> Self {
        self.on_drop = OnDrop(Some(Box::new(work)));
        self
    }

    fn note(&self, moment: Moment) {
        self.puppet.0.note(moment);
    }

    async fn behave(&self, moment: Moment, own: Option<&Behavior>) -> Result<(), ActorProcessingErr> {
        let behavior = own.cloned().unwrap_or_else(|| self.puppet.0.pick(moment));
        behavior.run().await
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let hold = self.puppet.0.script().hold.take();
        if let Some(released) = hold {
            // A task that the end has woken would otherwise wait on this thread, and no other thread may run it.
            let _ = block_in_place(|| released.recv());
        }
    }
}

/// The state of a [`Probe`], which records its own end.
pub struct ProbeState {
    life: Arc<PuppetLife>,
    notes: Vec<String>,
    kept: Vec<RpcReplyPort<bool>>,
}

impl Drop for ProbeState {
    fn drop(&mut self) {
        self.life.puppet.note(Moment::StateDropped);
    }
}

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Probe {
    type Msg = Command;
    type State = ProbeState;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Command>, (): ()) -> Result<ProbeState, ActorProcessingErr> {
        let life = Arc::clone(self.life.get_or_init(|| self.puppet.0.begin_life(&myself)));
        self.note(Moment::Starting);
        self.behave(Moment::Starting, self.start.as_ref()).await?;
        self.note(Moment::Up);
        Ok(ProbeState { life, notes: Vec::new(), kept: Vec::new() })
    }

    async fn post_start(&self, _: ActorRef<Command>, _: &mut ProbeState) -> Result<(), ActorProcessingErr> {
        self.note(Moment::Started);
        self.behave(Moment::Started, None).await
    }

    async fn post_stop(&self, _: ActorRef<Command>, _: &mut ProbeState) -> Result<(), ActorProcessingErr> {
        self.note(Moment::Stopping);
        self.behave(Moment::Stopping, self.stop.as_ref()).await?;
        self.note(Moment::Down);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Command>,
        command: Command,
        state: &mut ProbeState,
    ) -> Result<(), ActorProcessingErr> {
        match command {
            Command::Stop(reason) => myself.stop(reason.map(str::to_owned)),
            Command::Fail(text) => return Err(text.into()),
            Command::Panic(text) => panic!("{text}"),
            Command::Hang => pending().await,
            Command::Stay(gate) => gate.pass().await,
            Command::Block(released) => {
                self.note(Moment::Blocked);
                let _ = block_in_place(|| released.recv());
            }
            Command::Ping(reply) => drop(reply.send(state.life.number)),
            Command::Id(reply) => drop(reply.send(myself.get_id())),
            Command::Name(reply) => drop(reply.send(self.puppet.0.0.name.clone())),
            Command::Note(text) => state.notes.push(text.to_owned()),
            Command::Notes(reply) => drop(reply.send(state.notes.clone())),
            Command::Answer(answer, reply) => drop(reply.send(answer)),
            Command::AnswerResult(answer, reply) => drop(reply.send(answer)),
            Command::Keep(reply) => state.kept.push(reply),
            Command::Drop(reply) => drop(reply),
        }
        Ok(())
    }
}

/// The number of this actor's incarnation; `None` if it does not answer.
pub async fn ping(actor: &ActorCell) -> Option<u32> {
    let (sender, answer) = tokio::sync::oneshot::channel();
    ActorRef::<Command>::from(actor.clone()).cast(Command::Ping(sender.into())).ok()?;
    soon("the answer to a ping", answer).await.ok()
}
