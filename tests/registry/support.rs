//! An actor with a switch for each way to start, to end and to answer, and the roll in which it records its lives.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::Duration;

use foundation::ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::{Namespace, ProcessRegistry, ServiceKey, ServiceRegistry};
use tokio::sync::{Semaphore, watch};
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// Long enough never to matter, and short enough for a hanging test to end by itself.
pub(super) const SOON: Duration = Duration::from_secs(10);

// Statics, not constants: a future may borrow them beyond the statement that made it.
pub(super) static PROBE: ServiceKey<ProbeMsg> = ServiceKey::new("probe");
pub(super) static OTHER: ServiceKey<ProbeMsg> = ServiceKey::new("other");

/// A registry and a fresh test namespace in it.
pub(super) async fn world() -> (ProcessRegistry, ServiceRegistry) {
    let registry = ProcessRegistry::start().await.unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    (registry, names)
}

/// A key that is made at run time.
pub(super) fn key<M>(name: impl AsRef<str>) -> ServiceKey<M> {
    ServiceKey::parse(name).unwrap()
}

/// The names of a namespace as texts.
pub(super) fn names_in(registry: &ServiceRegistry) -> Vec<String> {
    registry.list_services().iter().map(ToString::to_string).collect()
}

/// A counter of a namespace.
pub(super) fn count(registry: &ServiceRegistry, counter: &str) -> u64 {
    registry.counters().counter(counter).unwrap()
}

/// An actor without a supervisor.
pub(super) async fn foreign(probe: Probe) -> ActorRef<ProbeMsg> {
    Actor::spawn(None, probe, ()).await.unwrap().0
}

// ---- gates ----

/// Blocks each task that passes until it is opened, and reports arrivals.
#[derive(Clone)]
pub(super) struct Gate {
    arrivals: Arc<Semaphore>,
    shut: Arc<Semaphore>,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { arrivals: Arc::new(Semaphore::new(0)), shut: Arc::new(Semaphore::new(0)) }
    }

    pub(super) async fn pass(&self) {
        self.arrivals.add_permits(1);
        // An open gate is a closed semaphore.
        let _ = self.shut.acquire().await;
    }

    /// Returns when one more task has arrived.
    pub(super) async fn arrival(&self) {
        self.arrivals.acquire().await.unwrap().forget();
    }

    pub(super) fn open(&self) {
        self.shut.close();
    }
}

// ---- the roll ----

/// The lives under one name, from the beginning of `pre_start` until the last destructor has run.
#[derive(Clone, Default)]
pub(super) struct Roll(Arc<Register>);

#[derive(Default)]
struct Register {
    inside: Mutex<BTreeSet<ActorId>>,
    overlaps: Mutex<Vec<String>>,
    lives: watch::Sender<usize>,
    ends: watch::Sender<usize>,
}

/// One life; it ends with the last clone.
#[derive(Clone)]
pub(super) struct Presence(#[expect(dead_code, reason = "held for its drop")] Arc<SignedIn>);

struct SignedIn {
    roll: Roll,
    actor: ActorId,
}

impl Roll {
    pub(super) fn sign_in(&self, actor: ActorId) -> Presence {
        let mut inside = self.0.inside.lock().unwrap();
        if !inside.is_empty() {
            self.0.overlaps.lock().unwrap().push(format!("{actor} came while {inside:?} was there"));
        }
        inside.insert(actor);
        self.0.lives.send_modify(|lives| *lives += 1);
        Presence(Arc::new(SignedIn { roll: self.clone(), actor }))
    }

    /// The number of lives that have begun so far.
    pub(super) fn lives(&self) -> usize {
        *self.0.lives.borrow()
    }

    /// Returns when this many lives have begun.
    pub(super) async fn lived(&self, lives: usize) {
        self.0.lives.subscribe().wait_for(|seen| *seen >= lives).await.unwrap();
    }

    /// Returns when this many lives have ended.
    pub(super) async fn ended(&self, ends: usize) {
        self.0.ends.subscribe().wait_for(|seen| *seen >= ends).await.unwrap();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.inside.lock().unwrap().is_empty()
    }

    #[track_caller]
    pub(super) fn assert_never_two(&self) {
        let overlaps = self.0.overlaps.lock().unwrap();
        assert!(overlaps.is_empty(), "two incarnations at once: {overlaps:?}");
    }
}

impl Drop for SignedIn {
    fn drop(&mut self) {
        self.roll.0.inside.lock().unwrap().remove(&self.actor);
        self.roll.0.ends.send_modify(|ends| *ends += 1);
    }
}

// ---- the probe ----

/// The behaviour in `pre_start` or `post_stop`.
#[derive(Clone, Default)]
pub(super) enum Phase {
    #[default]
    Passes,
    Fails(&'static str),
    Panics(&'static str),
    Waits(Gate),
}

impl Phase {
    async fn run(&self) -> Result<(), ActorProcessingErr> {
        match self {
            Self::Passes => Ok(()),
            Self::Fails(text) => Err((*text).into()),
            Self::Panics(text) => panic!("{text}"),
            Self::Waits(gate) => {
                gate.pass().await;
                Ok(())
            }
        }
    }
}

/// Its fields drop in order: the destructor's own work comes before the end of its life.
#[derive(Default)]
pub(super) struct Probe {
    start: Phase,
    stop: Phase,
    _on_drop: Option<OnDrop>,
    presence: OnceLock<Presence>,
    roll: Roll,
}

type OnDropFn = Box<dyn FnOnce() + Send + Sync>;

/// A destructor that runs a function.
pub(super) struct OnDrop(Option<OnDropFn>);

impl OnDrop {
    pub(super) fn new(work: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(work)))
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            work();
        }
    }
}

impl Probe {
    pub(super) fn on(roll: &Roll) -> Self {
        Self { roll: roll.clone(), ..Self::default() }
    }

    pub(super) fn start(self, start: Phase) -> Self {
        Self { start, ..self }
    }

    pub(super) fn stop(self, stop: Phase) -> Self {
        Self { stop, ..self }
    }

    pub(super) fn on_drop(self, work: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { _on_drop: Some(OnDrop::new(work)), ..self }
    }
}

pub(super) struct ProbeState {
    notes: Vec<String>,
    kept: Vec<RpcReplyPort<bool>>,
    _presence: Presence,
}

pub(super) enum ProbeMsg {
    WhoAreYou(RpcReplyPort<ActorId>),
    Note(&'static str),
    Notes(RpcReplyPort<Vec<String>>),
    /// Answers with the given value.
    Say(bool, RpcReplyPort<bool>),
    Judge(Result<u8, &'static str>, RpcReplyPort<Result<u8, &'static str>>),
    /// Keeps the port and does not answer.
    Keep(RpcReplyPort<bool>),
    /// Drops the port without an answer.
    Drop(RpcReplyPort<bool>),
    /// Stays in the handler until the gate is open.
    Stay(Gate),
    Panic,
    Fail,
    Leave,
}
foundation::local_message!(ProbeMsg);

// A message need not be `Debug`; tests that unwrap errors which carry one do.
impl fmt::Debug for ProbeMsg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProbeMsg")
    }
}

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Probe {
    type Msg = ProbeMsg;
    type State = ProbeState;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<ProbeMsg>, (): ()) -> Result<ProbeState, ActorProcessingErr> {
        let presence = self.presence.get_or_init(|| self.roll.sign_in(myself.get_id())).clone();
        self.start.run().await?;
        Ok(ProbeState { notes: Vec::new(), kept: Vec::new(), _presence: presence })
    }

    async fn post_stop(&self, _: ActorRef<ProbeMsg>, _: &mut ProbeState) -> Result<(), ActorProcessingErr> {
        self.stop.run().await
    }

    async fn handle(
        &self,
        myself: ActorRef<ProbeMsg>,
        message: ProbeMsg,
        state: &mut ProbeState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ProbeMsg::WhoAreYou(reply) => drop(reply.send(myself.get_id())),
            ProbeMsg::Note(text) => state.notes.push(text.to_owned()),
            ProbeMsg::Notes(reply) => drop(reply.send(state.notes.clone())),
            ProbeMsg::Say(verdict, reply) => drop(reply.send(verdict)),
            ProbeMsg::Judge(verdict, reply) => drop(reply.send(verdict)),
            ProbeMsg::Keep(reply) => state.kept.push(reply),
            ProbeMsg::Drop(reply) => drop(reply),
            ProbeMsg::Stay(gate) => gate.pass().await,
            ProbeMsg::Panic => panic!("told to panic"),
            ProbeMsg::Fail => return Err("told to fail".into()),
            ProbeMsg::Leave => myself.stop(None),
        }
        Ok(())
    }
}

/// An actor of another message type.
pub(super) struct Lamp;

pub(super) enum LampMsg {
    Shine,
}
foundation::local_message!(LampMsg);

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Lamp {
    type Msg = LampMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<LampMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

// ---- the ways to end ----

/// A way in which an actor ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Stop,
    Leave,
    Drain,
    Kill,
    KillWhileBusy,
    Panic,
    Fail,
    PostStopFails,
    PostStopPanics,
    KillInPostStop,
}

impl Ending {
    pub(super) const ALL: [Self; 10] = [
        Self::Stop,
        Self::Leave,
        Self::Drain,
        Self::Kill,
        Self::KillWhileBusy,
        Self::Panic,
        Self::Fail,
        Self::PostStopFails,
        Self::PostStopPanics,
        Self::KillInPostStop,
    ];

    /// Whether a transient child is restarted after it.
    pub(super) fn is_abnormal(self) -> bool {
        !matches!(self, Self::Stop | Self::Leave | Self::Drain)
    }

    /// A probe that can end in this way, with the gate at which it may have to be stopped.
    pub(super) fn probe(self, roll: &Roll, gate: &Gate) -> Probe {
        let probe = Probe::on(roll);
        match self {
            Self::PostStopFails => probe.stop(Phase::Fails("post_stop fails")),
            Self::PostStopPanics => probe.stop(Phase::Panics("post_stop panics")),
            Self::KillInPostStop => probe.stop(Phase::Waits(gate.clone())),
            _ => probe,
        }
    }

    /// Causes the end; returns when the actor has been notified, not when it has ended.
    pub(super) async fn bring_about(self, actor: &ActorRef<ProbeMsg>, gate: &Gate) {
        match self {
            Self::Stop | Self::PostStopFails | Self::PostStopPanics => actor.stop(None),
            Self::Leave => actor.cast(ProbeMsg::Leave).unwrap(),
            Self::Drain => actor.drain().unwrap(),
            Self::Kill => actor.kill(),
            Self::KillWhileBusy => {
                actor.cast(ProbeMsg::Stay(gate.clone())).unwrap();
                gate.arrival().await;
                actor.kill();
            }
            Self::Panic => actor.cast(ProbeMsg::Panic).unwrap(),
            Self::Fail => actor.cast(ProbeMsg::Fail).unwrap(),
            Self::KillInPostStop => {
                actor.stop(None);
                gate.arrival().await;
                actor.kill();
            }
        }
    }
}

// ---- logs ----

/// The tracing events of this thread, as lines: `LEVEL message field=value …`.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Listens on this thread, up to this level, until the guard is dropped.
    pub(super) fn listen(level: tracing::Level) -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let guard = subscribe(log.clone().with_filter(LevelFilter::from_level(level)));
        (log, guard)
    }

    /// The lines that contain all of these.
    pub(super) fn lines(&self, parts: &[&str]) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| parts.iter().all(|part| line.contains(part))).cloned().collect()
    }
}

/// Makes a layer this thread's own subscriber, until the guard is dropped.
pub(super) fn subscribe<L>(layer: L) -> tracing::subscriber::DefaultGuard
where
    L: Layer<tracing_subscriber::Registry> + Send + Sync,
{
    // As long as there is only one subscriber in the process, tracing asks the first thread that comes to an event for
    // its interest in it, and remembers the answer for all threads. These two want nothing, and are always there.
    static OTHERS: LazyLock<[tracing::Dispatch; 2]> =
        LazyLock::new(|| [(); 2].map(|()| tracing_subscriber::registry().with(LevelFilter::OFF).into()));
    LazyLock::force(&OTHERS);
    tracing::subscriber::set_default(tracing_subscriber::registry().with(layer))
}

impl<S: tracing::Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.0.push_str(&format!(" {value:?}")),
            name => self.0.push_str(&format!(" {name}={value:?}")),
        }
    }
}
