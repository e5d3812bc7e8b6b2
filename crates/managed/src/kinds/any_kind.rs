//! A kind without its types: what the manager works with.

use std::any::Any;
use std::sync::Arc;

use foundation_config_server::ConfigTree;
use foundation_discovery::{Instance, InstanceCheck};
use foundation_kernel::containment::Contained;
use foundation_kernel::names::ServiceName;
use foundation_kernel::supervision::{BoxError, ChildSpec};
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

use super::configuration::ConfigurationError;
use super::context::ServiceContext;
use super::error::KindError;
use super::schema::field::ConfigField;
use crate::needs::Need;
use crate::replacement::ReplacementStrategy;

/// A kind, for people: registered, whether it has services or not.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct KindRecord {
    /// Its name.
    pub name: String,
    /// The fields of its configuration, sorted by path, as its type says. What its validation demands besides is not known.
    pub fields: Vec<ConfigField>,
    /// Its configuration, as an example, if it has one.
    pub example: Option<Value>,
    /// The paths of a configuration that are secrets.
    pub secrets: Vec<String>,
    /// The capabilities of its example.
    pub capabilities: Vec<String>,
    /// How many services of this kind are declared.
    pub declared: usize,
    /// How many of these run.
    pub running: usize,
}

/// A configuration with its type erased. Its last owner drops it contained.
#[derive(Clone)]
pub(crate) struct TypedConfig(Arc<dyn Any + Send + Sync>);

impl TypedConfig {
    pub(super) fn new<T: Send + Sync + 'static>(config: T) -> Self {
        Self(Arc::new(Contained::new("a configuration", Arc::new(config))))
    }

    pub(super) fn get<T: Send + Sync + 'static>(&self) -> Option<&Arc<T>> {
        self.0.downcast_ref::<Contained<Arc<T>>>()?.get()
    }
}

/// What a kind says of a service before it is made.
pub(crate) struct Description {
    pub(crate) instance: Instance,
    pub(crate) needs: Vec<Need>,
    pub(crate) checks: Vec<InstanceCheck>,
}

/// A kind with its types erased; each panic of its code is an error.
pub(crate) trait AnyKind: Send + Sync {
    fn read(&self, value: &Value) -> Result<TypedConfig, ConfigurationError>;
    fn read_section(&self, tree: &ConfigTree, section: &str) -> Result<TypedConfig, ConfigurationError>;
    fn describe(&self, service: &ServiceName, config: &TypedConfig) -> Result<Description, KindError>;
    fn child(&self, context: &ServiceContext, config: &TypedConfig) -> Result<ChildSpec, KindError>;
    fn replacement(&self, old: &TypedConfig, new: &TypedConfig) -> Result<ReplacementStrategy, KindError>;
    fn reload(
        &self,
        context: &ServiceContext,
        config: &TypedConfig,
    ) -> Result<BoxFuture<'static, Result<(), BoxError>>, KindError>;
    fn record(&self) -> KindRecord;
}
