//! Changing what an instance says of itself.

use foundation_kernel::names::{Metadata, ServiceKey};
use foundation_kernel::ractor::ActorCell;

use super::Shared;
use crate::client::error::DiscoveryError;
use crate::instance::{Instance, InstanceBuilder, InstanceName};

impl Shared {
    /// Changes the instance of this name, if `owner` has it: valid, within the limits of the namespace, and of the same name.
    pub(in crate::client) fn update(
        &self,
        name: &InstanceName,
        owner: &ActorCell,
        mut change: impl FnMut(InstanceBuilder) -> InstanceBuilder,
    ) -> Result<Instance, DiscoveryError> {
        let mut outcome = Err(self.no_instance(name));
        let key = ServiceKey::<()>::from(name.registered().clone());
        self.names.update_metadata(&key, owner, |metadata| {
            outcome = self.changed(name, metadata, &mut change);
            // What cannot be written has become the outcome.
            let written = outcome.as_ref().ok().map(Instance::to_metadata)?;
            written.map_err(|error| outcome = Err(error.into())).ok()
        })?;
        outcome
    }

    fn changed(
        &self,
        name: &InstanceName,
        metadata: Option<&Metadata>,
        change: &mut impl FnMut(InstanceBuilder) -> InstanceBuilder,
    ) -> Result<Instance, DiscoveryError> {
        let read = metadata.map(|metadata| Instance::read(name.registered(), metadata)).transpose()?;
        let instance = read.flatten().ok_or_else(|| self.no_instance(name))?;
        let changed = change(instance.to_builder()).build()?;
        self.options.check(&changed)?;
        match changed.name() == name {
            true => Ok(changed),
            false => Err(DiscoveryError::OtherName { name: name.clone(), found: changed.name().clone() }),
        }
    }

    fn no_instance(&self, name: &InstanceName) -> DiscoveryError {
        DiscoveryError::NoInstance { namespace: self.names.namespace(), name: name.clone() }
    }
}
