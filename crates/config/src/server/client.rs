//! The client side of the config server.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use foundation_events::{EventId, EventStore};
use foundation_kernel::names::{CallError, RegistryError, Service, ServiceName, ServiceRegistry, Via};
use foundation_kernel::ractor::RpcReplyPort;
use foundation_kernel::supervision::{ChildSpec, Health};
use serde::{Serialize, de::DeserializeOwned};

use super::actor::{CONFIG_SERVER, ConfigMsg, ConfigServerActor};
use super::commit::{ConfigChanged, ConfigCommit};
use super::current::{ConfigSubscription, Current, SectionSubscription};
use super::journal::{ConfigRecord, Journal, SERVER};
use super::limits::ConfigServerLimits;
use super::note::ChangeNote;
use super::outcome::ConfigOutcome;
use super::section_handle::Section;
use super::status::ConfigStatus;
use super::transaction::{Proposal, Transaction};
use super::update_error::ConfigUpdateError;
use crate::values::{ConfigError, ConfigPath, ConfigSection, ConfigTree, ValueOrigin};

/// The configuration of one namespace.
///
/// Reading takes the current tree and asks no actor: it works, with the last value, even while the server is being
/// restarted. Changing goes through the server, one at a time: a change is validated, recorded as an event
/// `config_updated`, and only then applied, so `Ok` means recorded. Changes that a server had recorded but not applied when
/// it ended are applied by its successor. Only [declared](crate::ConfigSources::updatable) values may change.
///
/// | to read | use |
/// |---|---|
/// | a declared section, often | [`section_handle`](Self::section_handle), which is kept |
/// | a declared section | [`section`](Self::section) |
/// | anything, as any type | [`get`](Self::get), which reads it anew each time |
/// | many values that belong together | [`tree`](Self::tree) |
///
/// ```
/// use foundation_config_server::{ConfigServer, ConfigSources};
/// use foundation_events::{EventStorage, EventStore};
/// use foundation_kernel::names::{Namespace, ProcessRegistry};
/// use serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let sources = ConfigSources::new().defaults(json!({ "server": { "port": 8080 } }))?.updatable("server.port")?;
/// # let base = std::sync::Arc::new(sources.load()?);
/// # let root = ProcessRegistry::builder()
/// #     .service(EventStore::service(EventStorage::memory()))
/// #     .service(ConfigServer::service(base.clone()))
/// #     .start().await?;
/// # let config = ConfigServer::new(&root.namespace(Namespace::Production).await?, &base);
/// assert_eq!(config.get::<u16>("server.port")?, 8080);
///
/// config.update("server.port", 9090).await?;
/// assert_eq!(config.get::<u16>("server.port")?, 9090);
/// root.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ConfigServer {
    registry: ServiceRegistry,
    via: Via<ConfigMsg>,
    current: Arc<Current>,
    limits: Arc<ConfigServerLimits>,
    note: ChangeNote,
}

impl From<CallError<ConfigMsg>> for ConfigUpdateError {
    fn from(error: CallError<ConfigMsg>) -> Self {
        let reason = error.to_string();
        match error {
            CallError::NotDelivered(_) | CallError::NoRuntime { .. } => Self::NotDelivered { reason },
            _ => Self::NoAnswer { reason },
        }
    }
}

impl ConfigServer {
    /// The name of the server in each namespace.
    pub const NAME: ServiceName = ServiceName::from_static(SERVER);

    /// The configuration of a namespace, which begins with `base` unless it exists already.
    pub fn new(registry: &ServiceRegistry, base: &Arc<ConfigTree>) -> Self {
        let limits = registry.extension(ConfigServerLimits::default);
        let current = registry.extension(|| Current::from(Arc::clone(base)));
        let (registry, via, note) = (registry.clone(), registry.via(&CONFIG_SERVER), ChangeNote::default());
        Self { registry, via, current, limits, note }
    }

    /// The service for a registry's [namespaces](foundation_kernel::names::ProcessRegistryBuilder::service), which begin
    /// with `base`. It needs the event store.
    pub fn service(base: Arc<ConfigTree>) -> Service {
        let service = Service::new(Self::NAME, move |registry| Self::child_spec(registry, &base));
        service.needs(EventStore::NAME)
    }

    /// How to start the config server of a namespace, which begins with `base`, under the name `config_server`. It needs
    /// the event store.
    pub fn child_spec(registry: &ServiceRegistry, base: &Arc<ConfigTree>) -> ChildSpec {
        Self::child_spec_with(registry, base, |_| ())
    }

    /// As [`child_spec`](Self::child_spec), with a callback for what becomes of each change. It runs on the server's
    /// task and must be brief; a panic in it is only logged.
    pub fn child_spec_with(
        registry: &ServiceRegistry,
        base: &Arc<ConfigTree>,
        on_outcome: impl Fn(ConfigOutcome) + Send + Sync + 'static,
    ) -> ChildSpec {
        let checked = Self::new(registry, base);
        let journal = Journal::from(registry);
        // Before any store checks its retention: the changes of an earlier process exist as events only.
        journal.hold().keep_from(Some(EventId::FIRST));
        let actor = ConfigServerActor::new(registry, Arc::clone(&checked.current), journal, on_outcome);
        let spec = registry.child_spec(&CONFIG_SERVER, move || (actor.clone(), ()));
        let check = move |_| {
            let config = checked.clone();
            async move { config.health().await }
        };
        spec.health_check(check)
    }

    /// The health of the server: it is degraded while it notices changes of its files late, or holds up the retention
    /// of events.
    pub async fn health(&self) -> Health {
        match self.status().await {
            Ok(status) => status.impairment().map_or(Health::Healthy, Health::Degraded),
            failed => Health::of(failed),
        }
    }

    /// The value, or the whole section, at a path, as a `T`.
    ///
    /// # Errors
    /// [`ConfigError::UnknownPath`] names the near misses; [`ConfigError::WrongType`] names the path, both types and
    /// the file or variable that the value comes from.
    pub fn get<T: DeserializeOwned>(&self, path: impl AsRef<str>) -> Result<T, ConfigError> {
        self.current.load().get_as(path)
    }

    /// A declared section as it is now, as read and validated when it last changed. Asks no actor, takes no lock, and
    /// costs a search among the declared types; a [`section_handle`](Self::section_handle) is faster still.
    ///
    /// # Errors
    /// [`ConfigError::UndeclaredSection`].
    pub fn section<T: ConfigSection>(&self) -> Result<Arc<T>, ConfigError> {
        self.current.load().section()
    }

    /// A handle on a declared section, for a caller that reads it often.
    ///
    /// # Errors
    /// [`ConfigError::UndeclaredSection`].
    pub fn section_handle<T: ConfigSection>(&self) -> Result<Section<T>, ConfigError> {
        Section::new(&self.current)
    }

    /// The layer that a value comes from, with file and line where there are any; see [`ConfigTree::origin`].
    ///
    /// # Errors
    /// [`ConfigError::UnknownPath`] names the near misses.
    pub fn origin(&self, path: impl AsRef<str>) -> Result<ValueOrigin, ConfigError> {
        self.current.load().origin(path)
    }

    /// The values that may change at run time, sorted.
    pub fn updatable_paths(&self) -> Vec<ConfigPath> {
        self.current.load().updatable_paths().cloned().collect()
    }

    /// The current configuration as a whole: a value that does not change under its reader.
    pub fn tree(&self) -> Arc<ConfigTree> {
        Guard::into_inner(self.current.load())
    }

    /// The same configuration; changes made through it carry this note.
    ///
    /// ```
    /// # use foundation_config_server::{ChangeNote, ConfigServer, ConfigSources};
    /// # use foundation_events::{EventStorage, EventStore};
    /// # use foundation_kernel::names::{Namespace, ProcessRegistry};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let sources = ConfigSources::new().defaults(serde_json::json!({ "pool": { "size": 4 } }))?.updatable("pool")?;
    /// # let base = std::sync::Arc::new(sources.load()?);
    /// # let root = ProcessRegistry::builder()
    /// #     .service(EventStore::service(EventStorage::memory()))
    /// #     .service(ConfigServer::service(base.clone()))
    /// #     .start().await?;
    /// # let config = ConfigServer::new(&root.namespace(Namespace::Production).await?, &base);
    /// let config = config.with_note(ChangeNote::by("alice").because("load test"));
    /// let changed = config.update("pool.size", 64).await?;
    /// assert_eq!(changed.note.author.as_deref(), Some("alice"));
    ///
    /// let history = config.history("pool").await?;
    /// assert_eq!((history.len(), history[0].note.reason.as_deref()), (1, Some("load test")));
    /// # root.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_note(&self, note: ChangeNote) -> Self {
        Self { note, ..self.clone() }
    }

    /// Sets a value at run time. Returns when the change is recorded and applied.
    ///
    /// # Errors
    /// [`ConfigUpdateError`]: the old value stays, but after [`NoAnswer`](ConfigUpdateError::NoAnswer) the server may
    /// still apply the change later.
    pub async fn update(
        &self,
        path: impl AsRef<str>,
        value: impl Serialize,
    ) -> Result<ConfigChanged, ConfigUpdateError> {
        self.only(|transaction| transaction.set(path, value)).await
    }

    /// Drops the value that was set at run time; the value below comes back.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub async fn reset(&self, path: impl AsRef<str>) -> Result<ConfigChanged, ConfigUpdateError> {
        self.only(|transaction| transaction.reset(path)).await
    }

    /// Changes several values together: all or none, validated as a whole, recorded as one event, and with one
    /// generation.
    ///
    /// ```
    /// # use foundation_config_server::{ConfigServer, ConfigSources};
    /// # use foundation_events::{EventStorage, EventStore};
    /// # use foundation_kernel::names::{Namespace, ProcessRegistry};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let defaults = serde_json::json!({ "pool": { "min": 1, "max": 4 } });
    /// # let sources = ConfigSources::new().defaults(defaults)?.updatable("pool")?;
    /// # let base = std::sync::Arc::new(sources.load()?);
    /// # let root = ProcessRegistry::builder()
    /// #     .service(EventStore::service(EventStorage::memory()))
    /// #     .service(ConfigServer::service(base.clone()))
    /// #     .start().await?;
    /// # let config = ConfigServer::new(&root.namespace(Namespace::Production).await?, &base);
    /// let commit = config.transaction(|transaction| transaction.set("pool.min", 8).set("pool.max", 32)).await?;
    /// assert_eq!((commit.changes.len(), commit.generation), (2, 2));
    /// # root.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub async fn transaction(
        &self,
        build: impl FnOnce(Transaction) -> Transaction,
    ) -> Result<ConfigCommit, ConfigUpdateError> {
        self.propose(build(Transaction::default()).try_into()?).await
    }

    /// Drops all values that were set at run time, together.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub async fn reset_all(&self) -> Result<ConfigCommit, ConfigUpdateError> {
        self.propose(Proposal::ResetAll).await
    }

    /// The recorded changes of a value, or of everything in a section, oldest first: updates and reloads of the files.
    /// Costs a pass over all records of changes. Events pruned from the event store are not included.
    ///
    /// # Errors
    /// [`ConfigUpdateError::Refused`] if the path is unknown, [`ConfigUpdateError::NoHistory`] if the event store does
    /// not answer.
    pub async fn history(&self, path: impl AsRef<str>) -> Result<Vec<ConfigRecord>, ConfigUpdateError> {
        let section = ConfigPath::new(path.as_ref())?;
        self.current.load().get(&section)?;
        Journal::from(&self.registry).history(&section).await
    }

    /// Restores every value changed at run time since an event to what it was right after that event, together. That is
    /// a change of its own, which can be rolled back, too. Reloads of files are not undone.
    ///
    /// # Errors
    /// [`ConfigUpdateError::NoRecord`] if the event does not record a change; otherwise as [`update`](Self::update).
    pub async fn rollback(&self, to: EventId) -> Result<ConfigCommit, ConfigUpdateError> {
        self.change(|note, reply| ConfigMsg::Rollback(to, note, reply)).await
    }

    /// Reads the files again and applies them as a whole, or leaves everything as it was; values set at run time stay
    /// in force over them. A watched file needs no such call. The environment and the defaults are those of the first
    /// load.
    ///
    /// # Errors
    /// As [`update`](Self::update), with the position of the mistake. Files that are refused are also recorded, as an
    /// event [`config_reload_refused`](ConfigRecord::RELOAD_REFUSED).
    pub async fn reload(&self) -> Result<ConfigCommit, ConfigUpdateError> {
        self.change(ConfigMsg::Reload).await
    }

    /// The changes from now on of a value, or of everything in a section.
    ///
    /// # Errors
    /// [`ConfigError::UnknownPath`] names the near misses.
    pub fn subscribe(&self, section: impl AsRef<str>) -> Result<ConfigSubscription, ConfigError> {
        self.current.subscribe(section.as_ref(), &self.registry)
    }

    /// The changes from now on of a declared section, each with the section before and after it.
    ///
    /// # Errors
    /// [`ConfigError::UndeclaredSection`].
    pub fn subscribe_section<T: ConfigSection>(&self) -> Result<SectionSubscription<T>, ConfigError> {
        self.current.subscribe_section(&self.registry)
    }

    /// The state of the configuration, as reported by the server itself.
    ///
    /// # Errors
    /// [`ConfigUpdateError::NotDelivered`], [`ConfigUpdateError::NoAnswer`].
    pub async fn status(&self) -> Result<ConfigStatus, ConfigUpdateError> {
        self.ask(ConfigMsg::Status).await
    }

    /// Waits until the server runs: after its restart, say; without a limit if that is `None`.
    ///
    /// # Errors
    /// [`RegistryError::WaitTimedOut`]; [`RegistryError::NotRunning`] when the namespace ends.
    pub async fn wait_until_up(&self, limit: impl Into<Option<Duration>>) -> Result<(), RegistryError> {
        self.registry.wait_for_service(&CONFIG_SERVER, limit).await.map(drop)
    }

    /// A transaction of one change.
    async fn only(&self, build: impl FnOnce(Transaction) -> Transaction) -> Result<ConfigChanged, ConfigUpdateError> {
        let commit = self.transaction(build).await?;
        let lost = || ConfigUpdateError::NoAnswer { reason: "the answer does not contain the change".to_owned() };
        commit.changed().next().ok_or_else(lost)
    }

    async fn propose(&self, proposal: Proposal) -> Result<ConfigCommit, ConfigUpdateError> {
        self.change(|note, reply| ConfigMsg::Change(proposal, note, reply)).await
    }

    async fn change(
        &self,
        message: impl FnOnce(ChangeNote, RpcReplyPort<Result<ConfigCommit, ConfigUpdateError>>) -> ConfigMsg,
    ) -> Result<ConfigCommit, ConfigUpdateError> {
        let note = self.note.clone();
        self.ask(|reply| message(note, reply)).await?
    }

    async fn ask<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<T>) -> ConfigMsg,
    ) -> Result<T, ConfigUpdateError> {
        Ok(self.via.call(message, self.limits.answer).await?)
    }
}

impl std::fmt::Debug for ConfigServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConfigServer({})", self.via.namespace())
    }
}
