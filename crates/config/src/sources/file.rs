//! The file layer: TOML, JSON or YAML text into settings, each with its line.
//!
//! The `config` crate is not used, not in its current version, 0.15.27, either. Its origin of a value is the name of a
//! file, without the line; a parser's error is a boxed text, without line and column as values; and it silently
//! converts between types ("80" and "yes" are integers to it, and 1.5 is 2). It would also bring a second parser for
//! each format, and its merged values would still need all of our checks.

use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use foundation_kernel::text::one_line;

use super::document::{Setting, malformed, position, settings};
#[cfg(feature = "yaml")]
use super::from_yaml;
use super::{from_json, from_toml};
use crate::values::ConfigError;

/// The mark that some editors put before a text; no format counts it as a part of the text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A file of the configuration.
#[derive(Debug, Clone)]
pub(super) enum File {
    Required(PathBuf),
    Optional(PathBuf),
}

/// Its path, as it was given.
impl AsRef<Path> for File {
    fn as_ref(&self) -> &Path {
        let (Self::Required(path) | Self::Optional(path)) = self;
        path
    }
}

impl File {
    /// The bytes of the file, at most one more than allowed, which shows that it is too large; `None` if there is no
    /// such file.
    pub(super) fn content(&self, max_bytes: usize) -> io::Result<Option<Vec<u8>>> {
        if self.as_ref().is_dir() {
            return Err(io::Error::other("it is a directory"));
        }
        match read_at_most(self.as_ref(), max_bytes) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// The settings in the file's content.
    pub(super) fn settings(
        &self,
        read: io::Result<Option<Vec<u8>>>,
        max_bytes: usize,
    ) -> Result<Vec<Setting>, ConfigError> {
        let path = self.as_ref();
        match (self, decode(path, read, max_bytes)?) {
            (_, Some(text)) => parse(path, &text),
            (Self::Required(path), None) => Err(ConfigError::MissingFile { path: path.clone() }),
            (Self::Optional(_), None) => Ok(Vec::new()),
        }
    }
}

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Toml,
    Json,
    Yaml,
}

impl Format {
    /// The format of a file name's extension; a file with an unknown one is TOML.
    fn of(path: &Path) -> Self {
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("json") => Self::Json,
            Some("yaml" | "yml") => Self::Yaml,
            _ => Self::Toml,
        }
    }
}

/// The settings of a text, in the format that the name of its file says; the path is otherwise for errors and origins.
fn parse(path: &Path, text: &str) -> Result<Vec<Setting>, ConfigError> {
    match Format::of(path) {
        Format::Toml => from_toml::parse(path, text),
        Format::Json => settings(path, from_json::parse(path, text)?),
        #[cfg(feature = "yaml")]
        Format::Yaml => settings(path, from_yaml::parse(path, text)?),
        #[cfg(not(feature = "yaml"))]
        Format::Yaml => Err(ConfigError::UnsupportedFormat { path: path.to_owned(), format: "YAML", feature: "yaml" }),
    }
}

fn read_at_most(path: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(max_bytes as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text of a file's bytes, without a byte order mark, or `None` if there is no such file.
fn decode(path: &Path, read: io::Result<Option<Vec<u8>>>, max_bytes: usize) -> Result<Option<String>, ConfigError> {
    match read {
        Ok(Some(bytes)) if bytes.len() > max_bytes => {
            let what = format!("config file {}", one_line(&path.to_string_lossy()));
            Err(ConfigError::OverLimit { what, found: "more bytes".to_owned(), limit: max_bytes })
        }
        Ok(bytes) => bytes.map(|bytes| text(path, bytes)).transpose(),
        Err(error) => {
            let (path, kind, reason) = (path.to_owned(), error.kind(), error.to_string());
            Err(ConfigError::UnreadableFile { path, kind, reason })
        }
    }
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, ConfigError> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        malformed(path, position(&before, valid), "this is not UTF-8 text")
    })?;
    Ok(text.strip_prefix(BYTE_ORDER_MARK).map(str::to_owned).unwrap_or(text))
}
