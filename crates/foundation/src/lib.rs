#![cfg_attr(not(feature = "async-trait"), doc = include_str!("../../../README.md"))]
// The README's actors are written without `async_trait`, and its examples are compiled.
#![cfg_attr(feature = "async-trait", doc = "An OTP-style foundation for actor applications on ractor and tokio.")]
//!
//! # Where to begin
//!
//! | for | begin with | then |
//! |---|---|---|
//! | starting and stopping an application | [`Foundation`], [`FoundationBuilder`] | [`Services`], [`NamespaceHealth`], [`ShutdownReport`] |
//! | names | [`ServiceKey`], [`ServiceRegistry`] | [`Namespace`], [`ProcessRegistry`], [`HealthCheck`] |
//! | groups and locks | [`GroupKey`], [`Group`] | [`ServiceRegistry::lock`] |
//! | handles that survive restarts | [`Via`] | [`CastError`], [`CallError`] |
//! | supervision | [`ChildSpec`], [`SupervisorSpec`] | [`Supervisor`], [`DynamicSupervisor`], [`Strategy`], [`Restart`], [`Shutdown`], [`AutoShutdown`], [`Report`] |
//! | futures and partitions | [`TaskSupervisor`], [`PartitionSupervisor`] | [`Task`], [`TaskStream`], [`TaskStop`], [`PartitionSupervisorSpec`] |
//! | configuration | [`ConfigSources`], [`ConfigServer`] | [`ConfigSection`], [`Section`], [`ConfigTree`], [`ConfigSubscription`], [`ConfigError`] |
//! | events | [`EventStore`], [`NewEvent`], [`Query`], [`SubscriptionSpec`] | [`Event`], [`EventLog`], [`FailureRule`], [`OnDamaged`], [`Outage`] |
//! | counting and measuring | [`Telemetry`], [`ServiceMeasures`] | [`Measurement`], [`Counter`], [`Gauge`], [`Histogram`], [`Family`], [`Span`], [`Snapshot`] |
//! | exporting metrics | [`TelemetryOptions`], [`prometheus_text`] | [`Exporter`], [`Scrape`], [`EarlyTelemetry`] |
//! | health, limits, and recording of supervision | [`Services::health`], [`Limits`], [`Recording`] | [`Services::check`], [`ChildSpec::health_check`], [`Condition`] |
//! | tests | [`test`](macro@test), [`TestNamespace`] | [`testing`] |
//! | messages | [`local_message!`] | [`ractor`] |
//!
//! Everything has one path, at the top of this crate; only the harness behind the attribute is in [`testing`].

mod config;
mod events;
mod json;
mod one_line;
mod root;
mod telemetry;
pub mod testing;

pub use config::{
    Audit, ChangeCause, ChangeNote, ConfigChange, ConfigChanged, ConfigCommit, ConfigError, ConfigLimits, ConfigPath,
    ConfigRecord, ConfigSection, ConfigServer, ConfigServerLimits, ConfigSources, ConfigStatus, ConfigSubscription,
    ConfigTree, ConfigUpdateError, ConfigWatch, InvalidValue, Lagged, Origin, PathFault, Section, SectionChanged,
    SectionSubscription, Transaction, UnknownVariable,
};
pub use events::{
    Append, Appended, ChainLink, Clock, DamagedEvent, DurableSubscription, Event, EventChain, EventError, EventId,
    EventKind, EventLimits, EventLog, EventPage, EventReader, EventRefusal, EventSource, EventStats, EventStorage,
    EventStore, EventStoreError, EventStoreLimits, EventSubscription, ExpectedPosition, FailureRule, FailureVerdict,
    Forwarding, ForwardingEnd, ImportRefusal, Interrupt, KindFault, LogFailure, LogFailureKind, LogFault, MemoryLog,
    NewEvent, OnDamaged, Order, Outage, ParkedEvent, PruneBound, Query, QueryLimit, ReaderSource, RepairReport,
    RepairStep, Retention, RetentionReport, SubscriptionError, SubscriptionName, SubscriptionSpec, TransferError,
    Verification, checksum, recordable,
};
#[cfg(feature = "sqlite")]
pub use events::{Durability, SqliteLog, SqliteOptions};
/// ```
#[doc = include_str!("../tests/attribute/example.rs")]
/// ```
pub use foundation_attributes::test;
#[doc(inline)]
pub use foundation_kernel::*;
/// The validation of [`ConfigSection`]s; its derive needs `garde` among your own dependencies.
pub use garde;
pub use root::{
    Condition, Foundation, FoundationBuilder, FoundationError, Limits, NamespaceHealth, Recording, ServiceHealth,
    Services, ShutdownReport, StopCause, TestNamespace,
};
/// A text that is never displayed: for the secrets in [`ConfigSection`]s.
pub use secrecy::{ExposeSecret, SecretString};
#[cfg(feature = "tracing-layer")]
pub use telemetry::TelemetryLayer;
#[cfg(feature = "metrics")]
pub use telemetry::TelemetryRecorder;
pub use telemetry::{
    EarlyTelemetry, EventPattern, ExportError, Exporter, Family, Instrument, LabelFault, Labels, MetricFamily,
    MetricNameFault, Scrape, Series, Span, Telemetry, TelemetryError, TelemetryEvent, TelemetryLimits,
    TelemetryOptions, prometheus_text,
};

#[doc(hidden)]
pub mod __private {
    pub use tokio;
}
