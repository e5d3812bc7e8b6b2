//! Who is notified of what happens to a pool.

use std::fmt;
use std::sync::Arc;

use foundation_kernel::containment::{Contained, catch_panic, report};
use foundation_kernel::instruments::Histogram;

use crate::event::PoolEvent;
use crate::stats::pool_stats::PoolStats;

/// Is notified of what happens to a pool: it records events, for example, or measures.
///
/// Its functions are called by tasks of the pool, so they must not block. A panic in one is contained and logged.
///
/// ```
/// use foundation_pool::{PoolEvent, PoolObserver};
///
/// struct Prints;
///
/// impl PoolObserver for Prints {
///     fn on_event(&self, event: &PoolEvent) {
///         println!("{event}");
///     }
/// }
/// ```
pub trait PoolObserver: Send + Sync + 'static {
    /// Is called once for each event.
    fn on_event(&self, event: &PoolEvent);

    /// Is called at each tick, every 500 ms while the pool runs.
    fn on_tick(&self, stats: &PoolStats) {
        let _ = stats;
    }

    /// The histograms that the pool records into, asked for once; by default those of the pool alone.
    fn histograms(&self) -> PoolHistograms {
        PoolHistograms::default()
    }
}

/// What a pool records the times of its jobs into.
#[derive(Debug, Clone, Default)]
pub struct PoolHistograms {
    /// How long jobs waited for their first attempt, in nanoseconds: the first job of each claim.
    pub wait_ns: Arc<Histogram>,
    /// How long attempts took, in nanoseconds: as far as [`Measurement`](crate::Measurement) says.
    pub job_ns: Arc<Histogram>,
}

/// A foreign observer, contained.
#[derive(Clone)]
pub(crate) struct Observer(Arc<Contained<Arc<dyn PoolObserver>>>);

impl Observer {
    pub(crate) fn new(observer: Arc<dyn PoolObserver>) -> Self {
        Self(Arc::new(Contained::new("an observer of a pool", observer)))
    }

    pub(crate) fn event(&self, event: &PoolEvent) {
        self.call(|observer| observer.on_event(event));
    }

    pub(crate) fn tick(&self, stats: &PoolStats) {
        self.call(|observer| observer.on_tick(stats));
    }

    pub(crate) fn histograms(&self) -> PoolHistograms {
        let histograms = self.0.get().map(|observer| catch_panic(|| observer.histograms()));
        histograms.and_then(Result::ok).unwrap_or_default()
    }

    fn call(&self, call: impl FnOnce(&dyn PoolObserver)) {
        let Some(observer) = self.0.get() else { return };
        if let Err(panic) = catch_panic(|| call(&**observer)) {
            report(|| tracing::warn!(%panic, "an observer of a pool panicked"));
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
