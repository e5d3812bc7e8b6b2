use std::io;
use std::path::{Path, PathBuf};

use foundation_kernel::names::NearMisses;
use foundation_kernel::text::{excerpt, one_line};
use thiserror::Error;

use super::origin::ValueOrigin;

/// Why a configuration could not be loaded, read or changed.
///
/// No message contains a value of type string, which may be a secret; only the message of a hand-written `Deserialize`
/// is passed on as it is. The errors of parsers and of the operating system are in it as texts, since they can neither be
/// cloned nor compared, and may contain values; their position or kind is a value.
///
/// ```
/// use foundation_config_server::ConfigSources;
///
/// let tree = ConfigSources::new()
///     .defaults(serde_json::json!({ "server": { "port": 80, "host": "localhost" } }))?
///     .load()?;
/// let error = tree.get("server.prt").unwrap_err();
/// assert_eq!(error.to_string(), "unknown config path server.prt; did you mean server.port?");
/// # Ok::<(), foundation_config_server::ConfigError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ConfigError {
    /// The text is not a [`ConfigPath`](crate::ConfigPath).
    #[error(
        "config path {path:?} {kind}; wanted segments of [a-z0-9_-] that start with a letter, with dots between them"
    )]
    InvalidPath {
        /// The text, shortened to 64 characters.
        path: String,
        /// What is wrong with it, and where.
        kind: ConfigPathErrorKind,
    },
    /// A layer has a key or a name that makes no path.
    #[error("{name:?} in {origin} is no config path: it {kind}")]
    InvalidKey {
        /// The key as a dotted path, or the rest of the variable's name; shortened to 64 characters.
        name: String,
        /// Where it was found.
        origin: ValueOrigin,
        /// What is wrong with it, and where.
        kind: ConfigPathErrorKind,
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
    /// A value has another type than its path requires.
    #[error("config path {path} wants {wanted}, found {found} ({origin})")]
    WrongType {
        /// The path; within an array it ends in an index, as in `peers[2].port`.
        path: String,
        /// The type that the path requires.
        wanted: String,
        /// The type that the value has.
        found: String,
        /// Where the value comes from.
        origin: ValueOrigin,
    },
    /// A section cannot be read as the requested type, for another reason than a wrong type.
    #[error("config path {path} cannot be read: {reason} ({origin})")]
    Unreadable {
        /// The path of the value or of the section.
        path: String,
        /// What is wrong, such as a missing field.
        reason: String,
        /// The highest layer that contributes to it.
        origin: ValueOrigin,
    },
    /// A section was to be changed; only the values in it can be.
    #[error("config path {path} is a section; name one of its values: {}", keys.join(", "))]
    IsSection {
        /// The path of the section.
        path: String,
        /// At most ten of the values in it.
        keys: Vec<String>,
    },
    /// A value was to be changed at run time that was not declared to be updatable.
    #[error("config path {path} may not change at run time{}", what_may(updatable))]
    NotUpdatable {
        /// The path of the value.
        path: String,
        /// At most ten of the values that may.
        updatable: Vec<String>,
    },
    /// A secret was to be set at run time, where it would have to be recorded.
    #[error("config path {path} is a secret, and what is set at run time is recorded; change it in its file instead")]
    Secret {
        /// The path of the secret.
        path: String,
    },
    /// A declared section does not pass its own validation.
    #[error("config section {section} is not valid: {}", listed(values))]
    InvalidSection {
        /// The path of the section.
        section: String,
        /// What is wrong in it, at least one thing.
        values: Vec<InvalidValue>,
    },
    /// Code of a declared section, or our own, panicked when the configuration was read or checked.
    #[error("{what} panicked: {reason}")]
    Panicked {
        /// What was done.
        what: String,
        /// What the panic said.
        reason: String,
    },
    /// A section was requested as a type that was not declared with the sources.
    #[error("config section {section} was not declared as {type_name}; ConfigSources::section does that")]
    UndeclaredSection {
        /// The path that the type declares.
        section: String,
        /// The type.
        type_name: &'static str,
    },
    /// A value was set at run time whose path is no longer in the files.
    #[error("config path {path} was set at run time and is gone from the files; reset it first")]
    Orphaned {
        /// The path of the value.
        path: String,
    },
    /// Something is larger than the limits allow.
    #[error("{what} has {found}, and at most {limit} are allowed")]
    OverLimit {
        /// What is too large.
        what: String,
        /// How large it is, as text.
        found: String,
        /// How large it may be.
        limit: usize,
    },
    /// A change was decided on a tree that is not the one that it is applied to.
    #[error("the value at config path {path} is no longer the one that this change was decided on")]
    Stale {
        /// The path of the change.
        path: String,
    },
    /// The defaults are not a section, or cannot be written as JSON.
    #[error("the config defaults are unusable: {reason}")]
    UnusableDefaults {
        /// What is wrong with them.
        reason: String,
    },
    /// The prefix of the environment variables cannot begin a variable's name.
    #[error("environment prefix {prefix:?} is unusable; wanted letters, digits, - and _, starting with a letter")]
    InvalidPrefix {
        /// The prefix, shortened to 64 characters.
        prefix: String,
    },
    /// An environment variable with the prefix is not Unicode text.
    #[error("environment variable {variable:?} is not Unicode text")]
    UnreadableVariable {
        /// Its name, with U+FFFD for each part that is not Unicode; shortened to 64 characters.
        variable: String,
    },
    /// Two environment variables, whose names differ in case only, mean the same path.
    #[error("environment variables {} and {} both set config path {path}", excerpt(first), excerpt(second))]
    AmbiguousVariables {
        /// The path.
        path: String,
        /// One variable.
        first: String,
        /// The other one.
        second: String,
    },
    /// A file that was named does not exist.
    #[error("config file {} does not exist", shown(path))]
    MissingFile {
        /// Its path, as it was given.
        path: PathBuf,
    },
    /// A file exists but cannot be read.
    #[error("config file {} cannot be read: {reason}", shown(path))]
    UnreadableFile {
        /// Its path, as it was given.
        path: PathBuf,
        /// The kind of the operating system's error.
        kind: io::ErrorKind,
        /// What the operating system said.
        reason: String,
    },
    /// A file of a format that this build cannot read.
    #[error("config file {} is {format}, and this build was made without the feature {feature}", shown(path))]
    UnsupportedFormat {
        /// Its path, as it was given.
        path: PathBuf,
        /// The name of the format.
        format: &'static str,
        /// The cargo feature that enables it.
        feature: &'static str,
    },
    /// A file is not in the format that its name says, or not even text.
    #[error("config file {}, line {line}, column {column}: {reason}", shown(path))]
    MalformedFile {
        /// Its path, as it was given.
        path: PathBuf,
        /// The line of the mistake, counted from 1.
        line: usize,
        /// The column of the mistake, in characters from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
}

impl ConfigError {
    pub(crate) fn wrong_type(path: &str, wanted: impl ToString, found: impl ToString, origin: ValueOrigin) -> Self {
        let path = path.to_owned();
        Self::WrongType { path, wanted: wanted.to_string(), found: found.to_string(), origin }
    }
}

/// A value that does not pass the validation of its section.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{path}: {reason} ({origin})")]
pub struct InvalidValue {
    /// The path of the value.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
    /// Where it comes from.
    pub origin: ValueOrigin,
}

/// The path of a file, on one line.
fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy()).into_owned()
}

/// A hostile text must not fill the log that the error is written to.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

fn instead(near: &NearMisses, top_level: &[String]) -> String {
    match (near.names(), top_level) {
        ([], []) => "; the configuration is empty".to_owned(),
        ([], keys) => format!("; nothing is near it, the top level has: {}", keys.join(", ")),
        _ => near.to_string(),
    }
}

fn what_may(updatable: &[String]) -> String {
    match updatable {
        [] => "; nothing was declared to be updatable".to_owned(),
        paths => format!("; what may: {}", paths.join(", ")),
    }
}

/// At most ten: a check may reject thousands of values.
fn listed(values: &[InvalidValue]) -> String {
    let mut listed: Vec<_> = values.iter().take(10).map(InvalidValue::to_string).collect();
    if let Some(more) = values.len().checked_sub(10).filter(|more| *more > 0) {
        listed.push(format!("and {more} more"));
    }
    listed.join("; ")
}

/// What is wrong with a text that should be a config path; positions count characters from 1.
///
/// ```
/// use foundation_config_server::{ConfigError, ConfigPath, ConfigPathErrorKind};
///
/// let error = ConfigPath::new("a..b").unwrap_err();
/// let kind = ConfigPathErrorKind::EmptySegment { position: 3 };
/// assert_eq!(error, ConfigError::InvalidPath { path: "a..b".into(), kind });
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigPathErrorKind {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// It is longer than [`ConfigPath::MAX_BYTES`](crate::ConfigPath::MAX_BYTES).
    #[error("is {bytes} bytes long, and at most 255 are allowed")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It is a key with a dot in it, which would mean another one in a section.
    #[error("has a dot in it; write a section with a key in it instead")]
    DottedKey,
    /// It has more segments than [`ConfigPath::MAX_SEGMENTS`](crate::ConfigPath::MAX_SEGMENTS).
    #[error("has {segments} segments, and at most 16 are allowed")]
    TooDeep {
        /// Its number of segments.
        segments: usize,
    },
    /// It has a dot at its start, at its end or right after another dot.
    #[error("has an empty segment at character {position}")]
    EmptySegment {
        /// The position at which a letter is expected.
        position: usize,
    },
    /// A segment starts with something else than a lower-case letter.
    #[error("has a segment that starts with {found:?} as character {position}")]
    BadStart {
        /// What the segment starts with.
        found: char,
        /// Its position; the first character has position 1.
        position: usize,
    },
    /// It has a character that is not allowed.
    #[error("has {found:?} as character {position}")]
    BadCharacter {
        /// The character.
        found: char,
        /// Its position; the first character has position 1.
        position: usize,
    },
}
