//! Kinds of services: how a service is made from its configuration.

use std::future::ready;
use std::sync::Arc;

use foundation_config_server::garde::Validate;
use foundation_kernel::supervision::{BoxError, ChildSpec};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::ServiceContext;
use crate::needs::Need;
use crate::replacement::ReplacementStrategy;
use foundation_discovery::InstanceBuilder;
use foundation_discovery::InstanceCheck;

/// A kind of service that is made from a configuration: a plug-in, registered at run time or built in.
///
/// A managed service has a kind and a configuration. Its kind says how the child is made of the configuration, what it
/// needs, how its health is checked, and what a change of the configuration means. The functions are called by the
/// [manager](crate::Managed) of each namespace; a panic in one is an error of the request, and nothing is changed.
///
/// A configuration is validated by [`garde`](foundation_config_server::garde) before anything is made of it, and recorded
/// as JSON. So it has no secrets: these belong in a section of the configuration server, which a service can be
/// [declared with](crate::Managed::declare_section).
///
/// ```
/// use std::sync::Arc;
/// use foundation_config_server::garde::{self, Validate};
/// use foundation_discovery::InstanceBuilder;
/// use foundation_managed::{ServiceContext, ServiceKind};
/// use foundation_kernel::supervision::{BoxError, ChildSpec};
/// use serde::{Deserialize, Serialize};
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
/// # struct Clerk;
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Clerk {
/// #     type Msg = u64; type State = (); type Arguments = u16;
/// #     async fn pre_start(&self, _: ActorRef<u64>, _: u16) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
///
/// #[derive(Serialize, Deserialize, Validate)]
/// struct Desk {
///     #[garde(range(min = 1))]
///     number: u16,
/// }
///
/// struct Clerks;
///
/// impl ServiceKind for Clerks {
///     type Config = Desk;
///     const NAME: &'static str = "clerks";
///
///     fn describe(&self, instance: InstanceBuilder, desk: &Desk) -> InstanceBuilder {
///         instance.version("1.4.2").label("desk", desk.number)
///     }
///
///     fn child(&self, context: &ServiceContext, desk: Arc<Desk>) -> Result<ChildSpec, BoxError> {
///         context.child_spec(move || (Clerk, desk.number))
///     }
/// }
/// ```
pub trait ServiceKind: Send + Sync + 'static {
    /// The configuration of one service.
    type Config: DeserializeOwned + Serialize + Validate<Context: Default> + Send + Sync + 'static;

    /// The name of the kind: as the name of a service.
    const NAME: &'static str;

    /// The values of a configuration that are never recorded and never shown, as paths within it; `*` stands for all of
    /// it. A service whose configuration has one has to be declared with a section.
    const SECRETS: &'static [&'static str] = &[];

    /// What the service says of itself in discovery: version, capabilities, zone. Service and id are set.
    fn describe(&self, instance: InstanceBuilder, config: &Self::Config) -> InstanceBuilder {
        let _ = config;
        instance
    }

    /// How its child is started, restarted and stopped: make it with [`ServiceContext::child_spec`].
    ///
    /// # Errors
    /// Any error of the kind's own; the service is then not started.
    fn child(&self, context: &ServiceContext, config: Arc<Self::Config>) -> Result<ChildSpec, BoxError>;

    /// What has to be healthy before it is started. Nothing by default.
    fn needs(&self, config: &Self::Config) -> Vec<Need> {
        let _ = config;
        Vec::new()
    }

    /// How its health is checked. Without a check it is healthy while it runs.
    fn checks(&self, config: &Self::Config) -> Vec<InstanceCheck> {
        let _ = config;
        Vec::new()
    }

    /// How a running service gets another configuration. By default it is drained and then started with the new one.
    fn replacement(&self, old: &Self::Config, new: &Self::Config) -> ReplacementStrategy {
        let _ = (old, new);
        ReplacementStrategy::default()
    }

    /// Gives the running service another configuration, for [`ReplacementStrategy::Reload`]: by a message to its actor,
    /// mostly. From then on its checks are those of that configuration. A service that ends is started again with it.
    fn reload(&self, context: &ServiceContext, config: Arc<Self::Config>) -> BoxFuture<'static, Result<(), BoxError>> {
        let _ = (context, config);
        ready(Err(format!("services of kind {} cannot be reloaded", Self::NAME).into())).boxed()
    }

    /// A configuration as an example, which is shown with the kind.
    fn example(&self) -> Option<Self::Config> {
        None
    }
}
