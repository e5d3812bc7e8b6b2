use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use foundation_kernel::text::{excerpt, one_line};

/// The layer that a value comes from; a greater origin wins over a lesser one.
///
/// ```
/// use foundation_config_server::{ConfigSources, ValueOrigin};
///
/// let variables = [("APP__PORT".to_owned(), "81".to_owned())];
/// let tree = ConfigSources::new()
///     .defaults(serde_json::json!({ "port": 80 }))?
///     .environment("app", variables)?
///     .load()?;
/// assert_eq!(tree.origin("port")?, ValueOrigin::Environment("APP__PORT".into()));
/// # Ok::<(), foundation_config_server::ConfigError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueOrigin {
    /// Built in.
    Default,
    /// A file.
    File {
        /// The path of the file, as it was given.
        path: PathBuf,
        /// The line of the value, counted from 1.
        line: usize,
    },
    /// The environment variable of this name.
    Environment(String),
    /// An update at run time.
    Override,
}

impl fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the defaults"),
            Self::File { path, line } => write!(f, "file {}, line {line}", one_line(&path.to_string_lossy())),
            Self::Environment(variable) => write!(f, "environment variable {}", excerpt(variable)),
            Self::Override => f.write_str("an update at run time"),
        }
    }
}
