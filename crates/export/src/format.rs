//! Formats: numbers as bytes.

use std::any::TypeId;

use foundation_kernel::containment::catch_panic;

use crate::batch::Batch;
use crate::encoded::{EncodeError, Encoded};

mod csv;
mod json;
mod negotiation;
mod text;

pub use csv::Csv;
pub(crate) use csv::CsvField;
pub use json::Json;
pub use negotiation::MetricsText;
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

    /// The same, encoded once for each batch: the first caller encodes, and the others wait for that.
    ///
    /// # Errors
    /// What cannot be written.
    fn encoded(batch: &Batch) -> Result<Encoded, EncodeError> {
        batch.encoded_by(TypeId::of::<Self>(), Self::encode)
    }
}

/// A registered format, without its type.
#[derive(Clone, Copy)]
pub(crate) struct AnyFormat {
    id: TypeId,
    pub(crate) name: &'static str,
    pub(crate) content_type: &'static str,
    encode: fn(&Batch) -> Result<Encoded, EncodeError>,
}

impl AnyFormat {
    pub(crate) fn of<F: Format>() -> Self {
        Self { id: TypeId::of::<F>(), name: F::NAME, content_type: F::CONTENT_TYPE, encode: F::encode }
    }

    /// A panic of the format is an error.
    pub(crate) fn encode(&self, batch: &Batch) -> Result<Encoded, EncodeError> {
        let encode = |batch: &Batch| {
            let encoded = catch_panic(|| (self.encode)(batch));
            encoded
                .unwrap_or_else(|panic| Err(EncodeError::new(self.name, format_args!("it panicked: {}", panic.text()))))
        };
        batch.encoded_by(self.id, encode)
    }
}
