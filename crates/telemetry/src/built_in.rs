//! The foundation's own instruments in each namespace.

/// An instrument of the foundation's own: no other may have its name, or one that becomes the same in Prometheus.
pub(super) struct BuiltIn {
    pub(super) name: &'static str,
    /// The name in Prometheus' text, of a counter without its `_total`.
    pub(super) exposed: &'static str,
    pub(super) kind: &'static str,
    /// Its description in the export.
    pub(super) help: &'static str,
    /// Whether it is an instrument of the telemetry service, and not only read by it.
    pub(super) kept_here: bool,
}

const fn here(name: &'static str, exposed: &'static str, kind: &'static str, help: &'static str) -> BuiltIn {
    BuiltIn { name, exposed, kind, help, kept_here: true }
}

const fn read(name: &'static str, exposed: &'static str, kind: &'static str, help: &'static str) -> BuiltIn {
    BuiltIn { name, exposed, kind, help, kept_here: false }
}

/// In the order of their names.
#[rustfmt::skip]
const BUILT_IN: [BuiltIn; 30] = [
    here("config.updates", "config_updates", "counter", "Changes of the configuration that were made."),
    here("config.updates_refused", "config_updates_refused", "counter", "Changes of the configuration that were refused."),
    here("config.updates_unrecorded", "config_updates_unrecorded", "counter", "Changes of the configuration that were made without an event that records them."),
    here("event_store.retention", "event_store_retention", "counter", "Rounds of the retention of events."),
    here("event_store.retention.duration_ms", "event_store_retention_duration_seconds", "histogram", "Duration of a round of the retention of events."),
    here("event_store.retention.pruned", "event_store_retention_pruned", "histogram", "Events that one round of the retention removed."),
    read("registry.lookup_duration_ns", "registry_lookup_duration_seconds", "histogram", "Duration of a lookup that found an actor; one in 256 is timed."),
    read("registry.lookups", "registry_lookups", "counter", "Lookups of names."),
    read("registry.misses", "registry_misses", "counter", "Lookups of names that no actor had."),
    read("registry.registrations", "registry_registrations", "counter", "Names that actors have taken."),
    read("registry.releases", "registry_releases", "counter", "Names that were given back."),
    read("service.failures", "service_failures", "counter", "Messages whose handling returned an error or panicked."),
    read("service.handling_ns", "service_handling_seconds", "histogram", "Duration of the handling of a message, waits included; one message in 8 is timed unless measurement says otherwise."),
    read("service.idle_seconds", "service_idle_seconds", "gauge", "Time since the service last worked on a message."),
    read("service.messages", "service_messages", "counter", "Messages whose handling has begun."),
    read("supervisor.exits", "supervisor_exits", "counter", "Children that ended without being asked by their supervisor."),
    read("supervisor.failed_starts", "supervisor_failed_starts", "counter", "Starts of children that failed."),
    read("supervisor.give_ups", "supervisor_give_ups", "counter", "Supervisors that stopped after too many restarts."),
    read("supervisor.restarts", "supervisor_restarts", "counter", "Children that were started again after a failure."),
    read("supervisor.starts", "supervisor_starts", "counter", "Children that were started, restarts included."),
    here("telemetry.events_nested_too_deep", "telemetry_events_nested_too_deep", "counter", "Events that were delivered to no handler, because handlers had emitted them within one another."),
    here("telemetry.failed_exports", "telemetry_failed_exports", "counter", "Exports that failed."),
    here("telemetry.handlers_detached", "telemetry_handlers_detached", "counter", "Handlers that were detached because they panicked."),
    here("telemetry.series_retired", "telemetry_series_retired", "counter", "Series that were removed because they were idle."),
    here("telemetry.skipped_exports", "telemetry_skipped_exports", "counter", "Exports that were skipped because the one before was still under way."),
    here("telemetry.unrecorded", "telemetry_unrecorded", "counter", "Measurements that were lost because their name or labels were refused, or because there was no room."),
    here("tokio.alive_tasks", "tokio_alive_tasks", "gauge", "Tasks of the runtime that have not ended, as of the last tick."),
    here("tokio.global_queue_depth", "tokio_global_queue_depth", "gauge", "Tasks in the runtime's global queue, as of the last tick."),
    here("tokio.workers", "tokio_workers", "gauge", "Worker threads of the runtime."),
    here("tracing.events", "tracing_events", "counter", "Events of tracing, by level and target."),
];

impl BuiltIn {
    /// All of them.
    pub(super) const ALL: &'static [Self] = &BUILT_IN;

    /// The one of this name.
    pub(super) fn of(name: &str) -> Option<&'static Self> {
        Self::ALL.binary_search_by(|known| known.name.cmp(name)).ok().map(|position| &Self::ALL[position])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::exposed_name::ExposedName;
    use super::*;

    #[test]
    fn the_table_is_in_order_and_each_name_is_exposed_as_it_says() {
        assert!(BUILT_IN.is_sorted_by(|a, b| a.name < b.name));
        for BuiltIn { name, exposed, kind, .. } in &BUILT_IN {
            assert_eq!(ExposedName::new(name, kind).claims().next().as_deref(), Some(*exposed));
            assert_eq!(BuiltIn::of(name).map(|it| it.name), Some(*name));
        }
    }

    #[test]
    fn no_two_are_exposed_under_one_name() {
        let all: Vec<_> =
            BUILT_IN.iter().flat_map(|it| ExposedName::new(it.name, it.kind).claims().collect::<Vec<_>>()).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }
}
