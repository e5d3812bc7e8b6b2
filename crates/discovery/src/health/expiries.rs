//! When which results become too old, in order.
//!
//! # Invariants
//!
//! 1. Each check, and each override that ends, has exactly one entry, at the time up to which it counts.

use std::collections::{BTreeMap, BTreeSet};

use foundation_kernel::ractor::ActorId;
use tokio::time::Instant;

use crate::instance::InstanceName;

/// One incarnation of an instance.
pub(super) type Incarnation = (InstanceName, ActorId);

/// The times at which healths change without a result. Adding, removing and finding the next cost a look in an ordered map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Expiries {
    by_time: BTreeMap<(Instant, u64), Incarnation>,
    next_number: u64,
}

/// The key of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expiry {
    at: Instant,
    number: u64,
}

impl Expiries {
    pub(super) fn add(&mut self, of: &Incarnation, at: Instant) -> Expiry {
        let number = self.next_number;
        self.next_number += 1;
        self.by_time.insert((at, number), of.clone());
        Expiry { at, number }
    }

    pub(super) fn remove(&mut self, expiry: Expiry) {
        self.by_time.remove(&(expiry.at, expiry.number));
    }

    /// Moves an entry to another time.
    pub(super) fn set(&mut self, expiry: &mut Expiry, at: Instant) {
        if let Some(of) = self.by_time.remove(&(expiry.at, expiry.number)) {
            expiry.at = at;
            self.by_time.insert((at, expiry.number), of);
        }
    }

    /// The first of this time or later.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        self.by_time.range((now, 0)..).next().map(|((at, _), _)| *at)
    }

    /// The incarnations with an entry from the first of these times up to, and not at, the second.
    pub(super) fn between(&self, from: Instant, until: Instant) -> BTreeSet<Incarnation> {
        if until <= from {
            return BTreeSet::new();
        }
        self.by_time.range((from, 0)..(until, 0)).map(|(_, of)| of.clone()).collect()
    }
}
