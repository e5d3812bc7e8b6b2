//! What the clients of a namespace share: the catalog, the checks and the loads.
//!
//! # Invariants
//!
//! 1. Three locks, always taken in this order: that of the watch, that of the state, and that of the calls of a service. No
//!    foreign code runs under any: what reading the watch leaves to be dropped is dropped after its lock is released.
//! 2. What the watch shows is applied before its lock is released, so items are applied in their order.
//! 3. A revision of the watch is noted as applied after all that belongs to it has been. So a reader that finds the present
//!    one noted takes no lock of the watch, and misses nothing that was finished before.
//! 4. What is kept of an incarnation goes with it.

mod followed_names;
mod locked;
mod next_expiry;
mod status_changes;
mod update;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use foundation_kernel::containment::waking_contained;
use foundation_kernel::names::{DeferredDrops, ServiceName, ServiceRegistry, TryNextError, Watch, Watched};
use foundation_kernel::ractor::{ActorId, ActorStatus};
use foundation_kernel::supervision::Health;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use self::followed_names::FollowedNames;
use self::locked::{CallsOfNew, IncarnationHealth, Restart, State};
use self::next_expiry::NextExpiry;
use super::calls::{InstanceCalls, ServiceCalls};
use super::leases::{LeaseKey, Leases};
use super::marks::Mark;
use super::notice::{Notice, Notices};
use super::now::Now;
use super::options::DiscoveryOptions;
use super::places::{LimitReached, PlaceOf};
use crate::catalog::{Catalog, FindError, InstanceChange};
use crate::check::{CheckCapacity, CheckSlot};
use crate::criteria::Criteria;
use crate::health::{CheckRole, CheckRules, InstanceHealth, ServiceHealth, StatusOverride, TooManyChecksError};
use crate::instance::{InstanceName, InstanceRecord};

/// The state of discovery in one namespace.
pub(super) struct Shared {
    pub(super) names: ServiceRegistry,
    pub(super) options: DiscoveryOptions,
    pub(super) capacity: CheckCapacity,
    /// Begins with the first use of discovery: until then the registry pays nothing for it.
    followed: OnceLock<FollowedNames>,
    is_used: watch::Sender<bool>,
    state: Mutex<State>,
    /// Grows with each change of the catalog, and with each ejection. Each service has its own, too.
    generation: Arc<AtomicU64>,
    /// Notified of each change of a health, and of an expiry that is earlier than the next one so far.
    healths: watch::Sender<()>,
    /// A lock of its own, under which no other is taken.
    pub(super) leases: Leases,
    expiry: Arc<NextExpiry>,
    /// What discovery itself decides.
    pub(super) notices: Arc<Notices>,
}

impl Shared {
    pub(super) fn new(names: ServiceRegistry, options: DiscoveryOptions) -> Self {
        let expiry = Arc::new(NextExpiry::new(Instant::now()));
        let (generation, notices) = (Arc::<AtomicU64>::default(), Arc::new(Notices::new()));
        let of_new = CallsOfNew::new(&names, &options, &notices);
        let state = State::new(of_new, &expiry, &generation, options.seed);
        let (healths, _) = watch::channel(());
        let leases = Leases::new(options.preservation);
        Self {
            names,
            options,
            capacity: CheckCapacity::new(),
            followed: OnceLock::new(),
            is_used: watch::Sender::new(false),
            state: Mutex::new(state),
            generation,
            healths,
            leases,
            expiry,
            notices,
        }
    }

    /// A watch of all names, bounded as the options say. What it shows, the catalog has when it is next read: its watch is
    /// an earlier one.
    pub(super) fn watch_names(&self) -> Watch {
        self.watch_names_with_reasons().ends_at_once()
    }

    /// The same, for a reader that shows why instances have ended: it learns of an end with the reason, which may be later.
    pub(super) fn watch_names_with_reasons(&self) -> Watch {
        self.followed();
        self.new_watch()
    }

    fn new_watch(&self) -> Watch {
        self.names.watch().capacity(self.options.unread_changes)
    }

    /// The generation of a service, or of all of them, when the catalog is up to date. The time is asked for only if there is a
    /// result that will be too old some time, or a name has changed: without checks a pick reads no clock here.
    #[inline]
    pub(super) fn current(&self, service: Option<&ServiceCalls>, now: &Now) -> u64 {
        let is_over = || self.expiry.get().is_some_and(|expiry| now.get() > expiry);
        if !self.followed().is_read() || is_over() {
            self.refresh(now.get());
        }
        service.map_or_else(|| self.generation.load(Ordering::Acquire), ServiceCalls::generation)
    }

    /// Brings the catalog up to date.
    pub(super) fn refresh(&self, now: Instant) {
        let followed = self.followed();
        if !followed.is_read() {
            // Who waits for the loss of a lease is woken, so not under the lock of the watch.
            self.follow_names(followed, now).iter().for_each(|key| self.end_lease(key));
        }
        if self.expiry.get().is_some_and(|expiry| now > expiry) {
            self.expire(now);
        }
    }

    /// The names, which are followed from the first call on.
    #[inline]
    fn followed(&self) -> &FollowedNames {
        self.followed.get().unwrap_or_else(|| self.follow())
    }

    #[cold]
    fn follow(&self) -> &FollowedNames {
        // Not while the cell is locked: what the table shows may be dropped here, and its destructors may use discovery.
        let followed = FollowedNames::new(self.new_watch().ends_at_once());
        let followed = self.followed.get_or_init(|| followed);
        // Not while it is made: this wakes a task.
        self.is_used.send_replace(true);
        followed
    }

    /// Uses discovery.
    pub(super) fn begin(&self) {
        self.followed();
    }

    pub(super) fn is_used(&self) -> bool {
        self.followed.get().is_some()
    }

    /// Returns when discovery is used in this namespace.
    pub(super) async fn first_use(&self) {
        // The sender is this state's.
        let _ = waking_contained(self.is_used.subscribe().wait_for(|is_used| *is_used)).await;
    }

    /// Applies what the watch shows, and returns the incarnations that are gone.
    fn follow_names(&self, followed: &FollowedNames, now: Instant) -> Vec<LeaseKey> {
        // Made before the lock is taken, so it is dropped after the lock is released.
        let (mut deferred, mut removed) = (DeferredDrops::new(), Vec::new());
        let mut watch = followed.watch.lock();
        // Read before the watch: what comes meanwhile belongs to a later revision, and is read again at worst.
        let revision = followed.revision.get();
        loop {
            match watch.try_next(&mut deferred) {
                Ok(watched) => removed.extend(self.apply(watched, now)),
                Err(TryNextError::Ended) => break removed.extend(self.apply(Watched::Snapshot(Vec::new()), now)),
                Err(_) => break,
            }
        }
        followed.applied.store(revision, Ordering::Release);
        removed
    }

    fn apply(&self, watched: Watched, now: Instant) -> impl Iterator<Item = LeaseKey> + use<> {
        let changes = self.state.lock().apply(watched, now);
        changes.into_iter().filter_map(|change| match change {
            InstanceChange::Removed { instance, .. } => Some((instance.name().clone(), instance.actor)),
            _ => None,
        })
    }

    pub(super) fn end_lease(&self, key: &LeaseKey) {
        self.leases.end(key, Instant::now(), &self.notices);
    }

    /// Shows the healths whose last result has become too old.
    fn expire(&self, now: Instant) {
        let expired = self.state.lock().expire(now);
        self.note_health(expired);
    }

    fn note_health(&self, changed: bool) {
        if changed {
            self.healths.send_replace(());
        }
    }

    /// Reads the catalog, up to date. The function runs under a lock: it is none of a user.
    pub(super) fn read<R>(&self, read: impl FnOnce(&Catalog) -> R) -> R {
        self.refresh(Instant::now());
        read(&self.state.lock().catalog)
    }

    /// The instances that meet all criteria, up to date.
    pub(super) fn select(&self, criteria: &Criteria) -> Result<Vec<InstanceRecord>, FindError> {
        let cloned = |records: Vec<&InstanceRecord>| -> Vec<_> { records.into_iter().cloned().collect() };
        let (fitting, considered) = self.read(|catalog| {
            let fitting = cloned(catalog.fitting(criteria));
            let considered = fitting.is_empty().then(|| catalog.considered(criteria).map(cloned));
            (fitting, considered)
        });
        match considered {
            None => Ok(fitting),
            // Without the lock: the explanation of many instances takes its time.
            Some(considered) => Err(criteria.explain(&considered?).into()),
        }
    }

    /// Reserves a place for an instance that is about to be registered.
    pub(super) fn reserve_place(&self, name: &InstanceName) -> Result<(), LimitReached> {
        self.refresh(Instant::now());
        let revision = self.followed().applied.load(Ordering::Acquire);
        let mut state = self.state.lock();
        state.places.release_ended(revision);
        let reserved = state.reserve(name, self.options.places, &BTreeSet::new());
        drop(state);
        let Err(full) = reserved else { return Ok(()) };
        // The name of an actor that has ended may not be free yet.
        let ended = self.ended(name.service(), full);
        if ended.is_empty() { Err(full) } else { self.state.lock().reserve(name, self.options.places, &ended) }
    }

    /// The incarnations whose actors have ended and that count for this limit. One that handles its last messages is there
    /// until it has. Cost: a lookup for each; the lock is taken for each service by itself.
    fn ended(&self, service: &ServiceName, limit: LimitReached) -> BTreeSet<LeaseKey> {
        let services = match limit {
            LimitReached::Service => vec![service.clone()],
            LimitReached::Namespace => self.state.lock().catalog.services().cloned().collect(),
        };
        let of = |service| -> Vec<LeaseKey> {
            self.state.lock().catalog.instances(service).map(|it| (it.name().clone(), it.actor)).collect()
        };
        services.iter().flat_map(of).filter(|(name, actor)| self.has_ended(name, *actor)).collect()
    }

    fn has_ended(&self, name: &InstanceName, actor: ActorId) -> bool {
        let status = self.names.status_of(name.registered());
        status.is_none_or(|(holder, status)| holder != actor || status == ActorStatus::Stopped)
    }

    /// One incarnation as it is now. `None` if it is gone.
    pub(super) fn record(&self, name: &InstanceName, actor: ActorId) -> Option<InstanceRecord> {
        self.read(|catalog| catalog.get(name).filter(|record| record.actor == actor).cloned())
    }

    pub(super) fn give_place_to_child(&self, name: &InstanceName) {
        self.state.lock().places.give_to_child(name);
    }

    /// Gives the place of a registration that has ended back, or that of a child: first the catalog takes in what was registered,
    /// so that it counts without a gap. For a registration the next reader of the catalog does that.
    pub(super) fn release_place(&self, name: &InstanceName, of: PlaceOf) {
        match of {
            PlaceOf::Registration => {
                let revision = self.followed().revision.get();
                self.state.lock().places.release_at(revision, name.clone());
            }
            PlaceOf::Child => {
                self.refresh(Instant::now());
                self.state.lock().places.release(name, of);
            }
        }
    }

    /// Takes in a result of a check, and restarts the instance if it is to be. `None` if the actor does not have the name any
    /// more.
    pub(super) fn record_check(
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

    pub(super) fn end_check(&self, name: &InstanceName, actor: ActorId, check: &str) -> bool {
        self.change_health(name, actor, |state, _| state.checks.end(name, actor, check)) == Some(true)
    }

    /// Says that the next result of a check waits for its turn.
    pub(super) fn await_turn(&self, (name, actor): (&InstanceName, ActorId), check: &str) {
        self.change_health(name, actor, |state, _| state.checks.wait(name, actor, check));
    }

    /// Sets the status of an instance; true if it is there.
    pub(super) fn set_status(&self, name: &InstanceName, status: impl FnOnce(Instant) -> StatusOverride) -> bool {
        let Some(actor) = self.read(|catalog| catalog.get(name).map(|record| record.actor)) else { return false };
        self.change_health(name, actor, |state, now| state.checks.set_status(name, actor, status(now))).is_some()
    }

    /// Clears the status that was set; true if one was.
    pub(super) fn clear_status(&self, name: &InstanceName) -> bool {
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

    /// What the checks of an incarnation share. `None` if it is gone.
    pub(super) fn check_slot(&self, name: &InstanceName, actor: ActorId) -> Option<Arc<CheckSlot>> {
        self.refresh(Instant::now());
        let state = self.state.lock();
        state.tracked.get(&(name.clone(), actor)).map(|tracked| Arc::clone(&tracked.slot))
    }

    /// Changes what is known of an incarnation besides its checks, and returns the health that follows. `None` if the actor
    /// does not have the name any more.
    pub(super) fn mark(
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
    pub(super) fn healths(&self) -> watch::Receiver<()> {
        self.followed();
        self.healths.subscribe()
    }

    /// What the checks of this incarnation have found, and its marks say.
    pub(super) fn health(&self, record: &InstanceRecord, now: Instant) -> InstanceHealth {
        let state = self.state.lock();
        state.health(record.name(), record.actor, state.at_least_shown(now))
    }

    /// The same of all that have checks or marks, and how many changes of statuses there have been.
    pub(super) fn all_healths(&self, now: Instant) -> (u64, Vec<IncarnationHealth>) {
        let state = self.state.lock();
        (state.status_changes.number(), state.healths(state.at_least_shown(now)))
    }

    /// The same of those whose status has changed since there were so many changes. Cost: linear in these.
    pub(super) fn healths_since(&self, number: u64, now: Instant) -> (u64, Vec<IncarnationHealth>) {
        let state = self.state.lock();
        let now = state.at_least_shown(now);
        let health = |(name, actor): &(InstanceName, ActorId)| (name.clone(), *actor, state.health(name, *actor, now));
        (state.status_changes.number(), state.status_changes.since(number).map(health).collect())
    }

    /// When the next result is too old.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiry.get()
    }

    /// The calls to an incarnation, and those of its service. `None` if it is gone.
    pub(super) fn calls(&self, record: &InstanceRecord) -> Option<(Arc<InstanceCalls>, Arc<ServiceCalls>)> {
        let state = self.state.lock();
        let tracked = state.tracked.get(&(record.name().clone(), record.actor))?;
        Some((Arc::clone(&tracked.calls), Arc::clone(state.services.get(record.service())?)))
    }

    /// The calls of a service, whether it has an instance or not. They are kept for as long as they are used.
    pub(super) fn service_calls(&self, service: &ServiceName) -> Arc<ServiceCalls> {
        let mut state = self.state.lock();
        if !state.services.contains_key(service) {
            state.forget_unused();
        }
        Arc::clone(state.service_calls(service, Instant::now()))
    }

    /// The condition of a service: also of one without an instance, which is down.
    pub(super) fn service_health(&self, service: &ServiceName) -> ServiceHealth {
        let now = Instant::now();
        self.refresh(now);
        self.state.lock().service_health(service, &self.options, now)
    }

    /// The condition of these services, of those that have an instance, and of those that should have one, by name.
    pub(super) fn service_healths(&self, mut services: BTreeSet<ServiceName>) -> Vec<ServiceHealth> {
        let now = Instant::now();
        self.refresh(now);
        let state = self.state.lock();
        services.extend(state.catalog.services().chain(state.places.services()).cloned());
        services.extend(self.options.expected.keys().cloned());
        services.iter().map(|service| state.service_health(service, &self.options, now)).collect()
    }

    /// A source of randomness of its own.
    pub(super) fn random(&self) -> fastrand::Rng {
        self.state.lock().random.fork()
    }
}
