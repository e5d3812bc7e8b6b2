//! Names, as far as the tables need them.

use std::borrow::Borrow;
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Namespace;

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("model")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ServiceName(&'static str);

#[derive(Debug)]
pub(crate) struct NameError;

impl ServiceName {
    pub(crate) fn new(_: impl AsRef<str>) -> Result<Self, NameError> {
        Err(NameError)
    }

    pub(crate) const fn from_static(name: &'static str) -> Self {
        Self(name)
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0
    }
}

impl Borrow<str> for ServiceName {
    fn borrow(&self) -> &str {
        self.0
    }
}

/// The traits of a group's key, which no scenario uses.
macro_rules! key_traits {
    ($($key:tt)*) => {};
}
pub(crate) use key_traits;

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
