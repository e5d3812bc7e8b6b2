//! What a queue does with jobs, over its lives.

use super::new_job::Refusal;

/// What a queue does with jobs in its current life. A drain closes the life in which it began, and no other.
#[derive(Debug)]
pub(super) struct QueueLife {
    phase: Phase,
    /// How often it was opened after a drain had begun.
    number: u64,
    paused: bool,
}

/// What a queue does with jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// It takes jobs and gives them out.
    Open,
    /// It gives out those that it has.
    Draining,
    /// It gives out none, and keeps those that come back.
    Closing,
    /// It has none, and returns those that come back to their owners.
    Closed,
}

impl Default for QueueLife {
    fn default() -> Self {
        Self { phase: Phase::Open, number: 0, paused: false }
    }
}

impl QueueLife {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether a new job is taken.
    pub(super) fn admit(&self) -> Result<(), Refusal> {
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Draining | Phase::Closing => Err(Refusal::Draining),
            Phase::Closed => Err(Refusal::Closed),
        }
    }

    /// Whether jobs are given out, if there are any.
    pub(super) fn gives_out(&self) -> bool {
        !self.ends_workers() && !self.paused
    }

    /// Whether workers are to end.
    pub(super) fn ends_workers(&self) -> bool {
        matches!(self.phase, Phase::Closing | Phase::Closed)
    }

    /// Whether jobs that come back go to their owners.
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Closed
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Takes and gives out jobs from now on. A drain of the life before ends nothing in this one, also if it goes on.
    pub(super) fn open(&mut self) {
        self.number += u64::from(self.phase != Phase::Open);
        self.phase = Phase::Open;
    }

    /// Takes no more jobs from now on; false if it takes none already.
    pub(super) fn drain(&mut self) -> bool {
        let begins = self.phase == Phase::Open;
        self.phase = self.phase.max(Phase::Draining);
        begins
    }

    /// Gives out no more jobs from now on.
    pub(super) fn begin_close(&mut self) {
        self.phase = self.phase.max(Phase::Closing);
    }

    pub(super) fn close(&mut self) {
        self.phase = Phase::Closed;
    }
}
