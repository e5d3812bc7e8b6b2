//! An instance that fits a selector, and the loads of all that do.

use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::names::Via;
use foundation_kernel::ractor::{ActorRef, Message};
use tokio::time::Instant;

use crate::choice::{Candidate, Figures, Instances, LoadReading};
use crate::client::calls::{InstanceCalls, ServiceCalls};
use crate::client::now::Now;
use crate::instance::InstanceRecord;

/// An instance that fits, and whose actor answers to the messages of the selector.
pub(in crate::client) struct Fitting<M> {
    pub(in crate::client) record: InstanceRecord,
    pub(in crate::client) actor: ActorRef<M>,
    pub(in crate::client) via: Via<M>,
    pub(in crate::client) calls: Arc<InstanceCalls>,
    pub(in crate::client) service: Arc<ServiceCalls>,
}

impl<M: Message> Fitting<M> {
    /// Whether a call may begin: its actor takes messages and has the name, and it is not being drained. Any of it may have
    /// changed since the registry noted its last change.
    pub(in crate::client) fn takes_calls(&self) -> bool {
        !self.calls.is_draining() && self.via.with(|actor| actor.get_id() == self.record.actor).unwrap_or(false)
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
        let until = self.service.ejected_until(self.record.actor, now);
        let candidate = Candidate::new(&self.record, load).age(now.saturating_duration_since(self.calls.since));
        (candidate.ejected(until.is_some()), until)
    }
}

/// The instances with their loads at one time.
pub(in crate::client) struct Loads<'a, M> {
    pub(in crate::client) fitting: &'a [Fitting<M>],
    pub(in crate::client) now: &'a Now,
}

impl<M> Instances for Loads<'_, M> {
    fn name(&self, at: usize) -> &str {
        self.fitting[at].record.name().as_str()
    }

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
