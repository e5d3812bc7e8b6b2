//! The state of discovery, which is read and changed under one lock: the catalog, and what is kept of each incarnation and
//! service beside it. The invariants are those of its [owner](super), whose lock it is.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use foundation_kernel::names::{ServiceName, ServiceRegistry, Watched};
use foundation_kernel::ractor::ActorId;
use tokio::time::Instant;

use super::next_expiry::NextExpiry;
use super::status_changes::StatusChanges;
use crate::catalog::{Catalog, InstanceChange};
use crate::check::CheckSlot;
use crate::choice::{LoadRules, OutlierRules};
use crate::client::calls::{Generation, InstanceCalls, ServiceCalls};
use crate::client::leases::LeaseKey;
use crate::client::marks::Marks;
use crate::client::notice::Notices;
use crate::client::options::DiscoveryOptions;
use crate::client::places::{LimitReached, Places, Present};
use crate::health::{Checks, InstanceHealth, Restarts, ServiceHealth};
use crate::instance::{InstanceName, InstanceRecord};
use crate::limits::PlaceLimits;
use crate::meter::{Meter, PickMeter};

/// What is known of the health of one incarnation.
pub(super) type IncarnationHealth = (InstanceName, ActorId, InstanceHealth);

/// What is known of the instances of a namespace.
pub(super) struct State {
    pub(super) catalog: Catalog,
    pub(super) checks: Checks,
    pub(super) marks: Marks,
    pub(super) places: Places,
    /// The healths that changed without a result before this time are shown.
    shown_until: Instant,
    pub(super) expiry: Arc<NextExpiry>,
    restarts: HashMap<ServiceName, Restarts, RandomState>,
    pub(super) tracked: HashMap<(InstanceName, ActorId), Tracked, RandomState>,
    pub(super) status_changes: StatusChanges,
    /// Of each service that has an instance, or a selector.
    pub(super) services: HashMap<ServiceName, Arc<ServiceCalls>, RandomState>,
    of_new: CallsOfNew,
    generation: Arc<AtomicU64>,
    pub(super) random: fastrand::Rng,
}

/// What follows when a check wants an instance to be restarted.
pub(super) enum Restart {
    /// It is to be restarted.
    Granted(Box<InstanceRecord>),
    /// It is not, since enough of its service were.
    Withheld,
}

/// What is kept of one incarnation.
pub(super) struct Tracked {
    pub(super) calls: Arc<InstanceCalls>,
    pub(super) slot: Arc<CheckSlot>,
}

/// What the calls of a service are made of.
pub(super) struct CallsOfNew {
    names: ServiceRegistry,
    load: LoadRules,
    outliers: OutlierRules,
    meter: Meter,
    notices: Arc<Notices>,
}

impl CallsOfNew {
    pub(super) fn new(names: &ServiceRegistry, options: &DiscoveryOptions, notices: &Arc<Notices>) -> Self {
        let (names, notices) = (names.clone(), Arc::clone(notices));
        Self { names, load: options.load, outliers: options.outliers.clone(), meter: options.meter.clone(), notices }
    }

    fn make(&self, service: &ServiceName, generation: Generation, chance: (fastrand::Rng, Instant)) -> ServiceCalls {
        let (namespace, to) = (self.names.namespace(), (generation, Arc::clone(&self.notices)));
        let calls = ServiceCalls::new(namespace, (self.load, self.outliers.clone()), to, chance);
        calls.counted(PickMeter::new(&self.meter, &self.names, service))
    }
}

impl State {
    pub(super) fn new(
        of_new: CallsOfNew,
        expiry: &Arc<NextExpiry>,
        generation: &Arc<AtomicU64>,
        seed: Option<u64>,
    ) -> Self {
        Self {
            catalog: Catalog::new(),
            checks: Checks::new(),
            marks: Marks::default(),
            places: Places::default(),
            shown_until: Instant::now(),
            expiry: Arc::clone(expiry),
            restarts: HashMap::default(),
            tracked: HashMap::default(),
            status_changes: StatusChanges::default(),
            services: HashMap::default(),
            of_new,
            generation: Arc::clone(generation),
            random: seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed),
        }
    }

    /// This time, or the one up to which healths are shown, if that is later: another thread may have come first, and a change
    /// that is counted is one that is shown.
    pub(super) fn at_least_shown(&self, now: Instant) -> Instant {
        now.max(self.shown_until)
    }

    pub(super) fn apply(&mut self, watched: Watched, now: Instant) -> Vec<InstanceChange> {
        let changes = self.catalog.apply(watched);
        for change in &changes {
            match change {
                InstanceChange::Added(instance) => self.track(instance, now),
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

    pub(super) fn health(&self, name: &InstanceName, actor: ActorId, now: Instant) -> InstanceHealth {
        self.marks.apply(name, actor, self.checks.health(name, actor, now))
    }

    /// Of each incarnation that has checks or marks.
    pub(super) fn healths(&self, now: Instant) -> Vec<IncarnationHealth> {
        let checked = self
            .checks
            .iter(now)
            .map(|(name, actor, checked)| (name.clone(), actor, self.marks.apply(name, actor, checked)));
        let unchecked = self.marks.iter().filter(|(name, actor)| !self.checks.contains(name, *actor));
        let marked = unchecked.map(|(name, actor)| (name.clone(), actor, self.health(name, actor, now)));
        checked.chain(marked).collect()
    }

    pub(super) fn service_health(
        &self,
        service: &ServiceName,
        options: &DiscoveryOptions,
        now: Instant,
    ) -> ServiceHealth {
        let in_rotation = self.catalog.instances(service).filter(|record| record.status().is_in_rotation());
        let incarnations = in_rotation.map(|record| (record.name().clone(), record.actor));
        let ejected = self.services.get(service).map_or(0, |calls| calls.count_ejected(incarnations, now));
        self.catalog.service_health(service).expecting(options.expected_of(service)).with_ejected(ejected)
    }

    /// Reserves a place for an instance. Those of the catalog that have ended have none any more.
    pub(super) fn reserve(
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

    fn track(&mut self, instance: &InstanceRecord, now: Instant) {
        let key = (instance.name().clone(), instance.actor);
        let new = || {
            let (calls, slot) = (InstanceCalls::new(key.clone(), now), CheckSlot::new(now));
            Tracked { calls: Arc::new(calls), slot: Arc::new(slot) }
        };
        let calls = Arc::clone(&self.tracked.entry(key.clone()).or_insert_with(new).calls);
        self.service_calls(instance.service(), now).add_member(&calls);
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
    pub(super) fn service_calls(&mut self, service: &ServiceName, now: Instant) -> &Arc<ServiceCalls> {
        let (random, generation, of_new) = (&mut self.random, &self.generation, &self.of_new);
        let new = || Arc::new(of_new.make(service, Generation::new(Arc::clone(generation)), (random.fork(), now)));
        self.services.entry(service.clone()).or_insert_with(new)
    }

    /// Forgets the calls of services that have no instance, and that no selector and no pick uses any more.
    pub(super) fn forget_unused(&mut self) {
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
    pub(super) fn show_health(
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
    pub(super) fn expire(&mut self, now: Instant) -> bool {
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
    pub(super) fn ask_for_restart(
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
