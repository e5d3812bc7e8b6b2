//! Decides when the end of a significant child ends its supervisor.
//!
//! OTP handles one event after the other. Here, one-for-one may have several children in transition, and one of them
//! may decide whether another was the last significant one. The supervisor then waits for the outcome of that child's
//! step.

use super::child::{Child, Slot};
use super::children::{Children, Step};
use super::plan::Key;
use super::significant::AutoShutdown;
use super::started::Incarnation;

/// The state of a significant child, for those that ended before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Presence {
    /// Not running, with no start pending.
    Absent,
    /// Decided by the step under way.
    Open,
    /// Running, or ended with its own turn still to come, or to be restarted after a failed restart or a delay.
    Present,
}

impl<T: Incarnation> Children<T> {
    /// Notes that a child has ended by itself and is not restarted: if it was significant, the supervisor may have to
    /// stop.
    pub(super) fn ended_for_good(&mut self, key: Key) {
        let Some(child) = self.children.get(&key).filter(|child| child.spec.is_significant()) else { return };
        if self.rules.auto_shutdown != AutoShutdown::Never {
            self.last_ended = Some((key, child.spec.id().clone()));
        }
    }

    /// The stop of the supervisor, if the end of a significant child requires it.
    pub(super) fn auto_shutdown(&mut self) -> Option<Step<T>> {
        let (key, _) = self.last_ended.as_ref()?;
        let presence = match self.rules.auto_shutdown {
            AutoShutdown::Never => Presence::Present,
            AutoShutdown::AnySignificant => Presence::Absent,
            AutoShutdown::AllSignificant => self.others_than(*key),
        };
        if presence == Presence::Open {
            return None;
        }
        let (_, id) = self.last_ended.take()?;
        self.halted = presence == Presence::Absent;
        self.halted.then_some(Step::AutoShutdown { id })
    }

    fn others_than(&self, ended: Key) -> Presence {
        // It may run again meanwhile, by request.
        let is_it = |key: Key, child: &Child<T>| key == ended && matches!(child.slot, Slot::Exited(..));
        let significant = self.children.iter().filter(|(_, child)| child.spec.is_significant());
        let others = significant.filter(|(key, child)| !is_it(**key, child));
        others.map(|(key, child)| self.presence(*key, child)).max().unwrap_or(Presence::Absent)
    }

    fn presence(&self, key: Key, child: &Child<T>) -> Presence {
        match child.slot {
            Slot::Starting | Slot::Stopping | Slot::Aborting => Presence::Open,
            Slot::Queued if self.is_to_be_started(key) => Presence::Open,
            Slot::Running(_) | Slot::Exited(..) | Slot::Queued | Slot::Waiting(_) => Presence::Present,
            // A queued request comes after the end that is judged here.
            Slot::Down | Slot::Requested(_) => Presence::Absent,
        }
    }
}
