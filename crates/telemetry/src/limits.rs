//! How long a telemetry service may take.

use std::time::Duration;

foundation_kernel::limits! {
    /// How long a telemetry service may take. See [`RegistryLimits`](foundation_kernel::RegistryLimits) for the meaning of extreme values.
    pub struct TelemetryLimits {
        /// How long a request to the service may take, from the call to its answer; 5 s.
        answer: Duration = Duration::from_secs(5),
        /// How long one export may take before it is cancelled, on tokio's clock; 3 s. A tick, and the end of the
        /// service, waits as long for the exporters, all together.
        export: Duration = Duration::from_secs(3),
        /// How long the end of the service may take besides, to read every instrument for its last tick, before it is
        /// killed; 2 s.
        last_reading: Duration = Duration::from_secs(2),
    }
}
