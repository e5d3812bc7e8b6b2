//! A child that is being replaced by its successor.

use ractor::{ActorCell, ActorId};

use crate::ask::answer;
use crate::containment::display_text;
use crate::supervisor::child_rules::Stopped;
use crate::supervisor::client::Answer;
use crate::supervisor::error::{ChildError, StartError};
use crate::supervisor::key::Key;
use crate::supervisor::report::{ChildEvent, Reporting};
use crate::supervisor::spec::ChildSpec;

/// A child that is being replaced, and the request for it.
pub(super) struct Replacement {
    child: Key,
    predecessor: ActorId,
    spec: ChildSpec,
    /// The successor, once it has taken the place.
    successor: Option<ActorCell>,
    reply: Answer<Option<ActorCell>>,
}

impl Replacement {
    pub(super) fn new(child: Key, predecessor: ActorId, spec: ChildSpec, reply: Answer<Option<ActorCell>>) -> Self {
        Self { child, predecessor, spec, successor: None, reply }
    }

    /// The child that is to be replaced, its actor, and the specification of the successor.
    pub(super) fn parts(&self) -> (Key, ActorId, &ChildSpec) {
        (self.child, self.predecessor, &self.spec)
    }

    /// Notes that the successor has taken the place.
    pub(super) fn taken_by(self, successor: ActorCell) -> Self {
        Self { successor: Some(successor), ..self }
    }

    /// The start of the successor was ignored.
    pub(super) fn ignored(self, reporting: &Reporting) {
        reporting.send(self.spec.id(), ChildEvent::Ignored);
        answer(self.reply, Ok(None));
    }

    /// The successor did not start.
    pub(super) fn failed(self, reporting: &Reporting, error: StartError) {
        let id = self.spec.id().clone();
        reporting.send(&id, ChildEvent::StartFailed { cause: display_text(&error) });
        answer(self.reply, Err(ChildError::Start { id, error }));
    }

    /// The predecessor is gone, or the successor that is no longer wanted.
    pub(super) fn finished(self, reporting: &Reporting, actor: ActorId, how: Option<Stopped>) {
        if let Some(how) = how {
            reporting.send(self.spec.id(), ChildEvent::Stopped { actor, how });
        }
        answer(self.reply, self.successor.map(Some).ok_or(ChildError::Terminated));
    }
}
