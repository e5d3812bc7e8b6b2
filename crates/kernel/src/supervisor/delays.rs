//! Delays between the stops and the starts of a restart.
//!
//! A delay is like the message that OTP's supervisor sends to itself to retry a restart, only later. Meanwhile the
//! failed child waits, its stopped siblings are down, and the plan queue is free for other work.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::chain::RestartCause;
use super::child::Slot;
use super::children::{Children, Step};
use super::plan::{Delay, Key, Plan, Purpose, StartIndex, Wait, Work};
use super::restart::Strategy;
use super::started::Incarnation;

impl<T: Incarnation> Children<T> {
    /// Notes that a delay has passed. Whether the restart is still wanted is decided when its turn comes.
    pub(crate) fn delay_over(&mut self, key: Key, number: u64) {
        if self.waits(key) == Some(number) {
            self.enqueue(key, Work::Resume(key, number));
        }
    }

    /// The number of the delay before a child's restart.
    pub(crate) fn waits(&self, key: Key) -> Option<u64> {
        self.delay(key).map(|delay| delay.number)
    }

    fn delay(&self, key: Key) -> Option<&Delay> {
        match &self.children.get(&key)?.slot {
            Slot::Waiting(delay) => Some(delay),
            _ => None,
        }
    }

    /// The delay of the restart after this failure of a child.
    pub(super) fn next_delay(&mut self, key: Key) -> Duration {
        let Some(child) = self.children.get_mut(&key) else { return Duration::ZERO };
        let backoff = child.spec.backoff_rule().unwrap_or(self.rules.backoff);
        child.fail(backoff, &mut self.jitter_rng)
    }

    /// What the restart of this child has to wait for. Children that restart together wait for the last of them.
    pub(super) fn wait(&self, key: Key, delay: Duration, now: Instant) -> Option<Wait> {
        let not_before = match self.rules.strategy {
            Strategy::OneForOne => None,
            Strategy::OneForAll => self.latest_delay_of_others(key, 0, now),
            Strategy::RestForOne => self.latest_delay_of_others(key, self.order_key(key)?.0, now),
        };
        (!delay.is_zero() || not_before.is_some()).then_some(Wait { key, delay, not_before })
    }

    fn latest_delay_of_others(&self, key: Key, from: StartIndex, now: Instant) -> Option<Instant> {
        let others = self.children.iter().filter(|(other, child)| **other != key && child.start_index >= from);
        let until = others.filter_map(|(other, _)| self.delay(*other)?.until);
        until.filter(|until| *until > now).max()
    }

    /// Begins the delay once all affected children are stopped: the failed one waits, the others are down, the queue is
    /// free.
    pub(super) fn schedule_restart(&mut self, at: Key, now: Instant) -> Option<Step<T>> {
        let plan = self.queues.get_mut(&at)?.plan.take()?;
        let Wait { key, delay, not_before } = plan.wait?;
        let mut wanted = false;
        for (_, other) in plan.starts {
            if other == key {
                wanted = true;
            } else {
                self.finish(other);
            }
        }
        if !wanted {
            // It was terminated meanwhile; its stopped siblings stay down, as later in the delay.
            return None;
        }
        self.last_delay += 1;
        let (number, until) = (self.last_delay, not_before.unwrap_or(now).max(now + delay));
        self.children.get_mut(&key)?.slot = Slot::Waiting(Delay { number, until: Some(until), cause: plan.cause });
        // This step is not answered: the queue goes on by itself.
        self.ready.push_front(at);
        Some(Step::Delay { key, number, until })
    }

    pub(super) fn after_delay(&mut self, key: Key, number: u64, now: Instant) -> Option<Plan> {
        let delay = self.delay(key).filter(|delay| delay.number == number)?;
        let cause = delay.cause.clone();
        let wait = self.wait(key, Duration::ZERO, now);
        Some(Plan { cause, ..self.restart_plan(key, true, wait) })
    }

    /// Whether the start of this child is a restart, and why.
    pub(super) fn restarted(&mut self, key: Key) -> (bool, Option<Arc<RestartCause>>) {
        let plan = self.queue_of(key).and_then(|queue| queue.plan.as_ref());
        match plan.filter(|plan| plan.purpose == Purpose::Restart) {
            Some(plan) => (true, plan.cause.clone()),
            None => (false, None),
        }
    }
}
