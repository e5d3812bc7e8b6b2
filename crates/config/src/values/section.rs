//! Sections with a type of their own, and what is declared about a configuration besides.

use std::any::{Any, TypeId};
use std::collections::BTreeSet;
use std::sync::Arc;

use foundation_kernel::containment::{CaughtPanic, catch_panic, drop_contained};
use garde::Validate;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::ConfigError;
use super::limits::ConfigLimits;
use super::located::{self, Problem};
use super::path::{ConfigPath, ancestry};

/// A relative path that stands for the whole section.
const EVERYTHING: &str = "*";

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
pub(crate) type Snapshot = Arc<dyn Any + Send + Sync>;

/// A section that is dropped with panics caught: the server or any reader may drop the last tree with it.
struct SectionValue<T>(Option<Arc<T>>);

impl<T> Drop for SectionValue<T> {
    fn drop(&mut self) {
        drop_contained("a section of the configuration", self.0.take());
    }
}

/// The section in a snapshot, with its type.
pub(crate) fn typed<T: ConfigSection>(snapshot: &Snapshot) -> Option<&Arc<T>> {
    snapshot.downcast_ref::<SectionValue<T>>()?.0.as_ref()
}

/// Why a section is not in force.
pub(super) enum SectionError {
    /// The path of the part that does not fit, and why.
    Unreadable(String, Problem),
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
fn read<T: ConfigSection>(values: &Value, path: &str) -> Result<Snapshot, SectionError> {
    let read = catch_panic(|| located::read(values, path))?;
    let section: T = read.map_err(|(path, problem)| SectionError::Unreadable(path, problem))?;
    // Before the check: while its panic unwinds, no destructor may panic as well.
    let held = SectionValue(Some(Arc::new(section)));
    match catch_panic(|| held.0.as_deref().map_or_else(Vec::new, invalid_fields))? {
        fields if fields.is_empty() => Ok(Arc::new(held)),
        fields => Err(SectionError::Invalid(fields)),
    }
}

fn invalid_fields<T: ConfigSection>(section: &T) -> Vec<(String, String)> {
    let report = section.validate().err();
    let errors = report.iter().flat_map(|report| report.iter());
    errors.map(|(path, error)| (path.to_string(), error.message().to_owned())).collect()
}

/// The declarations about a configuration, independent of its layers.
#[derive(Clone, Default)]
pub(crate) struct Schema {
    sections: Vec<DeclaredSection>,
    updatable: BTreeSet<ConfigPath>,
    secrets: BTreeSet<ConfigPath>,
    pub(crate) limits: ConfigLimits,
}

/// A declared section with its type erased.
#[derive(Clone)]
struct DeclaredSection {
    path: ConfigPath,
    id: TypeId,
    read: fn(&Value, &str) -> Result<Snapshot, SectionError>,
}

impl Schema {
    /// Adds a section type with all its declarations; adding it again changes nothing.
    pub(crate) fn add<T: ConfigSection>(&mut self) -> Result<(), ConfigError> {
        let (path, id) = (ConfigPath::new(T::PATH)?, TypeId::of::<T>());
        if self.index_of::<T>().is_none() {
            self.sections.push(DeclaredSection { path, id, read: read::<T> });
        }
        for path in T::UPDATABLE {
            self.updatable.insert(inside::<T>(path)?);
        }
        for path in T::SECRETS {
            self.secrets.insert(inside::<T>(path)?);
        }
        Ok(())
    }

    pub(crate) fn add_updatable(&mut self, path: ConfigPath) {
        self.updatable.insert(path);
    }

    pub(crate) fn add_secret(&mut self, path: ConfigPath) {
        self.secrets.insert(path);
    }

    pub(super) fn index_of<T: ConfigSection>(&self) -> Option<usize> {
        self.sections.iter().position(|section| section.id == TypeId::of::<T>())
    }

    /// Whether the value may change while the program runs.
    pub(super) fn is_updatable(&self, path: &ConfigPath) -> bool {
        ancestry(path.as_str()).any(|part| self.updatable.contains(part))
    }

    /// Whether the value, or a part of it, is never shown. The path may be that of an error and end in indices.
    pub(super) fn is_secret(&self, path: &str) -> bool {
        ancestry(path).any(|part| self.secrets.contains(part))
    }

    /// Whether a message about this path must not contain its value: it is a secret, or a section with one in it. The
    /// path may lead to a part of an array; the empty path stands for everything.
    pub(super) fn hides(&self, path: &str) -> bool {
        let is_inside = |secret: &ConfigPath| path.is_empty() || ancestry(secret.as_str()).any(|part| part == path);
        self.is_secret(path) || self.secrets.iter().any(is_inside)
    }

    /// The snapshots of all sections, in their order, from the values at their paths: those that have changed are read
    /// and validated, the others are taken over. The error is that of the first section, with its path.
    pub(super) fn read_sections<'a>(
        &self,
        before: &[Snapshot],
        has_changed: impl Fn(&ConfigPath) -> bool,
        value_at: impl Fn(&str) -> Option<&'a Value>,
    ) -> Result<Arc<[Snapshot]>, (ConfigPath, SectionError)> {
        let nothing = Value::Object(Map::new());
        let snapshots = self.sections.iter().enumerate().map(|(index, section)| match before.get(index) {
            Some(snapshot) if !has_changed(&section.path) => Ok(Arc::clone(snapshot)),
            _ => {
                let path = section.path.as_str();
                let values = value_at(path).unwrap_or(&nothing);
                (section.read)(values, path).map_err(|error| (section.path.clone(), error))
            }
        });
        snapshots.collect()
    }
}

fn inside<T: ConfigSection>(path: &str) -> Result<ConfigPath, ConfigError> {
    match path {
        EVERYTHING => ConfigPath::new(T::PATH),
        path => ConfigPath::new(format!("{}.{path}", T::PATH)),
    }
}
