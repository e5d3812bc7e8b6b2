//! Signs of life of one incarnation: the renewals of a lease, or the heartbeats that a check awaits.
//!
//! # Invariants
//!
//! 1. The last sign, whether one is awaited, and the end are one number. So a sign that is accepted came before the end and
//!    counts, and none is accepted after it.
//! 2. A time is never replaced by an earlier one.
//! 3. A reader that awaits the next sign is woken by it, or sees that it was given meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// There are no more signs.
const ENDED: u64 = u64::MAX;
/// A sign without a time was given after the last one that has a time.
const BEATEN: u64 = 1;
/// A reader is to be woken by the next sign.
const AWAITED: u64 = 2;
const FLAGS: u32 = 2;
/// The latest time that can be noted, about 146 years after the beginning.
const MAX_TIME: u64 = (ENDED >> FLAGS) - 1;

/// The last sign of life of one incarnation: given by any thread without a lock, and read by those who look whether it is
/// silent.
///
/// One that is [noted](Self::note) has its time. One that is [beaten](Self::beat) has none: it counts as given when a reader
/// [takes it in](Self::take_in), so readers look more often while there may be such.
#[derive(Debug)]
pub(crate) struct Pulse {
    began: Instant,
    /// [`ENDED`], or the flags and above them the time of the last sign: in nanoseconds since it began, and one; 0 without.
    state: AtomicU64,
    /// Whether signs without a time may come.
    is_beaten: AtomicBool,
    changed: Notify,
}

/// The last sign, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sign(u64);

impl Sign {
    /// Whether one without a time was given since.
    pub(crate) fn is_beaten(self) -> bool {
        self.0 & BEATEN != 0
    }
}

impl Pulse {
    /// Without a sign.
    pub(crate) fn new(began: Instant) -> Self {
        Self { began, state: AtomicU64::new(0), is_beaten: AtomicBool::new(false), changed: Notify::new() }
    }

    // ---- signs ----

    /// Notes a sign at this time, and returns the time since the last one, or since the beginning; `None` after the end.
    pub(crate) fn note(&self, now: Instant) -> Option<Duration> {
        let nanos = now.saturating_duration_since(self.began).as_nanos();
        let time = u64::try_from(nanos).unwrap_or(MAX_TIME).min(MAX_TIME - 1) + 1;
        let mut before = self.state.load(Ordering::Acquire);
        loop {
            if before == ENDED {
                return None;
            }
            match self.replace(before, time.max(before >> FLAGS) << FLAGS) {
                Ok(()) => return Some(Duration::from_nanos(time.saturating_sub((before >> FLAGS).max(1)))),
                Err(now) => before = now,
            }
        }
    }

    /// Gives a sign without a time; false after the end. Costs a load and a comparison, and one store for the first sign after
    /// a reader has looked.
    #[inline]
    pub(crate) fn beat(&self) -> bool {
        let before = self.state.load(Ordering::Acquire);
        // The end has this bit, too.
        if before & BEATEN != 0 { before != ENDED } else { self.beat_after(before) }
    }

    #[cold]
    fn beat_after(&self, mut before: u64) -> bool {
        while before & BEATEN == 0 {
            match self.replace(before, (before & !AWAITED) | BEATEN) {
                Ok(()) => return true,
                Err(now) => before = now,
            }
        }
        before != ENDED
    }

    fn replace(&self, before: u64, next: u64) -> Result<(), u64> {
        self.state.compare_exchange(before, next, Ordering::AcqRel, Ordering::Acquire)?;
        if before & AWAITED != 0 {
            self.changed.notify_waiters();
        }
        Ok(())
    }

    /// Says that signs without a time may come from now on. The first call wakes the readers, which look more often then: not
    /// under a lock.
    pub(crate) fn expect_beats(&self) {
        if !self.is_beaten.swap(true, Ordering::AcqRel) {
            self.wake();
        }
    }

    // ---- reading ----

    /// Takes in a sign without a time, if there is one: it is noted as given now.
    pub(crate) fn take_in(&self, now: Instant) -> Option<Duration> {
        if self.state.load(Ordering::Acquire) & BEATEN == 0 { None } else { self.note(now) }
    }

    /// The last sign; `None` after the end.
    pub(crate) fn last(&self) -> Option<Sign> {
        Some(self.state.load(Ordering::Acquire)).filter(|state| *state != ENDED).map(Sign)
    }

    /// When a sign was given; `None` if that is not one yet.
    pub(crate) fn time_of(&self, sign: Sign) -> Option<Instant> {
        let nanos = (sign.0 >> FLAGS).checked_sub(1)?;
        self.began.checked_add(Duration::from_nanos(nanos))
    }

    /// When it began.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// How long a reader may wait at most for its next look at a silence of this length: signs without a time count from the
    /// look that takes them in.
    pub(crate) fn look_within(&self, silence: Duration) -> Option<Duration> {
        self.is_beaten.load(Ordering::Acquire).then_some(silence / 3)
    }

    // ---- waiting ----

    /// Ready when an awaited sign has come, or it was [woken](Self::wake). Enable it before looking: a change between the two
    /// is noticed.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Has the next sign wake the readers. False if there was one after this, or the end.
    pub(crate) fn await_next(&self, last: Sign) -> bool {
        if last.is_beaten() {
            return false;
        }
        let awaited = last.0 | AWAITED;
        match self.state.compare_exchange(last.0, awaited, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(now) => now == awaited,
        }
    }

    /// Wakes the readers: not under a lock.
    pub(crate) fn wake(&self) {
        self.changed.notify_waiters();
    }

    // ---- the end ----

    /// Ends the signs unless there was one after this, with or without a time; true if they are ended now. Wakes no reader.
    pub(crate) fn end_after(&self, last: Sign) -> bool {
        // One without a time was accepted, and has yet to be taken in.
        if last.is_beaten() {
            return false;
        }
        self.state.compare_exchange(last.0, ENDED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Ends the signs; true if they had not ended before. Wakes no reader.
    pub(crate) fn end(&self) -> bool {
        self.state.swap(ENDED, Ordering::AcqRel) != ENDED
    }

    /// Returns when the signs have ended, and the readers were woken.
    pub(crate) async fn ended(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed());
            changed.as_mut().enable();
            if self.last().is_none() {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Note(u64),
        Beat,
        TakeIn(u64),
        Await,
        End,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let time = || 0..u64::MAX / 8;
        let step = prop_oneof![
            4 => time().prop_map(Step::Note), 4 => Just(Step::Beat), 3 => time().prop_map(Step::TakeIn),
            2 => Just(Step::Await), 1 => Just(Step::End),
        ];
        vec(step, 0..30)
    }

    proptest! {
        #[test]
        fn the_latest_sign_counts_until_the_end_and_an_awaited_one_wakes(steps in steps()) {
            let began = Instant::now();
            let at = |nanos| began + Duration::from_nanos(nanos);
            let pulse = Pulse::new(began);
            let (mut latest, mut beaten, mut ended) = (None::<u64>, false, false);
            for step in steps {
                let is_awaited = pulse.last().is_some_and(|last| last.0 & AWAITED != 0);
                let mut woken = Box::pin(pulse.changed());
                woken.as_mut().enable();
                let given = match step {
                    Step::Note(time) => {
                        let gap = pulse.note(at(time));
                        prop_assert_eq!(gap, (!ended).then(|| Duration::from_nanos(time.saturating_sub(latest.unwrap_or(0)))));
                        (latest, beaten) = if ended { (latest, beaten) } else { (latest.max(Some(time)), false) };
                        true
                    }
                    Step::Beat => {
                        prop_assert_eq!(pulse.beat(), !ended);
                        let is_first = !beaten;
                        beaten |= !ended;
                        is_first
                    }
                    Step::TakeIn(time) => {
                        let was_beaten = std::mem::take(&mut beaten) && !ended;
                        prop_assert_eq!(pulse.take_in(at(time)).is_some(), was_beaten);
                        latest = if was_beaten { latest.max(Some(time)) } else { latest };
                        was_beaten
                    }
                    Step::Await => {
                        for _ in 0..2 {
                            prop_assert!(pulse.last().is_none_or(|last| pulse.await_next(last) != beaten));
                        }
                        false
                    }
                    Step::End => {
                        prop_assert_eq!(pulse.end(), !ended);
                        ended = true;
                        false
                    }
                };
                prop_assert_eq!(futures::FutureExt::now_or_never(woken).is_some(), is_awaited && given);
                let last = pulse.last();
                prop_assert_eq!(last.is_none(), ended);
                if let Some(last) = last {
                    prop_assert_eq!((pulse.time_of(last), last.is_beaten()), (latest.map(at), beaten));
                }
            }
        }

        #[test]
        fn a_sign_that_is_given_after_a_look_prevents_the_end(first in 0..u64::MAX / 8, more in 1..u64::MAX / 8, beats: bool) {
            let began = Instant::now();
            let pulse = Pulse::new(began);
            pulse.note(began + Duration::from_nanos(first));
            let seen = pulse.last().unwrap();
            if beats { pulse.beat(); } else { pulse.note(began + Duration::from_nanos(first + more)); }
            prop_assert!(!pulse.end_after(seen) && !pulse.await_next(seen));
            let now = pulse.last().unwrap();
            prop_assert_eq!(pulse.end_after(now), !beats, "a sign without a time has to be taken in first");
            pulse.take_in(began);
            let now = pulse.last();
            prop_assert!(now.is_none_or(|now| pulse.end_after(now)) && !pulse.beat() && pulse.note(began).is_none());
        }
    }

    /// Of beats and an end at the same time: a beat that was accepted came before the look that the end is of.
    #[test]
    fn a_beat_that_is_accepted_counts_whatever_ends_at_the_same_time() {
        for _ in 0..2_000 {
            let pulse = Pulse::new(Instant::now());
            let (seen, accepted) = (pulse.last().unwrap(), std::sync::atomic::AtomicBool::new(false));
            let ended = std::thread::scope(|scope| {
                scope.spawn(|| accepted.store(pulse.beat(), Ordering::SeqCst));
                pulse.end_after(seen)
            });
            assert_ne!(ended, accepted.load(Ordering::SeqCst));
        }
    }
}
