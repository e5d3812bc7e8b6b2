//! Group membership: a count of the actors of a supervision tree, held until the last of them is *gone*.
//!
//! ractor's events and `wait()` come before an actor's state and handler are dropped, and a killed supervisor takes its
//! children's join handles with it. So each actor that we start carries a [`Ticket`] in its handler, and a [`Group`]
//! counts tickets.
//!
//! 1. A ticket is returned when the handler that holds it is dropped, the last thing that an actor's task does.
//! 2. A group's ticket holds a ticket of the group around it, so a group is empty only when its subtree is gone.
//! 3. Tickets live in handlers only, never in states or messages: a state may wait unread in a supervisor's mailbox.

use std::sync::{Arc, Weak};

use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::containment::report;
use crate::limits::SupervisorLimits;

/// Hands out tickets and counts those that are out.
#[derive(Clone)]
pub(crate) struct Group {
    members: TaskTracker,
    around: Option<Arc<Ticket>>,
    /// Those of the supervisors in it.
    limits: Arc<SupervisorLimits>,
}

/// One actor's membership.
pub(crate) struct Ticket {
    /// `None` once it has been returned.
    member: Option<TaskTrackerToken>,
    around: Option<Arc<Ticket>>,
}

/// Drops one after the other, from within: nested drops of a deep tree's groups would overflow the stack.
impl Drop for Ticket {
    fn drop(&mut self) {
        drop(self.member.take());
        let mut around = self.around.take().and_then(Arc::into_inner);
        while let Some(mut ticket) = around {
            drop(ticket.member.take());
            around = ticket.around.take().and_then(Arc::into_inner);
        }
    }
}

/// A nested group that does not keep the one around it: a membership would keep the group from ever being empty.
#[derive(Clone)]
pub(super) struct WeakGroup {
    members: TaskTracker,
    around: Weak<Ticket>,
}

/// Waits for a group without belonging to it.
#[derive(Clone)]
pub(crate) struct Gone {
    members: TaskTracker,
    limits: Arc<SupervisorLimits>,
}

impl Group {
    /// A group with no group around it: the top of a tree.
    pub(crate) fn outermost(limits: Option<&Arc<SupervisorLimits>>) -> Self {
        Self::within(None, limits.cloned().unwrap_or_default())
    }

    /// A group whose tickets also count in this one.
    pub(crate) fn nested(&self) -> Self {
        Self::within(Some(Arc::new(self.ticket())), Arc::clone(&self.limits))
    }

    /// The same group, with limits of its own if there are any.
    pub(crate) fn limited_to(self, limits: Option<&Arc<SupervisorLimits>>) -> Self {
        match limits {
            Some(limits) => Self { limits: Arc::clone(limits), ..self },
            None => self,
        }
    }

    pub(crate) fn limits(&self) -> &SupervisorLimits {
        &self.limits
    }

    fn within(around: Option<Arc<Ticket>>, limits: Arc<SupervisorLimits>) -> Self {
        let members = TaskTracker::new();
        // A closed tracker still hands out tokens; closed means only that waiting ends at zero.
        members.close();
        Self { members, around, limits }
    }

    pub(crate) fn ticket(&self) -> Ticket {
        Ticket { member: Some(self.members.token()), around: self.around.clone() }
    }

    pub(crate) fn gone(&self) -> Gone {
        Gone { members: self.members.clone(), limits: Arc::clone(&self.limits) }
    }

    /// The same nested group without a membership in the one around it.
    pub(super) fn downgrade(&self) -> WeakGroup {
        let around = self.around.as_ref().map(Arc::downgrade).unwrap_or_default();
        WeakGroup { members: self.members.clone(), around }
    }
}

impl WeakGroup {
    /// A ticket, as long as the group is there.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        let around = self.around.upgrade()?;
        Some(Ticket { member: Some(self.members.token()), around: Some(around) })
    }
}

impl Gone {
    /// Whether no ticket is out.
    pub(crate) fn is_so(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns when no ticket is out, of a subtree whose members have all been asked to end.
    ///
    /// Bounded, since an actor that its own code has unlinked was not asked: it is left behind, with a warning.
    pub(crate) async fn wait_within_limit(&self) {
        let limit = self.limits.subtree_end;
        if timeout(limit, self.wait()).await.is_err() {
            report(|| {
                tracing::warn!(?limit, "an actor outlives the supervisor that it was started under; was it unlinked?");
            });
        }
    }

    /// Returns when no ticket is out: at once if none ever was. A caller with a foreign waker contains it.
    pub(crate) async fn wait(&self) {
        self.members.wait().await;
    }

    /// The limits of the supervisors in the group.
    pub(crate) fn limits(&self) -> &SupervisorLimits {
        &self.limits
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_group_is_gone_only_when_every_group_within_it_is() {
        let outer = Group::outermost(None);
        let inner = outer.nested();
        let leaf = inner.ticket();
        let (outer, gone) = (outer.gone(), inner.gone());
        drop(inner);
        assert!(outer.wait().now_or_never().is_none());
        assert!(gone.wait().now_or_never().is_none());
        drop(leaf);
        assert!(gone.wait().now_or_never().is_some());
        assert!(outer.wait().now_or_never().is_some());
    }
}
