//! One child, as its supervisor sees it.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorId;
use tokio::time::Instant;

use super::backoff::{Backoff, JitterRng, Streak};
use super::chain::RestartCause;
use super::child_spec::ChildSpec;
use super::plan::{Delay, Purpose, StartIndex};
use super::restart::RestartWindow;
use super::started::Incarnation;
use super::trouble::Trouble;
use crate::exit::ExitReason;

/// The state of a child.
#[derive(Debug)]
pub(crate) enum Slot<T> {
    /// Not running, with no start pending.
    Down,
    /// Its start was requested, for this purpose; it waits for its turn.
    Requested(Purpose),
    /// The plan under way is going to start it.
    Queued,
    /// Its restart is decided, and comes after a delay.
    Waiting(Delay),
    /// Its start is under way.
    Starting,
    /// Its start is under way and no longer wanted.
    Aborting,
    /// It runs.
    Running(T),
    /// It has ended; the decision is made when the plan before it has been carried out.
    Exited(T, ExitReason),
    /// It is being stopped, or awaited until it is gone.
    Stopping,
}

#[derive(Debug)]
pub(crate) struct Child<T> {
    pub(crate) spec: ChildSpec,
    pub(crate) start_index: StartIndex,
    pub(crate) slot: Slot<T>,
    pub(crate) lives: u32,
    pub(crate) restarts: u32,
    /// The latest incarnation, which identifies a child on demand even while it restarts.
    pub(crate) latest: Option<ActorId>,
    /// Since when it runs, or has not run; `None` before its first start.
    since: Option<Instant>,
    /// Boxed, as most children have none.
    past: Option<Box<Past>>,
}

/// The history of a child's earlier incarnations.
#[derive(Debug, Default)]
struct Past {
    streak: Streak,
    trouble: Trouble,
    last_exit: Option<ExitReason>,
    /// The cause of its latest start, if that was a restart.
    cause: Option<Arc<RestartCause>>,
    /// Its own restart window, if its restarts do not count toward those of its supervisor.
    window: Option<RestartWindow>,
}

impl<T> Child<T> {
    pub(super) fn new(spec: ChildSpec, start_index: StartIndex, slot: Slot<T>) -> Self {
        Self { spec, start_index, slot, lives: 0, restarts: 0, latest: None, since: None, past: None }
    }

    /// Notes that a new incarnation runs; with the cause, if it is a restart.
    pub(super) fn began(&mut self, incarnation: T, cause: Option<Arc<RestartCause>>, now: Instant)
    where
        T: Incarnation,
    {
        self.lives += 1;
        self.latest = Some(incarnation.actor_id());
        self.slot = Slot::Running(incarnation);
        self.since = Some(now);
        if cause.is_some() || self.past.is_some() {
            self.past.get_or_insert_default().cause = cause;
        }
    }

    /// Notes that its incarnation has ended. A life of at least `enough` resets the failures before it.
    pub(super) fn ended(&mut self, reason: &ExitReason, now: Instant, enough: Duration) {
        let lived = self.since.replace(now).map(|up| now.saturating_duration_since(up));
        let past = self.past.get_or_insert_default();
        past.streak.down(lived, enough);
        if self.spec.restart_rule().wants(reason) {
            past.trouble.failed(now, lived.unwrap_or_default());
        }
        past.last_exit = Some(reason.clone());
    }

    /// Notes that its supervisor ends its life, which is no failure of its own.
    pub(super) fn is_spared(&mut self, now: Instant) {
        if let (Some(past), Some(since), Slot::Running(_)) = (&mut self.past, self.since, &self.slot) {
            past.trouble.spared(now.saturating_duration_since(since));
        }
    }

    /// Notes that it begins to be stopped, or to be started for the first time.
    pub(super) fn is_down_from(&mut self, now: Instant) {
        self.is_spared(now);
        if self.since.is_none() || matches!(self.slot, Slot::Running(_)) {
            self.since = Some(now);
        }
    }

    /// How long it has been running, or not running.
    pub(super) fn for_how_long(&self, now: Instant) -> Option<Duration> {
        self.since.map(|since| now.saturating_duration_since(since))
    }

    /// The restart window of its own, if it has one.
    pub(super) fn own_window(&mut self) -> Option<&mut RestartWindow> {
        let intensity = self.spec.intensity_rule()?;
        let past = self.past.get_or_insert_default();
        let window = past.window.get_or_insert_with(|| RestartWindow::new(intensity));
        window.change(intensity);
        Some(window)
    }

    /// Counts one more failure, and returns the delay before the restart.
    pub(super) fn fail(&mut self, backoff: Backoff, jitter_rng: &mut JitterRng) -> Duration {
        self.past.get_or_insert_default().streak.fail(backoff, jitter_rng)
    }

    /// Resets the backoff: a start was requested.
    pub(super) fn reset_backoff(&mut self) {
        if let Some(past) = &mut self.past {
            past.streak = Streak::default();
            past.trouble = Trouble::default();
        }
    }

    /// Whether this actor is its current incarnation, even if it has just ended by itself.
    pub(super) fn is_current(&self, actor: ActorId) -> bool
    where
        T: Incarnation,
    {
        match &self.slot {
            Slot::Running(incarnation) | Slot::Exited(incarnation, _) => incarnation.actor_id() == actor,
            _ => false,
        }
    }

    /// The ends of its lives, which show whether it fails again and again.
    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.past.as_ref().map(|past| &past.trouble)
    }

    pub(super) fn last_exit(&self) -> Option<&ExitReason> {
        self.past.as_ref()?.last_exit.as_ref()
    }

    pub(super) fn cause(&self) -> Option<&Arc<RestartCause>> {
        self.past.as_ref()?.cause.as_ref()
    }
}
