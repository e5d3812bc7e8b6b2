//! What is given to one choice.

use super::rendezvous;
use crate::hash::stable_hash;

/// What is given to one choice: chance, the turn, and the key of the call.
#[derive(Debug)]
pub struct Draw<'d> {
    pub(crate) random: &'d mut fastrand::Rng,
    pub(crate) turn: u64,
    pub(crate) key: Option<&'d [u8]>,
}

impl<'d> Draw<'d> {
    /// With this source of randomness, the first turn, and no key.
    pub fn new(random: &'d mut fastrand::Rng) -> Self {
        Self { random, turn: 0, key: None }
    }

    /// How many choices there were before, of the same selection: for the policies that take turns.
    pub fn turn(self, turn: u64) -> Self {
        Self { turn, ..self }
    }

    /// The key of the call, for the policy that keeps to an instance.
    pub fn key(self, key: &'d [u8]) -> Self {
        Self { key: Some(key), ..self }
    }

    /// A number of 0 up to 1: the same for the same key and purpose, if there is a key.
    pub(super) fn fraction(&mut self, purpose: &str) -> f64 {
        match self.key {
            Some(key) => rendezvous::fraction(stable_hash(key, purpose)),
            None => self.random.f64(),
        }
    }
}
