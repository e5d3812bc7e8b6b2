//! One comparison that can be measured.

use crate::contest::Contest;
use crate::measured::Measured;

/// A name for what is compared, and how.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) threads: usize,
    /// The required ratio to Elixir's, if there is one.
    pub(crate) elixir: Option<f64>,
    /// The nanoseconds that ours may take, whatever the peers take.
    pub(crate) at_most: Option<f64>,
    pub(crate) run: fn(&mut Contest<'_>) -> Vec<Measured>,
}

impl Row {
    pub(crate) const fn new(name: &'static str, threads: usize, run: fn(&mut Contest<'_>) -> Vec<Measured>) -> Self {
        Self { name, threads, elixir: None, at_most: None, run }
    }

    pub(crate) const fn elixir(self, limit: f64) -> Self {
        Self { elixir: Some(limit), ..self }
    }

    pub(crate) const fn at_most(self, nanoseconds: f64) -> Self {
        Self { at_most: Some(nanoseconds), ..self }
    }
}
