//! The options of discovery in a namespace, and how an instance whose liveness check fails is restarted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use foundation_kernel::containment::{Contained, catch_panic, report};
use foundation_kernel::names::{ServiceName, ServiceRegistry};

use crate::choice::{LoadRules, OutlierRules};
use crate::health::RestartBudget;
use crate::instance::{FieldError, Instance, InstanceRecord};
use crate::lease::PreservationRules;
use crate::limits::{
    MAX_CAPABILITIES, MAX_INSTANCE, MAX_INSTANCES, MAX_INSTANCES_PER_SERVICE, MAX_LABELS, MAX_UNREAD_CHANGES,
    PlaceLimits,
};
use crate::meter::{DiscoveryMeter, Meter};

/// How discovery works in a namespace.
///
/// | | default |
/// |---|---|
/// | [`max_instances`](Self::max_instances) | 4,096 |
/// | [`max_instances_per_service`](Self::max_instances_per_service) | 256 |
/// | [`max_capabilities`](Self::max_capabilities), [`max_labels`](Self::max_labels) | 32, 32 |
/// | [`max_instance_bytes`](Self::max_instance_bytes) | 16 KB |
/// | [`load`](Self::load) | [`LoadRules::new`] |
/// | [`outliers`](Self::outliers) | [`OutlierRules::new`] |
/// | [`preservation`](Self::preservation) | [`PreservationRules::new`] |
/// | [`unread_changes`](Self::unread_changes) | 1,024 |
/// | [`restart_budget`](Self::restart_budget) | [`RestartBudget::new`] |
/// | [`restart_by`](Self::restart_by) | the actor is killed |
/// | [`measured_by`](Self::measured_by) | nothing is measured |
/// | [`expects`](Self::expects) | no service |
/// | [`seed`](Self::seed) | another one in each process |
#[derive(Debug, Clone, PartialEq)]
pub struct DiscoveryOptions {
    pub(super) places: PlaceLimits,
    max_capabilities: usize,
    max_labels: usize,
    max_instance_bytes: usize,
    pub(super) load: LoadRules,
    pub(super) outliers: OutlierRules,
    pub(super) preservation: PreservationRules,
    pub(super) unread_changes: usize,
    pub(super) restart_budget: RestartBudget,
    pub(super) restart_by: Restarter,
    pub(super) meter: Meter,
    pub(super) expected: BTreeMap<ServiceName, usize>,
    pub(super) seed: Option<u64>,
}

impl Default for DiscoveryOptions {
    fn default() -> Self {
        Self {
            places: PlaceLimits { namespace: MAX_INSTANCES, service: MAX_INSTANCES_PER_SERVICE },
            max_capabilities: MAX_CAPABILITIES,
            max_labels: MAX_LABELS,
            max_instance_bytes: MAX_INSTANCE,
            load: LoadRules::default(),
            outliers: OutlierRules::default(),
            preservation: PreservationRules::default(),
            unread_changes: MAX_UNREAD_CHANGES,
            restart_budget: RestartBudget::default(),
            restart_by: Restarter::default(),
            meter: Meter::default(),
            expected: BTreeMap::new(),
            seed: None,
        }
    }
}

impl DiscoveryOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many instances there are at most, of all services. Those count that are registered through discovery.
    pub fn max_instances(self, instances: usize) -> Self {
        Self { places: PlaceLimits { namespace: instances, ..self.places }, ..self }
    }

    /// How many instances one service has at most.
    pub fn max_instances_per_service(self, instances: usize) -> Self {
        Self { places: PlaceLimits { service: instances, ..self.places }, ..self }
    }

    /// How many capabilities an instance has at most: [`MAX_CAPABILITIES`] or fewer.
    pub fn max_capabilities(self, capabilities: usize) -> Self {
        Self { max_capabilities: capabilities.min(MAX_CAPABILITIES), ..self }
    }

    /// How many labels an instance has at most: [`MAX_LABELS`] or fewer.
    pub fn max_labels(self, labels: usize) -> Self {
        Self { max_labels: labels.min(MAX_LABELS), ..self }
    }

    /// How long an instance is at most, in bytes of JSON: [`MAX_INSTANCE`] or less.
    pub fn max_instance_bytes(self, bytes: usize) -> Self {
        Self { max_instance_bytes: bytes.min(MAX_INSTANCE), ..self }
    }

    /// Checks an instance that is registered or updated against what is set.
    pub(super) fn check(&self, instance: &Instance) -> Result<(), FieldError> {
        instance.check(self.max_capabilities, self.max_labels, self.max_instance_bytes)
    }

    /// How fast loads forget.
    pub fn load(self, rules: LoadRules) -> Self {
        Self { load: rules, ..self }
    }

    /// When instances whose calls fail are left out.
    pub fn outliers(self, rules: OutlierRules) -> Self {
        Self { outliers: rules, ..self }
    }

    /// When leases that have run out are kept, since too many have.
    pub fn preservation(self, rules: PreservationRules) -> Self {
        Self { preservation: rules, ..self }
    }

    /// How many unread changes of names are kept for a watch, 1 at least; with more it has lagged.
    pub fn unread_changes(self, changes: usize) -> Self {
        Self { unread_changes: changes, ..self }
    }

    /// How many instances of one service are restarted because their liveness checks fail.
    pub fn restart_budget(self, budget: RestartBudget) -> Self {
        Self { restart_budget: budget, ..self }
    }

    /// How an instance whose liveness check fails is restarted, as far as the budget allows. By default its actor is killed, so
    /// that its supervisor starts it again; an [announced](crate::Discovery::announce) one is left alone.
    pub fn restart_by(self, restart: impl RestartInstance) -> Self {
        Self { restart_by: Restarter::new(restart), ..self }
    }

    /// What measures picks and checks.
    pub fn measured_by(self, meter: impl DiscoveryMeter) -> Self {
        Self { meter: Meter::new(meter), ..self }
    }

    /// A service that is always part of the [health](crate::Discovery::health), and how many of its instances should be in
    /// rotation, 1 at least: with fewer it is degraded, and without one it is down.
    ///
    /// A service is part of the health without this while it has an instance, a child that is one, or a
    /// [declared check](crate::Discovery::check).
    pub fn expects(mut self, service: &ServiceName, instances: usize) -> Self {
        self.expected.insert(service.clone(), instances.max(1));
        self
    }

    /// How many instances of a service should be in rotation.
    pub(super) fn expected_of(&self, service: &ServiceName) -> usize {
        self.expected.get(service).copied().unwrap_or(0)
    }

    /// Where chance begins, for tests that are to be repeated.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }
}

/// Restarts an instance whose [liveness](crate::health::CheckRole::Liveness) check fails, for
/// [`DiscoveryOptions::restart_by`](crate::DiscoveryOptions::restart_by). Functions of an [`InstanceRecord`] do.
///
/// It is called if the [budget](crate::health::RestartBudget) allows it, on the task of the check: it must not block. For one
/// incarnation it is called again if that is still there after two windows of the budget. The health of the record says why.
/// A panic in it is contained.
pub trait RestartInstance: Send + Sync + 'static {
    /// Begins the restart, and returns.
    fn restart(&self, instance: &InstanceRecord);
}

impl<F: Fn(&InstanceRecord) + Send + Sync + 'static> RestartInstance for F {
    fn restart(&self, instance: &InstanceRecord) {
        self(instance);
    }
}

/// How instances are restarted: by the user's code, or else by killing the actor.
#[derive(Clone, Default)]
pub(super) struct Restarter(Option<Arc<Contained<Box<dyn RestartInstance>>>>);

impl Restarter {
    pub(super) fn new(restart: impl RestartInstance) -> Self {
        let restart: Box<dyn RestartInstance> = Box::new(restart);
        Self(Some(Arc::new(Contained::new("the restart of instances", restart))))
    }

    /// Whether it can restart an instance: the keeper of one outside of this process is not the instance, so killing it
    /// would restart nothing.
    pub(super) fn can_restart(&self, is_announced: bool) -> bool {
        self.0.is_some() || !is_announced
    }

    /// Restarts an instance. Runs user code: not to be called under a lock.
    pub(super) fn restart(&self, names: &ServiceRegistry, instance: &InstanceRecord) {
        let has_begun = match &self.0 {
            Some(restart) => restart_by(restart, instance),
            None => kill(names, instance),
        };
        if has_begun {
            let (namespace, name, health) = (names.namespace(), instance.name(), &instance.health);
            report(|| tracing::warn!(%namespace, instance = %name, %health, "restarted"));
        }
    }
}

/// False if it panicked.
fn restart_by(restart: &Contained<Box<dyn RestartInstance>>, instance: &InstanceRecord) -> bool {
    let restarted = catch_panic(|| restart.get().into_iter().for_each(|restart| restart.restart(instance)));
    if let Err(panic) = &restarted {
        report(|| tracing::warn!(instance = %instance.name(), %panic, "the restart of an instance panicked"));
    }
    restarted.is_ok()
}

/// False if the actor is gone. An actor that hangs in a message does not stop when it is asked to, and a kill is an end after
/// which a transient child is restarted, too.
fn kill(names: &ServiceRegistry, instance: &InstanceRecord) -> bool {
    let found = names.lookup_any(instance.name().registered()).ok();
    let found = found.filter(|found| found.actor_id() == instance.actor);
    found.inspect(|found| found.cell().kill()).is_some()
}

/// The same code, and not only code that does the same.
impl PartialEq for Restarter {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl fmt::Debug for Restarter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Restarter(custom)" } else { "Restarter(kill)" })
    }
}
