//! Replacing a child that runs by a successor, which is started first and takes its place when it runs.
//!
//! The successor is no child until it has taken the place, so a child still has at most one incarnation. A successor
//! that does not start, or whose predecessor is no longer the current incarnation by then, changes nothing.

use ractor::ActorId;
use tokio::time::Instant;

use super::child::Slot;
use super::child_spec::{ChildSpec, Shutdown};
use super::children::Children;
use super::error::ChildError;
use super::plan::Key;
use super::restart::Restart;
use super::started::Incarnation;
use crate::exit::ExitReason;

/// A successor has taken the place of a child.
#[derive(Debug)]
pub(crate) struct Replaced<T> {
    /// The predecessor to be stopped now, and its rule.
    pub(crate) predecessor: T,
    pub(crate) rule: Shutdown,
    /// Why the successor has already ended, if it has.
    pub(crate) ended: Option<ExitReason>,
}

impl<T: Incarnation> Children<T> {
    /// Prepares the start of a successor of this child, by this specification. Returns a key for its start, and the
    /// child that it is to replace.
    pub(crate) fn begin_replacing(&mut self, key: Key, spec: &ChildSpec) -> Result<(Key, ActorId), ChildError> {
        self.rules.check(spec)?;
        let Some(child) = self.child(key) else { return Err(ChildError::Terminated) };
        let predecessor = match &child.slot {
            Slot::Running(incarnation) => incarnation.actor_id(),
            Slot::Down => return Err(ChildError::Stopped { id: child.spec.id().clone() }),
            _ => return Err(ChildError::Restarting { id: child.spec.id().clone() }),
        };
        self.starting += 1;
        Ok((self.next_key(), predecessor))
    }

    /// Notes that a successor runs. It takes the place if `predecessor` still has it; else it is handed back, to be
    /// stopped.
    pub(crate) fn replaced(
        &mut self,
        key: Key,
        predecessor: ActorId,
        successor: T,
        spec: ChildSpec,
        now: Instant,
    ) -> Result<Replaced<T>, T> {
        let actor = successor.actor_id();
        let ended = self.early.take(actor, || successor.is_over());
        self.replacing_is_over();
        let Some(child) = self.children.get_mut(&key).filter(|child| child.is_current(predecessor)) else {
            return Err(successor);
        };
        let rule = child.spec.shutdown_rule();
        child.is_spared(now);
        let before = std::mem::replace(&mut child.slot, Slot::Down);
        child.spec = spec;
        child.began(successor, None, now);
        if child.spec.restart_rule() == Restart::Temporary {
            child.spec.forget_start();
        }
        self.by_actor.remove(&predecessor);
        self.by_actor.insert(actor, key);
        if let Some(reason) = ended.clone() {
            self.exited(actor, reason, now);
        }
        match before {
            Slot::Running(predecessor) | Slot::Exited(predecessor, _) => Ok(Replaced { predecessor, rule, ended }),
            _ => unreachable!("a current incarnation is in one of these slots"),
        }
    }

    /// Notes that a successor did not start.
    pub(crate) fn replacing_is_over(&mut self) {
        self.starting -= 1;
        self.forget_early_ends();
    }
}
