//! What the scenarios share: an actor on strings, with a switch for each way to fail, a log of what such actors lived
//! through, and a reporter to await what a supervisor did.
//!
//! ```text
//! let log = Log::new();
//! let clerk = Puppet::new("clerk", &log);                  // conduct and log are shared by all its incarnations
//! clerk.next(Moment::Starting, Conduct::Fail("no desk"));  // the next start fails; the one after it does not
//! let (reporter, mut reports) = reports();
//! let spec = SupervisorSpec::new(Strategy::OneForOne).child(clerk.spec()).reporter(reporter);
//! …
//! clerk.order(Order::Panic("oh"));
//! let actor = reports.restarted("clerk").await;
//! assert_eq!(log.of(&[Moment::Up]), ["clerk up", "clerk up"]);
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foundation::ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use foundation::{ChildKind, ChildSpec, ExitReason, Happened, Report, Reporter, Start, StartContext, StartError};
use tokio::sync::{mpsc, watch};

/// How long a scenario waits for a fact before it says that the fact does not come. Only a failing test takes so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The future's output, or a panic that says what did not happen in time.
pub async fn soon<T>(what: impl fmt::Display, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: this did not happen within {PATIENCE:?}"),
    }
}

/// A moment in the life of a [`Puppet`], in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Its start function has been called; there is no actor yet.
    Called,
    /// `pre_start` begins.
    Starting,
    /// `pre_start` has returned.
    Up,
    /// `post_start` runs.
    Started,
    /// `post_stop` begins.
    Stopping,
    /// `post_stop` has returned.
    Down,
    /// Its state has been dropped.
    StateDropped,
    /// Its handler has been dropped: the last thing that an actor's task does.
    Dropped,
}

impl Moment {
    const fn text(self) -> &'static str {
        match self {
            Self::Called => "called",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Started => "started",
            Self::Stopping => "stopping",
            Self::Down => "down",
            Self::StateDropped => "state dropped",
            Self::Dropped => "dropped",
        }
    }
}

/// What a puppet does at [`Called`](Moment::Called), [`Starting`](Moment::Starting), [`Started`](Moment::Started) or
/// [`Stopping`](Moment::Stopping).
#[derive(Debug, Clone)]
pub enum Conduct {
    /// Goes on.
    Proceed,
    /// Says that it is not wanted now; at `Called` only.
    Ignore,
    /// Returns this as its error.
    Fail(&'static str),
    /// Panics with this text.
    Panic(&'static str),
    /// Never comes to an end.
    Hang,
    /// Goes on when the gate is open.
    Wait(Gate),
    /// Takes this long, by tokio's clock.
    Take(Duration),
    /// Asks somebody something, and goes on with the answer dropped.
    Ask(Question),
}

/// Something to await in the middle of a start.
#[derive(Clone)]
pub struct Question(Arc<dyn Fn() -> futures::future::BoxFuture<'static, ()> + Send + Sync>);

impl Question {
    /// Wraps an asynchronous function.
    pub fn new<F: Future<Output = ()> + Send + 'static>(ask: impl Fn() -> F + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || Box::pin(ask())))
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question")
    }
}

/// A gate that is opened once.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Returns when the gate is open.
    pub async fn passed(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// What happened to the puppets of one scenario, in order.
#[derive(Debug, Clone)]
pub struct Log(watch::Sender<Vec<(String, Moment)>>);

impl Log {
    /// An empty log.
    pub fn new() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }

    fn note(&self, who: &str, moment: Moment) {
        self.0.send_modify(|log| log.push((who.to_owned(), moment)));
    }

    /// The entries of these kinds, in order: `["a up", "b up"]`.
    pub fn of(&self, moments: &[Moment]) -> Vec<String> {
        let log = self.0.borrow();
        let wanted = log.iter().filter(|(_, moment)| moments.contains(moment));
        wanted.map(|(who, moment)| format!("{who} {}", moment.text())).collect()
    }

    /// How often this puppet has come to this moment.
    pub fn count(&self, who: &str, moment: Moment) -> usize {
        count(&self.0.borrow(), who, moment)
    }

    /// Forgets what was so far.
    pub fn clear(&self) {
        self.0.send_modify(Vec::clear);
    }

    /// Returns when this puppet has come to this moment so many times.
    pub async fn reached(&self, who: &str, moment: Moment, times: usize) {
        let mut log = self.0.subscribe();
        let reached = log.wait_for(|log| count(log, who, moment) >= times);
        let _ = soon(format!("{who} {} for the {times}th time", moment.text()), reached).await;
    }
}

fn count(log: &[(String, Moment)], who: &str, moment: Moment) -> usize {
    log.iter().filter(|(name, at)| name == who && *at == moment).count()
}

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

/// What a running [`Puppet`] can be told.
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
    /// Block the thread, deaf to any kill, until something is sent or the sender is dropped.
    Block(std::sync::mpsc::Receiver<()>),
    /// Answer with the incarnation: 1 for the first actor of this puppet, 2 for the next.
    Ping(RpcReplyPort<u32>),
}
foundation::local_message!(Order);

/// A name, how it behaves, and who played it last. Clones are the same puppet.
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
}

impl Puppet {
    /// A puppet that does nothing wrong, yet.
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

    /// What it does at this moment, from now on.
    pub fn always(&self, moment: Moment, conduct: Conduct) {
        let mut stage = locked(&self.stage);
        stage.always.retain(|(at, _)| *at != moment);
        stage.always.push((moment, conduct));
    }

    /// What it does the next time it comes to this moment; several of them queue up.
    pub fn next(&self, moment: Moment, conduct: Conduct) {
        locked(&self.stage).next.push_back((moment, conduct));
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
        let latest = locked(&self.stage).actor.clone();
        latest.unwrap_or_else(|| panic!("{} was never started", self.name))
    }

    /// The id of the latest incarnation.
    pub fn id(&self) -> ActorId {
        self.latest().get_id()
    }

    /// How many actors of this puppet there are, from the beginning of `pre_start` until the handler is dropped.
    pub fn alive(&self) -> usize {
        locked(&self.stage).alive
    }

    /// How often an incarnation began its `pre_start` while another was not gone.
    pub fn overlaps(&self) -> usize {
        locked(&self.stage).overlaps
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
            Conduct::Ask(question) => question.0().await,
        }
        Ok(conduct)
    }

    fn pick(&self, moment: Moment) -> Conduct {
        let mut stage = locked(&self.stage);
        if let Some(first) = stage.next.iter().position(|(at, _)| *at == moment) {
            return stage.next.remove(first).map_or(Conduct::Proceed, |(_, conduct)| conduct);
        }
        let always = stage.always.iter().find(|(at, _)| *at == moment);
        always.map_or(Conduct::Proceed, |(_, conduct)| conduct.clone())
    }

    fn enter(&self, myself: &ActorRef<Order>) -> u32 {
        let mut stage = locked(&self.stage);
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
    /// Which incarnation it is; 0 before `pre_start`.
    number: std::sync::atomic::AtomicU32,
}

impl Performer {
    fn number(&self) -> u32 {
        self.number.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Drop for Performer {
    fn drop(&mut self) {
        if self.number() > 0 {
            locked(&self.puppet.stage).alive -= 1;
        }
        self.puppet.log.note(&self.puppet.name, Moment::Dropped);
    }
}

/// The state of a [`Performer`]: notes its own end.
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
        self.number.store(self.puppet.enter(&myself), std::sync::atomic::Ordering::Relaxed);
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
                let _ = released.recv();
            }
            Order::Ping(reply) => {
                let _ = reply.send(self.number());
            }
        }
        Ok(())
    }
}

/// Which incarnation of its puppet this actor is; `None` if it does not answer.
pub async fn ping(actor: &ActorCell) -> Option<u32> {
    let (sender, answer) = tokio::sync::oneshot::channel();
    ActorRef::<Order>::from(actor.clone()).cast(Order::Ping(sender.into())).ok()?;
    soon("the answer to a ping", answer).await.ok()
}

/// Watches actors from aside and tells how each of them ended, in ractor's own words.
pub struct Witness {
    actor: ActorRef<()>,
    ends: mpsc::UnboundedReceiver<(ActorId, String)>,
    seen: Vec<(ActorId, String)>,
}

struct Watching(mpsc::UnboundedSender<(ActorId, String)>);

impl Witness {
    /// One that watches nobody yet.
    pub async fn new() -> Self {
        let (sender, ends) = mpsc::unbounded_channel();
        let (actor, _task) = Actor::spawn(None, Watching(sender), ()).await.expect("its pre_start cannot fail");
        Self { actor, ends, seen: Vec::new() }
    }

    /// Watches this actor, which must be running.
    pub fn watch(&self, actor: &ActorCell) {
        self.actor.monitor(actor.clone());
    }

    /// How this actor ended: the reason it was stopped with, `normal` if there was none, or the error.
    pub async fn end_of(&mut self, actor: ActorId) -> String {
        loop {
            if let Some((_, reason)) = self.seen.iter().find(|(id, _)| *id == actor) {
                return reason.clone();
            }
            let end = soon(format!("the end of actor {actor}"), self.ends.recv()).await;
            self.seen.push(end.expect("the witness lives as long as this"));
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.actor.stop(None);
    }
}

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Watching {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let _ = match event {
            SupervisionEvent::ActorTerminated(who, _, reason) => {
                self.0.send((who.get_id(), reason.unwrap_or_else(|| "normal".to_owned())))
            }
            SupervisionEvent::ActorFailed(who, error) => self.0.send((who.get_id(), error.to_string())),
            _ => Ok(()),
        };
        Ok(())
    }
}

/// A reporter, and where to await what it was told.
pub fn reports() -> (impl Reporter + Clone, Reports) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Sender(sender), Reports(receiver))
}

#[derive(Clone)]
struct Sender(mpsc::UnboundedSender<Report>);

impl Reporter for Sender {
    fn report(&self, report: &Report) {
        let _ = self.0.send(report.clone());
    }
}

/// What supervisors report, in order. Each wait consumes what comes before its fact.
pub struct Reports(mpsc::UnboundedReceiver<Report>);

impl Reports {
    /// The first report of which `pick` makes something.
    pub async fn find<T>(&mut self, what: &str, pick: impl Fn(&Report) -> Option<T>) -> T {
        soon(what, async {
            loop {
                match self.0.recv().await {
                    Some(report) => {
                        if let Some(found) = pick(&report) {
                            return found;
                        }
                    }
                    None => panic!("{what}: nobody is left to report it"),
                }
            }
        })
        .await
    }

    async fn of<T>(&mut self, child: &str, what: &str, pick: impl Fn(&Happened) -> Option<T>) -> T {
        self.find(&format!("{child} {what}"), |report| match &*report.child.to_string() == child {
            true => pick(&report.happened),
            false => None,
        })
        .await
    }

    /// The actor of the next start of this child, the first one included.
    pub async fn started(&mut self, child: &str) -> ActorId {
        self.of(child, "started", |happened| match happened {
            Happened::Started { actor, .. } => Some(*actor),
            _ => None,
        })
        .await
    }

    /// The actor of the next restart of this child.
    pub async fn restarted(&mut self, child: &str) -> ActorId {
        self.of(child, "restarted", |happened| match happened {
            Happened::Started { actor, restarts: 1.. } => Some(*actor),
            _ => None,
        })
        .await
    }

    /// Why this child ended next.
    pub async fn exited(&mut self, child: &str) -> ExitReason {
        self.of(child, "exited", |happened| match happened {
            Happened::Exited { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    /// The cause of the next failed start of this child.
    pub async fn start_failed(&mut self, child: &str) -> String {
        self.of(child, "start failed", |happened| match happened {
            Happened::StartFailed { cause } => Some(cause.clone()),
            _ => None,
        })
        .await
    }

    /// Returns when a supervisor has given up, with the child whose failure was one too many.
    pub async fn gave_up(&mut self) -> String {
        self.find("giving up", |report| match report.happened {
            Happened::GaveUp { .. } => Some(report.child.to_string()),
            _ => None,
        })
        .await
    }

    /// All that has been reported and not been awaited.
    pub fn rest(&mut self) -> Vec<Report> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}
