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

mod builder;
mod checks;
mod error;
mod foundation;
pub mod health;
mod layout;
mod limits;
mod path_source;
mod recording;
mod report;
mod reporter;
mod services;
mod signal;
mod test_namespace;
pub mod testing;
mod unfinished;

pub use builder::FoundationBuilder;
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
