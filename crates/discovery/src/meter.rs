//! What measures picks and checks.
//!
//! # Invariants
//!
//! 1. The counters of a service are asked for under no lock, at the end of its first pick; if there are none, again, less and
//!    less often. What is picked meanwhile, by the meter itself too, is counted beside them and added afterwards: so every pick
//!    is counted.
//! 2. Another pick only adds to counters: it takes no lock for them, and runs none of the meter's code.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foundation_kernel::containment::{Contained, catch_panic, display_text, report};
use foundation_kernel::instruments::Counter;
use foundation_kernel::names::{ServiceName, ServiceRegistry};
use foundation_kernel::supervision::BoxError;

/// Measures the picks and the checks of a namespace, for [`DiscoveryOptions::measured_by`](crate::DiscoveryOptions::measured_by).
///
/// It must not block. A panic in it is contained and logged.
pub trait DiscoveryMeter: Send + Sync + 'static {
    /// The counters of the picks of a service. Called once for a service, until its last instance and selector are gone. A
    /// meter that picks here is counted afterwards.
    ///
    /// # Errors
    /// Why they cannot be counted now. It is logged, and the meter is asked again after about 1, 2, 4 and so on picks,
    /// which are counted as soon as there are counters.
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
    /// Casts that an instance has taken. How they ended is not known; one that no instance has taken is not counted.
    pub cast: Arc<Counter>,
    /// Of all of them, those for which too few instances were in rotation, so that those that are out took part.
    pub fail_open: Arc<Counter>,
    /// Picks without an instance, since the service has none, or none that meets the criteria. A selector that asks for no
    /// service counts for none.
    pub none_fits: Arc<Counter>,
    /// Picks without an instance, since those that meet the criteria answer to another message type.
    pub other_message: Arc<Counter>,
    /// Picks without an instance, since those that meet the criteria are out of rotation.
    pub none_in_rotation: Arc<Counter>,
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

/// What is counted of a pick.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counted {
    Succeeded,
    Failed,
    Cancelled,
    Cast,
    FailOpen,
    NoneFits,
    OtherMessage,
    NoneInRotation,
}

impl Counted {
    const ALL: [Self; 8] = [
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Cast,
        Self::FailOpen,
        Self::NoneFits,
        Self::OtherMessage,
        Self::NoneInRotation,
    ];
}

impl PickCounters {
    fn of(&self, counted: Counted) -> &Counter {
        match counted {
            Counted::Succeeded => &self.succeeded,
            Counted::Failed => &self.failed,
            Counted::Cancelled => &self.cancelled,
            Counted::Cast => &self.cast,
            Counted::FailOpen => &self.fail_open,
            Counted::NoneFits => &self.none_fits,
            Counted::OtherMessage => &self.other_message,
            Counted::NoneInRotation => &self.none_in_rotation,
        }
    }
}

/// The counters of the picks of one service, if there is a meter.
#[derive(Debug, Default)]
pub(crate) struct PickMeter(Option<ServicePicks>);

#[derive(Debug)]
struct ServicePicks {
    of: (Meter, ServiceRegistry, ServiceName),
    /// Whether the meter is being asked.
    is_asked: AtomicBool,
    counters: OnceLock<PickCounters>,
    /// What was counted before there were counters.
    early: [AtomicU64; Counted::ALL.len()],
    /// How much of it there was.
    uncounted: AtomicU64,
}

impl PickMeter {
    pub(crate) fn new(meter: &Meter, names: &ServiceRegistry, service: &ServiceName) -> Self {
        let new = || ServicePicks {
            of: (meter.clone(), names.clone(), service.clone()),
            is_asked: AtomicBool::new(false),
            counters: OnceLock::new(),
            early: Default::default(),
            uncounted: AtomicU64::new(0),
        };
        Self(meter.0.is_some().then(new))
    }

    /// A pick has ended so.
    #[inline]
    pub(crate) fn note(&self, counted: Counted, fail_open: bool) {
        let Some(picks) = &self.0 else { return };
        picks.count(counted);
        picks.count_if(fail_open, Counted::FailOpen);
    }

    /// A pick has found no instance, for this reason.
    pub(crate) fn note_none(&self, reason: Counted) {
        let Some(picks) = &self.0 else { return };
        picks.count(reason);
    }
}

impl ServicePicks {
    fn count(&self, counted: Counted) {
        match self.counters.get() {
            Some(counters) => counters.of(counted).increment(),
            None => self.count_early(counted),
        }
    }

    fn count_if(&self, happened: bool, counted: Counted) {
        if happened {
            self.count(counted);
        }
    }

    #[cold]
    fn count_early(&self, counted: Counted) {
        self.early[counted as usize].fetch_add(1, Ordering::AcqRel);
        let is_due = (self.uncounted.fetch_add(1, Ordering::Relaxed) + 1).is_power_of_two();
        // One at a time: the meter may pick, too, and other threads do not wait for it.
        if is_due && !self.is_asked.swap(true, Ordering::Acquire) {
            // The one before may have been given the counters.
            if self.counters.get().is_none() {
                self.ask();
            }
            self.is_asked.store(false, Ordering::Release);
        }
        // Added before it is looked whether there are counters, and taken after there are: one of the two sees the other.
        let Some(counters) = self.counters.get() else { return };
        for counted in Counted::ALL {
            let early = self.early[counted as usize].swap(0, Ordering::AcqRel);
            counters.of(counted).add(early);
        }
    }

    fn ask(&self) {
        let (meter, names, service) = &self.of;
        match meter.with(|meter| meter.picks(names, service)) {
            Some(Ok(made)) => drop(self.counters.set(made)),
            Some(Err(error)) => {
                let (namespace, error) = (names.namespace(), display_text(&error));
                report(|| tracing::warn!(%namespace, %service, %error, "picks are not counted yet"));
            }
            // It panicked, which is reported.
            None => {}
        }
    }
}
