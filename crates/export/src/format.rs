//! Formats: numbers as bytes.

use std::fmt;
use std::sync::Arc;

use foundation_kernel::containment::catch_panic;

use crate::batch::Batch;

mod csv;
mod json;
mod text;

pub use csv::Csv;
pub use json::Json;
pub use text::{OpenMetrics, PrometheusText};

/// A format: a pure function from numbers to bytes.
///
/// ```
/// use foundation_export::{Batch, EncodeError, Encoded, Format};
///
/// /// The number of series, and nothing else.
/// struct Count;
///
/// impl Format for Count {
///     const NAME: &'static str = "count";
///     const CONTENT_TYPE: &'static str = "text/plain";
///
///     fn encode(batch: &Batch) -> Result<Encoded, EncodeError> {
///         Ok(Encoded::from(batch.series().to_string()))
///     }
/// }
/// ```
pub trait Format: Send + Sync + 'static {
    /// The name under which it is registered and found; lower case, as a service's.
    const NAME: &'static str;
    /// What HTTP calls it.
    const CONTENT_TYPE: &'static str;

    /// The numbers in this format.
    ///
    /// # Errors
    /// What cannot be written.
    fn encode(batch: &Batch) -> Result<Encoded, EncodeError>;
}

/// Bytes in some format; a clone is an atomic increment.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded(Arc<[u8]>);

impl Encoded {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<String> for Encoded {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

impl From<Vec<u8>> for Encoded {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({} bytes)", self.0.len())
    }
}

/// Why numbers could not be written in a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the numbers cannot be written as {format}: {reason}")]
#[non_exhaustive]
pub struct EncodeError {
    /// The format.
    pub format: &'static str,
    /// What is wrong.
    pub reason: String,
}

impl EncodeError {
    /// An error of a format.
    pub fn new(format: &'static str, reason: impl fmt::Display) -> Self {
        Self { format, reason: reason.to_string() }
    }
}

/// A registered format, without its type.
#[derive(Clone, Copy)]
pub(crate) struct AnyFormat {
    pub(crate) name: &'static str,
    pub(crate) content_type: &'static str,
    encode: fn(&Batch) -> Result<Encoded, EncodeError>,
}

impl AnyFormat {
    pub(crate) fn of<F: Format>() -> Self {
        Self { name: F::NAME, content_type: F::CONTENT_TYPE, encode: F::encode }
    }

    /// A panic of the format is an error.
    pub(crate) fn encode(&self, batch: &Batch) -> Result<Encoded, EncodeError> {
        let encode = |batch: &Batch| {
            let encoded = catch_panic(|| (self.encode)(batch));
            encoded
                .unwrap_or_else(|panic| Err(EncodeError::new(self.name, format_args!("it panicked: {}", panic.text()))))
        };
        batch.encoded_by(self.name, encode)
    }
}
