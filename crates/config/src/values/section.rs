//! Sections with a type of their own.

use std::any::{Any, TypeId, type_name};
use std::sync::Arc;

use foundation_kernel::containment::{CaughtPanic, catch_panic, drop_contained};
use garde::Validate;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::ConfigError;
use super::located::{self, ReadError};
use super::path::ConfigPath;

/// A section of the configuration with a type of its own: read by serde, validated by
/// [`garde`](https://docs.rs/garde), and declared with [`ConfigSources::section`](crate::ConfigSources::section).
///
/// Panics in its code are caught: a validator or a `Deserialize` that panics refuses the configuration, with the
/// panic's message, and ends no actor.
///
/// No configuration is ever in force in which a declared section cannot be read or is not valid: neither when it is
/// loaded, nor after an update, nor after a file has changed. Secrets are best kept in a
/// [`SecretString`](crate::SecretString), which is never displayed, and their paths named in
/// [`SECRETS`](Self::SECRETS), so that no error, event or export shows them either.
///
/// ```
/// use foundation_config_server::{ConfigSection, ConfigSources};
/// use garde::Validate;
/// use serde::Deserialize;
/// use serde_json::{Value, json};
///
/// #[derive(Debug, Deserialize, Validate)]
/// struct Http {
///     #[garde(range(min = 1))]
///     port: u16,
///     #[garde(length(min = 1))]
///     host: String,
/// }
///
/// impl ConfigSection for Http {
///     const PATH: &'static str = "http";
///     const UPDATABLE: &'static [&'static str] = &["port"];
///
///     fn defaults() -> Value {
///         json!({ "port": 8080, "host": "localhost" })
///     }
/// }
///
/// let tree = ConfigSources::new().section::<Http>()?.load()?;
/// assert_eq!(tree.section::<Http>()?.port, 8080);
///
/// let wrong = ConfigSources::new().section::<Http>()?.environment("app", [("APP__HTTP__PORT".into(), "0".into())])?;
/// assert_eq!(
///     wrong.load().unwrap_err().to_string(),
///     "config section http is not valid: http.port: lower than 1 (environment variable APP__HTTP__PORT)"
/// );
/// # Ok::<(), foundation_config_server::ConfigError>(())
/// ```
pub trait ConfigSection: DeserializeOwned + Validate<Context: Default> + Send + Sync + 'static {
    /// The path of the section.
    const PATH: &'static str;

    /// The values that may change while the program runs, as paths within the section; `*` stands for all of it.
    const UPDATABLE: &'static [&'static str] = &[];

    /// The values that are never shown, as paths within the section; `*` stands for all of it.
    const SECRETS: &'static [&'static str] = &[];

    /// The values below all layers; none by default.
    fn defaults() -> Value {
        Value::Object(Map::new())
    }
}

/// A declared section as it was read: a [`SectionValue`], whose `T` only the section type knows.
pub(super) type Snapshot = Arc<dyn Any + Send + Sync>;

/// A section that is dropped with panics caught: the server or any reader may drop the last tree with it.
struct SectionValue<T>(Option<Arc<T>>);

impl<T> Drop for SectionValue<T> {
    fn drop(&mut self) {
        drop_contained("a section of the configuration", self.0.take());
    }
}

/// A declared section with its type erased.
#[derive(Clone)]
pub(super) struct SectionType {
    path: ConfigPath,
    id: TypeId,
    read: fn(&Value) -> Result<Snapshot, SectionError>,
}

impl SectionType {
    pub(super) fn of<T: ConfigSection>() -> Result<Self, ConfigError> {
        Ok(Self { path: ConfigPath::new(T::PATH)?, id: TypeId::of::<T>(), read: read::<T> })
    }

    pub(super) fn is<T: ConfigSection>(&self) -> bool {
        self.id == TypeId::of::<T>()
    }

    pub(super) fn path(&self) -> &ConfigPath {
        &self.path
    }

    /// The section with these values, validated.
    pub(super) fn read(&self, values: &Value) -> Result<Snapshot, SectionError> {
        (self.read)(values)
    }
}

/// The section in a snapshot, with its type.
pub(super) fn typed<T: ConfigSection>(snapshot: &Snapshot) -> Option<&Arc<T>> {
    snapshot.downcast_ref::<SectionValue<T>>()?.0.as_ref()
}

/// The error for a section type that was not declared.
pub(super) fn undeclared<T: ConfigSection>() -> ConfigError {
    ConfigError::UndeclaredSection { section: T::PATH.to_owned(), type_name: type_name::<T>() }
}

/// The defaults of a section type, at its path.
pub(super) fn defaults<T: ConfigSection>() -> Value {
    let wrap = |inner, key: &str| Value::Object(Map::from_iter([(key.to_owned(), inner)]));
    T::PATH.rsplit('.').fold(T::defaults(), wrap)
}

/// Why a section is not in force.
pub(super) enum SectionError {
    Unreadable(ReadError),
    /// Fields, relative to the section, and what is wrong with them.
    Invalid(Vec<(String, String)>),
    /// The code of the section's type panicked, with this message.
    Panicked(String),
}

impl From<CaughtPanic> for SectionError {
    fn from(panic: CaughtPanic) -> Self {
        Self::Panicked(panic.into_text())
    }
}

/// Reading, checking and dropping a section run its author's code.
fn read<T: ConfigSection>(values: &Value) -> Result<Snapshot, SectionError> {
    let section: T = catch_panic(|| located::read(values))?.map_err(SectionError::Unreadable)?;
    // Before the check: while its panic unwinds, no destructor may panic as well.
    let held = SectionValue(Some(Arc::new(section)));
    match catch_panic(|| held.0.as_deref().map_or_else(Vec::new, faults))? {
        faults if faults.is_empty() => Ok(Arc::new(held)),
        faults => Err(SectionError::Invalid(faults)),
    }
}

fn faults<T: ConfigSection>(section: &T) -> Vec<(String, String)> {
    let report = section.validate().err();
    let faults = report.iter().flat_map(|report| report.iter());
    faults.map(|(path, error)| (path.to_string(), error.message().to_owned())).collect()
}
