//! The planned work of a supervisor, one step at a time.
//!
//! A [`Plan`] is a set of children to stop, in reverse start order, and then a set to start, in start order. It has at
//! most one step under way. [`PlanQueues`] hold the plans with the work that waits for their ends. One-for-one has a
//! queue per child, so that one hanging start blocks no other child; the other strategies have one queue for all, as
//! OTP. The state machine that makes the plans is within.

pub(crate) mod machine;

use std::collections::VecDeque;
use std::collections::vec_deque::IntoIter;
use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use ractor::ActorId;
use tokio::time::Instant;

use crate::supervisor::key::{Key, OrderKey};
use crate::supervisor::restart::{RestartCause, Strategy};

/// Why a plan was made; it decides what a failed start means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A failed start is tried again, and counts as a restart.
    Restart,
    /// A failed start drops the child.
    Add,
    /// A failed start leaves the child stopped.
    ManualStart,
    /// Nothing is started.
    Stop,
}

#[derive(Debug)]
struct Plan {
    purpose: Purpose,
    stops: SortedQueue<OrderKey>,
    starts: SortedQueue<OrderKey>,
    /// The start of this child is a retry. It must go through the mailbox, or a child that always fails would keep the
    /// supervisor from ever reading it. The children after it are down until it has succeeded.
    retry: Option<Key>,
    /// The cause, if this is a restart.
    cause: Option<Arc<RestartCause>>,
    /// The starts are not made now: they are decided again after this.
    wait: Option<Wait>,
}

/// The wait of a restart between its stops and its starts.
#[derive(Debug)]
struct Wait {
    /// The failed child; the children stopped with it are down until then.
    key: Key,
    /// The delay, from the moment when all affected children are stopped.
    delay: Duration,
    /// The earliest time at which another affected child may be started.
    not_before: Option<Instant>,
}

impl Wait {
    /// `None` if there is nothing to wait for.
    fn of(key: Key, delay: Duration, not_before: Option<Instant>) -> Option<Self> {
        (!delay.is_zero() || not_before.is_some()).then_some(Self { key, delay, not_before })
    }
}

impl Plan {
    fn start(purpose: Purpose, order_key: OrderKey) -> Self {
        Self { purpose, starts: order_key.into(), ..Self::empty() }
    }

    fn stop(order_key: OrderKey) -> Self {
        Self { stops: order_key.into(), ..Self::empty() }
    }

    /// No children yet.
    fn restart(retry: Option<Key>, cause: Option<Arc<RestartCause>>, wait: Option<Wait>) -> Self {
        Self { purpose: Purpose::Restart, retry, cause, wait, ..Self::empty() }
    }

    fn empty() -> Self {
        let (stops, starts) = Default::default();
        Self { purpose: Purpose::Stop, stops, starts, retry: None, cause: None, wait: None }
    }

    fn stops_also(&mut self, order_key: OrderKey) {
        self.stops.insert(order_key);
    }

    fn starts_also(&mut self, order_key: OrderKey) {
        self.starts.insert(order_key);
    }

    fn keys_to_start(self) -> Vec<Key> {
        self.starts.into_iter().map(|(_, key)| key).collect()
    }

    /// What comes after its stops, if its starts have to wait.
    fn into_delay(mut self) -> Option<Turn> {
        let Wait { key, delay, not_before } = self.wait.take()?;
        let cause = self.cause.take();
        Some(Turn::Delay { key, starts: self.keys_to_start(), delay, not_before, cause })
    }
}

/// Work that is decided when its turn comes.
#[derive(Debug)]
enum Work {
    /// An incarnation ended.
    Exited(Key, ActorId),
    /// A start that was part of a restart failed, for this cause.
    Retry(Key, Arc<str>),
    /// The delay of this number before a restart is over.
    Resume(Key, u64),
    /// A start was requested.
    Start(Key),
    /// A stop was requested.
    Terminate(Key),
}

impl Work {
    /// The child concerned.
    fn key(&self) -> Key {
        match self {
            Self::Exited(key, _) | Self::Retry(key, _) | Self::Resume(key, _) => *key,
            Self::Start(key) | Self::Terminate(key) => *key,
        }
    }
}

/// What a queue has to do next.
enum Turn {
    Stop(Key),
    Start {
        key: Key,
        restart: bool,
        retry: bool,
    },
    /// The stops of a plan are made, and its starts have to wait: for the delay of this child, and not before this
    /// time.
    Delay {
        key: Key,
        starts: Vec<Key>,
        delay: Duration,
        not_before: Option<Instant>,
        cause: Option<Arc<RestartCause>>,
    },
    Decide(Work),
}

#[derive(Debug, Default)]
struct PlanQueue {
    plan: Option<Plan>,
    under_way: bool,
    waiting: VecDeque<Work>,
}

/// The queues of a supervisor, and which of them may have something to do.
struct PlanQueues {
    queues: HashMap<Key, PlanQueue>,
    ready: VecDeque<Key>,
    one_per_child: bool,
}

impl PlanQueues {
    fn new(strategy: Strategy) -> Self {
        let one_per_child = strategy == Strategy::OneForOne;
        Self { queues: HashMap::new(), ready: VecDeque::new(), one_per_child }
    }

    fn at(&self, child: Key) -> Key {
        if self.one_per_child { child } else { 0 }
    }

    fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next queue that may have something to do.
    fn next_ready(&mut self) -> Option<Key> {
        self.ready.pop_front()
    }

    /// The queue comes next again: its step is not answered.
    fn goes_on(&mut self, at: Key) {
        self.ready.push_front(at);
    }

    /// What this queue has to do next. It begins no further work unless `may_begin`.
    fn turn(&mut self, at: Key, may_begin: bool) -> Option<Turn> {
        let queue = self.queues.get_mut(&at)?;
        if queue.under_way {
            return None;
        }
        if let Some(plan) = &mut queue.plan {
            if let Some((_, key)) = plan.stops.pop_last() {
                return Some(Turn::Stop(key));
            }
            if plan.wait.is_some() {
                return queue.plan.take().and_then(Plan::into_delay);
            }
            if let Some((_, key)) = plan.starts.pop_first() {
                let restart = plan.purpose == Purpose::Restart;
                return Some(Turn::Start { key, restart, retry: plan.retry == Some(key) });
            }
            queue.plan = None;
        }
        if !may_begin {
            return None;
        }
        let work = queue.waiting.pop_front();
        if work.is_none() {
            self.queues.remove(&at);
        }
        work.map(Turn::Decide)
    }

    fn step_begins(&mut self, at: Key) {
        if let Some(queue) = self.queues.get_mut(&at) {
            queue.under_way = true;
        }
    }

    fn step_is_over(&mut self, child: Key) {
        let at = self.at(child);
        if let Some(queue) = self.queues.get_mut(&at) {
            queue.under_way = false;
            self.ready.push_back(at);
        }
    }

    fn set_plan(&mut self, at: Key, plan: Option<Plan>) {
        if let Some(queue) = self.queues.get_mut(&at) {
            queue.plan = plan;
        }
    }

    fn enqueue(&mut self, work: Work) {
        let at = self.at(work.key());
        self.queues.entry(at).or_default().waiting.push_back(work);
        self.ready.push_back(at);
    }

    /// Queues the retry of a restart, at the end, as OTP's message to itself: a child that never starts again must not
    /// keep others from being stopped. A waiting retry is replaced, or each restart in between would add one more.
    fn enqueue_retry(&mut self, child: Key, said: Arc<str>) {
        let at = self.at(child);
        if let Some(queue) = self.queues.get_mut(&at) {
            queue.waiting.retain(|work| !matches!(work, Work::Retry(other, _) if *other == child));
            queue.waiting.push_back(Work::Retry(child, said));
        }
    }

    /// The plan under way that this child belongs to.
    fn plan(&mut self, child: Key) -> Option<&mut Plan> {
        let at = self.at(child);
        self.queues.get_mut(&at)?.plan.as_mut()
    }

    /// Why the plan under way was made; with the cause, if it is a restart that has one.
    fn purpose(&mut self, child: Key) -> Option<(Purpose, Option<Arc<RestartCause>>)> {
        self.plan(child).map(|plan| (plan.purpose, plan.cause.clone()))
    }

    /// Whether the plan under way has started this child as a retry, after which others are started.
    fn is_retry(&mut self, child: Key) -> bool {
        self.plan(child).is_some_and(|plan| plan.retry == Some(child))
    }

    /// Adds a stop to the plan under way; false if there is none.
    fn stop_also(&mut self, order_key: OrderKey) -> bool {
        self.plan(order_key.1).map(|plan| plan.stops_also(order_key)).is_some()
    }

    /// Adds a start to the plan under way.
    fn start_also(&mut self, order_key: OrderKey) {
        if let Some(plan) = self.plan(order_key.1) {
            plan.starts_also(order_key);
        }
    }

    /// Drops the plan under way. Returns what it would have started, and its cause.
    fn give_up(&mut self, child: Key) -> Option<(Vec<Key>, Option<Arc<RestartCause>>)> {
        let at = self.at(child);
        let mut plan = self.queues.get_mut(&at)?.plan.take()?;
        let cause = plan.cause.take();
        Some((plan.keys_to_start(), cause))
    }

    /// Whether the plan under way starts this child again.
    fn starts(&self, order_key: OrderKey) -> bool {
        let plan = self.queues.get(&self.at(order_key.1)).and_then(|queue| queue.plan.as_ref());
        plan.is_some_and(|plan| plan.starts.contains(&order_key))
    }

    /// Removes a child from the pending starts.
    fn forget(&mut self, order_key: OrderKey) {
        if let Some(plan) = self.plan(order_key.1) {
            plan.starts.remove(&order_key);
        }
    }

    /// Applies the new start indices of the children; a child without one is no longer there.
    fn reorder(&mut self, order_key: impl Fn(Key) -> Option<OrderKey>) {
        for plan in self.queues.values_mut().filter_map(|queue| queue.plan.as_mut()) {
            for order_keys in [&mut plan.stops, &mut plan.starts] {
                let before = std::mem::take(order_keys);
                *order_keys = before.into_iter().filter_map(|(_, key)| order_key(key)).collect();
            }
        }
    }

    /// Whether no plan is under way.
    fn are_idle(&self) -> bool {
        self.queues.values().all(|queue| queue.plan.is_none() && !queue.under_way)
    }

    /// Moves the work that waits to the queues of this strategy.
    fn change(&mut self, strategy: Strategy) {
        let one_per_child = strategy == Strategy::OneForOne;
        if self.one_per_child == one_per_child {
            return;
        }
        self.one_per_child = one_per_child;
        let mut queues: Vec<(Key, PlanQueue)> = std::mem::take(&mut self.queues).into_iter().collect();
        queues.sort_unstable_by_key(|(at, _)| *at);
        for work in queues.into_iter().flat_map(|(_, queue)| queue.waiting) {
            self.enqueue(work);
        }
    }

    /// Schedules every queue again: while a strategy waits, queues are passed over.
    fn wake_all(&mut self) {
        let mut queues: Vec<Key> = self.queues.keys().copied().collect();
        queues.sort_unstable();
        self.ready = queues.into();
    }
}

/// A set that gives its values in order, from both ends.
///
/// Made for one value, or for many that come in order: those cost less than in a tree. One that comes out of order
/// moves the others.
#[derive(Debug)]
struct SortedQueue<T>(VecDeque<T>);

impl<T> Default for SortedQueue<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Ord> SortedQueue<T> {
    fn insert(&mut self, value: T) {
        if self.0.capacity() == 0 {
            // Room for one, and not for the four that a queue begins with.
            self.0 = VecDeque::from([value]);
        } else if self.0.back().is_none_or(|last| *last < value) {
            self.0.push_back(value);
        } else if let Err(at) = self.0.binary_search(&value) {
            self.0.insert(at, value);
        }
    }

    fn remove(&mut self, value: &T) {
        if let Ok(at) = self.0.binary_search(value) {
            self.0.remove(at);
        }
    }

    fn contains(&self, value: &T) -> bool {
        self.0.binary_search(value).is_ok()
    }

    fn pop_first(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    fn pop_last(&mut self) -> Option<T> {
        self.0.pop_back()
    }
}

impl<T> From<T> for SortedQueue<T> {
    fn from(value: T) -> Self {
        Self(VecDeque::from([value]))
    }
}

impl<T: Ord> FromIterator<T> for SortedQueue<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_unstable();
        values.dedup();
        Self(values.into())
    }
}

impl<T> IntoIterator for SortedQueue<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::strategy::Strategy as Generator;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u8),
        Remove(u8),
        PopFirst,
        PopLast,
    }

    fn steps() -> impl Generator<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..20_u8).prop_map(Step::Insert),
            1 => (0..20_u8).prop_map(Step::Remove),
            1 => Just(Step::PopFirst),
            1 => Just(Step::PopLast),
        ];
        vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_set(first in vec(0..20_u8, 0..6), steps in steps()) {
            let (mut queue, mut model): (SortedQueue<_>, BTreeSet<_>) =
                (first.iter().copied().collect(), first.into_iter().collect());
            for step in steps {
                match step {
                    Step::Insert(value) => {
                        queue.insert(value);
                        model.insert(value);
                        prop_assert!(queue.contains(&value));
                    }
                    Step::Remove(value) => {
                        queue.remove(&value);
                        model.remove(&value);
                        prop_assert!(!queue.contains(&value));
                    }
                    Step::PopFirst => prop_assert_eq!(queue.pop_first(), model.pop_first()),
                    Step::PopLast => prop_assert_eq!(queue.pop_last(), model.pop_last()),
                }
            }
            prop_assert!(queue.into_iter().eq(model));
        }
    }
}
