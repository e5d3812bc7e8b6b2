use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::environment::{self, Variable};
use super::file::File;
use crate::values::{
    Audit, ConfigError, ConfigLimits, ConfigPath, ConfigSection, ConfigTree, Fingerprint, Layers, Schema, Source,
    ValueOrigin, ValueType,
};

/// How often watched files are checked, whether or not a notification arrives.
const DEFAULT_POLL: Duration = Duration::from_secs(5);

/// Where the configuration comes from: defaults, below files, below environment variables.
///
/// A higher layer may add values and change those below it, but not their type: an integer may stand
/// where a float was, anything where `null` was, and a section stays a section. All of it is optional.
///
/// # Files
///
/// TOML, JSON (`.json`) and, with the feature `yaml`, YAML (`.yaml`, `.yml`), distinguished by the file's extension; a
/// file with any other extension is TOML. A later file lies over those before it. YAML anchors, aliases, tags and
/// second documents are refused.
///
/// The same content means the same in each format: integers have 64 bits, with or without a sign, and a byte order mark
/// is skipped. A duplicate key, and a key with a dot in it, which would mean another one in a section, are refused with
/// their position.
///
/// # Declarations
///
/// [`section`](Self::section) gives a section a type, with validation; [`updatable`](Self::updatable) declares values
/// that may change while the program runs, without which none may; [`secret`](Self::secret) declares values that are
/// never shown.
///
/// # Environment variables
///
/// With the prefix `APP`, `APP__SERVER__MAX_CONNS` sets `server.max_conns`, or `server.max-conns` if that is the path
/// that exists. The text becomes a value of the type that the layers below have there: a string is taken as it is, all
/// else is written as in TOML (`true`, `42`, `1.5`, `[1, 2]`). A variable with the prefix whose path no lower layer has
/// is taken as well, as its TOML value if it has one and otherwise as a string; [`ConfigTree::unknown_variables`] lists
/// it, since it may be misspelt.
///
/// ```
/// use foundation_config_server::{ConfigSources, ValueOrigin};
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
/// assert_eq!(tree.origin("port")?, ValueOrigin::Default);
/// # Ok::<(), foundation_config_server::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct ConfigSources {
    defaults: Vec<Value>,
    files: Vec<File>,
    variables: Vec<Variable>,
    schema: Schema,
    audit: Audit,
    quiet: Option<Duration>,
    poll: Option<Duration>,
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
    /// [`ConfigError::UnusableDefaults`] if they cannot be written as JSON or are not a section.
    pub fn defaults(mut self, defaults: impl Serialize) -> Result<Self, ConfigError> {
        let unusable = |reason| ConfigError::UnusableDefaults { reason };
        let value = serde_json::to_value(defaults).map_err(|error| unusable(error.to_string()))?;
        match ValueType::from(&value) {
            ValueType::Section => self.defaults.push(value),
            found => return Err(unusable(format!("wanted a section, found {found}"))),
        }
        Ok(self)
    }

    /// With a file that has to exist, over those that were named before.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(File::Required(path.into()));
        self
    }

    /// With a file that may be absent, over those that were named before.
    pub fn optional_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(File::Optional(path.into()));
        self
    }

    /// With the files read again whenever the content of one has changed and no other change follows for this long;
    /// 200 ms is a good choice, and editors that write in several steps need a few. Invalid content is refused, with
    /// the configuration as it was and an event `config_reload_refused`, once for each content.
    ///
    /// A file is watched through every link and every folder on the way to it: it may be replaced, as may the target of
    /// a link, and folders may be removed, made again and renamed. An optional file, or its folder, may come later.
    /// Other changes in these folders are ignored.
    ///
    /// Where the operating system does not report changes, the files are checked [at intervals](Self::poll)
    /// nevertheless; [`ConfigStatus::watch`](crate::ConfigStatus::watch) and a warning to `tracing` say so.
    #[cfg(feature = "reload")]
    pub fn watch(mut self, quiet: Duration) -> Self {
        self.quiet = Some(quiet);
        self
    }

    /// With watched files checked this often, 5 s by default, at least 1 ms: for file systems that do not report
    /// changes, and for missed reports. Costs reading the files. A changed file that could not be recorded is tried
    /// again as often.
    #[cfg(feature = "reload")]
    pub fn poll(mut self, every: Duration) -> Self {
        self.poll = Some(every.max(Duration::from_millis(1)));
        self
    }

    /// With this type for one of the sections, and with its defaults, over those that were named before.
    ///
    /// # Errors
    ///
    /// [`ConfigError::InvalidPath`] if the type's path is not valid.
    pub fn section<T: ConfigSection>(mut self) -> Result<Self, ConfigError> {
        self.schema.add::<T>()?;
        self.defaults(section_defaults::<T>())
    }

    /// With a value, or everything in a section, that may change while the program runs.
    ///
    /// # Errors
    ///
    /// [`ConfigError::InvalidPath`].
    pub fn updatable(mut self, path: impl AsRef<str>) -> Result<Self, ConfigError> {
        self.schema.add_updatable(ConfigPath::new(path.as_ref())?);
        Ok(self)
    }

    /// With a value, or everything in a section, that is never shown: not in `Debug`, errors, events and exports. A
    /// secret cannot be set at run time, since that would be recorded; if it is updatable, it may change in its file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::InvalidPath`].
    pub fn secret(mut self, path: impl AsRef<str>) -> Result<Self, ConfigError> {
        self.schema.add_secret(ConfigPath::new(path.as_ref())?);
        Ok(self)
    }

    /// With these limits instead of the usual ones.
    pub fn limits(mut self, limits: ConfigLimits) -> Self {
        self.schema.limits = limits;
        self
    }

    /// With changes that need not be recorded, or must be; by default they must.
    pub fn audit(mut self, audit: Audit) -> Self {
        self.audit = audit;
        self
    }

    /// With those of these variables whose names start with the prefix and two underscores.
    ///
    /// The prefix is taken in upper case and with `_` for `-`, so that the name of a program will do;
    /// a later call replaces an earlier one. Other variables are not kept.
    ///
    /// # Errors
    ///
    /// [`ConfigError::InvalidPrefix`].
    pub fn environment(
        mut self,
        prefix: impl AsRef<str>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        self.variables = Variable::with_prefix(prefix.as_ref(), variables)?;
        Ok(self)
    }

    /// With those variables of this process, as they are now, whose names start with the prefix; see
    /// [`environment`](Self::environment).
    ///
    /// ```
    /// use foundation_config_server::ConfigSources;
    ///
    /// let tree = ConfigSources::new().process_environment("my-app")?.load()?;
    /// # assert_eq!(tree.paths().count(), 0);
    /// # Ok::<(), foundation_config_server::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::InvalidPrefix`]; [`ConfigError::UnreadableVariable`] if one with the prefix is not Unicode. Other
    /// variables may hold anything.
    pub fn process_environment(self, prefix: impl AsRef<str>) -> Result<Self, ConfigError> {
        let variables = environment::unicode(prefix.as_ref(), std::env::vars_os())?;
        self.environment(prefix, variables)
    }

    /// Reads the files, if there are any, and merges the layers.
    ///
    /// Blocks on the files; under an async runtime, call it on a blocking thread.
    ///
    /// # Errors
    ///
    /// [`ConfigError::MissingFile`], [`ConfigError::UnreadableFile`], [`ConfigError::UnsupportedFormat`] and
    /// [`ConfigError::MalformedFile`] about a file; [`ConfigError::WrongType`], [`ConfigError::InvalidKey`],
    /// [`ConfigError::AmbiguousVariables`] and [`ConfigError::OverLimit`] about what the layers say;
    /// [`ConfigError::InvalidSection`] and those of [`ConfigTree::get_as`] about the declared sections.
    pub fn load(&self) -> Result<ConfigTree, ConfigError> {
        let mut layers = Layers::default();
        for defaults in &self.defaults {
            layers.put_object(defaults.clone(), &ValueOrigin::Default)?;
        }
        let (contents, max_bytes) = (self.contents(), self.schema.limits.max_file_bytes);
        let fingerprint = contents.iter().collect();
        for (file, content) in self.files.iter().zip(contents) {
            for (path, value, origin) in file.settings(content, max_bytes)? {
                layers.put(path, value, origin)?;
            }
        }
        let unknown = environment::overlay(&mut layers, &self.variables)?;
        ConfigTree::new(layers, unknown, Arc::new(self.schema.clone()), Arc::new(self.clone()), fingerprint)
    }

    /// The contents of the files as they are now.
    fn contents(&self) -> Vec<io::Result<Option<Vec<u8>>>> {
        self.files.iter().map(|file| file.content(self.schema.limits.max_file_bytes)).collect()
    }
}

impl Source for ConfigSources {
    fn audit(&self) -> Audit {
        self.audit
    }

    fn load_again(&self) -> Result<ConfigTree, ConfigError> {
        self.load()
    }

    fn watch(&self) -> Option<(Duration, Duration)> {
        // Without a file there is nothing to watch.
        let quiet = self.quiet.filter(|_| !self.files.is_empty())?;
        Some((quiet, self.poll.unwrap_or(DEFAULT_POLL)))
    }

    fn files(&self) -> Vec<PathBuf> {
        self.files.iter().map(|file| file.as_ref().to_owned()).collect()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.contents().iter().collect()
    }
}

/// The defaults of a section type, at its path.
fn section_defaults<T: ConfigSection>() -> Value {
    let wrap = |inner, key: &str| Value::Object(Map::from_iter([(key.to_owned(), inner)]));
    T::PATH.rsplit('.').fold(T::defaults(), wrap)
}

/// Shows no values, since some may be secrets.
impl fmt::Debug for ConfigSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigSources")
            .field("files", &self.files)
            .field("variables", &self.variables)
            .finish_non_exhaustive()
    }
}
