//! Changing what is known of the health of instances, and reading it.

use foundation_kernel::ractor::ActorId;
use foundation_kernel::supervision::Health;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{IncarnationHealth, Restart, Shared, State};
use crate::client::marks::Mark;
use crate::client::notice::Notice;
use crate::health::{CheckRole, CheckRules, InstanceHealth, StatusOverride, TooManyChecksError};
use crate::instance::{InstanceName, InstanceRecord};

impl Shared {
    /// Takes in a result of a check, and restarts the instance if it is to be. `None` if the actor does not have the name any
    /// more.
    pub(in crate::client) fn record_check(
        &self,
        (name, actor): (&InstanceName, impl Into<Option<ActorId>>),
        check: &str,
        rules: &CheckRules,
        result: Health,
    ) -> Result<Option<InstanceHealth>, TooManyChecksError> {
        let can_restart = rules.check_role() == CheckRole::Liveness;
        let changed = self.change_health_of(name, actor.into(), |state, actor, now| {
            let recorded = state.checks.record((name, actor), check, rules, result, now);
            // The lock of the leases is one under which no other is taken.
            let is_announced = || self.leases.has(&(name.clone(), actor));
            let is_asked = can_restart && self.options.restart_by.can_restart(is_announced());
            let ask = || state.ask_for_restart((name, actor), check, &self.options, now);
            let restart = is_asked.then(ask).flatten();
            // A restart changes the reason of the health.
            let checked = recorded.as_ref().ok().filter(|_| restart.is_none() && !can_restart).cloned();
            ((recorded, restart), checked)
        });
        let Some((recorded, restart)) = changed else { return Ok(None) };
        match restart {
            Some(Restart::Granted(instance)) => self.options.restart_by.restart(&self.names, &instance),
            Some(Restart::Withheld) => {
                self.notices.send(Notice::RestartWithheld { instance: name.clone(), check: check.to_owned() });
            }
            None => {}
        }
        recorded.map(Some)
    }

    pub(in crate::client) fn end_check(&self, name: &InstanceName, actor: ActorId, check: &str) -> bool {
        self.change_health(name, actor, |state, _| state.checks.end(name, actor, check)) == Some(true)
    }

    /// Says that the next result of a check waits for its turn.
    pub(in crate::client) fn await_turn(&self, (name, actor): (&InstanceName, ActorId), check: &str) {
        self.change_health(name, actor, |state, _| state.checks.wait(name, actor, check));
    }

    /// Sets the status of an instance; true if it is there.
    pub(in crate::client) fn set_status(
        &self,
        name: &InstanceName,
        status: impl FnOnce(Instant) -> StatusOverride,
    ) -> bool {
        let Some(actor) = self.read(|catalog| catalog.get(name).map(|record| record.actor)) else { return false };
        self.change_health(name, actor, |state, now| state.checks.set_status(name, actor, status(now))).is_some()
    }

    /// Clears the status that was set; true if one was.
    pub(in crate::client) fn clear_status(&self, name: &InstanceName) -> bool {
        let Some(actor) = self.read(|catalog| catalog.get(name).map(|record| record.actor)) else { return false };
        self.change_health(name, actor, |state, _| state.checks.clear_status(name, actor)) == Some(true)
    }

    /// Changes what is known of the health of an incarnation, and shows it; `None` if the actor does not have the name any
    /// more. The function runs under a lock: it is none of a user.
    fn change_health<R>(
        &self,
        name: &InstanceName,
        actor: ActorId,
        change: impl FnOnce(&mut State, Instant) -> R,
    ) -> Option<R> {
        self.change_health_of(name, Some(actor), |state, _, now| (change(state, now), None))
    }

    /// The same of the present incarnation, or of none but this one. The function also returns what the checks of the incarnation
    /// have found, if it knows.
    fn change_health_of<R>(
        &self,
        name: &InstanceName,
        actor: Option<ActorId>,
        change: impl FnOnce(&mut State, ActorId, Instant) -> (R, Option<InstanceHealth>),
    ) -> Option<R> {
        let now = Instant::now();
        // An incarnation that is not in the catalog is gone, or no reader has seen it yet.
        self.refresh(now);
        let (changed, shown, sooner) = {
            let mut state = self.state.lock();
            let present = state.catalog.get(name)?.actor;
            let actor = actor.unwrap_or(present);
            if actor != present {
                return None;
            }
            // What has been shown up to a time is not looked at again: what ends then at the earliest is.
            let now = state.at_least_shown(now);
            let expiry = state.expiry.get();
            let (changed, checked) = change(&mut state, actor, now);
            let shown = state.show_health(name, actor, checked, now);
            (changed, shown, state.expiry.get().is_some_and(|now| expiry.is_none_or(|before| now < before)))
        };
        if sooner {
            // Watches wait until the next expiry: of an earlier one they are notified.
            self.healths.send_replace(());
        }
        self.note_health(shown);
        Some(changed)
    }

    /// Changes what is known of an incarnation besides its checks, and returns the health that follows. `None` if the actor
    /// does not have the name any more.
    pub(in crate::client) fn mark(
        &self,
        name: &InstanceName,
        actor: ActorId,
        change: impl FnOnce(&mut Mark),
    ) -> Option<InstanceHealth> {
        self.change_health(name, actor, |state, now| {
            change(state.marks.of(name, actor));
            state.health(name, actor, now)
        })
    }

    /// Is notified of changes of healths from now on.
    pub(in crate::client) fn healths(&self) -> watch::Receiver<()> {
        self.followed();
        self.healths.subscribe()
    }

    /// What the checks of this incarnation have found, and its marks say.
    pub(in crate::client) fn health(&self, record: &InstanceRecord, now: Instant) -> InstanceHealth {
        let state = self.state.lock();
        state.health(record.name(), record.actor, state.at_least_shown(now))
    }

    /// The same of all that have checks or marks, and how many changes of statuses there have been.
    pub(in crate::client) fn all_healths(&self, now: Instant) -> (u64, Vec<IncarnationHealth>) {
        let state = self.state.lock();
        (state.status_changes.number(), state.healths(state.at_least_shown(now)))
    }

    /// The same of those whose status has changed since there were so many changes. Cost: linear in these.
    pub(in crate::client) fn healths_since(&self, number: u64, now: Instant) -> (u64, Vec<IncarnationHealth>) {
        let state = self.state.lock();
        let now = state.at_least_shown(now);
        let health = |(name, actor): &(InstanceName, ActorId)| (name.clone(), *actor, state.health(name, *actor, now));
        (state.status_changes.number(), state.status_changes.since(number).map(health).collect())
    }
}
