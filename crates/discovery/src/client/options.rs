//! The options of discovery in a namespace.

use std::sync::Arc;

use super::restart::{RestartInstance, Restarter};
use crate::choice::{LoadRules, OutlierRules};
use crate::health::RestartBudget;
use crate::service::{DiscoveryObserver, Observer};

/// How discovery works in a namespace.
///
/// | | default |
/// |---|---|
/// | [`max_instances`](Self::max_instances) | 256 a service |
/// | [`load`](Self::load) | [`LoadRules::new`] |
/// | [`outliers`](Self::outliers) | [`OutlierRules::new`] |
/// | [`restart_budget`](Self::restart_budget) | [`RestartBudget::new`] |
/// | [`restart_by`](Self::restart_by) | the actor is killed |
/// | [`seed`](Self::seed) | another one in each process |
/// | [`observer`](Self::observer) | none |
#[derive(Debug, Clone)]
pub struct DiscoveryOptions {
    pub(super) max_instances: usize,
    pub(super) load: LoadRules,
    pub(super) outliers: OutlierRules,
    pub(super) restart_budget: RestartBudget,
    pub(super) restart_by: Restarter,
    pub(super) seed: Option<u64>,
    pub(super) observers: Vec<Observer>,
}

impl Default for DiscoveryOptions {
    fn default() -> Self {
        Self {
            max_instances: 256,
            load: LoadRules::default(),
            outliers: OutlierRules::default(),
            restart_budget: RestartBudget::default(),
            restart_by: Restarter::default(),
            seed: None,
            observers: Vec::new(),
        }
    }
}

impl DiscoveryOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many instances of one service are registered at most. Those that are registered at the same time may be a few
    /// more.
    pub fn max_instances(self, instances: usize) -> Self {
        Self { max_instances: instances, ..self }
    }

    /// How fast loads forget.
    pub fn load(self, rules: LoadRules) -> Self {
        Self { load: rules, ..self }
    }

    /// When instances whose calls fail are left out.
    pub fn outliers(self, rules: OutlierRules) -> Self {
        Self { outliers: rules, ..self }
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

    /// Adds one who is notified of what happens to instances, by the [service](crate::Discovery::namespace_service) of the namespace.
    pub fn observer(mut self, observer: Arc<dyn DiscoveryObserver>) -> Self {
        self.observers.push(Observer::new(observer));
        self
    }

    /// Where chance begins, for tests that are to be repeated.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }
}
