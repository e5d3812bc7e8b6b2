//! The metadata of a registration: any value that can be written as JSON.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Data that the owner of a name publishes about itself: an address, a version, a load.
///
/// Any serialisable value. It is written as JSON once, when it is made, so that a predicate can read it without knowing
/// its type, an operator sees it as it is, and a value that cannot be written is refused at once. Cloning costs one
/// reference count.
///
/// ```
/// use foundation_kernel::names::Metadata;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Endpoint { port: u16, zone: String }
///
/// let metadata = Metadata::new(&Endpoint { port: 8080, zone: "eu".to_owned() })?;
/// assert_eq!(metadata.get("zone").and_then(|zone| zone.as_str()), Some("eu"));
/// assert_eq!(metadata.read::<Endpoint>()?.port, 8080);
/// # Ok::<(), foundation_kernel::names::MetadataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata(Arc<Value>);

/// Why a value cannot become metadata, or metadata cannot be read as a type.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The value cannot be written as JSON.
    #[error("a {given} cannot be metadata: it cannot be written as JSON: {error}")]
    Unwritable {
        /// The value's type.
        given: &'static str,
        /// What is in the way.
        error: serde_json::Error,
    },
    /// The metadata cannot be read as this type.
    #[error("the metadata {found} is not a {wanted}: {error}")]
    Unreadable {
        /// What was asked for.
        wanted: &'static str,
        /// The metadata.
        found: Metadata,
        /// What does not fit.
        error: serde_json::Error,
    },
}

impl Metadata {
    /// Writes a value as JSON.
    ///
    /// # Errors
    /// [`MetadataError::Unwritable`], as for a map whose keys are no texts.
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Result<Self, MetadataError> {
        let given = std::any::type_name::<T>();
        let written = serde_json::to_value(value).map_err(|error| MetadataError::Unwritable { given, error })?;
        Ok(Self(Arc::new(written)))
    }

    /// Reads it as a value of this type.
    ///
    /// # Errors
    /// [`MetadataError::Unreadable`] shows what was found.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, MetadataError> {
        T::deserialize(&*self.0).map_err(|error| MetadataError::Unreadable {
            wanted: std::any::type_name::<T>(),
            found: self.clone(),
            error,
        })
    }

    /// The value.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// One field of the value, if it is an object that has it.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Metadata {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
