//! The worker of every tree: an actor that records each moment of its life and behaves as the script says.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foundation::ractor::{Actor, ActorProcessingErr, ActorRef};

use super::record::{Fact, Life, Moment};
use super::script::{Closing, Op, Opening};
use super::shape::Who;
use super::world::World;

/// A message to a worker.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cue {
    Panic,
    Fail,
    Stop(Option<&'static str>),
    /// For this time, or for ever.
    Hang(Option<Duration>),
}
foundation::local_message!(Cue);

/// One life of a worker.
pub(super) struct Player {
    world: Arc<World>,
    who: Who,
    /// A rival's life begins in its `pre_start`: it is built before it claims its name.
    life: OnceLock<Life>,
    opening: Option<Opening>,
}

impl Player {
    pub(super) fn new(world: &Arc<World>, who: Who, opening: Option<Opening>) -> Self {
        Self { world: Arc::clone(world), who, life: world.begin_life(who, false).into(), opening }
    }

    /// A foreign actor under the same name; it causes no faults.
    pub(super) fn rival(world: &Arc<World>, who: Who) -> Self {
        Self { world: Arc::clone(world), who, life: OnceLock::new(), opening: None }
    }

    fn life(&self) -> Life {
        *self.life.get_or_init(|| self.world.begin_life(self.who, true))
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // A rival that was refused has not lived.
        if let Some(life) = self.life.get() {
            self.world.came(*life, Moment::Dropped);
        }
    }
}

/// The state of a worker.
pub(super) struct Memory(Arc<World>, Life);

impl Drop for Memory {
    fn drop(&mut self) {
        self.0.came(self.1, Moment::StateDropped);
    }
}

/// A panic without the panic hook: thousands of backtraces would take most of the time.
pub(super) fn panic_quietly() -> ! {
    resume_unwind(Box::new("as the script says"))
}

#[expect(clippy::disallowed_methods, reason = "an actor that takes its time is what is tested, on a paused clock")]
pub(super) async fn take(time: Duration) {
    tokio::time::sleep(time).await;
}

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Player {
    type Msg = Cue;
    type State = Memory;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Cue>, (): ()) -> Result<Memory, ActorProcessingErr> {
        let life = self.life();
        self.world.is(life, &myself);
        self.world.came(life, Moment::Starting);
        match self.opening {
            Some(Opening::Fail(_) | Opening::Ignore | Opening::FailAfter) => {
                return Err("it fails as the script says".into());
            }
            Some(Opening::Panic) => panic_quietly(),
            Some(Opening::Hang) => pending().await,
            Some(Opening::Slow(millis)) => take(Duration::from_millis(millis)).await,
            Some(Opening::FailLate) | None => {}
        }
        self.world.came(life, Moment::Up);
        Ok(Memory(Arc::clone(&self.world), life))
    }

    async fn post_start(&self, _: ActorRef<Cue>, _: &mut Memory) -> Result<(), ActorProcessingErr> {
        match self.opening {
            Some(opening @ Opening::FailLate) => {
                self.world.note(Fact::Struck(Op::Open(self.who, opening), Some(self.life())));
                Err("it fails late, as the script says".into())
            }
            _ => Ok(()),
        }
    }

    async fn post_stop(&self, _: ActorRef<Cue>, _: &mut Memory) -> Result<(), ActorProcessingErr> {
        let life = self.life();
        self.world.came(life, Moment::Stopping);
        let closing = if life.rival { None } else { self.world.next_closing(life.who) };
        match closing {
            Some(Closing::Hang) => pending().await,
            Some(Closing::Slow(millis)) => take(Duration::from_millis(millis)).await,
            Some(Closing::Panic) => panic_quietly(),
            Some(Closing::Err) => return Err("it fails on the way out, as the script says".into()),
            None => {}
        }
        self.world.came(life, Moment::Down);
        Ok(())
    }

    async fn handle(&self, myself: ActorRef<Cue>, cue: Cue, _: &mut Memory) -> Result<(), ActorProcessingErr> {
        match cue {
            Cue::Panic => panic_quietly(),
            Cue::Fail => return Err("it fails as the script says".into()),
            Cue::Stop(reason) => myself.stop(reason.map(str::to_owned)),
            Cue::Hang(None) => pending().await,
            Cue::Hang(Some(time)) => take(time).await,
        }
        Ok(())
    }
}
