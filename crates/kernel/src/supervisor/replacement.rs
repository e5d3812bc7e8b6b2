//! A child that is being replaced by its successor.

use futures::future::FutureExt;
use ractor::{ActorCell, ActorId, ActorRef};
use tokio::time::Instant;

use super::child_id::ChildId;
use super::child_spec::{ChildSpec, Shutdown};
use super::error::ChildError;
use super::message::{Answer, ServerMsg};
use super::plan::Key;
use super::replacing::Replaced;
use super::report::{ChildEvent, Reporting};
use super::shutdown;
use super::started::{Incarnation, Started};
use super::state::ServerState;
use super::step::Outcome;
use crate::ask::answer;
use crate::containment::display_text;

/// A child that is being replaced, and the request for it.
pub(super) struct Replacement {
    pub(super) child: Key,
    pub(super) predecessor: ActorId,
    pub(super) spec: ChildSpec,
    /// The successor, once it has taken the place.
    pub(super) successor: Option<ActorCell>,
    pub(super) reply: Answer<Option<ActorCell>>,
}

impl Replacement {
    fn id(&self) -> ChildId {
        self.spec.id().clone()
    }

    /// The start of the successor, or the end of its predecessor, is over.
    pub(super) fn go_on(
        self,
        myself: &ActorRef<ServerMsg>,
        state: &mut ServerState,
        reporting: &Reporting,
        step: Key,
        outcome: Outcome,
    ) {
        match outcome {
            Outcome::Started(successor) => self.take_over(myself, state, reporting, step, successor),
            Outcome::Ignored => {
                state.children.replacing_is_over();
                reporting.send(self.spec.id(), ChildEvent::Ignored);
                answer(self.reply, Ok(None));
            }
            Outcome::Failed(source) => {
                state.children.replacing_is_over();
                let id = self.id();
                reporting.send(&id, ChildEvent::StartFailed { cause: display_text(&source) });
                answer(self.reply, Err(ChildError::Start { id, source }));
            }
            Outcome::Gone { actor, how } => {
                if let Some(how) = how {
                    reporting.send(self.spec.id(), ChildEvent::Stopped { actor, how });
                }
                answer(self.reply, self.successor.map(Some).ok_or(ChildError::Terminated));
            }
        }
    }

    fn take_over(
        self,
        myself: &ActorRef<ServerMsg>,
        state: &mut ServerState,
        reporting: &Reporting,
        step: Key,
        successor: Started,
    ) {
        let (id, actor) = (self.id(), successor.actor.clone());
        let rule = self.spec.shutdown_rule();
        let replaced =
            state.children.replaced(self.child, self.predecessor, successor, self.spec.clone(), Instant::now());
        match replaced {
            Ok(Replaced { predecessor, rule, ended }) => {
                let restarts = state.children.restarts(self.child);
                reporting.send(&id, ChildEvent::Started { actor: actor.get_id(), restarts, cause: None });
                if let Some(reason) = ended {
                    let escalation = state.children.escalation(self.child);
                    reporting.send(&id, ChildEvent::Exited { actor: actor.get_id(), reason, escalation });
                }
                Self { successor: Some(actor), ..self }.stop(myself, state, step, predecessor, rule);
            }
            // The child has been stopped meanwhile: its successor is no longer wanted.
            Err(successor) => self.stop(myself, state, step, successor, rule),
        }
    }

    fn stop(self, myself: &ActorRef<ServerMsg>, state: &mut ServerState, step: Key, child: Started, rule: Shutdown) {
        let actor = child.actor_id();
        let stop = async move { Outcome::Gone { actor, how: Some(shutdown::stop(child, rule).await) } };
        state.replacements.insert(step, self);
        state.begin_end_in_turn(myself, step, stop.boxed());
    }
}
