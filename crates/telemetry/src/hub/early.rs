//! Telemetry before there is a foundation.

use std::fmt;
use std::sync::Arc;

use foundation_kernel::names::Namespace;
#[cfg(feature = "tracing-layer")]
use tracing::{Subscriber, level_filters::LevelFilter};
#[cfg(feature = "tracing-layer")]
use tracing_subscriber::{filter::Filtered, registry::LookupSpan};

use super::Hub;
#[cfg(feature = "metrics")]
use super::recorder::TelemetryRecorder;
#[cfg(feature = "tracing-layer")]
use super::tracing_layer::TelemetryLayer;
#[cfg(feature = "tracing-layer")]
use crate::error::TelemetryError;

/// The instruments of production, before it has been started.
///
/// The `metrics` facade and `tracing` are installed once, at the beginning of a process. Everything counted through
/// this value is counted in the namespace that [begins with it](crate::Telemetry::begin_with), production as a rule:
/// nothing counted before is lost, and handles made before stay valid. Cheap to clone. A namespace that is started later
/// with the same value continues with its numbers.
///
/// ```
/// use foundation_kernel::names::{Namespace, ProcessRegistry};
/// use foundation_telemetry::{EarlyTelemetry, Telemetry, TelemetryOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let early = EarlyTelemetry::new();
/// # #[cfg(feature = "metrics")]
/// metrics::with_local_recorder(&early.recorder(), || metrics::counter!("files.read").increment(1));
/// let root = ProcessRegistry::builder()
///     .prepare(move |names| Telemetry::begin_with(names, &early))
///     .service(Telemetry::service(TelemetryOptions::new()))
///     .start().await?;
/// let telemetry = Telemetry::of(&root.namespace(Namespace::Production).await?);
/// # #[cfg(feature = "metrics")]
/// assert_eq!(telemetry.snapshot().counter("files.read"), Some(1));
/// root.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EarlyTelemetry {
    hub: Arc<Hub>,
}

impl EarlyTelemetry {
    /// Telemetry in which nothing has been counted.
    pub fn new() -> Self {
        Self { hub: Arc::new(Hub::new(Namespace::Production)) }
    }

    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// A recorder for the `metrics` facade; see [`TelemetryRecorder`](crate::TelemetryRecorder).
    #[cfg(feature = "metrics")]
    pub fn recorder(&self) -> TelemetryRecorder {
        TelemetryRecorder::new(Arc::clone(&self.hub))
    }

    /// A layer for `tracing-subscriber` that counts the events of the level `INFO` and above; see
    /// [`TelemetryLayer`](crate::TelemetryLayer).
    ///
    /// # Errors
    /// As [`Telemetry::tracing_layer`](crate::Telemetry::tracing_layer).
    #[cfg(feature = "tracing-layer")]
    pub fn tracing_layer<S>(&self) -> Result<Filtered<TelemetryLayer, LevelFilter, S>, TelemetryError>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        self.tracing_layer_at(LevelFilter::INFO)
    }

    /// The same for the events of this level and above.
    ///
    /// # Errors
    /// As [`Telemetry::tracing_layer`](crate::Telemetry::tracing_layer).
    #[cfg(feature = "tracing-layer")]
    pub fn tracing_layer_at<S>(
        &self,
        level: impl Into<LevelFilter>,
    ) -> Result<Filtered<TelemetryLayer, LevelFilter, S>, TelemetryError>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        TelemetryLayer::at(&self.hub, level.into())
    }
}

impl Default for EarlyTelemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for EarlyTelemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EarlyTelemetry")
    }
}
