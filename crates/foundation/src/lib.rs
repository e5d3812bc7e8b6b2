//! An OTP-style foundation for actor applications.
mod config;
mod events;
mod root;
mod telemetry;
pub mod testing;

pub use config::{
    ConfigChange, ConfigChanged, ConfigError, ConfigPath, ConfigServer, ConfigSources, ConfigStatus,
    ConfigSubscription, ConfigTree, ConfigUpdateError, Lagged, Origin, PathFault, UnknownVariable,
};
pub use events::{
    Clock, Event, EventError, EventId, EventKind, EventLimits, EventLog, EventRefusal, EventStats, EventStore,
    EventStoreError, KindFault, MemoryLog, NewEvent, Order, Query,
};
pub use foundation_core::*;
pub use foundation_macros::test;
pub use root::{
    Foundation, FoundationBuilder, FoundationError, NamespaceHealth, ServiceHealth, Services, ShutdownReport,
    StopCause, TestNamespace,
};
pub use telemetry::{Telemetry, TelemetryError, TelemetryEvent};

#[doc(hidden)]
pub mod __private {
    pub use tokio;
}
