//! Shared by all actors of one run: the log that they write, and their next behaviour.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foundation::ServiceKey;
use foundation::names::ServiceRegistry;
use foundation::ractor::{ActorId, ActorRef};
use foundation::supervision::{ChildEvent, Report, Reporter};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::player::Cue;
use super::record::{Actor, Entry, Fact, Life, Moment, Reported};
use super::script::{Closing, Opening};
use super::shape::{Shape, TOP, Who};

/// The stage of one run.
pub(super) struct World {
    pub(super) shape: Shape,
    keys: Vec<ServiceKey<Cue>>,
    stage: Mutex<Stage>,
    too_much: Notify,
}

/// A log of this length belongs to a run without an end: most have some hundreds of entries.
const TOO_MUCH: usize = 30_000;

struct Stage {
    begun: Instant,
    /// The time of the clock when the runtime was dropped.
    frozen: Option<u64>,
    log: Vec<Entry>,
    parts: Vec<Part>,
    actors: HashMap<ActorId, Actor>,
    names: Option<ServiceRegistry>,
    requests: usize,
}

/// The next behaviour of one member.
#[derive(Default)]
struct Part {
    lives: u32,
    latest: Option<(Life, ActorRef<Cue>)>,
    openings: VecDeque<Opening>,
    closings: VecDeque<Closing>,
}

impl World {
    /// To be made within the runtime: it reads the clock.
    pub(super) fn new(shape: &Shape) -> Arc<Self> {
        let key = |who: Who| ServiceKey::new(shape.name(who)).expect("the shape gives good names");
        let keys = shape.all().map(key).collect();
        let parts = shape.all().map(|_| Part::default()).collect();
        let stage = Stage {
            begun: Instant::now(),
            frozen: None,
            log: Vec::new(),
            parts,
            actors: HashMap::new(),
            names: None,
            requests: 0,
        };
        Arc::new(Self { shape: shape.clone(), keys, stage: Mutex::new(stage), too_much: Notify::new() })
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- the log ----

    pub(super) fn note(&self, fact: Fact) {
        let mut stage = self.stage();
        stage.note(fact);
        if stage.log.len() == TOO_MUCH {
            self.too_much.notify_one();
        }
    }

    /// Returns when the log has more entries than any run should need.
    pub(super) async fn too_much(&self) {
        self.too_much.notified().await;
    }

    /// Records a moment of a life, with the result of a lookup of its name at this very moment.
    pub(super) fn came(&self, life: Life, moment: Moment) {
        let found = self.look_up(life.who);
        self.note(Fact::Came(life, moment, found));
    }

    /// From now on nothing takes time: outside the runtime, the clock is the machine's.
    pub(super) fn freeze(&self) {
        let mut stage = self.stage();
        stage.frozen = stage.log.last().map(|latest| latest.at);
        stage.names = None;
    }

    pub(super) fn take_log(&self) -> Vec<Entry> {
        std::mem::take(&mut self.stage().log)
    }

    pub(super) fn ask(&self, fact: impl FnOnce(usize) -> Fact) -> usize {
        let mut stage = self.stage();
        stage.requests += 1;
        let number = stage.requests;
        stage.note(fact(number));
        number
    }

    // ---- names ----

    pub(super) fn has_names(&self, names: &ServiceRegistry) {
        self.stage().names = Some(names.clone());
    }

    pub(super) fn names(&self) -> Option<ServiceRegistry> {
        self.stage().names.clone()
    }

    pub(super) fn key(&self, who: Who) -> &ServiceKey<Cue> {
        &self.keys[who]
    }

    /// The actor that a lookup of this worker's name gives.
    pub(super) fn look_up(&self, who: Who) -> Option<Actor> {
        if !self.shape.is_named(who) {
            return None;
        }
        // The lookup first, then the lock of the stage: they never nest.
        let actor = self.names()?.with(self.key(who), |cell| cell.get_id()).ok()?;
        Some(self.number(actor))
    }

    pub(super) fn number(&self, actor: ActorId) -> Actor {
        self.stage().number(actor)
    }

    // ---- the next behaviour ----

    pub(super) fn will_open(&self, who: Who, opening: Opening) {
        self.stage().parts[who].openings.push_back(opening);
    }

    pub(super) fn will_close(&self, who: Who, closing: Closing) {
        self.stage().parts[who].closings.push_back(closing);
    }

    /// From now on no actor begins to misbehave.
    pub(super) fn behave(&self) {
        for part in &mut self.stage().parts {
            part.openings.clear();
            part.closings.clear();
        }
    }

    pub(super) fn next_opening(&self, who: Who) -> Option<Opening> {
        let openings = &mut self.stage().parts[who].openings;
        if let Some(Opening::Fail(left @ 2..)) = openings.front_mut() {
            *left -= 1;
            return Some(Opening::Fail(1));
        }
        openings.pop_front()
    }

    pub(super) fn next_closing(&self, who: Who) -> Option<Closing> {
        self.stage().parts[who].closings.pop_front()
    }

    // ---- lives ----

    pub(super) fn begin_life(&self, who: Who, rival: bool) -> Life {
        let number = {
            let part = &mut self.stage().parts[who];
            part.lives += 1;
            part.lives
        };
        let life = Life { who, number, rival };
        self.came(life, Moment::Built);
        life
    }

    pub(super) fn is(&self, life: Life, actor: &ActorRef<Cue>) {
        let mut stage = self.stage();
        let number = stage.number(actor.get_id());
        stage.note(Fact::Is(life, number));
        stage.parts[life.who].latest = Some((life, actor.clone()));
    }

    /// The latest actor under this name, dead or alive.
    pub(super) fn latest(&self, who: Who) -> Option<(Life, ActorRef<Cue>)> {
        self.stage().parts[who].latest.clone()
    }

    /// References to actors keep their mailboxes, and with them the unread messages.
    pub(super) fn forget_actors(&self) {
        let parts: Vec<_> = self.stage().parts.iter_mut().map(|part| part.latest.take()).collect();
        drop(parts);
    }
}

impl Stage {
    fn now(&self) -> u64 {
        self.frozen.unwrap_or_else(|| self.begun.elapsed().as_millis() as u64)
    }

    fn note(&mut self, fact: Fact) {
        let at = self.now();
        self.log.push(Entry { at, fact });
    }

    fn number(&mut self, actor: ActorId) -> Actor {
        let next = self.actors.len() as Actor + 1;
        *self.actors.entry(actor).or_insert(next)
    }
}

/// Writes the reports of supervisors into the log.
pub(super) struct Scribe(pub(super) Arc<World>);

impl Reporter for Scribe {
    fn report(&self, Report { supervisor, child, happened, .. }: &Report) {
        let world = &self.0;
        let by = world.shape.find(supervisor.rsplit('/').next().unwrap_or_default());
        // An id without a member is a rival's, or that of the application under its namespace.
        let Some(child) = world.shape.find(child.as_str()) else { return };
        if by.is_none() && child != TOP {
            return;
        }
        let reported = match happened {
            ChildEvent::Started { actor, .. } => Reported::Started(world.number(*actor)),
            ChildEvent::Ignored => Reported::Ignored,
            ChildEvent::StartFailed { cause } => Reported::StartFailed(cause.clone()),
            ChildEvent::NameTaken { .. } => Reported::NameTaken,
            ChildEvent::Exited { actor, reason, .. } => Reported::Exited(world.number(*actor), reason.clone()),
            ChildEvent::Stopped { actor, how } => Reported::Stopped(world.number(*actor), *how),
            ChildEvent::GaveUp { .. } => Reported::GaveUp,
            ChildEvent::AutoShutdown { .. } => Reported::AutoShutdown,
            _ => return,
        };
        world.note(Fact::Reported(by, child, reported));
    }
}
