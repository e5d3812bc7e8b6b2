//! The children of a supervisor, by key, by id and by actor, in start order; and, within, the rules that they are
//! under.

pub(super) mod plan;
pub(super) mod rules;
mod trouble;
mod window;

use std::collections::BTreeMap;
use std::collections::btree_map::RangeMut;
use std::ops::{Bound, Deref, RangeBounds};
use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use ractor::ActorId;
use tokio::time::Instant;

use super::backoff::{Backoff, Streak};
use super::child_id::ChildId;
use super::child_rules::{ChildKind, Restart};
use super::error::ChildError;
use super::info::{ChildCount, ChildInfo, ChildState};
use super::restart::{RestartCause, RestartLimitExceeded};
use super::spec::ChildSpec;
use super::started::Incarnation;
use super::tree::checkup::Examinee;
use super::tree::snapshot::ChildSnapshot;
use crate::exit::ExitReason;

use super::key::{Key, OrderKey, StartIndex};
use plan::Purpose;
use trouble::Trouble;
use window::RestartWindow;

/// The state of a child.
#[derive(Debug)]
enum Slot<T> {
    /// Not running, with no start pending.
    Down,
    /// Its start was requested, for this purpose; it waits for its turn.
    Requested(Purpose),
    /// The plan under way is going to start it.
    Queued,
    /// Its restart is decided, and comes after a delay, distinguished from its other delays by the number. `until` is
    /// `None` if the delay ends when the child's name is free.
    Waiting { number: u64, until: Option<Instant>, cause: Option<Arc<RestartCause>> },
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

/// A child at the moment when its supervisor begins to stop.
#[derive(Debug)]
pub(super) enum Leaving<T> {
    /// It runs, and has to be stopped by its rule.
    Running(ChildSpec, T),
    /// It has ended by itself, and only has to be waited for.
    Ended(T),
}

/// One child, as its supervisor sees it.
#[derive(Debug)]
struct Child<T> {
    spec: ChildSpec,
    start_index: StartIndex,
    slot: Slot<T>,
    starts: u32,
    restarts: u32,
    /// The latest incarnation, which identifies a child on demand even while it restarts.
    latest: Option<ActorId>,
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

impl<T: Incarnation> Child<T> {
    fn new(spec: ChildSpec, start_index: StartIndex, slot: Slot<T>) -> Self {
        Self { spec, start_index, slot, starts: 0, restarts: 0, latest: None, since: None, past: None }
    }

    /// Notes that a new incarnation runs; with the cause, if it is a restart.
    fn began(&mut self, incarnation: T, cause: Option<Arc<RestartCause>>, now: Instant) {
        self.starts += 1;
        self.latest = Some(incarnation.actor_id());
        self.slot = Slot::Running(incarnation);
        self.since = Some(now);
        if cause.is_some() || self.past.is_some() {
            self.past.get_or_insert_default().cause = cause;
        }
        self.forget_start();
    }

    /// A temporary child is not started twice.
    fn forget_start(&mut self) {
        if self.spec.restart_rule() == Restart::Temporary && matches!(self.slot, Slot::Running(_) | Slot::Exited(..)) {
            self.spec.forget_start();
        }
    }

    /// Gives it another specification, for all that is decided from now on.
    fn respecify(&mut self, spec: ChildSpec) {
        self.spec = spec;
        self.forget_start();
    }

    /// Notes that its incarnation has ended. A life of at least `enough` resets the failures before it.
    fn ended(&mut self, reason: &ExitReason, now: Instant, enough: Duration) {
        let lived = self.since.replace(now).map(|up| now.saturating_duration_since(up));
        let past = self.past.get_or_insert_default();
        past.streak.down(lived, enough);
        if self.spec.restart_rule().wants(reason) {
            past.trouble.failed(now, lived.unwrap_or_default());
        }
        past.last_exit = Some(reason.clone());
    }

    /// Notes that its supervisor ends its life, which is no failure of its own.
    fn is_spared(&mut self, now: Instant) {
        if let (Some(past), Some(since), Slot::Running(_)) = (&mut self.past, self.since, &self.slot) {
            past.trouble.spared(now.saturating_duration_since(since));
        }
    }

    /// Notes that it begins to be stopped, or to be started for the first time.
    fn is_down_from(&mut self, now: Instant) {
        self.is_spared(now);
        if self.since.is_none() || matches!(self.slot, Slot::Running(_)) {
            self.since = Some(now);
        }
    }

    /// The restart window of its own, if it has one.
    fn own_window(&mut self) -> Option<&mut RestartWindow> {
        let intensity = self.spec.intensity_rule()?;
        let past = self.past.get_or_insert_default();
        let window = past.window.get_or_insert_with(|| RestartWindow::new(intensity));
        window.change(intensity);
        Some(window)
    }

    /// Counts one more failure, and returns the delay before the restart.
    fn fail(&mut self, backoff: Backoff, jitter_rng: &mut fastrand::Rng) -> Duration {
        self.past.get_or_insert_default().streak.fail(backoff, jitter_rng)
    }

    /// Resets the backoff: a start was requested.
    fn reset_backoff(&mut self) {
        if let Some(past) = &mut self.past {
            past.streak = Streak::default();
            past.trouble = Trouble::default();
        }
    }

    /// Whether this actor is its current incarnation, even if it has just ended by itself.
    fn is_current(&self, actor: ActorId) -> bool {
        match &self.slot {
            Slot::Running(incarnation) | Slot::Exited(incarnation, _) => incarnation.actor_id() == actor,
            _ => false,
        }
    }

    /// The refusal of another child with its id.
    fn refusal(&self) -> ChildError {
        let id = self.spec.id().clone();
        let state = match &self.slot {
            Slot::Running(incarnation) => return ChildError::AlreadyStarted { id, actor: incarnation.actor_id() },
            Slot::Down => "stopped",
            Slot::Stopping | Slot::Exited(..) => "stopping",
            Slot::Waiting { until: None, .. } => "waiting until its name is free",
            Slot::Waiting { .. } => "restarting",
            Slot::Requested(_) | Slot::Queued | Slot::Starting | Slot::Aborting if self.starts > 0 => "restarting",
            Slot::Requested(_) | Slot::Queued | Slot::Starting | Slot::Aborting => "starting",
        };
        ChildError::AlreadyPresent { id, state }
    }

    fn state(&self) -> ChildState {
        match &self.slot {
            Slot::Running(incarnation) => ChildState::Running(incarnation.actor_id()),
            Slot::Waiting { until: None, .. } => ChildState::NameTaken,
            Slot::Waiting { .. } => ChildState::Restarting,
            Slot::Requested(_) | Slot::Queued | Slot::Starting if self.starts > 0 => ChildState::Restarting,
            Slot::Requested(_) | Slot::Queued | Slot::Starting => ChildState::Starting,
            Slot::Aborting | Slot::Exited(..) | Slot::Stopping => ChildState::Stopping,
            Slot::Down => ChildState::Stopped,
        }
    }

    fn info(&self, now: Instant) -> ChildInfo {
        let backoff = match &self.slot {
            Slot::Waiting { until, .. } => until.map(|until| until.saturating_duration_since(now)),
            _ => None,
        };
        ChildInfo {
            id: self.spec.id().clone(),
            kind: self.spec.kind(),
            restart: self.spec.restart_rule(),
            significant: self.spec.is_significant(),
            state: self.state(),
            restarts: self.restarts,
            backoff,
        }
    }

    fn running(&self) -> Option<&T> {
        match &self.slot {
            Slot::Running(incarnation) => Some(incarnation),
            _ => None,
        }
    }

    fn last_exit(&self) -> Option<ExitReason> {
        self.past.as_ref()?.last_exit.clone()
    }

    fn snapshot(&self, key: Key, now: Instant) -> ChildSnapshot {
        let supervisor = self.running().filter(|it| it.is_supervisor()).and_then(|it| it.cell().cloned());
        let order_key = (self.start_index, key);
        ChildSnapshot::new(order_key, self.info(now), self.latest, self.last_exit(), supervisor)
    }

    /// Its health by this grace, if it counts, or may have children below it that count.
    fn examinee(&self, grace: Duration, now: Instant) -> Option<Examinee> {
        let is_supervisor = self.running().is_some_and(T::is_supervisor);
        let rule = self.spec.health_rule().cloned();
        if rule.is_none() && !is_supervisor {
            return None;
        }
        let (past, actor) = (self.past.as_deref(), self.running().and_then(|it| it.cell().cloned()));
        let for_long = self.since.map(|since| now.saturating_duration_since(since));
        let last_exit = past.and_then(|past| past.last_exit.as_ref());
        let never = Trouble::default();
        let trouble = past.map_or(&never, |past| &past.trouble);
        let judged = trouble.judge(self.state(), for_long, last_exit, grace, now);
        Some(Examinee::new(self.spec.id().clone(), rule, judged, actor, is_supervisor))
    }
}

/// How much room for changed keys is kept between two messages.
const MAX_KEPT_CHANGED: usize = 16;

/// The rows of a table; notes the keys of those that may have changed.
struct Rows<T> {
    /// Boxed: keys come in ascending order, which leaves the nodes of the tree half empty.
    by_key: BTreeMap<Key, Box<Child<T>>>,
    /// With the ids of those that were removed.
    changed: Vec<(Key, Option<ChildId>)>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), changed: Vec::new() }
    }
}

impl<T> Deref for Rows<T> {
    type Target = BTreeMap<Key, Box<Child<T>>>;

    fn deref(&self) -> &Self::Target {
        &self.by_key
    }
}

impl<T> Rows<T> {
    fn get_mut(&mut self, key: &Key) -> Option<&mut Box<Child<T>>> {
        self.changed.push((*key, None));
        self.by_key.get_mut(key)
    }

    fn range_mut<R: RangeBounds<Key> + Clone>(&mut self, range: R) -> RangeMut<'_, Key, Box<Child<T>>> {
        self.changed.extend(self.by_key.range(range.clone()).map(|(key, _)| (*key, None)));
        self.by_key.range_mut(range)
    }

    fn insert(&mut self, key: Key, child: Child<T>) {
        self.changed.push((key, None));
        self.by_key.insert(key, Box::new(child));
    }

    fn remove(&mut self, key: &Key) -> Option<Box<Child<T>>> {
        let removed = self.by_key.remove(key)?;
        self.changed.push((*key, Some(removed.spec.id().clone())));
        Some(removed)
    }
}

/// The children of a supervisor.
///
/// 1. A key is given once and never again. Start indices are given in start order; their order is the start order, and
///    a reconfiguration gives new ones.
/// 2. `by_id` holds the children whose ids are unique: all of a static supervisor, none of a dynamic one.
/// 3. `by_actor` holds exactly the incarnations of the slots that are `Running`, and of those that are `Stopping` until
///    their end has been reported: that end is not one of an unknown actor.
pub(super) struct Table<T> {
    children: Rows<T>,
    by_id: HashMap<ChildId, Key>,
    by_actor: HashMap<ActorId, Key>,
    next_key: Key,
    last_start_index: StartIndex,
    finished: Vec<Key>,
}

impl<T: Incarnation> Table<T> {
    fn new() -> Self {
        Self {
            children: Rows::default(),
            by_id: HashMap::new(),
            by_actor: HashMap::new(),
            next_key: 1,
            last_start_index: 0,
            finished: Vec::new(),
        }
    }

    /// A key that has never been given.
    fn next_key(&mut self) -> Key {
        self.next_key += 1;
        self.next_key - 1
    }

    /// The index after all that have been given.
    fn next_start_index(&mut self) -> StartIndex {
        self.last_start_index += 1;
        self.last_start_index
    }

    /// Adds a child at the end of the start order.
    fn enter(&mut self, spec: ChildSpec, slot: Slot<T>, id_is_unique: bool) -> Key {
        let key = self.next_key();
        if id_is_unique {
            self.by_id.insert(spec.id().clone(), key);
        }
        let start_index = self.next_start_index();
        self.children.insert(key, Child::new(spec, start_index, slot));
        key
    }

    /// Notes that an incarnation of a child runs; whether that is a restart, and why. `None` if there is no such child.
    fn began(
        &mut self,
        key: Key,
        incarnation: T,
        restarted: bool,
        cause: Option<Arc<RestartCause>>,
        now: Instant,
    ) -> Option<()> {
        let child = self.children.get_mut(&key)?;
        self.by_actor.insert(incarnation.actor_id(), key);
        child.restarts += u32::from(restarted);
        child.began(incarnation, cause, now);
        Some(())
    }

    /// Notes that the latest incarnation of a child is gone.
    fn is_gone(&mut self, key: Key) {
        if let Some(actor) = self.children.get(&key).and_then(|child| child.latest) {
            self.by_actor.remove(&actor);
        }
    }

    /// Notes that a child is down and keeps its place.
    fn mark_stopped(&mut self, key: Key) {
        if let Some(child) = self.children.get_mut(&key) {
            child.slot = Slot::Down;
        }
        self.finished.push(key);
    }

    fn remove(&mut self, key: Key) {
        self.finished.push(key);
        if let Some(child) = self.children.remove(&key)
            && !self.by_id.is_empty()
        {
            self.by_id.remove(child.spec.id());
        }
    }

    /// The children that have stopped since the last call: down, or removed.
    fn take_finished(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.finished)
    }

    /// The children that may have changed since the last call, each once; with its id if it was removed.
    fn take_changed(&mut self) -> Vec<(Key, Option<ChildId>)> {
        let mut changed = std::mem::take(&mut self.children.changed);
        changed.sort_by_key(|(key, _)| *key);
        changed.dedup_by(|(later, removed), (key, id)| {
            let is_same = later == key;
            if is_same {
                *id = removed.take().or(id.take());
            }
            is_same
        });
        changed
    }

    fn forget_changed(&mut self) {
        self.children.changed.clear();
        // The first start touches all children; what the next messages need is little.
        self.children.changed.shrink_to(MAX_KEPT_CHANGED);
    }

    // ---- the start order ----

    /// The children in start order.
    fn in_order(&self) -> Vec<Key> {
        // Keys are in the order of indices until a reconfiguration gives new ones, and sorted input is sorted fast.
        let mut order_keys: Vec<OrderKey> =
            self.children.iter().map(|(key, child)| (child.start_index, *key)).collect();
        order_keys.sort();
        order_keys.into_iter().map(|(_, key)| key).collect()
    }

    fn order_key(&self, key: Key) -> Option<OrderKey> {
        Some((self.children.get(&key)?.start_index, key))
    }

    /// Gives new start indices: these children come first, the others after them in their old order.
    fn reorder(&mut self, mut order: Vec<Key>) {
        let before = self.in_order();
        let named: std::collections::HashSet<Key> = order.iter().copied().collect();
        order.extend(before.into_iter().filter(|key| !named.contains(key)));
        for key in order {
            let start_index = self.next_start_index();
            if let Some(child) = self.children.get_mut(&key) {
                child.start_index = start_index;
            }
        }
    }

    // ---- queries ----

    pub(super) fn find(&self, id: &str) -> Result<Key, ChildError> {
        let known = || self.by_id.keys().map(ChildId::as_str);
        self.by_id.get(id).copied().ok_or_else(|| ChildError::not_found(id, known()))
    }

    pub(super) fn find_actor(&self, actor: ActorId) -> Result<Key, ChildError> {
        let restarting = || self.children.iter().find(|(_, child)| child.latest == Some(actor)).map(|(key, _)| *key);
        let found = self.by_actor.get(&actor).copied().or_else(restarting);
        found.ok_or_else(|| ChildError::not_found(format!("actor {actor}"), std::iter::empty()))
    }

    /// Refuses an id that is taken.
    fn refuse_present(&self, id: &ChildId) -> Result<(), ChildError> {
        let present = self.by_id.get(id).and_then(|key| self.children.get(key));
        present.map_or(Ok(()), |child| Err(child.refusal()))
    }

    pub(super) fn spec(&self, key: Key) -> Option<&ChildSpec> {
        Some(&self.children.get(&key)?.spec)
    }

    pub(super) fn running(&self, key: Key) -> Option<&T> {
        self.children.get(&key)?.running()
    }

    pub(super) fn restarts(&self, key: Key) -> u32 {
        self.children.get(&key).map_or(0, |child| child.restarts)
    }

    /// Why a child that runs was restarted; `None` if it was started by request.
    pub(super) fn cause(&self, key: Key) -> Option<Arc<RestartCause>> {
        self.children.get(&key)?.past.as_ref()?.cause.clone()
    }

    /// Why a child that has ended gave up, if it is a supervisor and did.
    pub(super) fn escalation(&self, key: Key) -> Option<Arc<RestartLimitExceeded>> {
        match &self.children.get(&key)?.slot {
            Slot::Exited(incarnation, _) => incarnation.give_up_reason(),
            _ => None,
        }
    }

    /// All children, the newest first, as OTP lists them.
    pub(super) fn which(&self, now: Instant) -> Vec<ChildInfo> {
        let newest_first = self.in_order().into_iter().rev();
        newest_first.filter_map(|key| self.which_child(key, now)).collect()
    }

    pub(super) fn which_child(&self, key: Key, now: Instant) -> Option<ChildInfo> {
        self.children.get(&key).map(|child| child.info(now))
    }

    pub(super) fn count(&self) -> ChildCount {
        let mut count = ChildCount { specs: self.children.len(), ..ChildCount::default() };
        for child in self.children.values() {
            count.active += usize::from(matches!(child.slot, Slot::Running(_)));
            count.supervisors += usize::from(child.spec.kind() == ChildKind::Supervisor);
        }
        count.workers = count.specs - count.supervisors;
        count
    }

    /// One child as it is in a snapshot.
    pub(super) fn child_snapshot(&self, key: Key, now: Instant) -> Option<ChildSnapshot> {
        self.children.get(&key).map(|child| child.snapshot(key, now))
    }

    /// The children after this one, in the order of their keys.
    pub(super) fn snapshots(&self, after: Option<Key>, now: Instant) -> impl Iterator<Item = ChildSnapshot> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.children.range((from, Bound::Unbounded)).map(move |(key, child)| child.snapshot(*key, now))
    }

    /// The children that count in the health of their namespace, or may have such below them, in start order. The
    /// caller gives the grace.
    pub(super) fn examinees(&self, grace: Duration, now: Instant) -> Vec<Examinee> {
        let examinee = |child: &Child<T>| Some((child.start_index, child.examinee(grace, now)?));
        let mut found: Vec<_> = self.children.values().filter_map(|child| examinee(child)).collect();
        found.sort_by_key(|(start_index, _)| *start_index);
        found.into_iter().map(|(_, examinee)| examinee).collect()
    }

    /// Whether this is the actor of a child that runs or is being stopped.
    pub(super) fn is_actor(&self, actor: ActorId) -> bool {
        self.by_actor.contains_key(&actor)
    }
}
