//! What happens to pools, as events of the log and as measurements.
//!
//! Pools know neither the event store nor telemetry: they meet here.

use std::fmt;
use std::sync::{Arc, OnceLock};

use foundation_events::{EventLimits, EventStore};
use foundation_kernel::instruments::{Counter, Gauge, Histogram};
use foundation_kernel::names::ServiceRegistry;
use foundation_pool::{PoolEvent, PoolHistograms, PoolObserver, PoolStats};
use foundation_telemetry::{Family, Telemetry, TelemetryError, built_in};

use super::recording::PoolRecording;
use crate::record_queue::RecordQueue;

/// The most pools that are measured.
const MAX_POOLS: usize = 256;
/// The most levels of priority of a queue.
const MAX_LEVELS: usize = 16;

/// How pools are recorded in a namespace.
#[derive(Debug, Clone, Default)]
pub(crate) struct PoolRecords {
    pub(crate) recording: PoolRecording,
    pub(crate) limits: EventLimits,
    pub(crate) kept: usize,
}

impl PoolRecords {
    /// The observer of a pool of this name.
    pub(crate) fn observer(&self, names: &ServiceRegistry, pool: &str) -> Arc<dyn PoolObserver> {
        let kept = self.kept.max(1);
        let records = RecordQueue::new(EventStore::of(names), PoolRecording::POOL_EVENTS_LOST, kept);
        Arc::new(Records {
            pool: pool.to_owned(),
            recording: self.recording,
            limits: self.limits.clone(),
            records,
            telemetry: Telemetry::of(names),
            measures: OnceLock::new(),
        })
    }
}

/// Records and measures what happens to one pool.
struct Records {
    pool: String,
    recording: PoolRecording,
    limits: EventLimits,
    records: Arc<RecordQueue>,
    telemetry: Telemetry,
    measures: OnceLock<Option<Measures>>,
}

struct Measures {
    jobs: Family<Counter>,
    queue: Family<Gauge>,
    workers: Family<Gauge>,
    oldest_wait: Family<Gauge>,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl PoolObserver for Records {
    fn on_event(&self, event: &PoolEvent) {
        if let Some(event) = self.recording.event(&self.pool, event, &self.limits) {
            self.records.record(Some(event));
        }
    }

    fn on_tick(&self, stats: &PoolStats) {
        if let Some(measures) = self.measures.get_or_init(|| Measures::new(&self.telemetry).ok()) {
            measures.measure(&self.pool, stats);
        }
    }

    fn histograms(&self) -> PoolHistograms {
        let of = |name| {
            let family = self.telemetry.family::<Histogram>(name, MAX_POOLS);
            // Without its series it measures for the pool alone.
            family.and_then(|family| family.with([("pool", &*self.pool)])).unwrap_or_default()
        };
        PoolHistograms { wait_ns: of(built_in::POOL_WAIT_NS), job_ns: of(built_in::POOL_JOB_NS) }
    }
}

impl Measures {
    fn new(telemetry: &Telemetry) -> Result<Self, TelemetryError> {
        Ok(Self {
            jobs: telemetry.family(built_in::POOL_JOBS, MAX_POOLS * 8)?,
            queue: telemetry.family(built_in::POOL_QUEUE, MAX_POOLS * MAX_LEVELS)?,
            workers: telemetry.family(built_in::POOL_WORKERS, MAX_POOLS * 3)?,
            oldest_wait: telemetry.family(built_in::POOL_OLDEST_WAIT_SECONDS, MAX_POOLS)?,
        })
    }

    fn measure(&self, pool: &str, stats: &PoolStats) {
        let outcomes = [
            ("done", stats.done),
            ("failed", stats.failed),
            ("retried", stats.retried),
            ("died", stats.died),
            ("expired", stats.expired),
            ("dropped", stats.dropped),
            ("returned", stats.returned),
            ("refused", stats.refused),
        ];
        for (outcome, count) in outcomes {
            self.jobs.update([("pool", pool), ("outcome", outcome)], |counter| counter.raise_to(count));
        }
        for (level, queued) in stats.queued_by_priority.iter().enumerate() {
            let level = level.to_string();
            self.queue.update([("pool", pool), ("priority", level.as_str())], |gauge| gauge.set(*queued as f64));
        }
        let states = [("live", stats.workers), ("wanted", stats.wanted), ("stuck", stats.stuck)];
        for (state, workers) in states {
            self.workers.update([("pool", pool), ("state", state)], |gauge| gauge.set(workers as f64));
        }
        let waited = stats.oldest_wait.unwrap_or_default();
        self.oldest_wait.update([("pool", pool)], |gauge| gauge.set(waited.as_secs_f64()));
    }
}
