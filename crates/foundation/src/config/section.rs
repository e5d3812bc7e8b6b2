//! Sections with a type of their own.

use std::any::{Any, TypeId, type_name};
use std::sync::Arc;

use garde::Validate;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::ConfigError;
use super::located::{self, Fault};
use super::path::ConfigPath;

/// A section of the configuration with a type of its own: read by serde, validated by
/// [`garde`](https://docs.rs/garde), and declared with [`ConfigSources::section`](crate::ConfigSources::section).
///
/// No configuration is ever in force in which a declared section cannot be read or is not valid: neither when it is
/// loaded, nor after an update, nor after a file has changed. Secrets are best kept in a
/// [`SecretString`](crate::SecretString), which shows itself to nobody, and their paths named in
/// [`SECRETS`](Self::SECRETS), so that no error, event or export shows them either.
///
/// ```
/// use foundation::{ConfigSection, ConfigSources};
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
/// # Ok::<(), foundation::ConfigError>(())
/// ```
pub trait ConfigSection: DeserializeOwned + Validate<Context: Default> + Send + Sync + 'static {
    /// Where the section is in the configuration.
    const PATH: &'static str;

    /// What may change while the program runs, as paths within the section; `*` stands for all of it.
    const UPDATABLE: &'static [&'static str] = &[];

    /// What is never shown, as paths within the section; `*` stands for all of it.
    const SECRETS: &'static [&'static str] = &[];

    /// The values below all layers; none unless the type says otherwise.
    fn defaults() -> Value {
        Value::Object(Map::new())
    }
}

/// What was read of a declared section: an `Arc<T>`, of which only the section type knows the `T`.
pub(super) type Snapshot = Arc<dyn Any + Send + Sync>;

/// A declared section, its type forgotten.
#[derive(Clone)]
pub(super) struct SectionType {
    path: ConfigPath,
    id: TypeId,
    read: fn(&Value) -> Result<Snapshot, SectionFault>,
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
    pub(super) fn read(&self, values: &Value) -> Result<Snapshot, SectionFault> {
        (self.read)(values)
    }
}

/// What a snapshot was read as.
pub(super) fn typed<T: ConfigSection>(snapshot: &Snapshot) -> Option<&Arc<T>> {
    snapshot.downcast_ref()
}

/// The error for a section type that was not declared.
pub(super) fn undeclared<T: ConfigSection>() -> ConfigError {
    ConfigError::UndeclaredSection { section: T::PATH.to_owned(), type_name: type_name::<T>() }
}

/// The defaults of a section type, at their place.
pub(super) fn defaults<T: ConfigSection>() -> Value {
    let wrap = |inner, key: &str| Value::Object(Map::from_iter([(key.to_owned(), inner)]));
    T::PATH.rsplit('.').fold(T::defaults(), wrap)
}

/// Why a section is not in force.
pub(super) enum SectionFault {
    Unreadable(Fault),
    /// Fields, relative to the section, and what is wrong with them.
    Invalid(Vec<(String, String)>),
}

fn read<T: ConfigSection>(values: &Value) -> Result<Snapshot, SectionFault> {
    let section: T = located::read(values).map_err(SectionFault::Unreadable)?;
    match section.validate() {
        Ok(()) => Ok(Arc::new(Arc::new(section))),
        Err(report) => {
            let faults = report.iter().map(|(path, error)| (path.to_string(), error.message().to_owned()));
            Err(SectionFault::Invalid(faults.collect()))
        }
    }
}
