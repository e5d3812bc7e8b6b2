//! The specification of a supervisor.

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;

use ractor::ActorId;
use uuid::Uuid;

use super::backoff::Backoff;
use super::child_spec::ChildSpec;
use super::error::SpecError;
use super::report::Reporter;
use super::restart::{RestartIntensity, Strategy};
use super::rules::{ChildSet, Rules};
use super::significant::AutoShutdown;
use crate::containment::Contained;
use crate::exit::ExitReason;
use crate::limits::SupervisorLimits;

/// A supervisor's strategy, restart intensity and children, in start order. OTP's supervisor flags and child specs.
///
/// ```
/// use std::time::Duration;
/// use foundation_kernel::{RestartIntensity, Strategy, SupervisorSpec};
///
/// let spec = SupervisorSpec::new(Strategy::RestForOne)
///     .intensity(RestartIntensity::new(10, Duration::from_secs(60)));
/// # let _ = spec;
/// ```
#[derive(Clone)]
pub struct SupervisorSpec {
    pub(crate) rules: Rules,
    pub(crate) children: Vec<ChildSpec>,
    pub(crate) reporter: Option<Arc<dyn Reporter>>,
    pub(crate) order: StopOrder,
    /// `None` for the limits of the supervisor above.
    pub(crate) limits: Option<Arc<SupervisorLimits>>,
    seed: Option<u64>,
    unmanaged: Option<Arc<dyn UnmanagedExits>>,
    /// Values dropped with the supervisor's state.
    held: Option<Arc<dyn Any + Send + Sync>>,
}

/// The order in which a stopping supervisor stops its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopOrder {
    /// One after the other, the last started first.
    Reverse,
    /// All together: they do not depend on each other.
    AllAtOnce,
}

/// A receiver of the ends of actors that are no children: those that the supervisor only monitors.
pub(crate) trait UnmanagedExits: Send + Sync + 'static {
    fn ended(&self, actor: ActorId, reason: &ExitReason);
}

impl SupervisorSpec {
    /// No children yet, default restart intensity.
    pub fn new(strategy: Strategy) -> Self {
        let (intensity, auto_shutdown, backoff) = Default::default();
        let rules = Rules { strategy, intensity, auto_shutdown, child_set: ChildSet::Static, backoff };
        let (reporter, limits, seed, unmanaged, held) = (None, None, None, None, None);
        Self { rules, children: Vec::new(), reporter, order: StopOrder::Reverse, limits, seed, unmanaged, held }
    }

    /// Adds a child at the end of the start order.
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    /// Adds children at the end of the start order.
    pub fn children(mut self, children: impl IntoIterator<Item = ChildSpec>) -> Self {
        self.children.extend(children);
        self
    }

    /// The restart intensity.
    pub fn intensity(mut self, intensity: RestartIntensity) -> Self {
        self.rules.intensity = intensity;
        self
    }

    /// Whether the supervisor stops by itself when significant children have ended; never by default.
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.rules.auto_shutdown = auto_shutdown;
        self
    }

    /// The delay before the restart of a child that has no [backoff](ChildSpec::backoff) of its own.
    pub fn backoff(mut self, backoff: impl Into<Backoff>) -> Self {
        self.rules.backoff = backoff.into();
        self
    }

    /// The seed of the jitter of this supervisor's delays: the same seed and the same failures give the same delays.
    /// Without it each start of the supervisor draws a seed from the operating system.
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().1)
    }

    /// The reporter of the children's events; without it the reporter of the supervisor above, and at the top
    /// [`TracingReporter`](crate::TracingReporter).
    pub fn reporter(mut self, reporter: impl Reporter) -> Self {
        self.reporter = Some(Arc::new(Contained::new("a reporter", reporter)));
        self
    }

    /// The time limits for the steps of this supervisor, and of those below it; without it those of the supervisor
    /// above, and at the top the defaults.
    pub fn limits(mut self, limits: SupervisorLimits) -> Self {
        self.limits = Some(Arc::new(limits));
        self
    }

    /// Fills what the children leave unset from the limits.
    pub(crate) fn within(mut self, limits: &SupervisorLimits) -> Self {
        self.children = self.children.into_iter().map(|child| child.within(limits)).collect();
        self
    }

    pub(crate) fn child_set(mut self, child_set: ChildSet) -> Self {
        self.rules.child_set = child_set;
        self
    }

    pub(crate) fn all_at_once(mut self) -> Self {
        self.order = StopOrder::AllAtOnce;
        self
    }

    pub(crate) fn unmanaged_exits(mut self, unmanaged: Arc<dyn UnmanagedExits>) -> Self {
        self.unmanaged = Some(unmanaged);
        self
    }

    /// Adds a value that the supervisor holds until it is gone.
    pub(crate) fn holding(mut self, held: Arc<dyn Any + Send + Sync>) -> Self {
        self.held = Some(held);
        self
    }

    pub(crate) fn report_unmanaged_exit(&self, actor: ActorId, reason: &ExitReason) {
        if let Some(unmanaged) = &self.unmanaged {
            unmanaged.ended(actor, reason);
        }
    }

    /// Refuses an invalid specification.
    pub(crate) fn check(&self) -> Result<(), SpecError> {
        self.rules.intensity.check()?;
        let mut ids = HashSet::new();
        for child in &self.children {
            self.rules.check(child)?;
            if !ids.insert(child.id()) {
                return Err(SpecError::DuplicateId { id: child.id().clone() });
            }
        }
        Ok(())
    }
}
