use std::path::PathBuf;

use foundation_core::NearMisses;
use thiserror::Error;

use super::origin::Origin;

/// Why a configuration could not be loaded, read or changed.
///
/// No message contains a value of type string, which may be a secret; only what a hand-written `Deserialize`
/// says is passed on as it is.
///
/// ```
/// use foundation::ConfigSources;
///
/// let tree = ConfigSources::new()
///     .defaults(serde_json::json!({ "server": { "port": 80, "host": "localhost" } }))?
///     .load()?;
/// let error = tree.get("server.prt").unwrap_err();
/// assert_eq!(error.to_string(), "unknown config path server.prt; did you mean server.port?");
/// # Ok::<(), foundation::ConfigError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ConfigError {
    /// The text is no [`ConfigPath`](crate::ConfigPath).
    #[error(
        "config path {path:?} {fault}; wanted segments of [a-z0-9_-] that start with a letter, with dots between them"
    )]
    InvalidPath {
        /// The text, shortened to 64 characters.
        path: String,
        /// What is wrong with it, and where.
        fault: PathFault,
    },
    /// A layer has a key or a name that makes no path.
    #[error("{name:?} in {origin} is no config path: it {fault}")]
    InvalidKey {
        /// The key as a dotted path, or what is left of the variable's name; shortened to 64 characters.
        name: String,
        /// Where it was found.
        origin: Origin,
        /// What is wrong with it, and where.
        fault: PathFault,
    },
    /// Nothing has this path.
    #[error("unknown config path {path}{}", instead(near, top_level))]
    UnknownPath {
        /// The path that was asked for.
        path: String,
        /// The known paths that look like it.
        near: NearMisses,
        /// At most ten keys of the top level.
        top_level: Vec<String>,
    },
    /// A value has another type than the place that it is meant for.
    #[error("config path {path} wants {wanted}, found {found} ({origin})")]
    WrongType {
        /// The path; within an array it goes on with an index, as in `peers[2].port`.
        path: String,
        /// The type that the place has.
        wanted: String,
        /// The type that the value has.
        found: String,
        /// Where the value comes from.
        origin: Origin,
    },
    /// A section cannot be read as the type that was asked for, for another reason than a wrong type.
    #[error("config path {path} cannot be read: {reason} ({origin})")]
    Unreadable {
        /// The path of the value or of the section.
        path: String,
        /// What is wrong, such as a missing field.
        reason: String,
        /// The highest layer that has a part in it.
        origin: Origin,
    },
    /// A section was to be changed; only the values in it can be.
    #[error("config path {path} is a section; name one of its values: {}", keys.join(", "))]
    IsSection {
        /// The path of the section.
        path: String,
        /// At most ten of the values in it.
        keys: Vec<String>,
    },
    /// A change was decided on a tree that is not the one that it is applied to.
    #[error("the value at config path {path} is no longer the one that this change was decided on")]
    Stale {
        /// The path of the change.
        path: String,
    },
    /// The defaults are no section or have no form in JSON.
    #[error("the config defaults are unusable: {reason}")]
    UnusableDefaults {
        /// What is wrong with them.
        reason: String,
    },
    /// The prefix of the environment variables can start no variable's name.
    #[error("environment prefix {prefix:?} is unusable; wanted letters, digits, - and _, starting with a letter")]
    InvalidPrefix {
        /// The prefix, shortened to 64 characters.
        prefix: String,
    },
    /// Two environment variables, whose names differ in case only, mean the same path.
    #[error("environment variables {first} and {second} both set config path {path}")]
    AmbiguousVariables {
        /// The path.
        path: String,
        /// One variable.
        first: String,
        /// The other one.
        second: String,
    },
    /// A file that was named does not exist.
    #[error("config file {} does not exist", path.display())]
    MissingFile {
        /// Its path, as it was given.
        path: PathBuf,
    },
    /// A file exists but cannot be read.
    #[error("config file {} cannot be read: {reason}", path.display())]
    UnreadableFile {
        /// Its path, as it was given.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// A file is no TOML, or not even text.
    #[error("config file {}, line {line}, column {column}: {reason}", path.display())]
    MalformedFile {
        /// Its path, as it was given.
        path: PathBuf,
        /// The line of the fault, counted from 1.
        line: usize,
        /// The column of the fault, in characters from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
}

impl ConfigError {
    pub(super) fn invalid_path(text: &str, fault: PathFault) -> Self {
        let path = shortened(text);
        Self::InvalidPath { path, fault }
    }

    pub(super) fn invalid_key(text: &str, origin: &Origin, fault: PathFault) -> Self {
        Self::InvalidKey { name: shortened(text), origin: origin.clone(), fault }
    }
}

/// A hostile text must not fill the log of whoever prints the error.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

fn instead(near: &NearMisses, top_level: &[String]) -> String {
    match (near.names(), top_level) {
        ([], []) => "; the configuration is empty".to_owned(),
        ([], keys) => format!("; nothing is near it, the top level has: {}", keys.join(", ")),
        _ => near.to_string(),
    }
}

/// What is wrong with a text that should be a config path; positions count characters from 1.
///
/// ```
/// use foundation::{ConfigError, ConfigPath, PathFault};
///
/// let error = ConfigPath::new("a..b").unwrap_err();
/// let fault = PathFault::EmptySegment { position: 3 };
/// assert_eq!(error, ConfigError::InvalidPath { path: "a..b".into(), fault });
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathFault {
    /// There is no text.
    #[error("is empty")]
    Empty,
    /// It is longer than [`ConfigPath::MAX_BYTES`](crate::ConfigPath::MAX_BYTES).
    #[error("is {bytes} bytes long, and at most 255 are allowed")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It has more segments than [`ConfigPath::MAX_SEGMENTS`](crate::ConfigPath::MAX_SEGMENTS).
    #[error("has {segments} segments, and at most 16 are allowed")]
    TooDeep {
        /// Its number of segments.
        segments: usize,
    },
    /// It has a dot at its start, at its end or right after another dot.
    #[error("has an empty segment at character {position}")]
    EmptySegment {
        /// Where a letter was wanted.
        position: usize,
    },
    /// A segment starts with something else than a lower-case letter.
    #[error("has a segment that starts with {found:?} as character {position}")]
    BadStart {
        /// What the segment starts with.
        found: char,
        /// Its place; the first character has place 1.
        position: usize,
    },
    /// It has a character that is not allowed.
    #[error("has {found:?} as character {position}")]
    BadCharacter {
        /// The character.
        found: char,
        /// Its place; the first character has place 1.
        position: usize,
    },
}
