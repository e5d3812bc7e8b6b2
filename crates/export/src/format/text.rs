//! Prometheus' text format and OpenMetrics, which telemetry writes itself.

use foundation_telemetry::{open_metrics_text, prometheus_text};

use super::Format;
use crate::batch::Batch;
use crate::encoded::{EncodeError, Encoded};

/// Prometheus' text format, version 0.0.4: see [`prometheus_text`].
#[derive(Debug, Clone, Copy)]
pub struct PrometheusText;

impl Format for PrometheusText {
    const NAME: &'static str = "prometheus";
    const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    fn encode(batch: &Batch) -> Result<Encoded, EncodeError> {
        Ok(Encoded::from(prometheus_text(std::slice::from_ref(batch.scrape()))))
    }
}

/// OpenMetrics, version 1.0.0: see [`open_metrics_text`].
#[derive(Debug, Clone, Copy)]
pub struct OpenMetrics;

impl Format for OpenMetrics {
    const NAME: &'static str = "openmetrics";
    const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    fn encode(batch: &Batch) -> Result<Encoded, EncodeError> {
        Ok(Encoded::from(open_metrics_text(std::slice::from_ref(batch.scrape()))))
    }
}
