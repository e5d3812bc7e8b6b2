//! The service `discovery` of a namespace: the actor, and how it is started.

use std::sync::Arc;

use foundation_kernel::containment::{CaughtPanic, ContainedFuture};
use foundation_kernel::local_message;
use foundation_kernel::names::{Service, ServiceKey, ServiceName, ServiceRegistry};
use foundation_kernel::ractor::{Actor, ActorProcessingErr, ActorRef};
use foundation_kernel::supervision::ChildSpec;
use futures::FutureExt;
use futures::future::BoxFuture;
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
    let work = Work { discovery, feed: names.extension(FeedSlot::default), observer };
    names.child_spec(&DISCOVERY, move || (DiscoveryService, work.clone().run().boxed())).in_health()
}

const DISCOVERY: ServiceKey<DiscoveryMsg> = ServiceKey::from_static("discovery");

/// All that the actor does is what its task does.
enum DiscoveryMsg {
    /// The task has panicked: the actor fails, so that its supervisor starts it again.
    TaskPanicked(CaughtPanic),
}
local_message!(DiscoveryMsg);

/// What the service does; what it knows is the namespace's, and outlives it.
#[derive(Clone)]
struct Work {
    discovery: Discovery,
    feed: Arc<FeedSlot>,
    observer: Option<Observer>,
}

impl Work {
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

/// Runs one task, and fails if it panics.
struct DiscoveryService;

#[cfg_attr(feature = "async-trait", foundation_kernel::ractor::async_trait)]
impl Actor for DiscoveryService {
    type Msg = DiscoveryMsg;
    type State = Running;
    type Arguments = BoxFuture<'static, ()>;

    async fn pre_start(
        &self,
        myself: ActorRef<DiscoveryMsg>,
        task: BoxFuture<'static, ()>,
    ) -> Result<Running, ActorProcessingErr> {
        let task = ContainedFuture::new("the task of discovery", task);
        Ok(Running(tokio::spawn(async move {
            if let Err(panic) = task.await {
                // An actor that has ended begins again all the same.
                let _ = myself.cast(DiscoveryMsg::TaskPanicked(panic));
            }
        })))
    }

    async fn handle(
        &self,
        _: ActorRef<DiscoveryMsg>,
        message: DiscoveryMsg,
        _: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        let DiscoveryMsg::TaskPanicked(panic) = message;
        Err(format!("the task of discovery panicked: {panic}").into())
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use foundation_kernel::names::{Namespace, ProcessRegistry};
    use futures::future::pending;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn a_service_whose_task_panics_is_started_again_by_its_supervisor() {
        let (starts, started) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let counted = (Arc::clone(&starts), Arc::clone(&started));
        let service = Service::new(Discovery::NAME, move |names| {
            let (starts, started) = counted.clone();
            names.child_spec(&DISCOVERY, move || {
                let (first, started) = (starts.fetch_add(1, Ordering::SeqCst) == 0, Arc::clone(&started));
                let task = async move {
                    assert!(!first, "it breaks");
                    started.notify_one();
                    pending::<()>().await;
                };
                (DiscoveryService, task.boxed())
            })
        });
        let registry = ProcessRegistry::builder().service(service).start().await.unwrap();
        let names = registry.namespace(Namespace::test()).await.unwrap();
        tokio::time::timeout(std::time::Duration::from_secs(10), started.notified()).await.expect("its second start");
        names.wait_for_service(&DISCOVERY, std::time::Duration::from_secs(10)).await.unwrap();
        registry.shutdown().await;
    }
}
