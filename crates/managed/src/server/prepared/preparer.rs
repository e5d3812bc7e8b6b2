//! Reads, validates and describes services before they are started.

use std::sync::Arc;

use foundation_config_server::ConfigTree;
use foundation_discovery::Discovery;
use foundation_kernel::names::ServiceName;

use super::Prepared;
use crate::error::ManagedError;
use crate::fact::ServiceConfig;
use crate::kinds::{Description, KindError, Kinds};

/// What services are made with.
pub(crate) struct Preparer<'a> {
    pub(crate) kinds: &'a Kinds,
    pub(crate) discovery: &'a Discovery,
    pub(crate) tree: &'a Arc<ConfigTree>,
}

impl Preparer<'_> {
    /// Reads, validates and describes a service. Nothing is started.
    pub(crate) fn prepare(
        &self,
        name: &ServiceName,
        kind_name: &str,
        source: &ServiceConfig,
    ) -> Result<Prepared, ManagedError> {
        let of_kind = |source: KindError| ManagedError::Kind { name: name.clone(), source };
        let kind = self.kinds.get(kind_name).map_err(of_kind)?;
        let config = match source {
            ServiceConfig::Value(value) => kind.read(value),
            ServiceConfig::Section(path) => kind.read_section(self.tree, path),
        };
        let tree = matches!(source, ServiceConfig::Section(_)).then(|| Arc::clone(self.tree));
        let config = config.map_err(|source| {
            let (name, kind) = (name.clone(), kind_name.to_owned());
            ManagedError::Configuration { name, kind, source: Box::new(source) }
        })?;
        let Description { instance, needs, checks } = kind.describe(name, &config).map_err(of_kind)?;
        let (discovery, source) = (self.discovery.clone(), source.clone());
        let prepared = Prepared { kind, source, tree, config, instance, needs, checks, discovery };
        // The longest generation: what is refused is refused now.
        prepared.child(u64::MAX).map_err(of_kind)?;
        Ok(prepared)
    }
}
