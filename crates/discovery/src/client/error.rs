//! The errors of discovery in a namespace.

use std::fmt;

use foundation_kernel::names::{CallError, MetadataError, Namespace, NearMisses, RegistryError};

use crate::catalog::{Catalog, FindError};
use crate::check::DeclareCheckError;
use crate::choice::NoneInRotationError;
use crate::health::TooManyChecksError;
use crate::instance::{FieldError, InstanceName, InstanceRecord, MetadataReadError};

/// How many ids an error names.
const MAX_IDS: usize = 5;

/// Why an instance was not registered, updated or checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The registry did not do it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The instance cannot be written as metadata.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The metadata of the name is not that of an instance.
    #[error(transparent)]
    Read(#[from] MetadataReadError),
    /// An update would not be valid.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The instance has as many checks as it may have.
    #[error(transparent)]
    TooManyChecks(#[from] TooManyChecksError),
    /// The lease of the instance is lost.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLostError),
    /// A check was not declared.
    #[error(transparent)]
    DeclareCheck(#[from] DeclareCheckError),
    /// The name is registered, and its metadata is not that of an instance.
    #[error("{name} is registered in namespace {namespace}, and is not an instance: its metadata does not say so")]
    NoInstance {
        /// Where.
        namespace: Namespace,
        /// The name.
        name: InstanceName,
    },
    /// An update returned another instance: the name of one is that of its registration.
    #[error("{name} cannot become {found}: register {found} as an instance of its own")]
    OtherName {
        /// The instance that was to be updated.
        name: InstanceName,
        /// What the update returned.
        found: InstanceName,
    },
    /// No actor has the name.
    #[error("there is no instance {name} in namespace {namespace}; {} has {others}", .name.service())]
    NotFound {
        /// Where.
        namespace: Namespace,
        /// The name.
        name: InstanceName,
        /// What there is instead.
        others: Box<OtherInstances>,
    },
    /// The namespace has ended: it has no instance any more.
    #[error("namespace {namespace} has ended")]
    NotRunning {
        /// Where.
        namespace: Namespace,
    },
    /// The service has as many instances as it may have.
    #[error("{name} cannot be registered: {} has {limit} instances, as many as it may have", .name.service())]
    TooManyInstances {
        /// The instance that was to be registered.
        name: InstanceName,
        /// The limit.
        limit: usize,
    },
    /// The namespace has as many instances as it may have.
    #[error("{name} cannot be registered: namespace {namespace} has {limit} instances, as many as it may have")]
    NamespaceFull {
        /// Where.
        namespace: Namespace,
        /// The instance that was to be registered.
        name: InstanceName,
        /// The limit.
        limit: usize,
    },
    /// An instance outside of this process does not say where it is reached.
    #[error("{name} cannot be announced without an endpoint, such as http://10.0.0.7:8080: it could not be reached")]
    NoEndpoint {
        /// The instance.
        name: InstanceName,
    },
}

/// The keeper of an instance does not have its name any more: the lease ran out, the name was taken away, or the namespace
/// has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the lease of {name} is lost: its keeper has ended or lost the name; announce the instance again")]
#[non_exhaustive]
pub struct LeaseLostError {
    /// The instance.
    pub name: InstanceName,
}

/// What there is instead of an instance that is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtherInstances {
    /// The ids of the instances that its service has, the first of them.
    pub ids: Vec<String>,
    /// If it has none: services of similar names.
    pub near: NearMisses,
}

impl OtherInstances {
    /// Those of the service of this instance. One of the same name, which has come meanwhile, is not another one.
    pub(super) fn of(catalog: &Catalog, name: &InstanceName) -> Self {
        let others = catalog.instances(name.service()).map(InstanceRecord::name).filter(|other| *other != name);
        let ids: Vec<_> = others.take(MAX_IDS).map(|other| other.id().to_owned()).collect();
        let is_known = catalog.count_of(name.service()) > 0;
        let near = if is_known { NearMisses::default() } else { catalog.near(name.service()) };
        Self { ids, near }
    }
}

impl fmt::Display for OtherInstances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ids[..] {
            [] => write!(f, "no instance{}", self.near),
            ids => f.write_str(&ids.join(", ")),
        }
    }
}

/// Why no instance was picked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickError {
    /// No instance meets the criteria.
    #[error("namespace {namespace}: {source}")]
    Find {
        /// Where.
        namespace: Namespace,
        /// Why none does.
        #[source]
        source: FindError,
    },
    /// Those that meet the criteria answer to another message type than the selector's.
    #[error(
        "namespace {namespace}: none of {instances} instances that fit answers to {wanted}: ask for a selector of {found}"
    )]
    OtherMessage {
        /// Where.
        namespace: Namespace,
        /// How many instances meet the criteria.
        instances: usize,
        /// The message type of the selector.
        wanted: &'static str,
        /// The message type that one of the instances answers to.
        found: &'static str,
    },
    /// Those that meet the criteria are out of rotation.
    #[error("namespace {namespace}: {source}")]
    NoneInRotation {
        /// Where.
        namespace: Namespace,
        /// Why they are.
        #[source]
        source: NoneInRotationError,
    },
    /// The namespace has ended.
    #[error("namespace {namespace} is not running")]
    NotRunning {
        /// Which one.
        namespace: Namespace,
    },
}

/// Why a call through a [`Selector`](crate::Selector) has no answer.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CallInstanceError<M> {
    /// No instance was picked.
    #[error(transparent)]
    Pick(PickError),
    /// The last instance that was picked did not answer.
    #[error("instance {instance}{}: {source}", after(.before))]
    Call {
        /// The instance.
        instance: InstanceName,
        /// Those that were tried before it.
        before: Vec<InstanceName>,
        /// What happened.
        #[source]
        source: CallError<M>,
    },
}

/// Why a message that was sent through a [`Selector`](crate::Selector) was not taken, with the message.
#[derive(thiserror::Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct CastInstanceError<M> {
    /// The message, as it was given.
    pub message: M,
    /// Why no instance took it.
    pub reason: Box<CastInstanceReason>,
}

/// Why no instance took a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CastInstanceReason {
    /// No instance was picked.
    #[error(transparent)]
    Pick(PickError),
    /// The last instance that was picked did not take it.
    #[error("instance {instance}{}: {source}", after(.before))]
    NotTaken {
        /// The instance.
        instance: InstanceName,
        /// Those that were tried before it.
        before: Vec<InstanceName>,
        /// What happened.
        #[source]
        source: RegistryError,
    },
}

fn after(before: &[InstanceName]) -> String {
    match before {
        [] => String::new(),
        tried => format!(" (after {})", tried.iter().map(InstanceName::as_str).collect::<Vec<_>>().join(", ")),
    }
}

impl<M> From<PickError> for CallInstanceError<M> {
    fn from(error: PickError) -> Self {
        Self::Pick(error)
    }
}

// By hand: a message need not be `Debug` for its error to be.
impl<M> fmt::Debug for CastInstanceError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CastInstanceError({:?})", self.reason)
    }
}

impl<M> fmt::Debug for CallInstanceError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
