//! The terms of a lease, and what they say of it at one time.
//!
//! # Invariants
//!
//! 1. With time alone a lease gets no fresher: from fresh to suspect to expired, or kept.
//! 2. A lease that was renewed within its time to live is never expired.
//! 3. Before the time of the next look the state stays the same, unless the lease is renewed.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest time to live of a lease.
const MIN_TTL: Duration = Duration::from_millis(100);
/// The longest, a day.
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// For how long an announced instance is there without a renewal of its lease.
///
/// | | default |
/// |---|---|
/// | [`new`](Self::new) | the time to live: 100 ms at least, a day at most |
/// | [`suspect_after`](Self::suspect_after) | two thirds of the time to live |
/// | [`outlives_holder`](Self::outlives_holder) | no |
///
/// Renew a lease each third of its time to live, so that one renewal may be lost. A duration alone is the terms with that
/// time to live and the defaults.
///
/// ```
/// use std::time::Duration;
/// use foundation_discovery::lease::{LeaseState, LeaseTerms};
/// use tokio::time::Instant;
///
/// let (terms, renewed) = (LeaseTerms::new(Duration::from_secs(30)), Instant::now());
/// let at = |seconds| terms.decide(renewed + Duration::from_secs(seconds), renewed, None);
/// assert_eq!(at(19).state, LeaseState::Fresh);
/// assert_eq!(at(20).state, LeaseState::Suspect { silent_for: Duration::from_secs(20) });
/// assert_eq!(at(30).state, LeaseState::Expired { silent_for: Duration::from_secs(30) });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTerms {
    ttl: Duration,
    suspect_after: Duration,
    outlives_holder: bool,
}

/// What the terms say of a lease at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseState {
    /// It was renewed in time.
    Fresh,
    /// It was not renewed when it should have been, and may still be: its instance is degraded.
    Suspect {
        /// The time since its last renewal.
        silent_for: Duration,
    },
    /// It has run out: its instance is gone.
    Expired {
        /// The time since its last renewal.
        silent_for: Duration,
    },
    /// It has run out, and is kept since too many others have: its instance is unhealthy.
    Kept {
        /// The time since its last renewal.
        silent_for: Duration,
    },
}

/// A lease at one time, and when it has to be looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseLook {
    /// What the terms say.
    pub state: LeaseState,
    /// Until then they say the same, unless the lease is renewed. `None` if it has expired.
    pub next: Option<Instant>,
}

impl LeaseTerms {
    /// Terms with this time to live; one that is too short or too long becomes the shortest or the longest.
    pub fn new(ttl: Duration) -> Self {
        let ttl = ttl.clamp(MIN_TTL, MAX_TTL);
        Self { ttl, suspect_after: ttl * 2 / 3, outlives_holder: false }
    }

    /// After how long without a renewal the lease is suspect; the time to live at most.
    pub fn suspect_after(self, time: Duration) -> Self {
        Self { suspect_after: time.min(self.ttl), ..self }
    }

    /// Whether the lease stays when its holder is dropped, and then runs out by itself: for a holder that will be restarted.
    pub fn outlives_holder(self, outlives: bool) -> Self {
        Self { outlives_holder: outlives, ..self }
    }

    /// The time to live.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Whether the lease stays when its holder is dropped.
    pub(crate) fn stays(&self) -> bool {
        self.outlives_holder
    }

    /// How often the lease is to be renewed: each third of its time to live.
    pub(crate) fn renewal_interval(&self) -> Duration {
        self.ttl / 3
    }

    /// What the terms say of a lease that was last renewed at this time. `kept_until` is the time until which one that has
    /// run out is kept, if it is.
    pub fn decide(&self, now: Instant, renewed_at: Instant, kept_until: Option<Instant>) -> LeaseLook {
        let silent_for = now.saturating_duration_since(renewed_at);
        let (state, next) = if silent_for < self.suspect_after {
            (LeaseState::Fresh, Some(renewed_at + self.suspect_after))
        } else if silent_for < self.ttl {
            (LeaseState::Suspect { silent_for }, Some(renewed_at + self.ttl))
        } else if kept_until.is_some_and(|until| now < until) {
            (LeaseState::Kept { silent_for }, kept_until)
        } else {
            (LeaseState::Expired { silent_for }, None)
        };
        LeaseLook { state, next }
    }
}

impl From<Duration> for LeaseTerms {
    fn from(ttl: Duration) -> Self {
        Self::new(ttl)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rank(state: LeaseState) -> u8 {
        match state {
            LeaseState::Fresh => 0,
            LeaseState::Suspect { .. } => 1,
            LeaseState::Expired { .. } | LeaseState::Kept { .. } => 2,
        }
    }

    fn terms() -> impl Strategy<Value = LeaseTerms> {
        (0..200_000_000_u64, 0..200_000_000_u64).prop_map(|(ttl, suspect)| {
            LeaseTerms::new(Duration::from_millis(ttl)).suspect_after(Duration::from_millis(suspect))
        })
    }

    #[test]
    fn without_a_word_a_lease_is_suspect_after_two_thirds_of_its_time() {
        let terms = LeaseTerms::from(Duration::from_secs(9));
        assert_eq!(terms, LeaseTerms::new(Duration::from_secs(9)).suspect_after(Duration::from_secs(6)));
        assert_eq!(LeaseTerms::new(Duration::ZERO).ttl(), MIN_TTL);
        assert_eq!(LeaseTerms::new(Duration::MAX).ttl(), MAX_TTL);
        assert_eq!(terms.suspect_after(Duration::MAX), terms.suspect_after(terms.ttl()));
    }

    proptest! {
        #[test]
        fn a_lease_expires_no_earlier_than_its_time_to_live_and_no_later_unless_it_is_kept(
            terms in terms(), after in 0..400_000_000_u64, kept in proptest::option::of(0..400_000_000_u64),
        ) {
            let renewed = Instant::now();
            let at = |millis| renewed + Duration::from_millis(millis);
            let look = terms.decide(at(after), renewed, kept.map(at));
            let is_over = Duration::from_millis(after) >= terms.ttl();
            let is_kept = is_over && kept.is_some_and(|until| after < until);
            prop_assert_eq!(matches!(look.state, LeaseState::Expired { .. }), is_over && !is_kept);
            prop_assert_eq!(matches!(look.state, LeaseState::Kept { .. }), is_kept);
            prop_assert_eq!(look.next.is_none(), is_over && !is_kept);
        }

        #[test]
        fn the_state_stays_until_the_next_look_and_then_is_another(terms in terms(), after in 0..400_000_000_u64) {
            let renewed = Instant::now();
            let now = renewed + Duration::from_millis(after);
            let look = terms.decide(now, renewed, None);
            let Some(next) = look.next else { return Ok(()) };
            prop_assert!(next > now);
            let before = terms.decide(next - Duration::from_nanos(1), renewed, None);
            prop_assert_eq!((rank(before.state), before.next), (rank(look.state), look.next));
            prop_assert!(rank(terms.decide(next, renewed, None).state) > rank(look.state));
        }
    }
}
