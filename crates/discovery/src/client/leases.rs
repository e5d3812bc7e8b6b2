//! The leases of a namespace, and whether those that have run out are kept.
//!
//! # Invariants
//!
//! 1. A lease that is lost is not counted: it is removed with the loss, in order or not.
//! 2. Notices are sent, and the waiters for a loss woken, after the lock is released.
//! 3. A lease that is renewed as often as before is not missing, however late within its time to live that is.
//! 4. A lease expires only by a count of this very time. While leases are kept, and of many looks at the same time, only some
//!    count: that costs each look a constant on average.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use foundation_kernel::ractor::ActorId;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::alarm::TICK;
use super::lease::cell::LeaseCell;
use super::notice::{Notice, Notices};
use crate::instance::InstanceName;
use crate::lease::{Census, LeaseEnd, LeaseState, Overdue, Preservation, PreservationChange, PreservationRules};
use crate::pulse::Sign;

/// The incarnation that a lease is of.
pub(super) type LeaseKey = (InstanceName, ActorId);

pub(super) struct Leases(Mutex<State>);

struct State {
    cells: HashMap<LeaseKey, Arc<LeaseCell>, RandomState>,
    preservation: Preservation,
    counted: Option<Counted>,
}

/// A count of the leases, which is corrected for those that come and go.
struct Counted {
    census: Census,
    at: Instant,
    /// How many looks have used it.
    looks: usize,
}

/// For so many leases that are counted a look uses a count once.
const LEASES_PER_LOOK: usize = 64;
impl Counted {
    /// Whether it says how the leases are at this time, up to this age.
    fn is_usable(&self, leases: usize, now: Instant, age: Duration) -> bool {
        self.looks * LEASES_PER_LOOK < leases && now.saturating_duration_since(self.at) <= age
    }
}

/// What a look at a lease says to its keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeeperLook {
    /// The lease has ended.
    Ended(LeaseEnd),
    /// It was renewed while it was looked at.
    Renewed,
    /// It is in this state, and may be in another one from then on.
    Until { state: LeaseState, next: Instant },
}

impl Leases {
    pub(super) fn new(rules: PreservationRules) -> Self {
        Self(Mutex::new(State { cells: HashMap::default(), preservation: Preservation::new(rules), counted: None }))
    }

    /// Whether an incarnation is the keeper of a lease.
    pub(super) fn has(&self, key: &LeaseKey) -> bool {
        self.0.lock().cells.contains_key(key)
    }

    pub(super) fn add(&self, key: LeaseKey, cell: Arc<LeaseCell>) {
        let mut state = self.0.lock();
        state.cells.insert(key, cell);
        state.counted.iter_mut().for_each(|counted| counted.census.fresh += 1);
    }

    /// Ends a lease, if there is one.
    pub(super) fn end(&self, key: &LeaseKey, now: Instant, notices: &Notices) {
        let (cell, change) = {
            let mut state = self.0.lock();
            let Some(cell) = state.remove(key, now) else { return };
            (cell, state.look_if_on(now))
        };
        cell.lose();
        send(change, notices);
    }

    /// What a lease is at this time that was last renewed then. One that has expired is lost, unless it was renewed
    /// meanwhile, or its name was lost before.
    pub(super) fn look(
        &self,
        key: &LeaseKey,
        cell: &LeaseCell,
        last: Sign,
        now: Instant,
        notices: &Notices,
    ) -> KeeperLook {
        let (look, change) = {
            let mut state = self.0.lock();
            let (found, next, change) = state.look(cell, last, now);
            let look = match found {
                LeaseState::Expired { silent_for } => state.expire(key, cell, last, silent_for, now),
                state => KeeperLook::Until { state, next },
            };
            (look, change)
        };
        if let KeeperLook::Ended(_) = look {
            cell.renewals.wake();
        }
        send(change, notices);
        look
    }
}

impl State {
    /// The state of a lease, and when it may be another one.
    fn look(
        &mut self,
        cell: &LeaseCell,
        last: Sign,
        now: Instant,
    ) -> (LeaseState, Instant, Option<PreservationChange>) {
        let (terms, renewed_at) = (cell.terms, cell.time_of(last));
        let look = terms.decide(now, renewed_at, None);
        let Some(next) = look.next else {
            let census = self.census(now);
            let (overdue, change) = self.preservation.overdue(census, now);
            let until = match overdue {
                Overdue::KeptUntil(until) => Some(until),
                Overdue::Expires => None,
            };
            let state = terms.decide(now, renewed_at, until).state;
            return (state, until.unwrap_or(now), change);
        };
        let change = self.look_if_on(now);
        // While leases are kept all keepers look at the end of each window, so that one of them sees that it is over.
        let next = self.preservation.next_look().map_or(next, |window| next.min(window));
        (look.state, next, change)
    }

    fn expire(
        &mut self,
        key: &LeaseKey,
        cell: &LeaseCell,
        last: Sign,
        silent_for: Duration,
        now: Instant,
    ) -> KeeperLook {
        if cell.renewals.end_after(last) {
            self.remove(key, now);
            return KeeperLook::Ended(LeaseEnd::Expired(silent_for));
        }
        self.preservation.was_renewed();
        match cell.renewal() {
            Some(_) => KeeperLook::Renewed,
            None => KeeperLook::Ended(LeaseEnd::NameLost),
        }
    }

    fn remove(&mut self, key: &LeaseKey, now: Instant) -> Option<Arc<LeaseCell>> {
        let cell = self.cells.remove(key)?;
        if let Some(counted) = &mut self.counted {
            // One that is lost had run out.
            let count = cell.renewal().map_or(Count::Overdue, |last| Count::of(&cell, last, now));
            let of = count.of_census(&mut counted.census);
            *of = of.saturating_sub(1);
        }
        Some(cell)
    }

    fn look_if_on(&mut self, now: Instant) -> Option<PreservationChange> {
        if !self.preservation.is_on() {
            return None;
        }
        let census = self.census(now);
        self.preservation.look(census, now)
    }

    /// How many leases there are of each kind. Cost: linear in the leases, of each 64 leases' worth of looks once.
    fn census(&mut self, now: Instant) -> Census {
        let age = if self.preservation.is_on() { TICK } else { Duration::ZERO };
        if let Some(counted) = self.counted.as_mut().filter(|counted| counted.is_usable(self.cells.len(), now, age)) {
            counted.looks += 1;
            return counted.census;
        }
        let mut census = Census::default();
        for cell in self.cells.values() {
            let Some(renewal) = cell.renewal() else { continue };
            *Count::of(cell, renewal, now).of_census(&mut census) += 1;
        }
        self.counted = Some(Counted { census, at: now, looks: 1 });
        census
    }
}

/// As what a lease is counted.
#[derive(Clone, Copy)]
enum Count {
    Fresh,
    Suspect,
    Overdue,
}

impl Count {
    fn of(cell: &LeaseCell, last: Sign, now: Instant) -> Self {
        // A heartbeat that its keeper has not taken in yet.
        if last.is_beaten() {
            return Self::Fresh;
        }
        match cell.terms.decide(now, cell.time_of(last), None).state {
            LeaseState::Expired { .. } | LeaseState::Kept { .. } => Self::Overdue,
            LeaseState::Suspect { .. } if cell.is_late(last, now) => Self::Suspect,
            LeaseState::Fresh | LeaseState::Suspect { .. } => Self::Fresh,
        }
    }

    fn of_census(self, census: &mut Census) -> &mut usize {
        match self {
            Self::Fresh => &mut census.fresh,
            Self::Suspect => &mut census.suspect,
            Self::Overdue => &mut census.overdue,
        }
    }
}

fn send(change: Option<PreservationChange>, notices: &Notices) {
    match change {
        None => {}
        Some(PreservationChange::Began { expected, renewed }) => {
            notices.send(Notice::PreservationBegan { expected, renewed });
        }
        Some(PreservationChange::Ended { lasted, expired }) => {
            notices.send(Notice::PreservationEnded { lasted, expired });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::LeaseTerms;
    use crate::samples::ORDERS;

    const TTL: Duration = Duration::from_secs(10);

    fn key(number: u64) -> LeaseKey {
        (InstanceName::new(&ORDERS, &format!("i{number}")).unwrap(), ActorId::Local(number))
    }

    fn leases(number: u64, now: Instant) -> (Leases, Vec<Arc<LeaseCell>>) {
        let leases = Leases::new(PreservationRules::new());
        let cells: Vec<_> = (0..number).map(|_| Arc::new(LeaseCell::new(LeaseTerms::new(TTL), now))).collect();
        cells.iter().zip(0..).for_each(|(cell, number)| leases.add(key(number), Arc::clone(cell)));
        (leases, cells)
    }

    #[test]
    fn a_lease_that_is_renewed_while_it_is_looked_at_is_not_counted_as_expired() {
        let (now, notices) = (Instant::now(), Notices::new());
        let (leases, cells) = leases(10, now);
        let late = now + TTL;
        let before = cells[0].renewal().unwrap();
        cells.iter().for_each(|cell| assert!(cell.renew(late)));
        // As if the keeper had read the renewal before.
        for _ in 0..5 {
            let look = leases.look(&key(0), &cells[0], before, late, &notices);
            assert_eq!(look, KeeperLook::Renewed);
        }
        assert!(cells[0].renewal().is_some() && leases.has(&key(0)));
        assert!(!leases.0.lock().preservation.is_on(), "none is missing");
        assert_eq!(leases.0.lock().census(late), Census { fresh: 10, suspect: 0, overdue: 0 });
    }

    #[test]
    fn many_looks_at_one_time_share_a_count_that_stays_right() {
        let (now, notices) = (Instant::now(), Notices::new());
        let (leases, cells) = leases(1_000, now);
        let late = now + TTL;
        for (cell, number) in cells.iter().zip(0..) {
            let look = leases.look(&key(number), cell, cell.renewal().unwrap(), late, &notices);
            assert!(matches!(look, KeeperLook::Until { state: LeaseState::Kept { .. }, .. }), "all of them run out");
        }
        leases.end(&key(0), late, &notices);
        let mut state = leases.0.lock();
        assert_eq!(state.census(late), Census { fresh: 0, suspect: 0, overdue: 999 });
        assert!(state.counted.as_ref().is_some_and(|counted| counted.looks > 1), "it was not counted again");
    }

    #[test]
    fn a_lease_whose_name_was_lost_while_it_was_looked_at_has_not_expired() {
        let (now, notices) = (Instant::now(), Notices::new());
        let (leases, cells) = leases(20, now);
        let (late, before) = (now + TTL, cells[0].renewal().unwrap());
        cells[1..].iter().for_each(|cell| assert!(cell.renew(late)));
        leases.end(&key(0), late, &notices);
        // As if the keeper had read the renewal before.
        for _ in 0..10 {
            let look = leases.look(&key(0), &cells[0], before, late, &notices);
            assert_eq!(look, KeeperLook::Ended(LeaseEnd::NameLost));
        }
        assert!(!leases.0.lock().preservation.is_on(), "none is missing");
    }

    #[test]
    fn of_many_leases_that_run_out_one_after_the_other_no_more_expire_than_before_they_are_kept() {
        let (now, notices) = (Instant::now(), Notices::new());
        // Each a little later than the one before; all within half a second.
        let at = |number| now + Duration::from_micros(number * 400);
        let leases = Leases::new(PreservationRules::new());
        let cells: Vec<_> =
            (0..1_000).map(|number| Arc::new(LeaseCell::new(LeaseTerms::new(TTL), at(number)))).collect();
        cells.iter().zip(0..).for_each(|(cell, number)| leases.add(key(number), Arc::clone(cell)));
        let mut expired = 0;
        for (cell, number) in cells.iter().zip(0..) {
            let look = leases.look(&key(number), cell, cell.renewal().unwrap(), at(number) + TTL, &notices);
            expired += u32::from(matches!(look, KeeperLook::Ended(_)));
        }
        assert_eq!(expired, 150, "85 percent were renewed so far");
    }
}
