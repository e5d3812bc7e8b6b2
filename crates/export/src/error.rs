//! The errors of exports.

use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::catalog::CatalogError;
use foundation_kernel::names::ServiceName;

use crate::encoded::EncodeError;

/// Why something of exports was not done.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A name of an exporter or of a format: invalid, taken or unknown; with similar names.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The numbers cannot be written in a format.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The attempts of an exporter may take no time, and the exporter is not registered.
    #[error("exporter {exporter} is not registered: its attempts may take no time; give it a time-out above zero")]
    NoTime {
        /// The exporter.
        exporter: ServiceName,
    },
    /// An export that a caller asked for has failed.
    #[error("exporter {exporter} has failed at attempt {attempts}: {cause}")]
    Failed {
        /// The exporter.
        exporter: ServiceName,
        /// The attempts.
        attempts: u32,
        /// The error.
        cause: String,
    },
    /// The task of the exporter does not run, or has ended during the export.
    #[error("exporter {exporter} does not run; it is started again after a while")]
    NotRunning {
        /// The exporter.
        exporter: ServiceName,
    },
    /// The export that a caller asked for was not over in time. It goes on.
    #[error("exporter {exporter} has not exported within {limit:?}")]
    TimedOut {
        /// The exporter.
        exporter: ServiceName,
        /// The limit.
        limit: Duration,
    },
    /// The task of the exporter could not be started, and the exporter is not registered.
    #[error("exporter {exporter} is not registered, since it could not be started: {cause}")]
    Start {
        /// The exporter.
        exporter: ServiceName,
        /// The supervisor's error.
        cause: Arc<str>,
    },
}
