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
mod healths;
mod next_expiry;
mod reserving;
mod status_changes;
mod update;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use foundation_kernel::containment::waking_contained;
use foundation_kernel::names::{DeferredDrops, ServiceName, ServiceRegistry, TryNextError, Watch, Watched};
use foundation_kernel::ractor::ActorId;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use self::followed_names::FollowedNames;
use self::next_expiry::NextExpiry;
use self::status_changes::StatusChanges;
use super::calls::{Generation, InstanceCalls, ServiceCalls};
use super::leases::{LeaseKey, Leases};
use super::marks::Marks;
use super::notice::Notices;
use super::now::Now;
use super::options::DiscoveryOptions;
use super::places::{LimitReached, Places, Present};
use crate::catalog::{Catalog, FindError, InstanceChange};
use crate::check::{CheckCapacity, CheckSlot};
use crate::criteria::Criteria;
use crate::health::{Checks, InstanceHealth, Restarts, ServiceHealth};
use crate::instance::{InstanceName, InstanceRecord};
use crate::limits::PlaceLimits;
use crate::meter::PickMeter;

/// What is known of the health of one incarnation.
type IncarnationHealth = (InstanceName, ActorId, InstanceHealth);

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

struct State {
    catalog: Catalog,
    checks: Checks,
    marks: Marks,
    places: Places,
    /// The healths that changed without a result before this time are shown.
    shown_until: Instant,
    expiry: Arc<NextExpiry>,
    restarts: HashMap<ServiceName, Restarts>,
    tracked: HashMap<(InstanceName, ActorId), Tracked, RandomState>,
    status_changes: StatusChanges,
    /// Of each service that has an instance, or a selector.
    services: HashMap<ServiceName, Arc<ServiceCalls>, RandomState>,
    generation: Arc<AtomicU64>,
    random: fastrand::Rng,
}

/// What follows when a check wants an instance to be restarted.
enum Restart {
    /// It is to be restarted.
    Granted(Box<InstanceRecord>),
    /// It is not, since enough of its service were.
    Withheld,
}

/// What is kept of one incarnation.
struct Tracked {
    calls: Arc<InstanceCalls>,
    slot: Arc<CheckSlot>,
}

impl Shared {
    pub(super) fn new(names: ServiceRegistry, options: DiscoveryOptions) -> Self {
        let random = options.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let expiry = Arc::new(NextExpiry::new(Instant::now()));
        let generation = Arc::<AtomicU64>::default();
        let state = State {
            catalog: Catalog::new(),
            checks: Checks::new(),
            marks: Marks::default(),
            places: Places::default(),
            shown_until: Instant::now(),
            expiry: Arc::clone(&expiry),
            restarts: HashMap::new(),
            tracked: HashMap::default(),
            status_changes: StatusChanges::default(),
            services: HashMap::default(),
            generation: Arc::clone(&generation),
            random,
        };
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
            notices: Arc::new(Notices::new()),
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
        let changes = self.state.lock().apply(watched, self, now);
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

    /// One incarnation as it is now. `None` if it is gone.
    pub(super) fn record(&self, name: &InstanceName, actor: ActorId) -> Option<InstanceRecord> {
        self.read(|catalog| catalog.get(name).filter(|record| record.actor == actor).cloned())
    }

    /// What the checks of an incarnation share. `None` if it is gone.
    pub(super) fn check_slot(&self, name: &InstanceName, actor: ActorId) -> Option<Arc<CheckSlot>> {
        self.refresh(Instant::now());
        let state = self.state.lock();
        state.tracked.get(&(name.clone(), actor)).map(|tracked| Arc::clone(&tracked.slot))
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
        Arc::clone(state.service_calls(service, self, Instant::now()))
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

impl State {
    /// This time, or the one up to which healths are shown, if that is later: another thread may have come first, and a change
    /// that is counted is one that is shown.
    fn at_least_shown(&self, now: Instant) -> Instant {
        now.max(self.shown_until)
    }

    fn apply(&mut self, watched: Watched, shared: &Shared, now: Instant) -> Vec<InstanceChange> {
        let changes = self.catalog.apply(watched);
        for change in &changes {
            match change {
                InstanceChange::Added(instance) => self.track(instance, shared, now),
                InstanceChange::Removed { instance, .. } => self.forget(instance),
                _ => {}
            }
        }
        let mut services: Vec<_> = changes.iter().map(|change| change.name().service()).collect();
        services.sort_unstable();
        services.dedup();
        for service in services {
            self.members_changed(service, now);
            self.note_change(service);
        }
        changes
    }

    fn health(&self, name: &InstanceName, actor: ActorId, now: Instant) -> InstanceHealth {
        self.marks.apply(name, actor, self.checks.health(name, actor, now))
    }

    /// Of each incarnation that has checks or marks.
    fn healths(&self, now: Instant) -> Vec<IncarnationHealth> {
        let checked = self
            .checks
            .iter(now)
            .map(|(name, actor, checked)| (name.clone(), actor, self.marks.apply(name, actor, checked)));
        let unchecked = self.marks.iter().filter(|(name, actor)| !self.checks.contains(name, *actor));
        let marked = unchecked.map(|(name, actor)| (name.clone(), actor, self.health(name, actor, now)));
        checked.chain(marked).collect()
    }

    fn service_health(&self, service: &ServiceName, options: &DiscoveryOptions, now: Instant) -> ServiceHealth {
        let in_rotation = self.catalog.instances(service).filter(|record| record.status().is_in_rotation());
        let incarnations = in_rotation.map(|record| (record.name().clone(), record.actor));
        let ejected = self.services.get(service).map_or(0, |calls| calls.count_ejected(incarnations, now));
        self.catalog.service_health(service).expecting(options.expected_of(service)).with_ejected(ejected)
    }

    /// Reserves a place for an instance. Those of the catalog that have ended have none any more.
    fn reserve(
        &mut self,
        name: &InstanceName,
        limits: PlaceLimits,
        ended: &BTreeSet<LeaseKey>,
    ) -> Result<(), LimitReached> {
        let Self { places, catalog, .. } = self;
        let is_there = |it: &&InstanceRecord| ended.is_empty() || !ended.contains(&(it.name().clone(), it.actor));
        let gone = ended.iter().filter(|(name, actor)| catalog.get(name).is_some_and(|it| it.actor == *actor)).count();
        let present = Present {
            of_service: match ended.is_empty() {
                true => catalog.count_of(name.service()),
                false => catalog.instances(name.service()).filter(is_there).count(),
            },
            of_namespace: catalog.len() - gone,
            has: |name: &InstanceName| catalog.get(name).as_ref().is_some_and(is_there),
        };
        places.reserve(name, &present, limits)
    }

    fn track(&mut self, instance: &InstanceRecord, shared: &Shared, now: Instant) {
        let key = (instance.name().clone(), instance.actor);
        let new = || {
            let (calls, slot) = (InstanceCalls::new(key.clone(), now), CheckSlot::new(now));
            Tracked { calls: Arc::new(calls), slot: Arc::new(slot) }
        };
        let calls = Arc::clone(&self.tracked.entry(key.clone()).or_insert_with(new).calls);
        self.service_calls(instance.service(), shared, now).add_member(&calls);
    }

    fn forget(&mut self, instance: &InstanceRecord) {
        let (name, actor) = (instance.name(), instance.actor);
        self.checks.remove(name, actor);
        self.marks.remove(name, actor);
        let key = (name.clone(), actor);
        if let Some(tracked) = self.tracked.remove(&key) {
            // Its readers see it at their next look: they are woken under no lock.
            tracked.slot.heartbeats.pulse().end();
        }
        self.status_changes.remove(&key);
        if let Some(calls) = self.services.get(name.service()) {
            calls.remove_member(&key);
        }
    }

    fn members_changed(&mut self, service: &ServiceName, now: Instant) {
        let Some(calls) = self.services.get(service) else { return };
        calls.members_changed(now);
        // Selectors of the service await its next instance.
        if Arc::strong_count(calls) == 1 && calls.is_empty() {
            self.services.remove(service);
        }
    }

    /// Those of a service that has neither an instance nor a selector begin now.
    fn service_calls(&mut self, service: &ServiceName, shared: &Shared, now: Instant) -> &Arc<ServiceCalls> {
        let (random, generation) = (&mut self.random, &self.generation);
        let new = || {
            let (namespace, rules) = (shared.names.namespace(), &shared.options);
            let to = (Generation::new(Arc::clone(generation)), Arc::clone(&shared.notices));
            let calls = ServiceCalls::new(namespace, (rules.load, rules.outliers.clone()), to, (random.fork(), now));
            Arc::new(calls.counted(PickMeter::new(&rules.meter, &shared.names, service)))
        };
        self.services.entry(service.clone()).or_insert_with(new)
    }

    /// Forgets the calls of services that have no instance, and that no selector and no pick uses any more.
    fn forget_unused(&mut self) {
        self.services.retain(|_, calls| Arc::strong_count(calls) > 1 || !calls.is_empty());
    }

    /// Selectors look again. After the change is in the catalog.
    fn note_change(&self, service: &ServiceName) {
        match self.services.get(service) {
            Some(calls) => calls.note_change(),
            // No selector asks for this service, nor is one of its instances in a list.
            None => drop(self.generation.fetch_add(1, Ordering::Release)),
        }
    }

    /// Shows the health of an incarnation whose checks have found this, or what they find now; true if the status has changed.
    fn show_health(
        &mut self,
        name: &InstanceName,
        actor: ActorId,
        checked: Option<InstanceHealth>,
        now: Instant,
    ) -> bool {
        // From what is shown on, not from now on: another thread may have added what is between.
        self.expiry.set(self.checks.next_expiry(self.shown_until));
        let checked = checked.unwrap_or_else(|| self.checks.health(name, actor, now));
        let health = self.marks.apply(name, actor, checked);
        self.set_health(name, actor, health)
    }

    /// Shows this health of an incarnation; true if its status has changed.
    fn set_health(&mut self, name: &InstanceName, actor: ActorId, health: InstanceHealth) -> bool {
        let changed = self.catalog.set_health(name, actor, health).is_some();
        if changed {
            self.status_changes.note((name.clone(), actor));
            self.note_change(name.service());
        }
        changed
    }

    /// True if a status has changed.
    fn expire(&mut self, now: Instant) -> bool {
        if self.expiry.get().is_none_or(|expiry| now <= expiry) {
            return false;
        }
        let expired = self.checks.expired(self.shown_until, now);
        self.shown_until = now;
        self.expiry.set(self.checks.next_expiry(now));
        let mut show = |(name, actor): &(InstanceName, ActorId)| {
            let health = self.health(name, *actor, now);
            self.set_health(name, *actor, health)
        };
        expired.iter().filter(|of| show(of)).count() > 0
    }

    /// Asks whether an instance may be restarted, if this check wants it; nothing if that was withheld before.
    fn ask_for_restart(
        &mut self,
        (name, actor): (&InstanceName, ActorId),
        check: &str,
        options: &DiscoveryOptions,
        now: Instant,
    ) -> Option<Restart> {
        let budget = &options.restart_budget;
        if !self.checks.wants_restart((name, actor), check, budget, now) {
            return None;
        }
        let record = self.catalog.get(name).filter(|record| record.actor == actor)?.clone();
        // Those of all services, so that none is kept for ever.
        self.restarts.retain(|_, restarts| !restarts.forget(budget, now));
        let instances = self.catalog.instances(name.service()).count();
        let granted = self.restarts.entry(name.service().clone()).or_default().ask(budget, instances, now);
        let is_new = self.checks.note_restart((name, actor), check, granted, now);
        let health = self.checks.health(name, actor, now);
        match granted {
            Ok(()) => Some(Restart::Granted(Box::new(record.with_health(health)))),
            Err(_) => is_new.then_some(Restart::Withheld),
        }
    }
}
