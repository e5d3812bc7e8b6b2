//! The names of the instruments that every namespace has: what the foundation measures itself.
//!
//! No other instrument may have one of these names, or a name that becomes the same in Prometheus' text. They are
//! [read](crate::Telemetry::snapshot) like any other; those of events are also the names that a handler is
//! [attached](crate::Telemetry::attach) to.
//!
//! ```
//! use foundation_kernel::names::{Namespace, ProcessRegistry};
//! use foundation_telemetry::{Telemetry, TelemetryOptions, built_in};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let root = ProcessRegistry::builder()
//! #     .service(Telemetry::service(TelemetryOptions::new()))
//! #     .start().await?;
//! # let telemetry = Telemetry::of(&root.namespace(Namespace::Production).await?);
//! telemetry.count("not a name");
//! assert_eq!(telemetry.snapshot().counter(built_in::TELEMETRY_UNRECORDED), Some(1));
//! # root.shutdown().await;
//! # Ok(())
//! # }
//! ```

/// The name of an instrument, its name in Prometheus' text (of a counter without its `_total`), its kind, its
/// description, and whether it is an instrument of the telemetry service and not only read by it.
pub(crate) type Row = (&'static str, &'static str, &'static str, &'static str, bool);

/// Declares the instruments, in the order of their names: a constant and a row for each.
macro_rules! built_in {
    ($($NAME:ident = $how:ident($name:literal, $exposed:literal, $kind:literal, $help:literal);)+) => {
        $(
            #[doc = concat!($help, " A ", $kind, ".")]
            pub const $NAME: &str = $name;
        )+

        /// All of them, in the order of their names.
        pub(crate) const TABLE: &[Row] = &[$(($NAME, $exposed, $kind, $help, $how),)+];
    };
}

/// It is an instrument of the telemetry service.
const KEPT: bool = true;
/// It is only read by the telemetry service.
const READ: bool = false;

built_in! {
    CONFIG_CHECKPOINTS_FAILED = KEPT("config.checkpoints_failed", "config_checkpoints_failed", "counter", "Checkpoints of the changes at run time that could not be recorded, so that older events are kept.");
    CONFIG_UPDATES = KEPT("config.updates", "config_updates", "counter", "Changes of the configuration that were applied.");
    CONFIG_UPDATES_REFUSED = KEPT("config.updates_refused", "config_updates_refused", "counter", "Changes of the configuration that were refused, or could not be recorded.");
    CONFIG_UPDATES_UNANSWERED = KEPT("config.updates_unanswered", "config_updates_unanswered", "counter", "Changes of the configuration of which the event store did not say whether they are recorded.");
    CONFIG_UPDATES_UNRECORDED = KEPT("config.updates_unrecorded", "config_updates_unrecorded", "counter", "Changes of the configuration that were applied without an event that records them.");
    DISCOVERY_CHECK_DURATION_MS = KEPT("discovery.check_duration_ms", "discovery_check_duration_seconds", "histogram", "Duration of a check of an instance.");
    DISCOVERY_EJECTIONS = KEPT("discovery.ejections", "discovery_ejections", "counter", "Instances of a service that were taken out of rotation because calls of them failed.");
    DISCOVERY_FAIL_OPEN_PICKS = KEPT("discovery.fail_open_picks", "discovery_fail_open_picks", "counter", "Picks for which too few instances of a service were in rotation, so that those that are out took part.");
    DISCOVERY_INSTANCES = KEPT("discovery.instances", "discovery_instances", "gauge", "Instances of a service by status.");
    DISCOVERY_PICKS = KEPT("discovery.picks", "discovery_picks", "counter", "Picks of instances of a service by how they ended.");
    EVENT_STORE_RETENTION = KEPT("event_store.retention", "event_store_retention", "counter", "Rounds of the retention of events.");
    EVENT_STORE_RETENTION_DURATION_MS = KEPT("event_store.retention.duration_ms", "event_store_retention_duration_seconds", "histogram", "Duration of a round of the retention of events.");
    EVENT_STORE_RETENTION_PRUNED = KEPT("event_store.retention.pruned", "event_store_retention_pruned", "histogram", "Events that one round of the retention removed.");
    EXPORT_SERIES_DROPPED = KEPT("export.series_dropped", "export_series_dropped", "counter", "Series that an exporter left out because a batch had no room for them.");
    MANAGED_SERVICES = KEPT("managed.services", "managed_services", "gauge", "Managed services by status.");
    MANAGED_TRANSITIONS = KEPT("managed.transitions", "managed_transitions", "counter", "Changes of the lifecycles of managed services, by the status that they led to.");
    POOL_JOB_NS = KEPT("pool.job_ns", "pool_job_seconds", "histogram", "Duration of an attempt at a job of a pool; one in 8 is timed unless measurement says otherwise.");
    POOL_JOBS = KEPT("pool.jobs", "pool_jobs", "counter", "Jobs of a pool by what became of them, and attempts that failed or were repeated.");
    POOL_OLDEST_WAIT_SECONDS = KEPT("pool.oldest_wait_seconds", "pool_oldest_wait_seconds", "gauge", "Wait of the job of a pool that has waited the longest.");
    POOL_QUEUE = KEPT("pool.queue", "pool_queue", "gauge", "Jobs of a pool that wait, by priority; 0 is the most urgent.");
    POOL_WAIT_NS = KEPT("pool.wait_ns", "pool_wait_seconds", "histogram", "Wait of a job of a pool for its first attempt; the first job of each claim is timed.");
    POOL_WORKERS = KEPT("pool.workers", "pool_workers", "gauge", "Workers of a pool: those that live, those that it wants, and those that are stuck.");
    REGISTRY_LOOKUP_DURATION_NS = READ("registry.lookup_duration_ns", "registry_lookup_duration_seconds", "histogram", "Duration of a lookup that found an actor; one in 256 is timed.");
    REGISTRY_LOOKUPS = READ("registry.lookups", "registry_lookups", "counter", "Lookups of names.");
    REGISTRY_MISSES = READ("registry.misses", "registry_misses", "counter", "Lookups of names that no actor had.");
    REGISTRY_REGISTRATIONS = READ("registry.registrations", "registry_registrations", "counter", "Names that actors have taken.");
    REGISTRY_RELEASES = READ("registry.releases", "registry_releases", "counter", "Names that were given back.");
    SERVICE_FAILURES = READ("service.failures", "service_failures", "counter", "Messages whose handling returned an error or panicked.");
    SERVICE_HANDLING_NS = READ("service.handling_ns", "service_handling_seconds", "histogram", "Duration of the handling of a message, waits included; one message in 8 is timed unless measurement says otherwise.");
    SERVICE_IDLE_SECONDS = READ("service.idle_seconds", "service_idle_seconds", "gauge", "Time since the service last worked on a message.");
    SERVICE_MESSAGES = READ("service.messages", "service_messages", "counter", "Messages whose handling has begun.");
    SUPERVISOR_EXITS = READ("supervisor.exits", "supervisor_exits", "counter", "Children that ended without being asked by their supervisor.");
    SUPERVISOR_FAILED_STARTS = READ("supervisor.failed_starts", "supervisor_failed_starts", "counter", "Starts of children that failed.");
    SUPERVISOR_GIVE_UPS = READ("supervisor.give_ups", "supervisor_give_ups", "counter", "Supervisors that stopped after too many restarts.");
    SUPERVISOR_RESTARTS = READ("supervisor.restarts", "supervisor_restarts", "counter", "Children that were started again after a failure.");
    SUPERVISOR_STARTS = READ("supervisor.starts", "supervisor_starts", "counter", "Children that were started, restarts included.");
    TELEMETRY_EVENTS_NESTED_TOO_DEEP = KEPT("telemetry.events_nested_too_deep", "telemetry_events_nested_too_deep", "counter", "Events that were delivered to no handler, because handlers had emitted them within one another.");
    TELEMETRY_FAILED_EXPORTS = KEPT("telemetry.failed_exports", "telemetry_failed_exports", "counter", "Exports that failed.");
    TELEMETRY_HANDLERS_DETACHED = KEPT("telemetry.handlers_detached", "telemetry_handlers_detached", "counter", "Handlers that were detached because they panicked.");
    TELEMETRY_SERIES_RETIRED = KEPT("telemetry.series_retired", "telemetry_series_retired", "counter", "Series that were removed because they were idle.");
    TELEMETRY_SKIPPED_EXPORTS = KEPT("telemetry.skipped_exports", "telemetry_skipped_exports", "counter", "Exports that were skipped because the one before was still under way.");
    TELEMETRY_UNRECORDED = KEPT("telemetry.unrecorded", "telemetry_unrecorded", "counter", "Measurements that were lost because their name or labels were refused, or because there was no room.");
    TOKIO_ALIVE_TASKS = KEPT("tokio.alive_tasks", "tokio_alive_tasks", "gauge", "Tasks of the runtime that have not ended, as of the last tick.");
    TOKIO_GLOBAL_QUEUE_DEPTH = KEPT("tokio.global_queue_depth", "tokio_global_queue_depth", "gauge", "Tasks in the runtime's global queue, as of the last tick.");
    TOKIO_WORKERS = KEPT("tokio.workers", "tokio_workers", "gauge", "Worker threads of the runtime.");
    TRACING_EVENTS = KEPT("tracing.events", "tracing_events", "counter", "Events of tracing, by level and target.");
}
