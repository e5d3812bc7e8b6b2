//! The ways in which an actor ends.

use foundation::ractor::ActorRef;
use foundation_testkit::{Behavior, Command, Gate, Probe, Puppet};

/// A way in which an actor ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
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
    pub(crate) const ALL: [Self; 10] = [
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
    pub(crate) fn is_abnormal(self) -> bool {
        !matches!(self, Self::Stop | Self::Leave | Self::Drain)
    }

    /// A probe that can end in this way, with the gate at which it may have to be stopped.
    pub(crate) fn probe(self, puppet: &Puppet, gate: &Gate) -> Probe {
        let probe = puppet.actor();
        match self {
            Self::PostStopFails => probe.stop(Behavior::Fail("post_stop fails")),
            Self::PostStopPanics => probe.stop(Behavior::Panic("post_stop panics")),
            Self::KillInPostStop => probe.stop(Behavior::Wait(gate.clone())),
            _ => probe,
        }
    }

    /// Causes the end; returns when the actor has been asked, not when it has ended.
    pub(crate) async fn bring_about(self, actor: &ActorRef<Command>, gate: &Gate) {
        match self {
            Self::Stop | Self::PostStopFails | Self::PostStopPanics => actor.stop(None),
            Self::Leave => actor.cast(Command::Stop(None)).unwrap(),
            Self::Drain => actor.drain().unwrap(),
            Self::Kill => actor.kill(),
            Self::KillWhileBusy => {
                actor.cast(Command::Stay(gate.clone())).unwrap();
                gate.arrival().await;
                actor.kill();
            }
            Self::Panic => actor.cast(Command::Panic("ordered to panic")).unwrap(),
            Self::Fail => actor.cast(Command::Fail("ordered to fail")).unwrap(),
            Self::KillInPostStop => {
                actor.stop(None);
                gate.arrival().await;
                actor.kill();
            }
        }
    }
}
