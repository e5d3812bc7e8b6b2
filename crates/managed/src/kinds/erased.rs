//! A kind whose types are erased.

use std::sync::{Arc, OnceLock};

use foundation_config_server::ConfigTree;
use foundation_discovery::Instance;
use foundation_kernel::containment::{Contained, catch_panic, error_text};
use foundation_kernel::names::ServiceName;
use foundation_kernel::supervision::{BoxError, ChildSpec};
use futures::future::BoxFuture;
use serde_json::Value;

use super::any_kind::{AnyKind, Description, KindRecord, TypedConfig};
use super::configuration::{self, ConfigurationError};
use super::context::{MAIN, ServiceContext};
use super::error::KindError;
use super::kind::ServiceKind;
use super::schema::{field::ConfigField, fields};
use crate::replacement::ReplacementStrategy;

/// A kind with its own type.
pub(super) struct Erased<K> {
    kind: Contained<K>,
    /// The fields of its configuration, which are found out once.
    fields: OnceLock<Vec<ConfigField>>,
}

impl<K: ServiceKind> Erased<K> {
    pub(super) fn new(kind: K) -> Self {
        Self { kind: Contained::new("a kind of services", kind), fields: OnceLock::new() }
    }

    /// Calls a function of the kind.
    fn call<R>(&self, function: &'static str, run: impl FnOnce(&K) -> Option<R>) -> Result<R, KindError> {
        let called = catch_panic(|| self.kind.get().and_then(run));
        let panicked = |panic| KindError::Panicked { kind: K::NAME, function, panic };
        // A kind is there, and a configuration is of its own type.
        let mixed_up = || panicked("the configuration is that of another kind".to_owned());
        called.map_err(|panic| panicked(panic.into_text()))?.ok_or_else(mixed_up)
    }
}

impl<K: ServiceKind> AnyKind for Erased<K> {
    fn read(&self, value: &Value) -> Result<TypedConfig, ConfigurationError> {
        configuration::read::<K::Config>(value, K::SECRETS).map(TypedConfig::new)
    }

    fn read_section(&self, tree: &ConfigTree, section: &str) -> Result<TypedConfig, ConfigurationError> {
        configuration::read_section::<K::Config>(tree, section, K::SECRETS).map(TypedConfig::new)
    }

    fn describe(&self, service: &ServiceName, config: &TypedConfig) -> Result<Description, KindError> {
        let builder = Instance::builder(service, MAIN);
        let instance = self.call("describe", |kind| Some(kind.describe(builder, config.get::<K::Config>()?)))?;
        // The name is the manager's.
        let instance = instance.id(MAIN).build()?;
        let needs = self.call("needs", |kind| Some(kind.needs(config.get::<K::Config>()?)))?;
        let checks = self.call("checks", |kind| Some(kind.checks(config.get::<K::Config>()?)))?;
        Ok(Description { instance, needs, checks })
    }

    fn child(&self, context: &ServiceContext, config: &TypedConfig) -> Result<ChildSpec, KindError> {
        let made = self.call("child", |kind| {
            let made = kind.child(context, Arc::clone(config.get::<K::Config>()?));
            Some(made.map_err(|error| error_text(&*error)))
        })?;
        let spec = made.map_err(|reason| KindError::NoChild { kind: K::NAME, reason })?;
        match spec.id().as_str() == context.instance().name().as_str() {
            true => Ok(spec),
            false => Err(KindError::OtherId { kind: K::NAME, id: spec.id().clone() }),
        }
    }

    fn replacement(&self, old: &TypedConfig, new: &TypedConfig) -> Result<ReplacementStrategy, KindError> {
        self.call("replacement", |kind| Some(kind.replacement(old.get::<K::Config>()?, new.get::<K::Config>()?)))
    }

    fn reload(
        &self,
        context: &ServiceContext,
        config: &TypedConfig,
    ) -> Result<BoxFuture<'static, Result<(), BoxError>>, KindError> {
        self.call("reload", |kind| Some(kind.reload(context, Arc::clone(config.get::<K::Config>()?))))
    }

    fn record(&self) -> KindRecord {
        let example = self.call("example", |kind| kind.example()).ok();
        let shown = example.as_ref().and_then(|config| configuration::written(config).ok());
        let instance = example.and_then(|config| {
            let builder = Instance::builder("example", MAIN);
            self.call("describe", |kind| kind.describe(builder, &config).build().ok()).ok()
        });
        KindRecord {
            name: K::NAME.to_owned(),
            fields: self
                .fields
                .get_or_init(|| catch_panic(|| fields::<K::Config>(K::SECRETS)).unwrap_or_default())
                .clone(),
            example: shown.map(|shown| configuration::masked(shown, K::SECRETS)),
            secrets: K::SECRETS.iter().map(|path| (*path).to_owned()).collect(),
            capabilities: instance
                .map(|instance| instance.capabilities().map(ToString::to_string).collect())
                .unwrap_or_default(),
            declared: 0,
            running: 0,
        }
    }
}
