//! What the clients and the manager of a namespace share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use foundation_config_server::{ConfigServer, ConfigTree};
use foundation_kernel::names::{ServiceKey, ServiceRegistry};
use foundation_kernel::supervision::{Supervisor, SupervisorKey};
use parking_lot::Mutex;

use crate::kinds::Kinds;
use crate::lifecycle_watch::Published;
use crate::record::BatchRecords;
use foundation_discovery::Discovery;

/// The supervisor of the managed services.
pub(crate) const SUPERVISOR: SupervisorKey<Supervisor> = SupervisorKey::from_static("managed");

/// The state of managed services that outlives their manager. It belongs to the namespace.
pub(crate) struct Shared {
    pub(crate) names: ServiceRegistry,
    pub(crate) discovery: Discovery,
    pub(crate) config: ConfigServer,
    pub(crate) kinds: Kinds,
    pub(crate) published: Arc<Published>,
    /// Whether everything is to be stopped: then no manager starts anything any more.
    pub(crate) is_shut_down: AtomicBool,
    /// Why the declared services are not known, or may be others than those that are shown.
    pub(crate) problem: Mutex<Option<String>>,
    pub(crate) batches: Mutex<BatchRecords>,
}

impl Shared {
    pub(crate) fn new(names: &ServiceRegistry) -> Self {
        // The config server has begun with its own base: it is described before those that need it.
        let config = ConfigServer::new(names, &Arc::<ConfigTree>::default());
        Self {
            names: names.clone(),
            discovery: Discovery::of(names),
            config,
            kinds: Kinds::default(),
            published: Arc::new(Published::new()),
            is_shut_down: AtomicBool::new(false),
            problem: Mutex::default(),
            batches: Mutex::default(),
        }
    }

    pub(crate) fn supervisor(&self) -> Supervisor {
        self.names.supervisor(&SUPERVISOR)
    }
}

/// The manager in each namespace.
pub(crate) const fn manager_key<M>() -> ServiceKey<M> {
    ServiceKey::from_static("managed.manager")
}
