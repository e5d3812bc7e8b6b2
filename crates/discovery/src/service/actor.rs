//! The service `discovery` of a namespace: the actor, and how it is started.

use std::sync::Arc;

use foundation_kernel::local_message;
use foundation_kernel::names::{Service, ServiceKey, ServiceName, ServiceRegistry};
use foundation_kernel::ractor::{Actor, ActorProcessingErr, ActorRef};
use foundation_kernel::supervision::ChildSpec;
use tokio::task::JoinHandle;

use super::feed::FeedSlot;
use crate::client::{Discovery, DiscoveryOptions};

impl Discovery {
    /// The name of the service in each namespace.
    pub const NAME: ServiceName = ServiceName::from_static("discovery");

    /// The service for a registry's [namespaces](foundation_kernel::names::ProcessRegistryBuilder::service): it notifies the
    /// [observer](DiscoveryOptions::observer) of what happens to instances, and runs the [checks](Self::check) that are
    /// declared.
    ///
    /// Finding and choosing need no service, and go on while it is restarted.
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
    /// The options are those of the namespace, unless there is a handle of its discovery already.
    pub fn namespace_service(options: DiscoveryOptions) -> Service {
        Service::new(Self::NAME, move |names| child_spec(names, &options))
    }
}

fn child_spec(names: &ServiceRegistry, options: &DiscoveryOptions) -> ChildSpec {
    let discovery = Discovery::with_options(names, options.clone());
    let service = DiscoveryService { discovery, feed: names.extension(FeedSlot::default) };
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
}

impl DiscoveryService {
    /// Reports and checks until the namespace ends.
    async fn run(self) {
        let reports = async {
            if !self.discovery.observers().is_empty() {
                self.feed.report(self.discovery.clone()).await;
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
