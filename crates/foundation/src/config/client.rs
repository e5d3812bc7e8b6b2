//! The config server's face.

use std::sync::Arc;
use std::time::Duration;

use foundation_core::ractor::RpcReplyPort;
use foundation_core::{CallError, ChildSpec, RegistryError, ServiceName, ServiceRegistry, Via};
use serde::{Serialize, de::DeserializeOwned};

use super::current::Current;
use super::error::ConfigError;
use super::path::ConfigPath;
use super::server::{CONFIG_SERVER, ConfigMsg, ConfigServerActor};
use super::subscription::{ConfigChanged, ConfigSubscription};
use super::tree::ConfigTree;
use super::update::{ConfigStatus, ConfigUpdateError};
use crate::events::EventStore;
use crate::telemetry::Telemetry;

/// How long a change may take, its recording included.
const LIMIT: Duration = Duration::from_secs(10);

/// The configuration of one namespace.
///
/// Reading takes the current tree and asks nobody: it works, with the last value, even while the server is being
/// restarted. Changing goes through the server, one at a time: a change is validated, recorded as an event
/// `config_updated`, and only then made, so `Ok` means recorded. What a server had recorded when it ended, and not made
/// yet, its successor makes.
///
/// ```
/// use foundation::{ConfigSources, Foundation};
/// use serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let sources = ConfigSources::new().defaults(json!({ "server": { "port": 8080 } }))?;
/// let foundation = Foundation::builder().config(sources).start().await?;
/// let config = foundation.config();
/// assert_eq!(config.get::<u16>("server.port")?, 8080);
///
/// config.update("server.port", 9090).await?;
/// assert_eq!(config.get::<u16>("server.port")?, 9090);
/// foundation.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ConfigServer {
    registry: ServiceRegistry,
    via: Via<ConfigMsg>,
    current: Arc<Current>,
}

impl From<CallError<ConfigMsg>> for ConfigUpdateError {
    fn from(error: CallError<ConfigMsg>) -> Self {
        let reason = error.to_string();
        match error {
            CallError::NotDelivered(_) => Self::NotDelivered { reason },
            _ => Self::NoAnswer { reason },
        }
    }
}

impl ConfigServer {
    /// The name of the server in each namespace.
    pub const NAME: ServiceName = ServiceName::from_static("config_server");

    /// The configuration of a namespace, which begins with `base` unless it was made before.
    pub fn new(registry: &ServiceRegistry, base: &Arc<ConfigTree>) -> Self {
        let current = registry.extension(|| Current::new(Arc::clone(base)));
        Self { registry: registry.clone(), via: registry.via(&CONFIG_SERVER), current }
    }

    /// How to start the config server of a namespace under the name `config_server`. It needs the event store.
    pub fn child_spec(&self, registry: &ServiceRegistry) -> ChildSpec {
        let (registry, current) = (registry.clone(), Arc::clone(&self.current));
        let (events, telemetry) = (EventStore::of(&registry), Telemetry::of(&registry));
        registry.child_spec(&CONFIG_SERVER, move || {
            let (current, events, telemetry) = (Arc::clone(&current), events.clone(), telemetry.clone());
            (ConfigServerActor { current, events, telemetry }, ())
        })
    }

    /// The value, or the whole section, at a path, as a `T`.
    ///
    /// # Errors
    /// [`ConfigError::UnknownPath`] names the near misses; [`ConfigError::WrongType`] names the path, both types and the
    /// file or variable that the value comes from.
    pub fn get<T: DeserializeOwned>(&self, path: impl AsRef<str>) -> Result<T, ConfigError> {
        self.tree().get_as(path)
    }

    /// The current configuration as a whole: a value that does not change under its reader.
    pub fn tree(&self) -> Arc<ConfigTree> {
        self.current.tree()
    }

    /// Sets a value at run time. Returns when the change is recorded and made.
    ///
    /// # Errors
    /// [`ConfigUpdateError`]: the old value stays, but after [`NoAnswer`](ConfigUpdateError::NoAnswer) the server may
    /// still make the change later.
    pub async fn update(
        &self,
        path: impl AsRef<str>,
        value: impl Serialize,
    ) -> Result<ConfigChanged, ConfigUpdateError> {
        let path = ConfigPath::new(path.as_ref())?;
        let value = serde_json::to_value(value)
            .map_err(|error| ConfigUpdateError::Unwritable { path: path.clone(), reason: error.to_string() })?;
        self.change(|reply| ConfigMsg::Update(path, value, reply)).await
    }

    /// Drops what was set at run time; the value below comes back.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub async fn reset(&self, path: impl AsRef<str>) -> Result<ConfigChanged, ConfigUpdateError> {
        let path = ConfigPath::new(path.as_ref())?;
        self.change(|reply| ConfigMsg::Reset(path, reply)).await
    }

    /// The changes from now on of a value, or of everything in a section.
    ///
    /// # Errors
    /// [`ConfigError::UnknownPath`] names the near misses.
    pub fn subscribe(&self, section: impl AsRef<str>) -> Result<ConfigSubscription, ConfigError> {
        let section = ConfigPath::new(section.as_ref())?;
        // First the ear, then the look: a change between the two is heard.
        let changes = self.current.subscribe();
        self.tree().get(section.as_str())?;
        Ok(ConfigSubscription { section, changes })
    }

    /// How the configuration stands, from the server itself.
    ///
    /// # Errors
    /// [`ConfigUpdateError::NotDelivered`], [`ConfigUpdateError::NoAnswer`].
    pub async fn status(&self) -> Result<ConfigStatus, ConfigUpdateError> {
        self.ask(ConfigMsg::Status).await
    }

    /// Waits until the server runs, at most 5 s if no limit is given: after its restart, say.
    ///
    /// # Errors
    /// [`RegistryError::WaitTimedOut`].
    pub async fn wait_until_up(&self, limit: impl Into<Option<Duration>>) -> Result<(), RegistryError> {
        self.registry.wait_for_service(&CONFIG_SERVER, limit).await.map(drop)
    }

    async fn change(
        &self,
        message: impl FnOnce(RpcReplyPort<Result<ConfigChanged, ConfigUpdateError>>) -> ConfigMsg,
    ) -> Result<ConfigChanged, ConfigUpdateError> {
        self.ask(message).await?
    }

    async fn ask<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<T>) -> ConfigMsg,
    ) -> Result<T, ConfigUpdateError> {
        Ok(self.via.call(message, LIMIT).await?)
    }
}

impl std::fmt::Debug for ConfigServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConfigServer({})", self.via.namespace())
    }
}
