//! Names of supervisors, and finding a supervisor by its name.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use tokio::time::timeout;

use super::error::RegistryError;
use crate::containment::waking_contained;
use crate::namespace::{NameError, ServiceName, key_traits};
use crate::registry::names::{LookupError, Table};
use crate::supervisor::{ChildError, Find, NameHolder, SupervisorKind};

/// The name of a supervisor together with its kind `S`.
///
/// It is a name as any other of its namespace. Declare one `const` for each supervisor, and use it for the
/// [specification](crate::names::ServiceRegistry::supervisor_spec) and for each handle.
///
/// ```
/// use foundation_kernel::supervision::{DynamicSupervisor, SupervisorKey};
///
/// const AUCTIONS: SupervisorKey<DynamicSupervisor> = SupervisorKey::from_static("auctions");
/// assert_eq!(AUCTIONS.name().as_str(), "auctions");
/// ```
pub struct SupervisorKey<S> {
    name: ServiceName,
    kind: PhantomData<fn(S)>,
}

impl<S> SupervisorKey<S> {
    /// A key for a name that is known at compile time; in a `const`, a bad name does not compile.
    ///
    /// # Panics
    /// As [`ServiceName::from_static`].
    pub const fn from_static(name: &'static str) -> Self {
        Self { name: ServiceName::from_static(name), kind: PhantomData }
    }

    /// A key for a name that is known only at run time.
    ///
    /// # Errors
    /// [`NameError`] says which character is wrong and where.
    pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
        ServiceName::new(name).map(Self::from)
    }

    /// The name alone.
    pub const fn name(&self) -> &ServiceName {
        &self.name
    }
}

key_traits!(SupervisorKey<S>);

/// A kind of supervisor for display, such as `DynamicSupervisor`: without the path of its module.
pub(super) fn kind_name<S>() -> &'static str {
    let name = std::any::type_name::<S>();
    // Those in a parameter stay: they say which of several it is.
    let own = name.find('<').unwrap_or(name.len());
    name[..own].rfind("::").map_or(name, |at| &name[at + 2..])
}

/// The message type under which a supervisor of kind `S` has its name: no actor answers to it, so no message is sent
/// past the handles.
pub(super) struct SupervisorMessage<S>(PhantomData<fn(S)>);

/// Finds the supervisor of a name.
pub(super) struct ByName<S> {
    table: Arc<Table>,
    key: SupervisorKey<S>,
    /// How long it waits for one.
    wait: Duration,
}

impl<S: SupervisorKind> ByName<S> {
    pub(super) fn new(table: Arc<Table>, key: SupervisorKey<S>, wait: Duration) -> Self {
        Self { table, key, wait }
    }

    fn read(&self) -> Result<S::Found, LookupError> {
        let found = self.table.with::<SupervisorMessage<S>, _>(self.key.name.as_str(), |holder, actor| {
            holder.value().and_then(|value| S::found(actor, value))
        });
        found?.ok_or(LookupError::Absent)
    }

    fn explain(&self, miss: LookupError) -> RegistryError {
        match miss {
            _ if self.table.is_closed() => RegistryError::NotRunning { namespace: self.table.namespace() },
            miss => {
                let (namespace, known) = (self.table.namespace(), |most| self.table.live_names(most));
                RegistryError::supervisor_lookup_failed(namespace, &self.key.name, kind_name::<S>(), miss, known)
            }
        }
    }

    /// Waits until there is one; ends with a miss if none of its kind can come.
    async fn next_live(&self) -> Result<S::Found, LookupError> {
        loop {
            let live = tokio::select! {
                biased;
                live = self.table.wait_for_live::<SupervisorMessage<S>>(&self.key.name) => live,
                () = self.table.closed() => Err(LookupError::Absent),
            };
            live?;
            match self.read() {
                // It has ended in between.
                Err(LookupError::Absent) => {}
                found => return found,
            }
        }
    }

    fn timed_out(&self) -> RegistryError {
        let (table, name, waited) = (&self.table, &self.key.name, self.wait);
        match table
            .holder(name.as_str())
            .map(|holder| (holder.actor().is_none(), holder.check_type::<SupervisorMessage<S>>()))
        {
            Some((_, Err(wrong))) => self.explain(wrong),
            Some((true, Ok(()))) => {
                RegistryError::StillStarting { namespace: table.namespace(), name: name.clone(), waited }
            }
            _ => RegistryError::wait_timed_out(table.namespace(), name, waited, |most| table.live_names(most)),
        }
    }
}

impl<S: SupervisorKind> Find<S::Found> for ByName<S> {
    fn name(&self) -> &str {
        self.key.name.as_str()
    }

    fn live(&self) -> Result<S::Found, ChildError> {
        self.read().map_err(|miss| ChildError::Lookup(self.explain(miss).into()))
    }

    fn wait_for_live(&self) -> BoxFuture<'_, Result<S::Found, ChildError>> {
        async move {
            let found = match self.read() {
                Err(LookupError::Absent) if !self.table.is_closed() => {
                    waking_contained(timeout(self.wait, self.next_live())).await
                }
                found => Ok(found),
            };
            let found = match found {
                Ok(found) => found.map_err(|miss| self.explain(miss)),
                Err(_) => Err(self.timed_out()),
            };
            found.map_err(|error| ChildError::Lookup(error.into()))
        }
        .boxed()
    }

    fn holder(&self) -> NameHolder<S::Found> {
        let holder = self.table.holder(self.key.name.as_str());
        let Some(holder) = holder.filter(|it| it.check_type::<SupervisorMessage<S>>().is_ok()) else {
            return NameHolder::Absent;
        };
        match (holder.actor(), holder.previous()) {
            (None, None) => NameHolder::Starting,
            (None, Some(_)) => NameHolder::Restarting,
            (Some(actor), _) => {
                holder.value().and_then(|value| S::found(actor, value)).map_or(NameHolder::Absent, NameHolder::Begun)
            }
        }
    }
}
