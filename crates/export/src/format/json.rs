//! JSON.

use super::Format;
use crate::batch::Batch;
use crate::encoded::{EncodeError, Encoded};

/// JSON: the namespace, the time, and all families with their series, as [`Scrape`](foundation_telemetry::Scrape) serializes.
///
/// Numbers that JSON does not have are texts: `"NaN"`, `"inf"`, `"-inf"`.
#[derive(Debug, Clone, Copy)]
pub struct Json;

impl Format for Json {
    const NAME: &'static str = "json";
    const CONTENT_TYPE: &'static str = "application/json";

    fn encode(batch: &Batch) -> Result<Encoded, EncodeError> {
        let bytes = serde_json::to_vec(batch.scrape());
        bytes.map(Encoded::from).map_err(|error| EncodeError::new(Self::NAME, error))
    }
}
