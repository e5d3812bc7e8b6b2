use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::environment::{self, Variable};
use super::error::ConfigError;
use super::file;
use super::layers::{Layers, Setting, settings};
use super::origin::Origin;
use super::tree::ConfigTree;
use super::value_type::ValueType;

/// Where the configuration comes from: defaults, below a TOML file, below environment variables.
///
/// A higher layer may add values and change those below it, but not their type: an integer may stand
/// where a float was, anything where `null` was, and a section stays a section. All of it is optional.
///
/// # Environment variables
///
/// With the prefix `APP`, `APP__SERVER__MAX_CONNS` sets `server.max_conns`, or `server.max-conns` if
/// that is the one there is. The text becomes a value of the type that the layers below have there: a
/// string is taken as it is, all else is written as in TOML (`true`, `42`, `1.5`, `[1, 2]`). A variable
/// with the prefix whose path nothing below has is taken as well, as whatever it would be in TOML, and
/// otherwise as a string; [`ConfigTree::unknown_variables`] tells of it, since it may be misspelt.
///
/// ```
/// use foundation::{ConfigSources, Origin};
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct Defaults {
///     port: u16,
///     host: &'static str,
/// }
///
/// let environment = [("APP__HOST".to_owned(), "example.org".to_owned())];
/// let tree = ConfigSources::new()
///     .defaults(Defaults { port: 80, host: "localhost" })?
///     .optional_file("no-such-file.toml")
///     .environment("APP", environment)?
///     .load()?;
/// assert_eq!(tree.get("host")?, "example.org");
/// assert_eq!(tree.origin("port")?, Origin::Default);
/// # Ok::<(), foundation::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct ConfigSources {
    defaults: Vec<Value>,
    file: Option<File>,
    variables: Vec<Variable>,
}

#[derive(Debug, Clone)]
enum File {
    Required(PathBuf),
    Optional(PathBuf),
}

impl ConfigSources {
    /// No sources at all, which load an empty configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// With these built-in values: a struct, a map or a JSON object.
    ///
    /// Each call adds to those before it and wins over them, so that every component of a program can
    /// bring its own. Keys have to be segments of a [`ConfigPath`](crate::ConfigPath).
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnusableDefaults`] if they have no form in JSON or are no section.
    pub fn defaults(mut self, defaults: impl Serialize) -> Result<Self, ConfigError> {
        let unusable = |reason| ConfigError::UnusableDefaults { reason };
        let value = serde_json::to_value(defaults).map_err(|error| unusable(error.to_string()))?;
        match ValueType::of(&value) {
            ValueType::Section => self.defaults.push(value),
            found => return Err(unusable(format!("wanted a section, found {found}"))),
        }
        Ok(self)
    }

    /// With a TOML file that has to exist; only the last file that is named counts.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(File::Required(path.into()));
        self
    }

    /// With a TOML file that may be absent; only the last file that is named counts.
    pub fn optional_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(File::Optional(path.into()));
        self
    }

    /// With those of these variables whose names start with the prefix and two underscores.
    ///
    /// The prefix is taken in upper case and with `_` for `-`, so that the name of a program will do;
    /// a later call replaces an earlier one. Other variables are not kept. For the environment of the
    /// process pass `std::env::vars_os()` without what is no Unicode; `std::env::vars()` panics on that.
    ///
    /// # Errors
    ///
    /// [`ConfigError::InvalidPrefix`].
    pub fn environment(
        mut self,
        prefix: impl AsRef<str>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let prefix = environment::prefix(prefix.as_ref())?;
        let ours = |(name, text)| Variable::with_prefix(&prefix, name, text);
        self.variables = variables.into_iter().filter_map(ours).collect();
        self.variables.sort();
        Ok(self)
    }

    /// Reads the file, if there is one, and merges the layers.
    ///
    /// This blocks on one file; under an async runtime that is for its blocking threads.
    ///
    /// # Errors
    ///
    /// [`ConfigError::MissingFile`], [`ConfigError::UnreadableFile`] and [`ConfigError::MalformedFile`]
    /// about the file; [`ConfigError::WrongType`], [`ConfigError::InvalidKey`] and
    /// [`ConfigError::AmbiguousVariables`] about what the layers say.
    pub fn load(&self) -> Result<ConfigTree, ConfigError> {
        let mut layers = Layers::new();
        for defaults in &self.defaults {
            layers.put_all(settings(defaults.clone(), &Origin::Default)?)?;
        }
        if let Some(file) = &self.file {
            layers.put_all(file.settings()?)?;
        }
        let unknown = environment::overlay(&mut layers, &self.variables)?;
        Ok(ConfigTree::new(layers, unknown))
    }
}

impl File {
    fn settings(&self) -> Result<Vec<Setting>, ConfigError> {
        let (Self::Required(path) | Self::Optional(path)) = self;
        match (self, file::read(path)?) {
            (_, Some(text)) => file::parse(path, &text),
            (Self::Required(path), None) => Err(ConfigError::MissingFile { path: path.clone() }),
            (Self::Optional(_), None) => Ok(Vec::new()),
        }
    }
}

/// Shows no values, since some may be secrets.
impl fmt::Debug for ConfigSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variables: Vec<_> = self.variables.iter().map(Variable::name).collect();
        f.debug_struct("ConfigSources").field("file", &self.file).field("variables", &variables).finish_non_exhaustive()
    }
}
