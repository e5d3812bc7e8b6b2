//! The operations of a script on a running tree.

use std::sync::Arc;
use std::time::Duration;

use foundation::names::ServiceRegistry;
use tokio::task::yield_now;

use super::plant::{bearable, patience};
use super::player::{Cue, Player, take};
use super::record::Fact;
use super::requests::{find, refusal, request};
use super::script::{End, Op, Pause, Verb};
use super::shape::Who;
use super::world::World;

/// Longer than any operation of a script.
pub(super) const LONG: Duration = Duration::from_secs(600);

/// A tree in play.
pub(super) struct Stage<'a> {
    pub(super) world: &'a Arc<World>,
    names: ServiceRegistry,
}

impl<'a> Stage<'a> {
    pub(super) fn new(world: &'a Arc<World>, names: ServiceRegistry) -> Self {
        Self { world, names }
    }

    pub(super) fn perform(&self, op: Op) {
        match op {
            Op::End(who, end) => self.strike(op, who, end),
            Op::Hang(who) => self.cue(op, who, Cue::Hang(patience(self.world, who))),
            Op::Open(who, opening) => self.world.will_open(who, opening),
            Op::Close(who, closing) => self.world.will_close(who, bearable(self.world, who, closing)),
            Op::KillSupervisor(who) => self.kill(who),
            Op::StopSupervisor(who) => self.stop(who),
            Op::Ask(verb, who) => self.ask(verb, who),
            Op::Rival(who) => self.rival(who),
        }
    }

    pub(super) async fn pause(&self, pause: Pause) {
        match pause {
            Pause::Turns(turns) => {
                for _ in 0..turns {
                    yield_now().await;
                }
            }
            Pause::Millis(millis) => {
                // The clock moves only when no task is ready: so all is quiet when this returns.
                take(Duration::from_millis(millis)).await;
                self.look_around();
            }
        }
    }

    fn look_around(&self) {
        for who in self.world.shape.all().filter(|who| self.world.shape.is_named(*who)) {
            self.world.note(Fact::Found(who, self.world.look_up(who)));
        }
    }

    fn strike(&self, op: Op, who: Who, end: End) {
        match end {
            End::Panic => self.cue(op, who, Cue::Panic),
            End::Err => self.cue(op, who, Cue::Fail),
            End::Normal => self.cue(op, who, Cue::Stop(None)),
            End::Reason => self.cue(op, who, Cue::Stop(Some("done for today"))),
            End::Kill | End::Outside => {
                let latest = self.world.latest(who);
                self.world.note(Fact::Struck(op, latest.as_ref().map(|(life, _)| *life)));
                match latest {
                    Some((_, actor)) if end == End::Kill => actor.kill(),
                    Some((_, actor)) => actor.stop(Some("maintenance".to_owned())),
                    None => {}
                }
            }
        }
    }

    fn cue(&self, op: Op, who: Who, cue: Cue) {
        let latest = self.world.latest(who);
        self.world.note(Fact::Struck(op, latest.as_ref().map(|(life, _)| *life)));
        if let Some((_, actor)) = latest {
            // It may have ended: then this has no effect.
            let _ = actor.cast(cue);
        }
    }

    pub(super) fn kill(&self, who: Who) {
        self.world.note(Fact::Struck(Op::KillSupervisor(who), None));
        let finding = find(Arc::clone(self.world), self.names.clone(), who);
        tokio::spawn(async move {
            if let Ok(Some(found)) = finding.await {
                found.actor().kill();
            }
        });
    }

    fn stop(&self, who: Who) {
        self.world.note(Fact::Struck(Op::StopSupervisor(who), None));
        let finding = find(Arc::clone(self.world), self.names.clone(), who);
        tokio::spawn(async move {
            if let Ok(Some(found)) = finding.await {
                found.actor().stop(Some("maintenance".to_owned()));
            }
        });
    }

    fn ask(&self, verb: Verb, who: Who) {
        let number = self.world.ask(|number| Fact::Asked(number, verb, who));
        let (world, names) = (Arc::clone(self.world), self.names.clone());
        tokio::spawn(async move {
            let answer = request(&world, &names, verb, who).await.unwrap_or_else(refusal);
            world.note(Fact::Answered(number, answer));
        });
    }

    fn rival(&self, who: Who) {
        self.world.note(Fact::Struck(Op::Rival(who), None));
        let (world, names) = (Arc::clone(self.world), self.names.clone());
        tokio::spawn(async move {
            // It may be refused.
            let _ = names.spawn(world.key(who), Player::rival(&world, who), ()).await;
        });
    }

    pub(super) async fn rest(&self) {
        self.world.behave();
        take(LONG).await;
        self.world.note(Fact::AtRest);
        for who in self.world.shape.all().filter(|who| !self.world.shape.is_worker(*who)) {
            let Ok(Some(found)) = find(Arc::clone(self.world), self.names.clone(), who).await else { continue };
            if let Ok(children) = found.children(self.world).await {
                self.world.note(Fact::Listed(who, children));
            }
        }
        self.look_around();
    }
}
