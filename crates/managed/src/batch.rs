//! Batches: operations on managed services that take effect together, or not at all.

use std::collections::BTreeSet;
use std::fmt;

use foundation_kernel::names::ServiceName;
use serde_json::Value;

use super::batch_error::{BatchFault, BatchFaultReason};
use super::fact::{ServiceConfig, ServiceFact};
use super::needs::Need;
use super::reconcile::actual::ActualServices;
use super::replacement::ReplacementStrategy;
use super::roster::error::RosterError;
use super::roster::{Roster, RosterRequest};
use crate::limits::MAX_BATCH_OPERATIONS;
use foundation_discovery::Capability;

/// Operations on managed services that take effect together, or not at all.
///
/// All of them are checked before anything is done, each against the services as those before it leave them. Then services
/// are started and successors are prepared, then names are handed over, and what is not wanted any more is stopped last.
/// If a step fails, those before it are taken back in reverse.
///
/// ```
/// use foundation_managed::Batch;
/// use foundation_kernel::names::ServiceName;
/// use serde_json::json;
///
/// let (orders, mail) = (ServiceName::new("orders")?, ServiceName::new("mail")?);
/// let batch = Batch::new()
///     .declare(&mail, "mailer", json!({ "port": 25 }))
///     .start(&mail)
///     .configure(&orders, json!({ "confirm_by": "mail" }));
/// let texts: Vec<_> = batch.operations().iter().map(ToString::to_string).collect();
/// assert_eq!(texts, ["declare mail as a mailer", "start mail", "configure orders"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use = "nothing is done before it is applied"]
pub struct Batch {
    operations: Vec<BatchOperation>,
}

/// One operation of a batch.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum BatchOperation {
    /// Declare a service, without starting it.
    Declare {
        /// Its name.
        name: ServiceName,
        /// The name of its kind.
        kind: String,
        /// Its configuration.
        config: ServiceConfig,
    },
    /// Give a service another configuration.
    Configure {
        /// Its name.
        name: ServiceName,
        /// Its configuration.
        config: ServiceConfig,
    },
    /// Let a service run.
    Start(ServiceName),
    /// Let a service run no more.
    Stop(ServiceName),
    /// Let a service run anew.
    Restart(ServiceName),
    /// Forget a service, which is stopped if it runs.
    Remove(ServiceName),
}

impl Batch {
    /// A batch without operations.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a service with a configuration, which is recorded and has no secrets. It is not started by that.
    pub fn declare(self, name: &ServiceName, kind: impl Into<String>, config: Value) -> Self {
        self.with(BatchOperation::Declare {
            name: name.clone(),
            kind: kind.into(),
            config: ServiceConfig::Value(config),
        })
    }

    /// Declares a service that has a section of the config server as its configuration. It is not started by that.
    pub fn declare_section(self, name: &ServiceName, kind: impl Into<String>, section: impl Into<String>) -> Self {
        let config = ServiceConfig::Section(section.into());
        self.with(BatchOperation::Declare { name: name.clone(), kind: kind.into(), config })
    }

    /// Gives a service another configuration. If it runs, it is replaced or reloaded as its kind says.
    pub fn configure(self, name: &ServiceName, config: Value) -> Self {
        self.with(BatchOperation::Configure { name: name.clone(), config: ServiceConfig::Value(config) })
    }

    /// Starts a service.
    pub fn start(self, name: &ServiceName) -> Self {
        self.with(BatchOperation::Start(name.clone()))
    }

    /// Stops a service.
    pub fn stop(self, name: &ServiceName) -> Self {
        self.with(BatchOperation::Stop(name.clone()))
    }

    /// Stops a service, when it has finished what it has, and starts it again.
    pub fn restart(self, name: &ServiceName) -> Self {
        self.with(BatchOperation::Restart(name.clone()))
    }

    /// Removes a service, which is stopped if it runs.
    pub fn remove(self, name: &ServiceName) -> Self {
        self.with(BatchOperation::Remove(name.clone()))
    }

    fn with(mut self, operation: BatchOperation) -> Self {
        self.operations.push(operation);
        self
    }

    /// The operations, in order.
    pub fn operations(&self) -> &[BatchOperation] {
        &self.operations
    }

    /// The changes of the roster that the batch leads to, or everything that is wrong with it. `find` is what is found of
    /// the services, with the needs of those in a roster that are met by others.
    pub(crate) fn validate(
        &self,
        roster: &Roster,
        find: impl Fn(&Roster) -> ActualServices,
        kinds: &impl KindRules,
    ) -> Result<Vec<ServiceFact>, Vec<BatchFault>> {
        if self.operations.len() > MAX_BATCH_OPERATIONS {
            let reason = BatchFaultReason::TooMany { operations: self.operations.len(), limit: MAX_BATCH_OPERATIONS };
            return Err(vec![BatchFault { at: None, operation: "the batch".to_owned(), reason }]);
        }
        let (mut after, mut changes, mut faults) = (roster.clone(), Vec::new(), Vec::new());
        let mut undeclared = BTreeSet::new();
        for (at, operation) in self.operations.iter().enumerate() {
            // What follows from a declaration that is refused is no fault of its own.
            if undeclared.contains(operation.name()) {
                continue;
            }
            match operation.decide(&after, kinds) {
                Ok(more) => {
                    after = after.after(&more);
                    changes.extend(more);
                }
                Err(reason) => {
                    let is_new = matches!(operation, BatchOperation::Declare { name, .. } if after.get(name).is_none());
                    undeclared.extend(is_new.then(|| operation.name().clone()));
                    faults.push(BatchFault::new(at, operation, reason));
                }
            }
        }
        if faults.is_empty() {
            faults = self.check_result(roster, &after, &find(&after));
        }
        if faults.is_empty() { Ok(changes) } else { Err(faults) }
    }

    /// What is wrong with the services as the batch leaves them.
    fn check_result(&self, before: &Roster, after: &Roster, actual: &ActualServices) -> Vec<BatchFault> {
        if let Err(source) = after.needs().start_order() {
            let fault =
                |name: ServiceName| BatchFaultReason::Roster(RosterError::Cycle { name, source: source.clone() });
            let about = self.last_about(|name| source.cycle.contains(name)).or_else(|| self.last_about(|_| true));
            return about.map(|(at, it)| BatchFault::new(at, it, fault(it.name().clone()))).into_iter().collect();
        }
        let changed = |(name, _): &(&ServiceName, _)| before.get(name) != after.get(name);
        let changed = after.iter().filter(|(_, it)| it.is_wanted()).filter(changed);
        let lacking = changed.map(|(name, _)| (name, after.never_met(name, actual))).filter(|it| !it.1.is_empty());
        let fault = |(name, needs): (&ServiceName, Vec<Need>)| {
            let (at, operation) = self.last_about(|about| about == name)?;
            Some(BatchFault::new(at, operation, BatchFaultReason::Lacks { needs }))
        };
        lacking.filter_map(fault).collect()
    }

    fn last_about(&self, is: impl Fn(&ServiceName) -> bool) -> Option<(usize, &BatchOperation)> {
        self.operations.iter().enumerate().rfind(|(_, operation)| is(operation.name()))
    }
}

impl Roster {
    /// The needs of a service that no service which is to run meets, and none outside.
    fn never_met(&self, name: &ServiceName, actual: &ActualServices) -> Vec<Need> {
        let wanted = self.iter().filter(|(_, it)| it.is_wanted()).map(|(name, _)| name.clone()).collect();
        self.needs().missing(name, &wanted, &actual.met_outside)
    }
}

/// What the kinds say of configurations.
pub(crate) trait KindRules {
    /// Reads and validates a configuration of a service.
    fn describe(
        &self,
        name: &ServiceName,
        kind: &str,
        config: &ServiceConfig,
    ) -> Result<DescribedConfig, BatchFaultReason>;
}

/// A valid configuration, and what a service needs and provides with it.
pub(crate) struct DescribedConfig {
    pub(crate) needs: Vec<Need>,
    pub(crate) provides: Vec<Capability>,
    /// How the service gets it, if it runs.
    pub(crate) strategy: ReplacementStrategy,
    /// The generation of the service that runs.
    pub(crate) running: Option<u64>,
}

impl BatchOperation {
    /// The service.
    pub fn name(&self) -> &ServiceName {
        match self {
            Self::Declare { name, .. }
            | Self::Configure { name, .. }
            | Self::Start(name)
            | Self::Stop(name)
            | Self::Restart(name)
            | Self::Remove(name) => name,
        }
    }

    fn decide(&self, roster: &Roster, kinds: &impl KindRules) -> Result<Vec<ServiceFact>, BatchFaultReason> {
        Ok(roster.decide_alone(&self.request(roster, kinds)?)?)
    }

    fn request(&self, roster: &Roster, kinds: &impl KindRules) -> Result<RosterRequest, BatchFaultReason> {
        Ok(match self.clone() {
            Self::Declare { name, kind, config } => {
                let DescribedConfig { needs, provides, .. } = kinds.describe(&name, &kind, &config)?;
                RosterRequest::Declare { name, kind, config, needs, provides }
            }
            Self::Configure { name, config } => {
                let old = roster.known(&name)?;
                let DescribedConfig { needs, provides, strategy, running } =
                    kinds.describe(&name, &old.kind, &config)?;
                match old.former_with(&config, running).cloned() {
                    Some(to) => RosterRequest::TakeBack { name, to },
                    None => RosterRequest::Configure { name, config, needs, provides, strategy, running },
                }
            }
            Self::Start(name) => RosterRequest::Start(name),
            Self::Stop(name) => RosterRequest::Stop(name),
            Self::Restart(name) => RosterRequest::Restart(name),
            Self::Remove(name) => RosterRequest::Remove(name),
        })
    }
}

impl fmt::Display for BatchOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declare { name, kind, .. } => write!(f, "declare {name} as a {kind}"),
            Self::Configure { name, .. } => write!(f, "configure {name}"),
            Self::Start(name) => write!(f, "start {name}"),
            Self::Stop(name) => write!(f, "stop {name}"),
            Self::Restart(name) => write!(f, "restart {name}"),
            Self::Remove(name) => write!(f, "remove {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::{self, SampleKinds, name};
    use super::*;
    use serde_json::json;

    fn nothing(_: &Roster) -> ActualServices {
        ActualServices::default()
    }

    fn faults(batch: &Batch, roster: &Roster) -> Vec<String> {
        let refused = batch.validate(roster, nothing, &SampleKinds).unwrap_err();
        refused.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_fault_of_a_batch_is_reported() {
        let roster = samples::roster(&[samples::declare("orders", &[], &[])]).0;
        let batch = Batch::new()
            .declare(&name("orders"), "sample", json!({}))
            .start(&name("order"))
            .declare(&name("mail"), "sampler", json!({}))
            .start(&name("mail"))
            .configure(&name("orders"), json!({ "invalid": true }));
        let expected = [
            "operation 0 (declare orders as a sample): service orders is declared already, as a sample; configure it, or \
             remove it first",
            "operation 1 (start order): no service order is declared; did you mean orders?",
            "operation 2 (declare mail as a sampler): there is no kind sampler",
            "operation 4 (configure orders): it is not valid",
        ];
        assert_eq!(faults(&batch, &roster), expected);
    }

    #[test]
    fn services_are_judged_as_the_whole_batch_leaves_them() {
        let needs = |needs: &[&str]| json!({ "needs": needs });
        let roster = samples::roster(&[samples::declare("a", &["b"], &[]), samples::declare("b", &[], &[])]).0;
        let (a, b) = (name("a"), name("b"));
        let turned = Batch::new().configure(&b, needs(&["a"])).configure(&a, needs(&[]));
        assert!(turned.validate(&roster, nothing, &SampleKinds).is_ok());
        let circle = Batch::new().configure(&b, needs(&["a"])).start(&b);
        let text = "operation 1 (start b): service b: services need each other in a circle: a needs b needs a";
        assert_eq!(faults(&circle, &roster), [text]);
        let text = "operation 0 (start a): it needs service b, and no service that is to run provides that";
        assert_eq!(faults(&Batch::new().start(&a), &roster), [text]);
        let (removed, again) = (Batch::new().remove(&a), Batch::new().start(&b).start(&a));
        assert!(removed.declare(&a, "sample", needs(&[])).validate(&roster, nothing, &SampleKinds).is_ok());
        assert!(again.validate(&roster, nothing, &SampleKinds).is_ok());
    }

    #[test]
    fn a_batch_has_a_limit() {
        let batch = (0..=MAX_BATCH_OPERATIONS).fold(Batch::new(), |batch, _| batch.start(&name("a")));
        assert_eq!(faults(&batch, &Roster::new()), ["the batch: it has 257 operations, and at most 256 are allowed"]);
    }

    proptest! {
        #[test]
        fn a_valid_batch_leaves_no_circle(requests in samples::requests(), batch in samples::batches()) {
            let roster = samples::roster(&requests).0;
            match batch.validate(&roster, nothing, &SampleKinds) {
                Ok(changes) => prop_assert!(roster.after(&changes).needs().start_order().is_ok()),
                Err(faults) => prop_assert!(!faults.is_empty()),
            }
        }
    }
}
