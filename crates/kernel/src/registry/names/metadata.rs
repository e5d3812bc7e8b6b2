//! The metadata of a registration: any value that can be written as JSON.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

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
#[derive(Clone)]
pub struct Metadata(Arc<Written>);

struct Written {
    value: Value,
    /// The same as the type that it was first read as.
    read: OnceLock<Arc<dyn Any + Send + Sync>>,
}

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
        Ok(Self(Arc::new(Written { value: written, read: OnceLock::new() })))
    }

    /// The same, with the value that it was written from: [`read_once`](Self::read_once) of this type returns it.
    pub fn with_read<T: Send + Sync + 'static>(self, value: Arc<T>) -> Self {
        // One that was read already is the same value.
        let _ = self.0.read.set(value);
        self
    }

    /// Reads it as a value of this type.
    ///
    /// # Errors
    /// [`MetadataError::Unreadable`] shows what was found.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, MetadataError> {
        T::deserialize(&self.0.value).map_err(|error| MetadataError::Unreadable {
            wanted: std::any::type_name::<T>(),
            found: self.clone(),
            error,
        })
    }

    /// The value as another type, for data that many read: `read` runs for the first reader, and the metadata and all its clones
    /// keep what it returned. Later readers pay a reference count.
    ///
    /// What is kept is of one type, the first: of another type, `read` runs each time. It is dropped with the last clone,
    /// on any thread and possibly under a lock of the registry, so it has to be plain data: its destructor runs no code of its own.
    ///
    /// ```
    /// use foundation_kernel::names::Metadata;
    ///
    /// let metadata = Metadata::new(&[1, 2, 3])?;
    /// let sum = |metadata: &Metadata| {
    ///     metadata.read_once(|value| value.as_array().map(|it| it.iter().filter_map(|it| it.as_u64()).sum::<u64>()).ok_or("no list"))
    /// };
    /// assert_eq!(sum(&metadata).as_deref(), Ok(&6));
    /// assert!(std::sync::Arc::ptr_eq(&sum(&metadata).unwrap(), &sum(&metadata.clone()).unwrap()));
    /// # Ok::<(), foundation_kernel::names::MetadataError>(())
    /// ```
    ///
    /// # Errors
    /// Those of `read`; then it runs again for the next reader.
    pub fn read_once<T: Send + Sync + 'static, E>(
        &self,
        read: impl FnOnce(&Value) -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let kept = |kept: &Arc<dyn Any + Send + Sync>| Arc::downcast::<T>(Arc::clone(kept)).ok();
        if let Some(kept) = self.0.read.get().and_then(kept) {
            return Ok(kept);
        }
        // Not while the cell is locked: it is code of the caller. Of two readers at the same time the first is kept.
        let made = Arc::new(read(&self.0.value)?);
        let first = self.0.read.get_or_init(|| Arc::<T>::clone(&made));
        Ok(kept(first).unwrap_or(made))
    }

    /// The value.
    pub fn value(&self) -> &Value {
        &self.0.value
    }

    /// One field of the value, if it is an object that has it.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.value.get(field)
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.value.fmt(f)
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metadata").field(&self.0.value).finish()
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.value == other.0.value
    }
}

impl Eq for Metadata {}

impl Serialize for Metadata {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.value.serialize(serializer)
    }
}
