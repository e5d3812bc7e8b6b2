//! An instance that was picked for one call.

use std::fmt;
use std::sync::Arc;

use foundation_kernel::names::{CallError, Via};
use foundation_kernel::ractor::ActorRef;
use tokio::time::Instant;

use super::fitting::Fitting;
use crate::choice::{ChoiceReason, Decision, Locality, Outcome};
use crate::client::now::Now;
use crate::instance::InstanceRecord;
use crate::meter::Counted;

/// An instance that was picked for one call, which counts as in flight until this is dropped.
///
/// Say how the call ended with [`succeeded`](Self::succeeded) or [`failed`](Self::failed): the next choices heed it. Dropped
/// without either, the call was cancelled, which says nothing of the instance. It may outlive its instance, and its
/// namespace: then how it ends changes nothing.
#[must_use = "a call that is dropped at once is cancelled"]
pub struct Picked<M> {
    /// This instance alone: the others may go while the call is under way.
    fitting: Arc<Fitting<M>>,
    decided: Decision,
    /// When the call began, if that is measured.
    began: Option<Instant>,
    ended: Ended,
}

#[derive(Clone, Copy)]
enum Ended {
    Succeeded,
    Failed,
    Cancelled,
}

impl<M> Picked<M> {
    /// Of a call that has [begun](Fitting::begin_call), at this time if it is measured.
    #[inline]
    pub(super) fn new(fitting: &Arc<Fitting<M>>, decided: Decision, began: Option<Instant>) -> Self {
        Self { fitting: Arc::clone(fitting), decided, began, ended: Ended::Cancelled }
    }

    pub(super) fn via(&self) -> &Via<M> {
        &self.fitting.via
    }

    /// The instance.
    pub fn record(&self) -> &InstanceRecord {
        &self.fitting.record
    }

    /// Its actor.
    pub fn actor(&self) -> &ActorRef<M> {
        &self.fitting.actor
    }

    /// Whether too few instances were in rotation, so that those that are out took part.
    pub fn fail_open(&self) -> bool {
        self.decided.fail_open
    }

    /// How near it is; `None` if the choice does not look at zones.
    pub fn locality(&self) -> Option<Locality> {
        self.decided.locality
    }

    /// Why it was chosen among those of its tier, with the scores that were compared. Costs a name; the pick costs nothing
    /// for it.
    pub fn reason(&self) -> ChoiceReason {
        ChoiceReason::new(self.decided.basis, |at| self.fitting.names[at].clone())
    }

    /// The call has succeeded, after the time since the pick.
    #[inline]
    pub fn succeeded(mut self) {
        self.ended = Ended::Succeeded;
    }

    /// The call has failed.
    #[inline]
    pub fn failed(mut self) {
        self.ended = Ended::Failed;
    }

    /// A call that was not even tried says nothing of the instance.
    pub(in crate::client) fn ended_with(self, error: &CallError<M>) {
        match error {
            CallError::NoRuntime { .. } => drop(self),
            _ => self.failed(),
        }
    }

    /// Of a call that succeeded, and whose time is not measured, there is most of the time nothing to note but its end.
    #[inline]
    fn is_noted(&self) -> bool {
        matches!((self.ended, self.began), (Ended::Succeeded, None)) && self.fitting.calls.expects_success()
    }

    #[inline(never)]
    fn note_end(&self) {
        let (now, Fitting { calls, service, .. }) = (Now::default(), &*self.fitting);
        let outcome = self.outcome(&now);
        if let (Outcome::Succeeded(latency), Some(_)) = (outcome, self.began) {
            calls.load.note_latency(&service.rules, latency, now.get());
        }
        if outcome == Outcome::Failed || calls.load.has_failures() {
            calls.load.note_success(&service.rules, outcome, now.get());
        }
        calls.note_end();
        service.record(calls, outcome, &now);
    }

    fn outcome(&self, now: &Now) -> Outcome {
        match (self.ended, self.began) {
            (Ended::Succeeded, Some(began)) => Outcome::Succeeded(now.get().saturating_duration_since(began)),
            // The time of a call that is not measured is not looked at.
            (Ended::Succeeded, None) => Outcome::Succeeded(std::time::Duration::ZERO),
            (Ended::Failed, _) => Outcome::Failed,
            (Ended::Cancelled, _) => Outcome::Cancelled,
        }
    }
}

impl<M> Drop for Picked<M> {
    #[inline]
    fn drop(&mut self) {
        self.fitting.calls.load.leave(matches!(self.ended, Ended::Cancelled));
        if !self.is_noted() {
            self.note_end();
        }
        let counted = match self.ended {
            Ended::Succeeded => Counted::Succeeded,
            Ended::Failed => Counted::Failed,
            Ended::Cancelled => Counted::Cancelled,
        };
        self.fitting.service.picks.note(counted, self.decided.fail_open);
    }
}

impl<M> fmt::Debug for Picked<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picked")
            .field("record", self.record())
            .field("fail_open", &self.fail_open())
            .field("reason", &self.reason())
            .finish_non_exhaustive()
    }
}
