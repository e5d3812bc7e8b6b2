//! What measures picks and checks.
//!
//! # Invariants
//!
//! 1. The counters of a service are asked for once, under no lock, at the end of its first pick: so every pick is counted. If
//!    there are none, they are asked for again, less and less often, and picks are not counted until then.
//! 2. A pick only adds to counters: it takes no lock for them, and runs none of the meter's code.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foundation_kernel::containment::{Contained, catch_panic, display_text, report};
use foundation_kernel::instruments::Counter;
use foundation_kernel::names::{ServiceName, ServiceRegistry};
use foundation_kernel::supervision::BoxError;

use crate::choice::Outcome;

/// Measures the picks and the checks of a namespace, for [`DiscoveryOptions::measured_by`](crate::DiscoveryOptions::measured_by).
///
/// It must not block. A panic in it is contained and logged.
pub trait DiscoveryMeter: Send + Sync + 'static {
    /// The counters of the picks of a service. Called once for a service, until its last instance is gone.
    ///
    /// # Errors
    /// Why they cannot be counted now. It is logged, and the meter is asked again after 1, 2, 4 and so on picks that are not counted.
    fn picks(&self, names: &ServiceRegistry, service: &ServiceName) -> Result<PickCounters, BoxError>;

    /// A check of an instance of this service has run, and has taken so long. Heartbeat checks do not run.
    fn check_ran(&self, names: &ServiceRegistry, service: &ServiceName, check: &str, took: Duration);
}

/// Counts the picks of one service by how they ended: about 2 ns for each.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PickCounters {
    /// Calls that have succeeded.
    pub succeeded: Arc<Counter>,
    /// Calls that have failed.
    pub failed: Arc<Counter>,
    /// Calls that were cancelled.
    pub cancelled: Arc<Counter>,
    /// Casts, whose end is not known.
    pub cast: Arc<Counter>,
    /// Of all of them, those for which too few instances were in rotation, so that those that are out took part.
    pub fail_open: Arc<Counter>,
}

/// A foreign meter, contained, if there is one.
#[derive(Clone, Default)]
pub(crate) struct Meter(Option<Arc<Contained<Box<dyn DiscoveryMeter>>>>);

impl Meter {
    pub(crate) fn new(meter: impl DiscoveryMeter) -> Self {
        let meter: Box<dyn DiscoveryMeter> = Box::new(meter);
        Self(Some(Arc::new(Contained::new("a meter of discovery", meter))))
    }

    pub(crate) fn check_ran(&self, names: &ServiceRegistry, service: &ServiceName, check: &str, took: Duration) {
        self.with(|meter| meter.check_ran(names, service, check, took));
    }

    /// Runs the meter's code: not to be called under a lock. `None` if there is no meter, or it panicked.
    fn with<R>(&self, measure: impl FnOnce(&dyn DiscoveryMeter) -> R) -> Option<R> {
        let meter = self.0.as_ref()?.get()?;
        let measured = catch_panic(|| measure(&**meter));
        measured.inspect_err(|panic| report(|| tracing::warn!(%panic, "a meter of discovery panicked"))).ok()
    }
}

/// The same meter, and not only one that does the same.
impl PartialEq for Meter {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Meter(custom)" } else { "Meter(none)" })
    }
}

/// The counters of the picks of one service, if there is a meter.
#[derive(Debug, Default)]
pub(crate) struct PickMeter {
    of: Option<(Meter, ServiceRegistry, ServiceName)>,
    counters: OnceLock<PickCounters>,
    /// How many picks were not counted, from the first failure on, and one.
    uncounted: AtomicU64,
}

impl PickMeter {
    pub(crate) fn new(meter: &Meter, names: &ServiceRegistry, service: &ServiceName) -> Self {
        let of = meter.0.is_some().then(|| (meter.clone(), names.clone(), service.clone()));
        Self { of, counters: OnceLock::new(), uncounted: AtomicU64::new(0) }
    }

    /// A call has ended.
    pub(crate) fn note(&self, outcome: Outcome, fail_open: bool) {
        let counter = |counters: &PickCounters| match outcome {
            Outcome::Succeeded(_) => counters.succeeded.increment(),
            Outcome::Failed => counters.failed.increment(),
            Outcome::Cancelled => counters.cancelled.increment(),
        };
        self.count(fail_open, counter);
    }

    /// A message was sent.
    pub(crate) fn note_cast(&self, fail_open: bool) {
        self.count(fail_open, |counters| counters.cast.increment());
    }

    fn count(&self, fail_open: bool, count: impl FnOnce(&PickCounters)) {
        let Some(counters) = self.counters.get().or_else(|| self.make()) else { return };
        count(counters);
        if fail_open {
            counters.fail_open.increment();
        }
    }

    #[cold]
    fn make(&self) -> Option<&PickCounters> {
        let (meter, names, service) = self.of.as_ref()?;
        if !self.is_due() {
            return None;
        }
        // Asked for before the cell is locked: the meter may pick, too.
        match meter.with(|meter| meter.picks(names, service)) {
            Some(Ok(made)) => return Some(self.counters.get_or_init(|| made)),
            Some(Err(error)) => {
                let (namespace, error) = (names.namespace(), display_text(&error));
                report(|| tracing::warn!(%namespace, %service, %error, "picks are not counted"));
            }
            // It panicked, which is reported.
            None => {}
        }
        self.uncounted.fetch_max(1, Ordering::Relaxed);
        None
    }

    /// Whether the meter is asked: at the first pick, and after a failure when the number of uncounted picks has doubled.
    fn is_due(&self) -> bool {
        let uncounted = self.uncounted.load(Ordering::Relaxed);
        uncounted == 0 || self.uncounted.fetch_add(1, Ordering::Relaxed).is_power_of_two()
    }
}
