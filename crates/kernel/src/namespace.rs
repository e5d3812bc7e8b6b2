//! Namespaces, the names in them, and names that know their message type.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An isolation scope for names: the same name in two namespaces means two actors.
///
/// An application runs in [`Production`](Namespace::Production); each test gets a scope of its own from
/// [`Namespace::test`], so that hundreds of them run side by side in one process; and there may be any number of
/// others, such as one for each tenant, from [`Namespace::named`]. `Copy`, and written `production`, `test:<uuid>` or
/// as its name.
///
/// ```
/// use foundation_kernel::names::Namespace;
///
/// let mine = Namespace::test();
/// assert_ne!(mine, Namespace::test(), "every test namespace is fresh");
/// assert_eq!(mine.to_string().parse::<Namespace>()?, mine);
/// # Ok::<(), foundation_kernel::names::ParseNamespaceError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Namespace {
    /// The one that an application runs in.
    Production,
    /// One beside production, for example a tenant's. It is as isolated and as permanent as production, and is cleaned
    /// up on request.
    Named(NamespaceName),
    /// One test's own.
    Test(TestRef),
}

/// What makes a test namespace unique: a random UUID, as which it is written and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TestRef(Uuid);

impl Namespace {
    /// The namespace of this name.
    ///
    /// ```
    /// use foundation_kernel::names::Namespace;
    ///
    /// assert_eq!(Namespace::named("staging")?.to_string(), "staging");
    /// assert!(Namespace::named("production").is_err());
    /// # Ok::<(), foundation_kernel::names::ParseNamespaceError>(())
    /// ```
    ///
    /// # Errors
    /// [`ParseNamespaceError`], as [`NamespaceName::new`].
    pub fn named(name: impl AsRef<str>) -> Result<Self, ParseNamespaceError> {
        NamespaceName::new(name).map(Self::Named)
    }

    /// A new test namespace.
    pub fn test() -> Self {
        Self::Test(TestRef(Uuid::new_v4()))
    }

    /// Whether this is a test's namespace, which is temporary: it is not started again after a collapse.
    pub const fn is_test(&self) -> bool {
        matches!(self, Self::Test(_))
    }
}

impl fmt::Display for TestRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Production => f.pad(PRODUCTION),
            Self::Named(name) => name.fmt(f),
            Self::Test(test) => write!(f, "test:{test}"),
        }
    }
}

/// A text that is no namespace, or no part of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not {wanted}")]
pub struct ParseNamespaceError {
    found: String,
    wanted: Wanted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Wanted {
    #[error(
        "a namespace; expected `production`, `test:<uuid>`, or a name of 1 to {MAX_NAMESPACE_BYTES} of [a-z0-9_-] that starts with a letter"
    )]
    Namespace,
    #[error("the reference of a test namespace; expected a UUID")]
    TestRef,
}

impl ParseNamespaceError {
    fn new(found: &str, wanted: Wanted) -> Self {
        Self { found: found.chars().take(MAX_QUOTED).collect(), wanted }
    }
}

impl FromStr for TestRef {
    type Err = ParseNamespaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self).map_err(|_| ParseNamespaceError::new(text, Wanted::TestRef))
    }
}

impl FromStr for Namespace {
    type Err = ParseNamespaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("test:").map(TestRef::from_str) {
            Some(Ok(test)) => Ok(Self::Test(test)),
            None if text == PRODUCTION => Ok(Self::Production),
            _ => Self::named(text),
        }
    }
}

const PRODUCTION: &str = "production";

/// The longest name of a namespace, in bytes. It is part of each error of a name, which have to be small.
const MAX_NAMESPACE_BYTES: usize = 31;

/// How much of a text that is no name an error quotes, in characters.
const MAX_QUOTED: usize = 64;

/// The name of a namespace beside production: 1 to 31 bytes of `[a-z0-9_-]`, starting with a letter. `Copy`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NamespaceName {
    length: u8,
    /// Zero after the name, so that equal names have equal bytes.
    bytes: [u8; MAX_NAMESPACE_BYTES],
}

impl NamespaceName {
    /// Checks a name that is known only at run time.
    ///
    /// # Errors
    /// [`ParseNamespaceError`] says what a name may have. `production` is none: it is a namespace already.
    pub fn new(name: impl AsRef<str>) -> Result<Self, ParseNamespaceError> {
        let name = name.as_ref();
        match is_namespace_name(name.as_bytes()) {
            true => Ok(Self::of(name.as_bytes())),
            false => Err(ParseNamespaceError::new(name, Wanted::Namespace)),
        }
    }

    /// A name that is known at compile time; in a `const`, a bad one does not compile.
    ///
    /// ```
    /// use foundation_kernel::names::{Namespace, NamespaceName};
    ///
    /// const STAGING: Namespace = Namespace::Named(NamespaceName::from_static("staging"));
    /// assert_eq!(Namespace::named("staging")?, STAGING);
    /// # Ok::<(), foundation_kernel::names::ParseNamespaceError>(())
    /// ```
    ///
    /// ```compile_fail,E0080
    /// use foundation_kernel::names::NamespaceName;
    ///
    /// const TAKEN: NamespaceName = NamespaceName::from_static("production");
    /// # let _ = TAKEN;
    /// ```
    ///
    /// # Panics
    /// If the literal is not a valid name and this is not evaluated at compile time. For text from elsewhere use
    /// [`NamespaceName::new`].
    pub const fn from_static(name: &'static str) -> Self {
        assert!(
            is_namespace_name(name.as_bytes()),
            "the name of a namespace has 1 to 31 bytes of [a-z0-9_-], starts with a letter, and is not `production`"
        );
        Self::of(name.as_bytes())
    }

    /// The name of these bytes, which have been checked.
    const fn of(name: &[u8]) -> Self {
        let mut bytes = [0; MAX_NAMESPACE_BYTES];
        let mut at = 0;
        while at < name.len() {
            bytes[at] = name[at];
            at += 1;
        }
        Self { length: name.len() as u8, bytes }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        // Only ASCII is accepted, so it is always text.
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

const fn is_namespace_name(name: &[u8]) -> bool {
    if name.len() > MAX_NAMESPACE_BYTES || !is_valid(name) || is_same(name, PRODUCTION.as_bytes()) {
        return false;
    }
    let mut at = 0;
    while at < name.len() {
        if name[at] == b'.' {
            return false;
        }
        at += 1;
    }
    true
}

/// `==` of slices, which is not `const` yet.
const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

impl AsRef<str> for NamespaceName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for NamespaceName {
    type Err = ParseNamespaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl PartialOrd for NamespaceName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for NamespaceName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl fmt::Display for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Why a text is not a [`ServiceName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// No character at all.
    #[error("a service name must not be empty; it takes 1 to {MAX_NAME_BYTES} of [a-z0-9_.-] and starts with a letter")]
    Empty,
    /// More than 128 bytes.
    #[error("service name {name:?} has {found} bytes; at most {MAX_NAME_BYTES} are allowed")]
    TooLong {
        /// The beginning of the given name.
        name: String,
        /// How many bytes it has.
        found: usize,
    },
    /// A first character that is not a letter.
    #[error("service name {name:?} starts with {found:?}; a name starts with a letter a-z")]
    Start {
        /// The given name.
        name: String,
        /// Its first character.
        found: char,
    },
    /// A character that a name must not have.
    #[error("service name {name:?} has {found:?} at byte {at}; allowed are [a-z0-9_.-]")]
    Character {
        /// The given name.
        name: String,
        /// The first character that does not belong.
        found: char,
        /// Where it stands, in bytes from 0.
        at: usize,
    },
}

/// The name of a service in its namespace: 1 to 128 bytes of `[a-z0-9_.-]`, starting with a letter.
///
/// Cloning costs nothing for a literal and one reference count otherwise.
///
/// ```
/// use foundation_kernel::names::ServiceName;
///
/// const WORDS: ServiceName = ServiceName::from_static("word_count");
/// assert_eq!(ServiceName::new("word_count")?, WORDS);
///
/// let refused = ServiceName::new("word count").unwrap_err();
/// assert_eq!(refused.to_string(), r#"service name "word count" has ' ' at byte 4; allowed are [a-z0-9_.-]"#);
/// # Ok::<(), foundation_kernel::names::NameError>(())
/// ```
#[derive(Clone)]
pub struct ServiceName(Text);

#[derive(Clone)]
enum Text {
    Literal(&'static str),
    Shared(Arc<str>),
}

impl ServiceName {
    /// Checks a name that is known only at run time.
    ///
    /// # Errors
    /// [`NameError`] says which character is wrong and where.
    pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
        let name = name.as_ref();
        check(name)?;
        Ok(Self(Text::Shared(Arc::from(name))))
    }

    /// A name that is known at compile time; in a `const`, a bad one does not compile.
    ///
    /// ```compile_fail,E0080
    /// use foundation_kernel::names::ServiceName;
    ///
    /// const SPACED: ServiceName = ServiceName::from_static("word count");
    /// # let _ = SPACED;
    /// ```
    ///
    /// # Panics
    /// If the literal is not a valid name and this is not evaluated at compile time. For text from elsewhere use
    /// [`ServiceName::new`].
    pub const fn from_static(name: &'static str) -> Self {
        assert!(is_valid(name.as_bytes()), "a service name has 1 to 128 bytes of [a-z0-9_.-] and starts with a letter");
        Self(Text::Literal(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Literal(text) => text,
            Text::Shared(text) => text,
        }
    }
}

const fn is_valid(name: &[u8]) -> bool {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name[0].is_ascii_lowercase() {
        return false;
    }
    let mut at = 0;
    while at < name.len() {
        if !is_name_byte(name[at]) {
            return false;
        }
        at += 1;
    }
    true
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.' | b'-')
}

fn check(name: &str) -> Result<(), NameError> {
    let Some(first) = name.chars().next() else {
        return Err(NameError::Empty);
    };
    if name.len() > MAX_NAME_BYTES {
        let shown = name.chars().take(32).collect::<String>() + "…";
        return Err(NameError::TooLong { name: shown, found: name.len() });
    }
    let name = || name.to_owned();
    let misfit = |(_, c): &(usize, char)| u8::try_from(*c).map_or(true, |byte| !is_name_byte(byte));
    match name().char_indices().find(misfit) {
        Some((at, found)) => Err(NameError::Character { name: name(), found, at }),
        None if !first.is_ascii_lowercase() => Err(NameError::Start { name: name(), found: first }),
        None => Ok(()),
    }
}

// A name hashes and compares as its text, whichever way it is held: the table looks names up by `&str`.
impl Borrow<str> for ServiceName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for ServiceName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Hash for ServiceName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialEq for ServiceName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for ServiceName {}

impl PartialOrd for ServiceName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ServiceName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl FromStr for ServiceName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl Serialize for ServiceName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ServiceName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(text).map_err(serde::de::Error::custom)
    }
}

/// A service name together with the message type `M` that the service answers to.
///
/// Declare one `const` a service and use it for registering, looking up and waiting alike: the compiler then checks
/// which messages a service takes. A `static` serves as well, and is what to choose if a future that borrows the key is
/// kept and awaited in a later statement.
///
/// ```
/// use foundation_kernel::names::ServiceKey;
///
/// enum WordsMsg { Line(String) }
/// const WORDS: ServiceKey<WordsMsg> = ServiceKey::from_static("word_count");
/// assert_eq!(WORDS.name().as_str(), "word_count");
/// # let _ = WordsMsg::Line;
/// ```
pub struct ServiceKey<M> {
    name: ServiceName,
    kind: PhantomData<fn(M)>,
}

impl<M> ServiceKey<M> {
    /// A key for a name that is known at compile time; in a `const`, a bad name does not compile.
    ///
    /// ```compile_fail,E0080
    /// use foundation_kernel::names::ServiceKey;
    ///
    /// const SPACED: ServiceKey<()> = ServiceKey::from_static("word count");
    /// # let _ = SPACED.name();
    /// ```
    ///
    /// # Panics
    /// As [`ServiceName::from_static`].
    pub const fn from_static(name: &'static str) -> Self {
        Self { name: ServiceName::from_static(name), kind: PhantomData }
    }

    /// A key for a name that is known only at run time.
    ///
    /// # Errors
    /// [`NameError`] says which character is wrong and where.
    pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
        Ok(Self { name: ServiceName::new(name)?, kind: PhantomData })
    }

    /// The name alone.
    pub const fn name(&self) -> &ServiceName {
        &self.name
    }
}

/// The traits of a key, which are those of its name: the types that it stands for need none of them.
macro_rules! key_traits {
    ($Key:ident<$($Type:ident),+>) => {
        impl<$($Type),+> From<$crate::namespace::ServiceName> for $Key<$($Type),+> {
            fn from(name: $crate::namespace::ServiceName) -> Self {
                Self { name, kind: ::std::marker::PhantomData }
            }
        }

        impl<$($Type),+> ::std::str::FromStr for $Key<$($Type),+> {
            type Err = $crate::namespace::NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl<$($Type),+> AsRef<str> for $Key<$($Type),+> {
            fn as_ref(&self) -> &str {
                self.name.as_str()
            }
        }

        impl<$($Type),+> Clone for $Key<$($Type),+> {
            fn clone(&self) -> Self {
                self.name.clone().into()
            }
        }

        impl<$($Type),+> PartialEq for $Key<$($Type),+> {
            fn eq(&self, other: &Self) -> bool {
                self.name == other.name
            }
        }

        impl<$($Type),+> Eq for $Key<$($Type),+> {}

        impl<$($Type),+> PartialOrd for $Key<$($Type),+> {
            fn partial_cmp(&self, other: &Self) -> Option<::std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl<$($Type),+> Ord for $Key<$($Type),+> {
            fn cmp(&self, other: &Self) -> ::std::cmp::Ordering {
                self.name.cmp(&other.name)
            }
        }

        impl<$($Type),+> ::std::hash::Hash for $Key<$($Type),+> {
            fn hash<H: ::std::hash::Hasher>(&self, state: &mut H) {
                self.name.hash(state);
            }
        }

        impl<$($Type),+> ::std::fmt::Display for $Key<$($Type),+> {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.name.fmt(f)
            }
        }

        impl<$($Type),+> ::std::fmt::Debug for $Key<$($Type),+> {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                let types = [$(::std::any::type_name::<$Type>()),+].join(", ");
                write!(f, "{}({}: {types})", stringify!($Key), self.name)
            }
        }
    };
}
pub(crate) use key_traits;

key_traits!(ServiceKey<M>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containment::catch_panic;
    use proptest::prelude::*;

    #[test]
    fn a_bad_name_is_refused_with_the_character_and_its_place() {
        assert_eq!(ServiceName::new(""), Err(NameError::Empty));
        assert!(matches!(ServiceName::new("a b"), Err(NameError::Character { found: ' ', at: 1, .. })));
        assert!(matches!(ServiceName::new("größe"), Err(NameError::Character { found: 'ö', at: 2, .. })));
        assert!(matches!(ServiceName::new("9lives"), Err(NameError::Start { found: '9', .. })));
        assert!(matches!(ServiceName::new("x".repeat(129)), Err(NameError::TooLong { found: 129, .. })));
        assert!(ServiceName::new("x".repeat(128)).is_ok());
    }

    #[test]
    fn a_literal_that_is_no_name_panics_when_it_is_not_evaluated_at_compile_time() {
        for literal in ["", "9lives", "a b"] {
            assert!(catch_panic(|| ServiceName::from_static(literal)).is_err(), "{literal:?}");
            assert!(catch_panic(|| ServiceKey::<()>::from_static(literal)).is_err(), "{literal:?}");
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_quoted_by_its_beginning_only() {
        let error = ServiceName::new("ö".repeat(1_000)).unwrap_err();
        let NameError::TooLong { name, found: 2_000 } = &error else { panic!("{error}") };
        assert_eq!(*name, "ö".repeat(32) + "…");
    }

    #[test]
    fn a_text_that_is_no_namespace_is_refused_with_what_would_be_one() {
        for text in ["", "test:", "test:nonsense", "Production", "a b", "7up", "tenant.7", &"x".repeat(32)] {
            let error = text.parse::<Namespace>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("test:<uuid>"), "{error}");
        }
    }

    #[test]
    fn the_reference_of_a_test_is_written_and_read_as_its_uuid() {
        let Namespace::Test(test) = Namespace::test() else { panic!("it is a test's") };
        assert_eq!(test.to_string().parse(), Ok(test));
        let error = "staging".parse::<TestRef>().unwrap_err().to_string();
        assert_eq!(error, r#""staging" is not the reference of a test namespace; expected a UUID"#);
    }

    #[test]
    fn keys_compare_and_are_read_as_their_names_whatever_types_they_stand_for() {
        struct NoTraits;
        let [first, second] = ["first", "second"].map(|name| name.parse::<ServiceKey<NoTraits>>().unwrap());
        assert!(first < second && first == ServiceKey::from_static("first"));
        assert_eq!(std::collections::HashSet::from([first.clone(), second.clone(), first.clone()]).len(), 2);
        assert_eq!((first.as_ref(), second.to_string().as_str()), ("first", "second"));
        assert!(format!("{first:?}").starts_with("ServiceKey(first: "), "{first:?}");
    }

    #[test]
    fn a_named_namespace_is_written_and_read_as_its_name() {
        let longest = "x".repeat(31);
        for text in ["staging", "tenant-7", "a", "tenant_0f3a2b1c", &longest] {
            let named = Namespace::named(text).unwrap();
            assert_eq!((named.to_string().as_str(), text.parse()), (text, Ok(named)));
            assert!(Namespace::Production < named && named < Namespace::test());
        }
        assert!(Namespace::named("production").is_err(), "it is a namespace of its own");
        assert_eq!("production".parse(), Ok(Namespace::Production));
    }

    proptest! {
        #[test]
        fn the_check_at_compile_time_and_the_one_at_run_time_agree(name in "\\PC{0,12}|[a-z0-9_.-]{0,130}") {
            prop_assert_eq!(is_valid(name.as_bytes()), ServiceName::new(&name).is_ok());
        }
    }
}
