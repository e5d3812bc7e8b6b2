//! An instance that fits a selector, and the loads of all that do.

use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::names::{CastError, Via};
use foundation_kernel::ractor::{ActorRef, Message};
use tokio::time::Instant;

use crate::choice::{Candidate, Figures, Instances, LoadReading, OutReason};
use crate::client::calls::{InstanceCalls, ServiceCalls};
use crate::client::now::Now;
use crate::instance::{InstanceName, InstanceRecord};
use crate::meter::Counted;

/// An instance that fits, and whose actor answers to the messages of the selector.
pub(in crate::client) struct Fitting<M> {
    pub(in crate::client) record: InstanceRecord,
    pub(in crate::client) actor: ActorRef<M>,
    /// Of this incarnation alone: a message to another one would not be counted.
    pub(in crate::client) via: Via<M>,
    pub(in crate::client) calls: Arc<InstanceCalls>,
    pub(in crate::client) service: Arc<ServiceCalls>,
    /// The names of all that fit, by their places.
    pub(in crate::client) names: Arc<[InstanceName]>,
}

impl<M: Message> Fitting<M> {
    /// Whether a call may begin: its actor takes messages and has the name, and it is not being drained. Any of it may have
    /// changed since the registry noted its last change.
    #[inline]
    pub(in crate::client) fn takes_calls(&self) -> bool {
        !self.calls.is_draining() && self.via.is_alive()
    }

    /// Begins a call; at this time, if its time is measured. False if a drain has begun: then no call has.
    #[inline]
    pub(in crate::client) fn begin_call(&self, began: Option<Instant>) -> bool {
        let calls = &self.calls;
        calls.load.enter();
        // After the call is counted: a drain that began meanwhile waits for it, or is seen here.
        if calls.is_draining() {
            calls.load.leave(true);
            calls.note_end();
            return false;
        }
        if let Some(now) = began {
            calls.load.note_begin(now);
        }
        true
    }

    /// Sends a message, and counts it if it is taken.
    #[inline]
    pub(in crate::client) fn cast(&self, message: M, fail_open: bool) -> Result<(), CastError<M>> {
        self.via.cast(message)?;
        self.service.picks.note(Counted::Cast, fail_open);
        Ok(())
    }

    /// Why no call may begin: what the catalog says, or else what has changed since.
    pub(in crate::client) fn out(&self, now: Instant) -> Option<OutReason> {
        let draining = || self.calls.is_draining().then_some(OutReason::Draining);
        let ended = || (!self.via.is_alive()).then_some(OutReason::Ended);
        self.in_rotation(now).0.out().or_else(draining).or_else(ended)
    }
}

impl<M> Fitting<M> {
    /// With its load at this time.
    pub(in crate::client) fn candidate(&self, now: Instant) -> Candidate<'_> {
        self.with_load(self.calls.load.reading(&self.service.rules, now), now).0
    }

    /// Without its load, and until when it is ejected.
    pub(in crate::client) fn in_rotation(&self, now: Instant) -> (Candidate<'_>, Option<Instant>) {
        self.with_load(LoadReading::IDLE, now)
    }

    fn with_load(&self, load: LoadReading, now: Instant) -> (Candidate<'_>, Option<Instant>) {
        let until = self.service.ejected_until(&self.calls, now);
        let candidate = Candidate::new(&self.record, load).age(now.saturating_duration_since(self.calls.since));
        (candidate.ejected(until.is_some()), until)
    }
}

/// The instances with their loads at one time.
pub(in crate::client) struct Loads<'a, M> {
    pub(in crate::client) fitting: &'a [Arc<Fitting<M>>],
    pub(in crate::client) now: &'a Now,
}

impl<M> Instances for Loads<'_, M> {
    fn name(&self, at: usize) -> &str {
        self.fitting[at].record.name().as_str()
    }

    #[inline]
    fn in_flight(&self, at: usize) -> u32 {
        self.fitting[at].calls.load.in_flight()
    }

    fn figures(&self, at: usize) -> Figures {
        let it = &self.fitting[at];
        it.calls.load.figures(&it.service.rules, self.now.get())
    }

    fn idle(&self, at: usize) -> Option<Duration> {
        self.fitting[at].calls.load.idle(self.now.get())
    }

    fn candidate(&self, at: usize) -> Option<Candidate<'_>> {
        Some(self.fitting[at].candidate(self.now.get()))
    }
}
