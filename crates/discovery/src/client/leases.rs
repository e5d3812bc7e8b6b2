//! The leases of a namespace, and whether those that have run out are kept.
//!
//! # Invariants
//!
//! 1. A lease that is lost is not counted: it is removed with the loss, in order or not.
//! 2. Notices are sent after the lock is released.

use std::collections::HashMap;
use std::sync::Arc;

use foundation_kernel::ractor::ActorId;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::lease::{LeaseCell, Renewal};
use super::notice::{Notice, Notices};
use crate::instance::InstanceName;
use crate::lease::{Census, LeaseState, Overdue, Preservation, PreservationChange, PreservationRules};

/// The incarnation that a lease is of.
pub(super) type LeaseKey = (InstanceName, ActorId);

pub(super) struct Leases(Mutex<State>);

struct State {
    cells: HashMap<LeaseKey, Arc<LeaseCell>>,
    preservation: Preservation,
}

/// A lease at one time, and when its keeper looks again.
pub(super) struct KeeperLook {
    pub(super) state: LeaseState,
    pub(super) next: Instant,
}

impl Leases {
    pub(super) fn new(rules: PreservationRules) -> Self {
        Self(Mutex::new(State { cells: HashMap::new(), preservation: Preservation::new(rules) }))
    }

    /// Whether an incarnation is the keeper of a lease.
    pub(super) fn has(&self, key: &LeaseKey) -> bool {
        self.0.lock().cells.contains_key(key)
    }

    pub(super) fn add(&self, key: LeaseKey, cell: Arc<LeaseCell>) {
        self.0.lock().cells.insert(key, cell);
    }

    /// Ends a lease, if there is one.
    pub(super) fn end(&self, key: &LeaseKey, now: Instant, notices: &Notices) {
        let (cell, change) = {
            let mut state = self.0.lock();
            let Some(cell) = state.cells.remove(key) else { return };
            (cell, state.look_if_on(now))
        };
        cell.lose();
        send(change, notices);
    }

    /// What a lease is at this time that was last renewed then. One that has expired is lost, unless it was renewed
    /// meanwhile: then it is looked at again.
    pub(super) fn look(
        &self,
        key: &LeaseKey,
        cell: &LeaseCell,
        last: Renewal,
        now: Instant,
        notices: &Notices,
    ) -> KeeperLook {
        let (look, change) = {
            let mut state = self.0.lock();
            let (look, change) = state.look(cell, last, now);
            if matches!(look.state, LeaseState::Expired { .. }) && cell.expire(last) {
                state.cells.remove(key);
            }
            (look, change)
        };
        send(change, notices);
        look
    }
}

impl State {
    fn look(&mut self, cell: &LeaseCell, last: Renewal, now: Instant) -> (KeeperLook, Option<PreservationChange>) {
        let (terms, renewed_at) = (cell.terms, cell.time_of(last));
        let look = terms.decide(now, renewed_at, None);
        let Some(next) = look.next else {
            let (overdue, change) = self.preservation.overdue(self.census(now), now);
            let until = match overdue {
                Overdue::KeptUntil(until) => Some(until),
                Overdue::Expires => None,
            };
            let state = terms.decide(now, renewed_at, until).state;
            return (KeeperLook { state, next: until.unwrap_or(now) }, change);
        };
        let change = self.look_if_on(now);
        // While leases are kept all keepers look at the end of each window, so that one of them sees that it is over.
        let next = self.preservation.next_look().map_or(next, |window| next.min(window));
        (KeeperLook { state: look.state, next }, change)
    }

    /// Cost: linear in the leases, while some are kept.
    fn look_if_on(&mut self, now: Instant) -> Option<PreservationChange> {
        if !self.preservation.is_on() {
            return None;
        }
        self.preservation.look(self.census(now), now)
    }

    fn census(&self, now: Instant) -> Census {
        let mut census = Census::default();
        for cell in self.cells.values() {
            let Some(renewal) = cell.renewal() else { continue };
            match cell.terms.decide(now, cell.time_of(renewal), None).state {
                LeaseState::Fresh => census.fresh += 1,
                LeaseState::Suspect { .. } => census.suspect += 1,
                LeaseState::Expired { .. } | LeaseState::Kept { .. } => census.overdue += 1,
            }
        }
        census
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
