//! A service that is ready to be started: its kind, its configuration, and the child that follows from both.

use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::supervision::{ChildSpec, ExponentialBackoff, RestartIntensity};

use crate::fact::{ServiceConfig, ServiceGeneration};
use crate::kinds::{AnyKind, KindError, TypedConfig};
use crate::kinds::{Gate, ServiceContext, Times};
use crate::needs::Need;
use crate::replacement::ReplacementStrategy;
use foundation_discovery::Discovery;
use foundation_discovery::InstanceCheck;
use foundation_discovery::{Capability, Instance, InstanceBuilder};

/// The label of an instance that says which generation of its managed service it is.
const GENERATION: &str = "managed.generation";

/// The generation that an instance bears; `None` if it is not that of a managed service.
pub(crate) fn generation_of(instance: &Instance) -> Option<u64> {
    instance.label(GENERATION)?.parse().ok()
}

/// An instance that bears this generation, in place of another if it has one.
pub(crate) fn with_generation(instance: InstanceBuilder, generation: u64) -> InstanceBuilder {
    instance.label(GENERATION, generation)
}

/// How long the parts of a service may take, unless its strategy says otherwise.
pub(super) const TIMES: Times = Times { ready: Duration::from_secs(30), overlap: Duration::from_secs(30) };

/// One generation of a service, of which everything is known but that it starts.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) kind: Arc<dyn AnyKind>,
    pub(crate) source: ServiceConfig,
    pub(crate) config: TypedConfig,
    pub(crate) instance: Instance,
    pub(crate) needs: Vec<Need>,
    pub(crate) checks: Vec<InstanceCheck>,
    pub(super) discovery: Discovery,
}

/// A service that fails is started again for as long as it is wanted, after growing delays, and never ends another one.
fn with_restarts(child: ChildSpec) -> ChildSpec {
    let child = child.intensity(RestartIntensity::UNLIMITED);
    if child.backoff_rule().is_some() {
        return child;
    }
    match ExponentialBackoff::new(Duration::from_millis(100), 2.0, Duration::from_secs(30)) {
        Ok(backoff) => child.backoff(backoff),
        Err(_) => child,
    }
}

impl Prepared {
    /// How it is started as this generation.
    pub(crate) fn child(&self, generation: u64) -> Result<ChildSpec, KindError> {
        self.kind.child(&self.context(generation)?, &self.config).map(with_restarts)
    }

    /// How it is started beside a predecessor, which it follows when the gate is open.
    pub(crate) fn successor(&self, generation: u64, ready: Duration, gate: Gate) -> Result<ChildSpec, KindError> {
        let context = self.context_with(generation, Times { ready, ..TIMES }, Some(gate))?;
        self.kind.child(&context, &self.config).map(with_restarts)
    }

    /// What is recorded of it as this generation.
    pub(crate) fn to_generation(&self, generation: u64) -> ServiceGeneration {
        let (config, needs, provides) = (self.source.clone(), self.needs.clone(), self.provides());
        ServiceGeneration { generation, config, needs, provides }
    }

    /// What it provides.
    pub(crate) fn provides(&self) -> Vec<Capability> {
        self.instance.capabilities().cloned().collect()
    }

    /// Where this generation is.
    pub(crate) fn context(&self, generation: u64) -> Result<ServiceContext, KindError> {
        self.context_with(generation, TIMES, None)
    }

    fn context_with(&self, generation: u64, times: Times, gate: Option<Gate>) -> Result<ServiceContext, KindError> {
        let instance = with_generation(self.instance.to_builder(), generation).build()?;
        Ok(ServiceContext::new(&self.discovery, instance, self.checks.clone(), times, gate))
    }

    /// How a running service with this configuration gets another one.
    pub(crate) fn strategy_to(&self, next: &Self) -> Result<ReplacementStrategy, KindError> {
        self.kind.replacement(&self.config, &next.config)
    }
}
