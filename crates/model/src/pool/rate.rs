//! No rate: time does not pass in the model.

use std::time::Duration;

use crate::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate;

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Allowance;

pub(crate) struct RateGate;

impl RateGate {
    pub(crate) fn is_none(&self) -> bool {
        true
    }

    pub(crate) fn new(_: Option<Rate>) -> Self {
        Self
    }

    pub(crate) fn is_limited(&self) -> bool {
        false
    }

    pub(crate) fn available(&self) -> usize {
        usize::MAX
    }

    pub(crate) fn next(&self, _: Instant) -> Option<Instant> {
        None
    }

    pub(crate) fn allowance(&self) -> Allowance {
        Allowance
    }

    pub(crate) fn begin(&mut self, _: usize) {}

    pub(crate) fn note_short(&mut self) {}

    pub(crate) fn catch_up(&mut self) {}

    pub(crate) fn give_back(&mut self, _: usize) {}

    pub(crate) fn accept(&mut self, _: Instant) -> Result<(), Duration> {
        Ok(())
    }
}
