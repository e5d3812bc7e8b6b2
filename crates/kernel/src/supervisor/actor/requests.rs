//! The requests to a supervisor that wait for answers.

use foldhash::HashMap;

use crate::ask::answer;
use crate::containment::drop_contained;
use crate::supervisor::client::Answer;
use crate::supervisor::error::ChildError;
use crate::supervisor::key::Key;
use crate::supervisor::started::StartedChild;

/// The requests that wait for the start or the stop of a child.
#[derive(Default)]
pub(super) struct Requests {
    starters: HashMap<Key, Answer<Option<StartedChild>>>,
    stoppers: HashMap<Key, Vec<Answer<()>>>,
}

impl Requests {
    /// Answers when the child has started, or at once if its start was refused.
    pub(super) fn await_start(&mut self, key: Result<Key, ChildError>, reply: Answer<Option<StartedChild>>) {
        match key {
            Ok(key) => {
                self.starters.insert(key, reply);
            }
            Err(refusal) => answer(reply, Err(refusal)),
        }
    }

    pub(super) fn await_stop(&mut self, key: Key, reply: Answer<()>) {
        self.stoppers.entry(key).or_default().push(reply);
    }

    pub(super) fn answer_start(&mut self, key: Key, result: Result<Option<StartedChild>, ChildError>) {
        match self.starters.remove(&key) {
            Some(reply) => answer(reply, result),
            None => drop_contained("the outcome of a start that was not requested", result),
        }
    }

    /// Answers the requests that wait for a child to stop: it is down, or its start was cancelled.
    pub(super) fn answer_finished(&mut self, key: Key) {
        for reply in self.stoppers.remove(&key).into_iter().flatten() {
            answer(reply, Ok(()));
        }
        if let Some(reply) = self.starters.remove(&key) {
            answer(reply, Err(ChildError::Terminated));
        }
    }
}
