//! What the clients of a namespace share: the catalog, the checks and the loads.
//!
//! # Invariants
//!
//! 1. Two locks, always taken in this order: that of the watch, and that of the state. No foreign code runs under the second.
//! 2. What the watch shows is applied before its lock is released, so items are applied in their order. Reading a watch may
//!    drop the last reference to an actor, whose unread messages may come back here: on the same thread, which finds the
//!    watch in use and reads the catalog as it is.
//! 3. What is kept of an incarnation goes with it.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use foundation_kernel::names::{ServiceName, ServiceRegistry, Watch, Watched};
use foundation_kernel::ractor::ActorId;
use foundation_kernel::supervision::Health;
use futures::FutureExt;
use parking_lot::{Mutex, ReentrantMutex};
use tokio::sync::{Notify, watch};
use tokio::task::coop::unconstrained;
use tokio::time::Instant;

use super::leases::{LeaseKey, Leases};
use super::marks::{Mark, Marks};
use super::notice::Notices;
use super::options::DiscoveryOptions;
use super::places::{Full, Places};
use crate::catalog::{Catalog, FindError, InstanceChange};
use crate::choice::{Ejection, Load, Outcome, Outliers};
use crate::criteria::Criteria;
use crate::health::{CheckRules, Checks, InstanceHealth, TooManyChecksError};
use crate::instance::{InstanceName, InstanceRecord};

/// The state of discovery in one namespace.
pub(super) struct Shared {
    pub(super) names: ServiceRegistry,
    pub(super) options: DiscoveryOptions,
    watch: ReentrantMutex<RefCell<Watch>>,
    state: Mutex<State>,
    /// Grows with each change of the catalog.
    generation: AtomicU64,
    /// Notified of each change of a health, and of an expiry that is earlier than the next one so far.
    healths: watch::Sender<()>,
    /// A lock of its own, under which no other is taken.
    pub(super) leases: Leases,
    /// What discovery itself decides.
    pub(super) notices: Notices,
}

struct State {
    catalog: Catalog,
    checks: Checks,
    marks: Marks,
    places: Places,
    /// Until then no health changes without a result.
    expiry: Option<Instant>,
    tracked: HashMap<(InstanceName, ActorId), Arc<Tracked>>,
    services: HashMap<ServiceName, Arc<Mutex<ServiceCalls>>>,
    random: fastrand::Rng,
}

/// One incarnation: since when it is known, and its load.
pub(super) struct Tracked {
    pub(super) since: Instant,
    pub(super) load: Mutex<Load>,
    /// Whether it is being drained: set with its mark, for those who begin or end a call.
    draining: AtomicBool,
    /// Notified of the end of a call while it is being drained.
    ended: Notify,
}

impl Tracked {
    fn new(now: Instant) -> Self {
        let (load, draining) = (Mutex::new(Load::new(now)), AtomicBool::new(false));
        Self { since: now, load, draining, ended: Notify::new() }
    }

    /// Whether no call may begin. Look after the load says that one has begun: in one order with a drain, which sets this and
    /// then looks at the load, so one of the two sees the other.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    pub(super) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::SeqCst);
    }

    /// A call has ended, as the load says already.
    pub(super) fn note_end(&self) {
        if self.is_draining() {
            self.ended.notify_waiters();
        }
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.load.lock().in_flight()
    }

    /// Returns when no call is in flight; only while it is being drained.
    pub(super) async fn idle(&self) {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            // Subscribe before looking: an end between the two is noticed.
            ended.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// How the calls of one service ended.
pub(super) struct ServiceCalls {
    outliers: Outliers,
    random: fastrand::Rng,
}

impl ServiceCalls {
    pub(super) fn record(&mut self, actor: ActorId, outcome: Outcome, now: Instant) -> Vec<Ejection> {
        let Some(success) = outcome.is_success() else { return Vec::new() };
        self.outliers.record(actor, success, now, &mut self.random)
    }

    pub(super) fn is_ejected(&self, actor: ActorId, now: Instant) -> bool {
        self.outliers.ejection(actor, now).is_some()
    }
}

impl Shared {
    pub(super) fn new(names: ServiceRegistry, options: DiscoveryOptions) -> Self {
        let watch = ReentrantMutex::new(RefCell::new(names.watch().capacity(options.unread_changes)));
        let random = options.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let state = State {
            catalog: Catalog::new(),
            checks: Checks::new(),
            marks: Marks::default(),
            places: Places::default(),
            expiry: None,
            tracked: HashMap::new(),
            services: HashMap::new(),
            random,
        };
        let (healths, _) = watch::channel(());
        let (generation, notices, leases) = (AtomicU64::new(0), Notices::new(), Leases::new(options.preservation));
        Self { names, options, watch, state: Mutex::new(state), generation, healths, leases, notices }
    }

    /// A watch of all names, bounded as the options say.
    pub(super) fn watch_names(&self) -> Watch {
        self.names.watch().capacity(self.options.unread_changes)
    }

    /// Brings the catalog up to date, and returns its generation.
    pub(super) fn refresh(&self, now: Instant) -> u64 {
        let removed = self.apply_unread(now);
        // Who waits for the loss of a lease is woken, so not under the lock of the watch.
        removed.iter().for_each(|key| self.end_lease(key));
        self.expire(now);
        self.generation.load(Ordering::Acquire)
    }

    /// Applies what the watch shows, and returns the incarnations that are gone.
    fn apply_unread(&self, now: Instant) -> Vec<LeaseKey> {
        let mut removed = Vec::new();
        let watch = self.watch.lock();
        if let Ok(mut watch) = watch.try_borrow_mut() {
            // Not as a part of the caller's budget: an exhausted one would hide what is there.
            while let Some(item) = unconstrained(watch.next()).now_or_never() {
                let Some(watched) = item else {
                    removed.extend(self.apply(Watched::Snapshot(Vec::new()), now));
                    break;
                };
                removed.extend(self.apply(watched, now));
            }
        }
        removed
    }

    fn apply(&self, watched: Watched, now: Instant) -> impl Iterator<Item = LeaseKey> + use<> {
        let changes = self.state.lock().apply(watched, &self.options, now);
        self.note_change(!changes.is_empty());
        changes.into_iter().filter_map(|change| match change {
            InstanceChange::Removed { instance, .. } => Some((instance.name().clone(), instance.actor)),
            _ => None,
        })
    }

    pub(super) fn end_lease(&self, key: &LeaseKey) {
        self.leases.end(key, Instant::now(), &self.notices);
    }

    fn note_change(&self, changed: bool) {
        if changed {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Shows the healths whose last result has become too old.
    fn expire(&self, now: Instant) {
        let expired = self.state.lock().expire(now);
        self.note_health(expired);
    }

    fn note_health(&self, changed: bool) {
        self.note_change(changed);
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
        self.read(|catalog| Ok(catalog.select(criteria)?.into_iter().cloned().collect()))
    }

    /// Reserves a place for an instance that is about to be registered.
    pub(super) fn reserve_place(&self, name: &InstanceName) -> Result<(), Full> {
        self.refresh(Instant::now());
        let state = &mut *self.state.lock();
        state.places.reserve(name, &state.catalog, self.options.places)
    }

    pub(super) fn release_place(&self, name: &InstanceName) {
        self.state.lock().places.release(name);
    }

    /// Takes in a result of a check. `None` if the actor does not have the name any more.
    pub(super) fn record_check(
        &self,
        of: (&InstanceName, ActorId),
        check: &str,
        rules: &CheckRules,
        result: Health,
    ) -> Result<Option<InstanceHealth>, TooManyChecksError> {
        let now = Instant::now();
        // An incarnation that is not in the catalog is gone, or no reader has seen it yet.
        self.refresh(now);
        let (recorded, sooner) = {
            let mut state = self.state.lock();
            let expiry = state.expiry;
            let recorded = state.checks.record(of, check, rules, result, now);
            let shown = state.show_health(of.0, of.1, now);
            let sooner = state.expiry.is_some_and(|now| expiry.is_none_or(|before| now < before));
            (shown.map(|changed| recorded.map(|health| (health, changed))), sooner)
        };
        if sooner {
            // Watches wait until the next expiry: of an earlier one they are notified.
            self.healths.send_replace(());
        }
        let Some((health, changed)) = recorded.transpose()? else { return Ok(None) };
        self.note_health(changed);
        Ok(Some(health))
    }

    pub(super) fn end_check(&self, name: &InstanceName, actor: ActorId, check: &str) -> bool {
        let now = Instant::now();
        self.refresh(now);
        let (ended, changed) = {
            let mut state = self.state.lock();
            let ended = state.checks.end(name, actor, check);
            (ended, state.show_health(name, actor, now) == Some(true))
        };
        self.note_health(changed);
        ended
    }

    /// Changes what is known of an incarnation besides its checks, and returns the health that follows. `None` if the actor
    /// does not have the name any more.
    pub(super) fn mark(
        &self,
        name: &InstanceName,
        actor: ActorId,
        change: impl FnOnce(&mut Mark),
    ) -> Option<InstanceHealth> {
        let now = Instant::now();
        self.refresh(now);
        let (health, changed) = {
            let mut state = self.state.lock();
            change(state.marks.of(name, actor));
            let changed = state.show_health(name, actor, now)?;
            (state.health(name, actor, now), changed)
        };
        self.note_health(changed);
        Some(health)
    }

    /// Is notified of changes of healths from now on.
    pub(super) fn healths(&self) -> watch::Receiver<()> {
        self.healths.subscribe()
    }

    /// What the checks of this incarnation have found, and its marks say.
    pub(super) fn health(&self, record: &InstanceRecord, now: Instant) -> InstanceHealth {
        self.state.lock().health(record.name(), record.actor, now)
    }

    /// The same of all that have checks or marks.
    pub(super) fn all_healths(&self, now: Instant) -> Vec<(InstanceName, ActorId, InstanceHealth)> {
        self.state.lock().healths(now)
    }

    /// When the next result is too old.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.state.lock().expiry
    }

    /// The load of an incarnation, and the calls of its service. `None` if it is gone.
    pub(super) fn tracked(&self, record: &InstanceRecord) -> Option<(Arc<Tracked>, Arc<Mutex<ServiceCalls>>)> {
        let state = self.state.lock();
        let tracked = state.tracked.get(&(record.name().clone(), record.actor))?;
        Some((Arc::clone(tracked), Arc::clone(state.services.get(record.service())?)))
    }

    /// A source of randomness of its own.
    pub(super) fn random(&self) -> fastrand::Rng {
        self.state.lock().random.fork()
    }
}

impl State {
    fn apply(&mut self, watched: Watched, options: &DiscoveryOptions, now: Instant) -> Vec<InstanceChange> {
        let changes = self.catalog.apply(watched);
        let services: BTreeSet<_> = changes.iter().map(|change| change.name().service().clone()).collect();
        for change in &changes {
            match change {
                InstanceChange::Added(instance) => self.track(instance, now),
                InstanceChange::Removed { instance, .. } => self.forget(instance),
                _ => {}
            }
        }
        services.iter().for_each(|service| self.set_members(service, options, now));
        changes
    }

    fn health(&self, name: &InstanceName, actor: ActorId, now: Instant) -> InstanceHealth {
        self.marks.apply(name, actor, self.checks.health(name, actor, now))
    }

    /// Of each incarnation that has checks or marks.
    fn healths(&self, now: Instant) -> Vec<(InstanceName, ActorId, InstanceHealth)> {
        let checked = self
            .checks
            .iter(now)
            .map(|(name, actor, checked)| (name.clone(), actor, self.marks.apply(name, actor, checked)));
        let unchecked = self.marks.iter().filter(|(name, actor)| !self.checks.contains(name, *actor));
        let marked = unchecked.map(|(name, actor)| (name.clone(), actor, self.health(name, actor, now)));
        checked.chain(marked).collect()
    }

    fn track(&mut self, instance: &InstanceRecord, now: Instant) {
        self.tracked.insert((instance.name().clone(), instance.actor), Arc::new(Tracked::new(now)));
    }

    fn forget(&mut self, instance: &InstanceRecord) {
        self.checks.remove(instance.name(), instance.actor);
        self.marks.remove(instance.name(), instance.actor);
        self.tracked.remove(&(instance.name().clone(), instance.actor));
    }

    fn set_members(&mut self, service: &ServiceName, options: &DiscoveryOptions, now: Instant) {
        let members: Vec<_> = self.catalog.instances(service).map(|record| record.actor).collect();
        if members.is_empty() {
            self.services.remove(service);
            return;
        }
        let random = &mut self.random;
        let new = || {
            let outliers = Outliers::new(options.outliers.clone(), now);
            Arc::new(Mutex::new(ServiceCalls { outliers, random: random.fork() }))
        };
        self.services.entry(service.clone()).or_insert_with(new).lock().outliers.set_members(members, now);
    }

    /// Shows the health that follows from the checks; true if the status has changed, `None` if the incarnation is gone.
    fn show_health(&mut self, name: &InstanceName, actor: ActorId, now: Instant) -> Option<bool> {
        if self.catalog.get(name).is_none_or(|record| record.actor != actor) {
            self.checks.remove(name, actor);
            self.marks.remove(name, actor);
            return None;
        }
        self.expiry = self.checks.next_expiry(now);
        Some(self.catalog.set_health(name, actor, self.health(name, actor, now)).is_some())
    }

    /// True if a status has changed.
    fn expire(&mut self, now: Instant) -> bool {
        if self.expiry.is_none_or(|expiry| now <= expiry) {
            return false;
        }
        self.expiry = self.checks.next_expiry(now);
        let changes =
            self.healths(now).into_iter().filter_map(|(name, actor, it)| self.catalog.set_health(&name, actor, it));
        changes.count() > 0
    }
}
