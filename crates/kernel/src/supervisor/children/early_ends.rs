//! The ends of actors that a supervisor receives before it knows which child they belong to.

use std::collections::VecDeque;

use ractor::ActorId;

use crate::exit::ExitReason;

/// The most ends kept in tests.
#[cfg(test)]
pub(super) const MAX_EARLY_ENDS: usize = 256;

/// Ends of unknown actors, kept while a start is under way: a child may end before the result of its start reaches the
/// supervisor.
///
/// Most of them belong to other actors, which were spawned directly or are only monitored, and a start may hang for
/// ever. So only the latest are kept. A child that has ended, and whose end is no longer among them, has an unknown
/// exit reason.
#[derive(Debug)]
pub(super) struct EarlyEnds {
    most: usize,
    latest: VecDeque<(ActorId, ExitReason)>,
    forgotten: bool,
}

impl EarlyEnds {
    pub(super) fn at_most(most: usize) -> Self {
        Self { most, latest: VecDeque::new(), forgotten: false }
    }

    pub(super) fn note(&mut self, actor: ActorId, reason: ExitReason) {
        self.latest.push_back((actor, reason));
        if self.latest.len() > self.most {
            self.latest.pop_front();
            self.forgotten = true;
        }
    }

    /// The exit reason of an actor whose start has just finished, if it has already ended: `is_over` says whether.
    pub(super) fn take(&mut self, actor: ActorId, is_over: impl FnOnce() -> bool) -> Option<ExitReason> {
        if let Some(at) = self.latest.iter().rposition(|(ended, _)| *ended == actor) {
            return self.latest.remove(at).map(|(_, reason)| reason);
        }
        let unknown = "it ended while it was starting, and why is no longer known";
        (self.forgotten && is_over()).then(|| ExitReason::Failed(unknown.into()))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.latest.len()
    }

    /// Drops all ends: no start is under way.
    pub(super) fn clear(&mut self) {
        if !self.latest.is_empty() || self.forgotten {
            *self = Self::at_most(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_ends_are_known_with_their_reasons_and_the_others_without() {
        let mut ends = EarlyEnds::at_most(MAX_EARLY_ENDS);
        assert_eq!(ends.take(ActorId::Local(0), || true), None);
        for actor in 0..=MAX_EARLY_ENDS as u64 {
            ends.note(ActorId::Local(actor), ExitReason::Killed);
        }
        assert_eq!(ends.latest.len(), MAX_EARLY_ENDS);
        assert_eq!(ends.take(ActorId::Local(1), || true), Some(ExitReason::Killed));
        assert_eq!(ends.take(ActorId::Local(0), || false), None, "it runs");
        assert!(matches!(ends.take(ActorId::Local(0), || true), Some(ExitReason::Failed(_))));
        ends.clear();
        assert_eq!(ends.take(ActorId::Local(0), || true), None);
    }
}
