//! How long things may take in a foundation.

use foundation_kernel::names::{RegistryLimits, ServiceRegistry};
use foundation_kernel::supervision::HealthLimits;

use foundation_config_server::ConfigServerLimits;
use foundation_events::EventStoreLimits;
use foundation_telemetry::TelemetryLimits;

foundation_kernel::limits! {
    /// Every limit of a foundation, given to [`FoundationBuilder::limits`](crate::FoundationBuilder::limits).
    ///
    /// | limit | default | what it limits |
    /// |---|---|---|
    /// | `registry.wait` | `5s` | the wait of a request for a supervisor that it finds by name |
    /// | `registry.name_release` | `5s` | the wait of a start for a name whose holder is on its way out |
    /// | `registry.supervisor.worker_start` | `30s` | the start of a worker that does not say otherwise |
    /// | `registry.supervisor.worker_stop` | `5s` | the stop of a worker that does not say otherwise, before it is killed |
    /// | `registry.supervisor.unmanaged_stop` | `5s` | the stop of actors that are no managed children, before they are killed |
    /// | `registry.supervisor.subtree_end` | `10s` | the wait for the end of a subtree after that of its supervisor |
    /// | `registry.supervisor.tree` | `1s` | each answer of a supervisor to a snapshot of the tree |
    /// | `registry.supervisor.early_ends` | `256` | the ends of unknown actors that a supervisor notes while a start is under way |
    /// | `events.answer` | `5s` | a request to the event store |
    /// | `events.locked_file` | `5s` | the wait for another program that has locked the SQLite file |
    /// | `events.restart` | `2s` | the wait of an append or a read for a store that is being restarted |
    /// | `events.query_time` | `10s` | a query that does not say otherwise |
    /// | `events.query_events` | `100000` | what a query finds that does not say how much it wants |
    /// | `events.reopen_first` | `100ms` | the first pause before a log that has failed again is opened once more |
    /// | `events.reopen_longest` | `10s` | the longest of these pauses, which double |
    /// | `events.reopen_steady` | `60s` | how long a log has to work for its next failure to be that of another outage |
    /// | `events.read_again_first` | `50ms` | the first pause of a subscription that could not read the log |
    /// | `events.read_again_longest` | `5s` | the longest of these pauses, which double |
    /// | `events.park_again` | `5s` | the pause before an event is parked that the store could not park |
    /// | `config.answer` | `12s` | a request to the config server, the recording of a change included |
    /// | `config.store_at_start` | `10s` | the wait of a starting config server for the event store |
    /// | `config.inquiry` | `2s` | finding out the outcome of a recording that was not answered |
    /// | `config.ask_again_first` | `10ms` | the first pause before an event store is asked again that does not answer |
    /// | `config.ask_again_longest` | `1s` | the longest of these pauses, which double |
    /// | `telemetry.answer` | `5s` | a request to the telemetry service |
    /// | `telemetry.export` | `3s` | one export, and the wait of a tick on request, and of the end of the telemetry service, for all |
    /// | `telemetry.last_reading` | `2s` | what the end of the telemetry service may take besides, before it is killed |
    /// | `health.answer` | `1s` | the answers of all supervisors, and then of each check, when the health is requested |
    /// | `health.grace` | `1s` | how long a child may be down, for a restart, before it counts as that |
    /// | `health.lines` | `50` | the lines of a health that is written out |
    /// | `health.line_bytes` | `300` | the bytes of each of them |
    /// | `kept_reports` | `1000` | the reports of supervisors that are kept while the event store is away |
    ///
    /// What has a type of its own is limited there: [`EventLimits`](crate::EventLimits),
    /// [`ConfigLimits`](crate::ConfigLimits), [`TelemetryOptions`](crate::TelemetryOptions).
    ///
    /// A time of zero means that only an immediate result counts; a time beyond a year is a year. Written out, the
    /// limits are a line each, as in this table.
    ///
    /// ```
    /// use std::time::Duration;
    /// use foundation::events::EventStoreLimits;
    /// use foundation::{Foundation, Limits};
    ///
    /// let limits = Limits::new().events(EventStoreLimits::new().answer(Duration::from_secs(1)));
    /// let builder = Foundation::builder().limits(limits);
    /// # drop(builder);
    /// ```
    pub struct Limits {
        /// Those of names and supervisors.
        registry: RegistryLimits = RegistryLimits::default(),
        /// Those of the event store of each namespace.
        events: EventStoreLimits = EventStoreLimits::default(),
        /// Those of the config server of each namespace.
        config: ConfigServerLimits = ConfigServerLimits::default(),
        /// Those of the telemetry service of each namespace.
        telemetry: TelemetryLimits = TelemetryLimits::default(),
        /// Those of a request for the health of a namespace.
        health: HealthLimits = HealthLimits::default(),
        /// How many reports of supervisors are kept for an event store that is away; 1,000, at least one.
        kept_reports: usize = 1_000,
    }
}

impl Limits {
    /// Gives a namespace the limits of its services, before any of these is made.
    pub(super) fn install(&self, registry: &ServiceRegistry) {
        registry.extension(|| self.events.clone());
        registry.extension(|| self.config.clone());
        registry.extension(|| self.telemetry.clone());
        registry.extension(|| self.health.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_limit_and_its_default() {
        let row = |line: &str| {
            let mut cells = line.trim().strip_prefix("/// | `")?.split("` | `");
            Some(format!("{}: {}", cells.next()?, cells.next()?.split('`').next()?))
        };
        let table: Vec<_> = include_str!("limits.rs").lines().filter_map(row).collect();
        assert_eq!(table.join("\n"), Limits::new().to_string());
    }
}
