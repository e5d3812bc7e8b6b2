//! Self-preservation: if too many leases run out at the same time, the cause is more likely here than with all of them, such
//! as a network that is down; so none of them expires for a while.
//!
//! # Invariants
//!
//! 1. Expected are the leases that are there, and those that expired within the last window; one that was withdrawn is not.
//!    So an orderly departure never begins a preservation.
//! 2. Fewer expected leases than `min_leases`, or a single one that was not renewed, never begin one.
//! 3. It ends by itself: when no lease is left that has run out, or when those that are left have expired, a share of them in
//!    each window. They begin to when enough others have been renewed for a window, when the share of those that are renewed
//!    stays the same for three, and by the hold at the latest.
//! 4. When it has ended nothing is left of it: the leases that are there then are the expectation.
//!
//! The idea is Eureka's, where the expectation is fixed, so that a preservation may never end.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// In how many windows the share of renewed leases has to be the same, for what is missing to be taken for gone.
const STEADY_WINDOWS: u32 = 3;
/// Shares that differ by no more than this are the same, in percent.
const SAME_PERCENT: usize = 2;
/// The shortest window.
const MIN_WINDOW: Duration = Duration::from_secs(1);
/// The longest window, and the longest hold, a day.
const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// When leases that have run out do not expire.
///
/// | | default |
/// |---|---|
/// | [`min_leases`](Self::min_leases) | 5 |
/// | [`min_percent`](Self::min_percent) | 85 |
/// | [`window`](Self::window) | 1 min |
/// | [`hold`](Self::hold) | 10 min |
/// | [`expire_percent`](Self::expire_percent) | 20 |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreservationRules {
    min_leases: usize,
    min_percent: usize,
    window: Duration,
    hold: Duration,
    expire_percent: usize,
}

impl Default for PreservationRules {
    fn default() -> Self {
        let (window, hold) = (Duration::from_secs(60), Duration::from_secs(600));
        Self { min_leases: 5, min_percent: 85, window, hold, expire_percent: 20 }
    }
}

impl PreservationRules {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many leases there have to be at least; `usize::MAX` for no preservation at all.
    pub fn min_leases(self, leases: usize) -> Self {
        Self { min_leases: leases, ..self }
    }

    /// If a smaller share of the leases is renewed, none expires; 0 to 100 percent.
    pub fn min_percent(self, percent: u8) -> Self {
        Self { min_percent: usize::from(percent.min(100)), ..self }
    }

    /// How long a lease that has expired is remembered as missing, and how often is looked whether the preservation is to
    /// end; from a second to a day.
    pub fn window(self, time: Duration) -> Self {
        Self { window: time.clamp(MIN_WINDOW, MAX_TIME), ..self }
    }

    /// After how long the leases that have run out expire in any case; from a second to a day.
    pub fn hold(self, time: Duration) -> Self {
        Self { hold: time.clamp(MIN_WINDOW, MAX_TIME), ..self }
    }

    /// Which share of the leases expires in a window after that, 1 to 100 percent; one lease at least.
    pub fn expire_percent(self, percent: u8) -> Self {
        Self { expire_percent: usize::from(percent.clamp(1, 100)), ..self }
    }

    fn per_window(&self, leases: usize) -> usize {
        (leases * self.expire_percent).div_ceil(100).max(1)
    }
}

/// The leases of a namespace at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Those that are renewed as often as before.
    pub fresh: usize,
    /// Those that are not, and have not run out yet.
    pub suspect: usize,
    /// Those that have run out and are still there.
    pub overdue: usize,
}

impl Census {
    /// All of them.
    pub fn total(&self) -> usize {
        self.fresh + self.suspect + self.overdue
    }
}

/// What becomes of a lease that has run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// It expires.
    Expires,
    /// It is kept; ask again at this time.
    KeptUntil(Instant),
}

/// A preservation begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreservationChange {
    /// Too few leases are renewed.
    Began {
        /// How many leases should have been renewed.
        expected: usize,
        /// How many were.
        renewed: usize,
    },
    /// No lease is kept any more.
    Ended {
        /// How long it lasted.
        lasted: Duration,
        /// How many leases that were kept have expired.
        expired: usize,
    },
}

/// Whether leases that have run out are kept: a pure state machine, which is given the leases and the time.
///
/// ```
/// use foundation_discovery::lease::{Census, Overdue, Preservation, PreservationChange, PreservationRules};
/// use tokio::time::Instant;
///
/// let (mut preservation, now) = (Preservation::new(PreservationRules::new()), Instant::now());
/// let census = Census { fresh: 4, suspect: 5, overdue: 1 };
/// let (overdue, change) = preservation.overdue(census, now);
/// assert!(matches!(overdue, Overdue::KeptUntil(_)));
/// assert_eq!(change, Some(PreservationChange::Began { expected: 10, renewed: 4 }));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preservation {
    rules: PreservationRules,
    phase: Phase,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Leases that have run out expire; when those of the last window did.
    Off { expired: VecDeque<Instant> },
    /// None expires. When is looked next, the share of renewed leases at the last look, in how many looks it was the same, and
    /// whether it was enough.
    Holding { since: Instant, next: Instant, percent: usize, steady: u32, recovered: bool },
    /// So many more may expire before the next window.
    Releasing { since: Instant, next: Instant, per_window: usize, left: usize, expired: usize },
}

impl Phase {
    const fn off() -> Self {
        Self::Off { expired: VecDeque::new() }
    }
}

impl Preservation {
    /// Without one.
    pub fn new(rules: PreservationRules) -> Self {
        Self { rules, phase: Phase::off() }
    }

    /// Whether leases that have run out are kept.
    pub fn is_on(&self) -> bool {
        self.next_look().is_some()
    }

    /// While leases are kept, when they have to be looked at again.
    pub fn next_look(&self) -> Option<Instant> {
        match self.phase {
            Phase::Off { .. } => None,
            Phase::Holding { next, .. } | Phase::Releasing { next, .. } => Some(next),
        }
    }

    /// A lease has run out, which the census counts. Says what becomes of it, and whether a preservation begins or ends with
    /// it.
    pub fn overdue(&mut self, census: Census, now: Instant) -> (Overdue, Option<PreservationChange>) {
        let ended = self.look(census, now);
        match &mut self.phase {
            Phase::Off { expired } => {
                let expected = census.total() + expired.len();
                if self.rules.is_mass_loss(expected, census.fresh) {
                    return self.begin(expected, census.fresh, now);
                }
                expired.push_back(now);
                (Overdue::Expires, ended)
            }
            Phase::Holding { next, .. } | Phase::Releasing { next, left: 0, .. } => (Overdue::KeptUntil(*next), ended),
            Phase::Releasing { left, expired, .. } => {
                (*left, *expired) = (*left - 1, *expired + 1);
                let rest = Census { overdue: census.overdue.saturating_sub(1), ..census };
                (Overdue::Expires, self.end_if_none_is_overdue(rest, now))
            }
        }
    }

    /// The lease that was to expire by the last answer was renewed meanwhile: it is not counted.
    pub fn was_renewed(&mut self) {
        match &mut self.phase {
            Phase::Off { expired } => drop(expired.pop_back()),
            Phase::Releasing { left, expired, .. } => (*left, *expired) = (*left + 1, expired.saturating_sub(1)),
            Phase::Holding { .. } => {}
        }
    }

    /// Looks whether a preservation ends, without a lease that has run out.
    pub fn look(&mut self, census: Census, now: Instant) -> Option<PreservationChange> {
        match &mut self.phase {
            Phase::Off { expired } => {
                let window = self.rules.window;
                while expired.front().is_some_and(|at| now.saturating_duration_since(*at) >= window) {
                    expired.pop_front();
                }
                None
            }
            Phase::Holding { next, .. } => {
                if now >= *next {
                    self.end_window(census, now);
                }
                self.end_if_none_is_overdue(census, now)
            }
            Phase::Releasing { next, per_window, left, .. } => {
                if now >= *next {
                    (*next, *left) = (now + self.rules.window, *per_window);
                }
                self.end_if_none_is_overdue(census, now)
            }
        }
    }

    fn begin(&mut self, expected: usize, renewed: usize, now: Instant) -> (Overdue, Option<PreservationChange>) {
        let (next, percent) = (now + self.rules.window.min(self.rules.hold), percent_of(renewed, expected));
        self.phase = Phase::Holding { since: now, next, percent, steady: 0, recovered: false };
        (Overdue::KeptUntil(next), Some(PreservationChange::Began { expected, renewed }))
    }

    /// Decides at the end of a window whether those that have run out begin to expire.
    fn end_window(&mut self, census: Census, now: Instant) {
        let Phase::Holding { since, next, percent, steady, recovered } = &mut self.phase else { return };
        let (is, before, end) = (percent_of(census.fresh, census.total()), *percent, *since + self.rules.hold);
        let had_recovered = std::mem::replace(recovered, !self.rules.is_loss_in(census));
        *steady = if is.abs_diff(before) <= SAME_PERCENT { *steady + 1 } else { 0 };
        (*percent, *next) = (is, (now + self.rules.window).min(end));
        if *steady >= STEADY_WINDOWS || now >= end || (had_recovered && *recovered) {
            let (since, next) = (*since, now + self.rules.window);
            let per_window = self.rules.per_window(census.total());
            self.phase = Phase::Releasing { since, next, per_window, left: per_window, expired: 0 };
        }
    }

    fn end_if_none_is_overdue(&mut self, census: Census, now: Instant) -> Option<PreservationChange> {
        let (since, expired) = match self.phase {
            Phase::Releasing { since, expired, .. } => (since, expired),
            Phase::Holding { since, .. } if !self.rules.is_loss_in(census) => (since, 0),
            _ => return None,
        };
        (census.overdue == 0).then(|| self.end(since, expired, now))
    }

    fn end(&mut self, since: Instant, expired: usize, now: Instant) -> PreservationChange {
        self.phase = Phase::off();
        PreservationChange::Ended { lasted: now.saturating_duration_since(since), expired }
    }
}

impl PreservationRules {
    fn is_loss_in(&self, census: Census) -> bool {
        self.is_mass_loss(census.total(), census.fresh)
    }

    /// Whether so few leases were renewed that the cause is more likely here. A single one is never many.
    fn is_mass_loss(&self, expected: usize, renewed: usize) -> bool {
        let missing = expected.saturating_sub(renewed);
        expected >= self.min_leases && missing > 1 && renewed * 100 < expected * self.min_percent
    }
}

fn percent_of(part: usize, whole: usize) -> usize {
    (part * 100).checked_div(whole).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);
    const HOLD: Duration = Duration::from_secs(600);

    /// Leases that have run out, each with the time at which it asks again, and the others.
    struct Leases {
        preservation: Preservation,
        fresh: usize,
        overdue: Vec<Instant>,
        expired: Vec<Instant>,
        changes: Vec<PreservationChange>,
    }

    impl Leases {
        fn new(fresh: usize) -> Self {
            let preservation = Preservation::new(PreservationRules::new());
            Self { preservation, fresh, overdue: Vec::new(), expired: Vec::new(), changes: Vec::new() }
        }

        fn census(&self) -> Census {
            Census { fresh: self.fresh, suspect: 0, overdue: self.overdue.len() }
        }

        fn lose(&mut self, leases: usize, now: Instant) {
            self.fresh -= leases;
            self.overdue.extend(vec![now; leases]);
        }

        /// Those that are due ask again.
        fn run_at(&mut self, now: Instant) {
            while let Some(at) = self.overdue.iter().position(|asks| *asks <= now) {
                let (overdue, change) = self.preservation.overdue(self.census(), now);
                self.changes.extend(change);
                match overdue {
                    Overdue::KeptUntil(until) => self.overdue[at] = until,
                    Overdue::Expires => {
                        self.overdue.swap_remove(at);
                        self.expired.push(now);
                    }
                }
            }
        }

        /// Until none is left, or for this long.
        fn run(&mut self, from: Instant, time: Duration) {
            while let Some(next) = self.overdue.iter().min().copied().filter(|next| *next <= from + time) {
                self.run_at(next.max(from));
            }
        }

        fn renew_all(&mut self, now: Instant) {
            self.fresh += self.overdue.len();
            self.overdue.clear();
            self.changes.extend(self.preservation.look(self.census(), now));
        }
    }

    #[test]
    fn if_half_of_ten_run_out_none_expires_until_the_rest_has_been_steady_for_three_windows() {
        let (mut leases, now) = (Leases::new(10), Instant::now());
        leases.lose(5, now);
        leases.run(now, WINDOW * 3 - Duration::from_secs(1));
        assert!(leases.expired.is_empty() && leases.preservation.is_on());
        leases.run(now, HOLD);
        let after: Vec<_> = leases.expired.iter().map(|at| (*at - now).as_secs()).collect();
        assert_eq!(after, [180, 180, 240, 240, 300], "two of ten are a fifth");
        let ended = PreservationChange::Ended { lasted: Duration::from_secs(300), expired: 5 };
        assert_eq!(leases.changes, [PreservationChange::Began { expected: 10, renewed: 5 }, ended]);
        assert_eq!(leases.preservation, Preservation::new(PreservationRules::new()));
    }

    #[test]
    fn a_loss_that_grows_within_a_window_is_one_loss() {
        let (mut leases, now) = (Leases::new(20), Instant::now());
        for lost in 0..3 {
            leases.lose(1, now + Duration::from_secs(lost * 10));
            leases.run(now, WINDOW);
        }
        assert_eq!(leases.expired.len(), 3, "17 of 20 are 85 percent");
        leases.lose(1, now + Duration::from_secs(59));
        leases.run_at(now + Duration::from_secs(59));
        assert_eq!(leases.changes, [PreservationChange::Began { expected: 20, renewed: 16 }]);
    }

    #[test]
    fn the_rest_of_an_outage_that_is_over_is_given_another_window() {
        let (mut leases, now) = (Leases::new(100), Instant::now());
        leases.lose(50, now);
        leases.run_at(now);
        leases.fresh += 40;
        leases.overdue.truncate(10);
        leases.run(now, WINDOW);
        assert!(leases.expired.is_empty(), "90 of 100, for the first time");
        leases.run(now, WINDOW * 2);
        assert_eq!(leases.expired, vec![now + WINDOW * 2; 10]);
        assert!(!leases.preservation.is_on());
    }

    proptest! {
        #[test]
        fn an_orderly_departure_never_begins_a_preservation(all in 1..500_usize, leaves in vec((1..50_usize, 0..90_u64), 1..50)) {
            let (mut leases, mut now) = (Leases::new(all), Instant::now());
            for (leave, seconds) in leaves {
                now += Duration::from_secs(seconds);
                leases.fresh = leases.fresh.saturating_sub(leave);
                leases.changes.extend(leases.preservation.look(leases.census(), now));
                // One that is not orderly, no more than one a window.
                if leases.fresh > 0 && leases.expired.last().is_none_or(|at| *at + WINDOW <= now) {
                    leases.lose(1, now);
                    leases.run_at(now);
                }
            }
            prop_assert_eq!((leases.changes, leases.overdue.len()), (vec![], 0));
        }

        #[test]
        fn fewer_than_five_leases_are_never_kept(all in 1..5_usize, losses in vec((1..5_usize, 0..90_u64), 1..5)) {
            let (mut leases, mut now) = (Leases::new(all), Instant::now());
            for (lost, seconds) in losses {
                now += Duration::from_secs(seconds);
                leases.lose(lost.min(leases.fresh), now);
                leases.run_at(now);
            }
            prop_assert_eq!((leases.changes, leases.overdue.len()), (vec![], 0));
        }

        #[test]
        fn none_is_kept_longer_than_the_hold_and_the_windows_that_its_share_needs(
            all in 5..300_usize, losses in vec((1..100_usize, 0..30_u64), 1..5), moving in any::<bool>(),
        ) {
            let (mut leases, began) = (Leases::new(all), Instant::now());
            let mut now = began;
            for (lost, seconds) in losses {
                now += Duration::from_secs(seconds);
                leases.lose(lost.min(leases.fresh), now);
                leases.run_at(now);
            }
            let latest = now;
            while let Some(next) = leases.overdue.iter().min().copied() {
                now = next.max(now);
                // The share of one that moves is never steady.
                leases.fresh += usize::from(moving) * (leases.fresh / 20);
                leases.run_at(now);
                prop_assert!(now <= latest + HOLD + WINDOW * 6, "{:?}", now - began);
            }
            prop_assert!(!leases.preservation.is_on());
            let kept = leases.changes.iter().any(|it| matches!(it, PreservationChange::Began { .. }));
            let is_new = leases.preservation == Preservation::new(PreservationRules::new());
            prop_assert!(!kept || is_new, "nothing is left of it");
        }

        #[test]
        fn while_it_ends_no_more_than_a_fifth_expires_in_a_window(all in 5..300_usize, lost in 5..300_usize) {
            let (mut leases, now) = (Leases::new(all), Instant::now());
            leases.lose(lost.min(all), now);
            leases.run(now, HOLD * 3);
            let kept: Vec<_> = leases.expired.iter().copied().filter(|at| *at > now).collect();
            for from in &kept {
                let within = kept.iter().filter(|at| from <= *at && **at < *from + WINDOW).count();
                prop_assert!(within <= all.div_ceil(5), "{within} of {all}");
            }
        }

        #[test]
        fn after_an_outage_of_less_than_three_windows_all_are_there(
            all in 5..300_usize, lost in 2..300_usize, seconds in 1..180_u64,
        ) {
            let (mut leases, now) = (Leases::new(all), Instant::now());
            leases.lose(lost.min(all), now);
            leases.run(now, Duration::from_secs(seconds - 1));
            let kept = leases.preservation.is_on();
            leases.renew_all(now + Duration::from_secs(seconds));
            prop_assert!(!kept || leases.expired.is_empty());
            prop_assert!(!leases.preservation.is_on());
        }
    }
}
