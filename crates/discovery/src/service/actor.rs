//! The service `discovery` of a namespace: the actor, and how it is started.

use std::sync::Arc;

use foundation_kernel::local_message;
use foundation_kernel::names::{Service, ServiceKey, ServiceName, ServiceRegistry};
use foundation_kernel::ractor::{Actor, ActorProcessingErr, ActorRef};
use foundation_kernel::supervision::ChildSpec;
use tokio::task::JoinHandle;

use super::feed::FeedSlot;
use super::observer::{DiscoveryObserver, Observer};
use crate::client::{Discovery, DiscoveryOptions};
use crate::criteria::Criteria;

impl Discovery {
    /// The name of the service in each namespace.
    pub const NAME: ServiceName = ServiceName::from_static("discovery");

    /// The service for a registry's [namespaces](foundation_kernel::names::ProcessRegistryBuilder::service): it runs the
    /// checks that are [declared](Self::check).
    ///
    /// Finding and choosing need no service, and go on while it is restarted. The options are those of the namespace, unless
    /// there is a handle of its discovery already.
    ///
    /// ```
    /// use foundation_discovery::{Discovery, DiscoveryOptions};
    /// use foundation_kernel::names::{Namespace, ProcessRegistry};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let service = Discovery::namespace_service(DiscoveryOptions::new());
    /// let registry = ProcessRegistry::builder().service(service).start().await?;
    /// let names = registry.namespace(Namespace::Production).await?;
    /// assert!(names.lookup_any(&Discovery::NAME).is_ok());
    /// registry.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn namespace_service(options: DiscoveryOptions) -> Service {
        Service::new(Self::NAME, move |names| child_spec(names, &options, None))
    }

    /// The same, and it notifies an observer of what happens to instances, one for each namespace.
    pub fn observed_service(
        options: DiscoveryOptions,
        observer: impl Fn(&ServiceRegistry) -> Arc<dyn DiscoveryObserver> + Send + Sync + 'static,
    ) -> Service {
        let observed = move |names: &_| child_spec(names, &options, Some(Observer::new(observer(names))));
        Service::new(Self::NAME, observed)
    }
}

fn child_spec(names: &ServiceRegistry, options: &DiscoveryOptions, observer: Option<Observer>) -> ChildSpec {
    let discovery = Discovery::with_options(names, options.clone());
    let service = DiscoveryService { discovery, feed: names.extension(FeedSlot::default), observer };
    names.child_spec(&DISCOVERY, move || (service.clone(), ())).in_health()
}

const DISCOVERY: ServiceKey<DiscoveryMsg> = ServiceKey::from_static("discovery");

/// There is no message: all that the actor does is what its tasks do.
enum DiscoveryMsg {}
local_message!(DiscoveryMsg);

/// What it knows is the namespace's, and outlives it.
#[derive(Clone)]
struct DiscoveryService {
    discovery: Discovery,
    feed: Arc<FeedSlot>,
    observer: Option<Observer>,
}

impl DiscoveryService {
    /// Reports and checks from the first use of discovery until the namespace ends.
    async fn run(self) {
        self.discovery.first_use().await;
        let reports = async {
            if let Some(observer) = &self.observer {
                let begin = || (self.discovery.notices(), self.discovery.watch(Criteria::any()));
                self.feed.report(self.discovery.registry(), begin, observer).await;
            }
        };
        tokio::join!(reports, self.discovery.run_declared_checks());
    }
}

#[cfg_attr(feature = "async-trait", foundation_kernel::ractor::async_trait)]
impl Actor for DiscoveryService {
    type Msg = DiscoveryMsg;
    type State = Running;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<DiscoveryMsg>, (): ()) -> Result<Running, ActorProcessingErr> {
        Ok(Running(tokio::spawn(self.clone().run())))
    }

    async fn post_stop(&self, _: ActorRef<DiscoveryMsg>, running: &mut Running) -> Result<(), ActorProcessingErr> {
        // Awaited: what it holds is gone with the actor.
        running.0.abort();
        let _ = (&mut running.0).await;
        Ok(())
    }
}

/// The task of the service, which ends with this value.
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}
