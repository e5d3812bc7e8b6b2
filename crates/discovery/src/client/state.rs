//! What the clients of a namespace share: the catalog, the checks and the loads.
//!
//! # Invariants
//!
//! 1. Three locks, always taken in this order: that of the watch, that of the state, and that of the calls of a service. No
//!    foreign code runs under the second and third.
//! 2. What the watch shows is applied before its lock is released, so items are applied in their order. Reading a watch may
//!    drop the last reference to an actor, whose unread messages may come back here: on the same thread, which finds the
//!    watch in use and reads the catalog as it is.
//! 3. What is kept of an incarnation goes with it.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foundation_kernel::names::{ServiceName, ServiceRegistry, Watch, Watched};
use foundation_kernel::ractor::ActorId;
use foundation_kernel::supervision::Health;
use futures::FutureExt;
use parking_lot::{Mutex, ReentrantMutex};
use tokio::sync::watch;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;

use super::calls::{InstanceCalls, ServiceCalls};
use super::now::Now;
use super::options::DiscoveryOptions;
use crate::catalog::{Catalog, FindError, InstanceChange};
use crate::criteria::Criteria;
use crate::health::{CheckRules, Checks, InstanceHealth, TooManyChecksError};
use crate::instance::{InstanceName, InstanceRecord};

/// The state of discovery in one namespace.
pub(super) struct Shared {
    pub(super) names: ServiceRegistry,
    pub(super) options: DiscoveryOptions,
    watch: ReentrantMutex<RefCell<Watch>>,
    state: Mutex<State>,
    /// Grows with each change of the catalog, and with each ejection.
    generation: Arc<AtomicU64>,
    /// Notified of each change of a health, and of an expiry that is earlier than the next one so far.
    healths: watch::Sender<()>,
    expiry: Arc<NextExpiry>,
}

struct State {
    catalog: Catalog,
    checks: Checks,
    expiry: Arc<NextExpiry>,
    calls: HashMap<(InstanceName, ActorId), Arc<InstanceCalls>>,
    services: HashMap<ServiceName, Arc<ServiceCalls>>,
    random: fastrand::Rng,
}

/// Until then no health changes without a result: written under the lock of the state, and read without one.
struct NextExpiry {
    began: Instant,
    /// In nanoseconds since it began.
    at: AtomicU64,
}

impl NextExpiry {
    const NONE: u64 = u64::MAX;

    fn new(began: Instant) -> Self {
        Self { began, at: AtomicU64::new(Self::NONE) }
    }

    fn set(&self, expiry: Option<Instant>) {
        let nanos = expiry.map(|at| at.saturating_duration_since(self.began).as_nanos());
        // Who has been notified of a result in any way sees at least its expiry.
        self.at.store(nanos.map_or(Self::NONE, |nanos| nanos as u64), Ordering::Relaxed);
    }

    fn get(&self) -> Option<Instant> {
        let nanos = Some(self.at.load(Ordering::Relaxed)).filter(|nanos| *nanos != Self::NONE);
        nanos.map(|nanos| self.began + Duration::from_nanos(nanos))
    }
}

impl Shared {
    pub(super) fn new(names: ServiceRegistry, options: DiscoveryOptions) -> Self {
        let watch = ReentrantMutex::new(RefCell::new(names.watch()));
        let random = options.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let expiry = Arc::new(NextExpiry::new(Instant::now()));
        let state = State {
            catalog: Catalog::new(),
            checks: Checks::new(),
            expiry: Arc::clone(&expiry),
            calls: HashMap::new(),
            services: HashMap::new(),
            random,
        };
        let (healths, _) = watch::channel(());
        Self { names, options, watch, state: Mutex::new(state), generation: Arc::default(), healths, expiry }
    }

    /// The generation of the catalog, brought up to date.
    pub(super) fn current(&self, now: &Now) -> u64 {
        self.refresh(now.get())
    }

    /// Brings the catalog up to date, and returns its generation.
    pub(super) fn refresh(&self, now: Instant) -> u64 {
        let watch = self.watch.lock();
        if let Ok(mut watch) = watch.try_borrow_mut() {
            // Not as a part of the caller's budget: an exhausted one would hide what is there.
            while let Some(item) = unconstrained(watch.next()).now_or_never() {
                let Some(watched) = item else {
                    self.apply(Watched::Snapshot(Vec::new()), now);
                    break;
                };
                self.apply(watched, now);
            }
        }
        if self.expiry.get().is_some_and(|expiry| now > expiry) {
            self.expire(now);
        }
        self.generation.load(Ordering::Acquire)
    }

    fn apply(&self, watched: Watched, now: Instant) {
        let changed = self.state.lock().apply(watched, self, now);
        self.note_change(changed);
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
            let expiry = state.expiry.get();
            let recorded = state.checks.record(of, check, rules, result, now);
            let shown = state.show_health(of.0, of.1, now);
            let sooner = state.expiry.get().is_some_and(|now| expiry.is_none_or(|before| now < before));
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

    /// Is notified of changes of healths from now on.
    pub(super) fn healths(&self) -> watch::Receiver<()> {
        self.healths.subscribe()
    }

    /// What the checks of this incarnation have found.
    pub(super) fn health(&self, record: &InstanceRecord, now: Instant) -> InstanceHealth {
        self.state.lock().checks.health(record.name(), record.actor, now)
    }

    /// What the checks of all have found.
    pub(super) fn all_healths(&self, now: Instant) -> Vec<(InstanceName, ActorId, InstanceHealth)> {
        let state = self.state.lock();
        state.checks.iter(now).map(|(name, actor, health)| (name.clone(), actor, health)).collect()
    }

    /// When the next result is too old.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiry.get()
    }

    /// The calls to an incarnation, and those of its service. `None` if it is gone.
    pub(super) fn calls(&self, record: &InstanceRecord) -> Option<(Arc<InstanceCalls>, Arc<ServiceCalls>)> {
        let state = self.state.lock();
        let calls = state.calls.get(&(record.name().clone(), record.actor))?;
        Some((Arc::clone(calls), Arc::clone(state.services.get(record.service())?)))
    }

    /// A source of randomness of its own.
    pub(super) fn random(&self) -> fastrand::Rng {
        self.state.lock().random.fork()
    }
}

impl State {
    /// True if something has changed.
    fn apply(&mut self, watched: Watched, shared: &Shared, now: Instant) -> bool {
        let changes = self.catalog.apply(watched);
        let services: BTreeSet<_> = changes.iter().map(|change| change.name().service().clone()).collect();
        for change in &changes {
            match change {
                InstanceChange::Added(instance) => self.track(instance, now),
                InstanceChange::Removed { instance, .. } => self.forget(instance),
                _ => {}
            }
        }
        services.iter().for_each(|service| self.set_members(service, shared, now));
        !changes.is_empty()
    }

    fn track(&mut self, instance: &InstanceRecord, now: Instant) {
        let calls = Arc::new(InstanceCalls::new(instance.actor, now));
        self.calls.insert((instance.name().clone(), instance.actor), calls);
    }

    fn forget(&mut self, instance: &InstanceRecord) {
        self.checks.remove(instance.name(), instance.actor);
        self.calls.remove(&(instance.name().clone(), instance.actor));
    }

    fn set_members(&mut self, service: &ServiceName, shared: &Shared, now: Instant) {
        let of = |record: &InstanceRecord| self.calls.get(&(record.name().clone(), record.actor)).cloned();
        let members: Vec<_> = self.catalog.instances(service).filter_map(of).collect();
        if members.is_empty() {
            self.services.remove(service);
            return;
        }
        let random = &mut self.random;
        let new = || {
            let (name, rules) = ((shared.names.namespace(), service.clone()), &shared.options);
            let (rules, generation) = ((rules.load, rules.outliers.clone()), Arc::clone(&shared.generation));
            Arc::new(ServiceCalls::new(name, rules, generation, (random.fork(), now)))
        };
        self.services.entry(service.clone()).or_insert_with(new).set_members(members, now);
    }

    /// Shows the health that follows from the checks; true if the status has changed, `None` if the incarnation is gone.
    fn show_health(&mut self, name: &InstanceName, actor: ActorId, now: Instant) -> Option<bool> {
        if self.catalog.get(name).is_none_or(|record| record.actor != actor) {
            self.checks.remove(name, actor);
            return None;
        }
        self.expiry.set(self.checks.next_expiry(now));
        Some(self.catalog.set_health(name, actor, self.checks.health(name, actor, now)).is_some())
    }

    /// True if a status has changed.
    fn expire(&mut self, now: Instant) -> bool {
        if self.expiry.get().is_none_or(|expiry| now <= expiry) {
            return false;
        }
        self.expiry.set(self.checks.next_expiry(now));
        let healths: Vec<_> = self.checks.iter(now).map(|(name, actor, it)| (name.clone(), actor, it)).collect();
        let changes = healths.into_iter().filter_map(|(name, actor, it)| self.catalog.set_health(&name, actor, it));
        changes.count() > 0
    }
}
