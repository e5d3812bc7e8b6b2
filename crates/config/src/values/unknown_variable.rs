use std::fmt;

use foundation_kernel::names::NearMisses;
use foundation_kernel::text::excerpt;

use super::path::ConfigPath;

/// An environment variable with the prefix whose path no lower layer knows.
///
/// It is taken nevertheless, since not every setting needs a default, but it may be a misspelling: log it when the
/// configuration is loaded. It never contains the variable's value.
///
/// ```
/// use foundation_config_server::ConfigSources;
///
/// let tree = ConfigSources::new()
///     .defaults(serde_json::json!({ "server": { "port": 80 } }))?
///     .environment("APP", [("APP__SERVER__PROT".to_owned(), "81".to_owned())])?
///     .load()?;
/// assert_eq!(
///     tree.unknown_variables()[0].to_string(),
///     "environment variable APP__SERVER__PROT sets config path server.prot, which nothing else has; \
///      did you mean server.port?"
/// );
/// # Ok::<(), foundation_config_server::ConfigError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVariable {
    /// The name of the variable.
    pub variable: String,
    /// The path that it set.
    pub path: ConfigPath,
    /// The known paths that look like it.
    pub near: NearMisses,
}

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variable, path, near } = self;
        write!(f, "environment variable {} sets config path {path}, which nothing else has{near}", excerpt(variable))
    }
}
