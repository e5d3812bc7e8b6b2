//! An OTP-style foundation for actor applications on ractor and tokio: supervision trees, names in namespaces, handles
//! that survive restarts, and the services that every application needs.
//!
//! ```
//! use foundation::{Foundation, NewEvent};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let foundation = Foundation::builder().start().await?;
//! foundation.events().append(NewEvent::new("shop_opened")?).await?;
//! println!("{}", foundation.tree().await);
//! foundation.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Where to begin
//!
//! | for | begin with | then |
//! |---|---|---|
//! | starting and stopping an application | [`Foundation`], [`FoundationBuilder`] | [`Services`], [`NamespaceHealth`](health::NamespaceHealth), [`ShutdownReport`] |
//! | names | [`ServiceKey`], [`ServiceRegistry`](names::ServiceRegistry) | [`Namespace`], [`ProcessRegistry`](names::ProcessRegistry), [`HealthCheck`](names::HealthCheck) |
//! | groups and locks | [`GroupKey`](names::GroupKey), [`Group`](names::Group) | [`ServiceRegistry::lock`](names::ServiceRegistry::lock) |
//! | handles that survive restarts | [`Via`] | [`CastError`](names::CastError), [`CallError`](names::CallError) |
//! | supervision | [`ChildSpec`], [`SupervisorSpec`](supervision::SupervisorSpec) | [`Supervisor`], [`DynamicSupervisor`](supervision::DynamicSupervisor), [`Strategy`], [`Restart`], [`Shutdown`](supervision::Shutdown), [`AutoShutdown`](supervision::AutoShutdown), [`Report`](supervision::Report) |
//! | futures and partitions | [`TaskSupervisor`](supervision::TaskSupervisor), [`PartitionSupervisor`](supervision::PartitionSupervisor) | [`Task`](supervision::Task), [`TaskStream`](supervision::TaskStream), [`TaskStop`](supervision::TaskStop), [`PartitionSupervisorSpec`](supervision::PartitionSupervisorSpec) |
//! | configuration | [`ConfigSources`](config::ConfigSources), [`ConfigServer`] | [`ConfigSection`](config::ConfigSection), [`Section`](config::Section), [`ConfigTree`](config::ConfigTree), [`ConfigSubscription`](config::ConfigSubscription), [`ConfigError`](config::ConfigError) |
//! | events | [`EventStore`], [`NewEvent`], [`Query`](events::Query), [`SubscriptionSpec`](events::SubscriptionSpec) | [`Event`](events::Event), [`EventLog`](events::EventLog), [`FailureRule`](events::FailureRule), [`OnDamaged`](events::OnDamaged), [`Outage`](events::Outage) |
//! | counting and measuring | [`Telemetry`], [`ServiceMeasures`](names::ServiceMeasures) | [`Measurement`](names::Measurement), [`Counter`](telemetry::Counter), [`Gauge`](telemetry::Gauge), [`Histogram`](telemetry::Histogram), [`Family`](telemetry::Family), [`Span`](telemetry::Span), [`Snapshot`](telemetry::Snapshot) |
//! | exporting metrics | [`TelemetryOptions`](telemetry::TelemetryOptions), [`prometheus_text`](telemetry::prometheus_text) | [`Exporter`](telemetry::Exporter), [`Scrape`](telemetry::Scrape), [`EarlyTelemetry`](telemetry::EarlyTelemetry) |
//! | health, limits, and recording of supervision | [`Services::health`], [`Limits`], [`Recording`] | [`Services::check`], [`ChildSpec::health_check`], [`Condition`](health::Condition) |
//! | finding and choosing instances of services | `discovery::Discovery`, `discovery::Instance` (feature `discovery`) | `discovery::Criteria`, `discovery::Selector`, `discovery::InstanceCheck` |
//! | services that are declared, configured and replaced by name | `managed::Managed`, `managed::ServiceKind` (feature `managed`) | `managed::Batch`, `managed::Need`, `managed::ReplacementStrategy` |
//! | pools of workers | `pool::PoolSpec`, `pool::Pool`, `pool::Worker` (feature `pool`) | `pool::Scaling`, `pool::Retry`, `pool::PoolStats`, `pool::PoolRecording` |
//! | tests | [`test`](macro@test), [`TestNamespace`] | [`testing`] |
//! | messages | [`local_message!`] | [`ractor`] |
//!
//! The names that every program needs are at the top; the modules have them all: [`names`], [`supervision`], [`config`],
//! [`events`], [`telemetry`], [`health`] and [`testing`]. `docs/guide` in the repository has a page for each.

mod checks;
#[cfg(feature = "discovery")]
pub mod discovery;
mod error;
mod foundation;
pub mod health;
mod layout;
mod limits;
#[cfg(feature = "managed")]
pub mod managed;
mod path_source;
#[cfg(feature = "pool")]
pub mod pool;
mod record_queue;
mod recording;
mod report;
mod reporter;
mod services;
mod signal;
mod test_namespace;
pub mod testing;
mod unfinished;

pub use error::FoundationError;
pub use foundation::Foundation;
/// ```
#[doc = include_str!("../tests/attribute/example.rs")]
/// ```
pub use foundation_attributes::test;
#[doc(no_inline)]
pub use foundation_config_server::ConfigServer;
#[doc(no_inline)]
pub use foundation_events::{EventStore, NewEvent};
#[doc(no_inline)]
pub use foundation_kernel::names::{Namespace, ServiceKey, Via};
#[doc(no_inline)]
pub use foundation_kernel::supervision::{ChildSpec, Restart, Strategy, Supervisor};
pub use foundation_kernel::{AskError, answer, ask, containment, local_message, names, ractor, supervision, written};
#[doc(no_inline)]
pub use foundation_telemetry::Telemetry;
pub use layout::builder::FoundationBuilder;
pub use limits::Limits;
pub use recording::Recording;
pub use report::{ShutdownReport, StopCause};
pub use services::Services;
pub use test_namespace::TestNamespace;
pub(crate) use unfinished::Unfinished;

/// Configuration: layers merged into a tree whose values know where they come from, and changes of it at run time.
pub mod config {
    #[doc(inline)]
    pub use foundation_config_server::*;
}

/// Events: recorded facts, the log that keeps them, and its readers and subscribers.
pub mod events {
    #[doc(inline)]
    pub use foundation_events::*;
}

/// Telemetry: counters, gauges, histograms and spans, their handlers, exporters and text for Prometheus.
pub mod telemetry {
    #[doc(inline)]
    pub use foundation_kernel::instruments::*;
    #[doc(inline)]
    pub use foundation_telemetry::*;
}

#[doc(hidden)]
pub mod __private {
    pub use tokio;
}
