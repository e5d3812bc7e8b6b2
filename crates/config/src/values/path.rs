use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::{ConfigError, ConfigPathErrorKind, shortened};

/// The place of a value or of a section in the configuration: `server.http.port`.
///
/// 1 to 16 segments with dots between them, each of `[a-z0-9_-]` and starting with a letter, 255 bytes
/// altogether.
///
/// ```
/// use foundation_config_server::ConfigPath;
///
/// let path = ConfigPath::new("server.http.port")?;
/// assert_eq!(path.segments().last(), Some("port"));
/// assert!(path.is_within(&ConfigPath::new("server")?));
///
/// let error = ConfigPath::new("server.HTTP").unwrap_err();
/// assert!(error.to_string().contains("has a segment that starts with 'H' as character 8"));
/// # Ok::<(), foundation_config_server::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConfigPath(Cow<'static, str>);

impl ConfigPath {
    /// The longest path, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// The deepest path, in segments.
    pub const MAX_SEGMENTS: usize = 16;

    /// A path that is written in the program, for use as a `const`.
    ///
    /// # Panics
    ///
    /// If the text is no valid path. In a `const` that is an error of the compiler, not of the running program; use
    /// [`ConfigPath::new`] for a text that is not known beforehand.
    ///
    /// ```
    /// use foundation_config_server::ConfigPath;
    ///
    /// const PORT: ConfigPath = ConfigPath::from_static("server.http.port");
    /// assert_eq!(ConfigPath::new("server.http.port")?, PORT);
    /// # Ok::<(), foundation_config_server::ConfigError>(())
    /// ```
    ///
    /// ```compile_fail
    /// const WRONG: foundation_config_server::ConfigPath = foundation_config_server::ConfigPath::from_static("server.");
    /// # println!("{WRONG}");
    /// ```
    pub const fn from_static(text: &'static str) -> Self {
        assert!(
            is_path(text.as_bytes()),
            "a config path is 1 to 16 segments of [a-z0-9_-] that start with a letter, with dots between them, and 255 bytes"
        );
        Self(Cow::Borrowed(text))
    }

    /// A checked path.
    ///
    /// # Errors
    ///
    /// [`ConfigError::InvalidPath`], which says which character is wrong and where.
    pub fn new(text: impl Into<String>) -> Result<Self, ConfigError> {
        let text = text.into();
        match error_kind(&text) {
            None => Ok(Self(Cow::Owned(text))),
            Some(kind) => Err(ConfigError::InvalidPath { path: shortened(&text), kind }),
        }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, outermost first.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether this is `section` itself or lies in it.
    pub fn is_within(&self, section: &Self) -> bool {
        let rest = self.0.strip_prefix(section.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// A path and the paths of all sections around it, outermost first. Arrays are values: of the path of a part of one, as in
/// `peers[2].port`, only the path of the array counts.
pub(super) fn ancestry(path: &str) -> impl Iterator<Item = &str> {
    let path = path.split('[').next().unwrap_or_default();
    let ends = path.match_indices('.').map(|(end, _)| end);
    ends.chain([path.len()]).map(move |end| &path[..end])
}

/// Whether a text is a path. [`error_kind`] says of a text that is none why not.
const fn is_path(bytes: &[u8]) -> bool {
    let (mut at, mut segments, mut starts) = (0, 1, true);
    while at < bytes.len() {
        match bytes[at] {
            b'a'..=b'z' => starts = false,
            b'0'..=b'9' | b'_' | b'-' if !starts => {}
            b'.' if !starts => {
                starts = true;
                segments += 1;
            }
            _ => return false,
        }
        at += 1;
    }
    !starts && bytes.len() <= ConfigPath::MAX_BYTES && segments <= ConfigPath::MAX_SEGMENTS
}

/// The mistake in a text that should be a path, if any.
fn error_kind(text: &str) -> Option<ConfigPathErrorKind> {
    let bytes = text.len();
    if bytes == 0 {
        return Some(ConfigPathErrorKind::Empty);
    }
    if bytes > ConfigPath::MAX_BYTES {
        return Some(ConfigPathErrorKind::TooLong { bytes });
    }
    let segments = text.split('.').count();
    if segments > ConfigPath::MAX_SEGMENTS {
        return Some(ConfigPathErrorKind::TooDeep { segments });
    }
    character_error(text)
}

fn character_error(text: &str) -> Option<ConfigPathErrorKind> {
    let mut starts = true;
    for (position, found) in (1..).zip(text.chars()) {
        match found {
            '.' if starts => return Some(ConfigPathErrorKind::EmptySegment { position }),
            'a'..='z' => starts = false,
            '.' => starts = true,
            _ if starts => return Some(ConfigPathErrorKind::BadStart { found, position }),
            '0'..='9' | '_' | '-' => {}
            _ => return Some(ConfigPathErrorKind::BadCharacter { found, position }),
        }
    }
    // Every character is one byte here, so the length is a position.
    let position = text.len() + 1;
    starts.then_some(ConfigPathErrorKind::EmptySegment { position })
}

impl fmt::Display for ConfigPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for ConfigPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ConfigPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConfigPath {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::new(text)
    }
}

impl TryFrom<String> for ConfigPath {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        Self::new(text)
    }
}

impl From<ConfigPath> for String {
    fn from(path: ConfigPath) -> Self {
        path.0.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_check_at_compile_time_accepts_what_the_one_at_run_time_accepts(text in "[a-bé1_.-]{0,8}|(a[.]){14,18}a|a{253,257}") {
            prop_assert_eq!(is_path(text.as_bytes()), error_kind(&text).is_none());
        }
    }

    #[test]
    fn a_path_of_every_allowed_character_is_accepted() {
        for text in ["a", "server.http.port", "a-b_c9.d", &["a"; 16].join(".")] {
            assert_eq!(ConfigPath::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn an_empty_path_is_refused() {
        assert_eq!(error_kind(""), Some(ConfigPathErrorKind::Empty));
    }

    #[test]
    fn an_empty_segment_is_refused_with_its_position() {
        for (text, position) in [(".", 1), ("a..b", 3), (".a", 1), ("a.", 3)] {
            assert_eq!(error_kind(text), Some(ConfigPathErrorKind::EmptySegment { position }), "{text}");
        }
    }

    #[test]
    fn a_segment_that_does_not_start_with_a_letter_is_refused_with_its_start() {
        let (found, position) = ('1', 3);
        assert_eq!(error_kind("a.1b"), Some(ConfigPathErrorKind::BadStart { found, position }));
    }

    #[test]
    fn a_wrong_character_is_refused_with_its_position_in_characters() {
        let (found, position) = ('é', 4);
        assert_eq!(error_kind("a.bé/c"), Some(ConfigPathErrorKind::BadCharacter { found, position }));
    }

    #[test]
    fn a_path_that_is_too_long_or_too_deep_is_refused_with_its_size() {
        let bytes = 256;
        assert_eq!(error_kind(&"a".repeat(256)), Some(ConfigPathErrorKind::TooLong { bytes }));
        let segments = 17;
        let deep = ["a"; 17].join(".");
        assert_eq!(error_kind(&deep), Some(ConfigPathErrorKind::TooDeep { segments }));
    }

    #[test]
    fn a_hostile_path_is_shown_escaped_and_shortened() {
        let text = format!("../../etc/passwd\u{1b}[31m{}", "x".repeat(100_000));
        let message = ConfigPath::new(text).unwrap_err().to_string();
        assert!(message.len() < 300, "{message}");
        assert!(!message.contains('\u{1b}'), "{message}");
    }

    #[test]
    fn a_path_lies_within_itself_and_its_sections_but_not_within_a_namesake() {
        let path = |text| ConfigPath::new(text).unwrap();
        assert!(path("a.b").is_within(&path("a.b")));
        assert!(path("a.b").is_within(&path("a")));
        assert!(!path("ab.c").is_within(&path("a")));
        assert!(!path("a").is_within(&path("a.b")));
    }
}
