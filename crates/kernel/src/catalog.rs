//! Things that are registered under names at run time: kinds of services, exporters, formats.
//!
//! # Invariants
//!
//! 1. A name has one entry at most, and an entry never changes: another one takes its place only after it was removed.
//! 2. There are never more entries than the limit.
//! 3. No entry is dropped under the lock: destructors are foreign code.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use serde::Serialize;

use crate::namespace::{NameError, ServiceName};
use crate::near::NearMisses;

/// Things of one sort, registered under names: checked when they are, found with near misses, listed and counted.
///
/// Cost: a read lock and a search in a sorted map.
///
/// ```
/// use foundation_kernel::catalog::{Catalog, CatalogError};
///
/// let prices = Catalog::new("price", 100);
/// prices.insert("coffee", 3)?;
/// assert_eq!(*prices.get("coffee")?, 3);
///
/// let error = prices.get("cofee").unwrap_err();
/// assert_eq!(error.to_string(), "there is no price cofee; did you mean coffee?");
/// # Ok::<(), CatalogError>(())
/// ```
pub struct Catalog<T: ?Sized> {
    /// What an entry is called in errors.
    what: &'static str,
    limit: usize,
    entries: RwLock<BTreeMap<ServiceName, Arc<T>>>,
    inserted: AtomicU64,
    removed: AtomicU64,
    found: AtomicU64,
    missed: AtomicU64,
}

/// How a [`Catalog`] has been used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct CatalogStats {
    /// The entries that there are.
    pub entries: usize,
    /// How many were inserted so far.
    pub inserted: u64,
    /// How many were removed so far.
    pub removed: u64,
    /// How often an entry was found.
    pub found: u64,
    /// How often none was.
    pub missed: u64,
}

/// Why a [`Catalog`] refuses something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The name is not valid.
    #[error("{name:?} cannot be the name of a {what}: {source}")]
    InvalidName {
        /// What was to be registered.
        what: &'static str,
        /// The beginning of the name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// Another entry has the name.
    #[error("{what} {name} is registered already")]
    AlreadyRegistered {
        /// What was to be registered.
        what: &'static str,
        /// The name.
        name: ServiceName,
    },
    /// There are as many entries as there may be.
    #[error("{what} {name} cannot be registered: there are {limit} already, as many as there may be")]
    TooMany {
        /// What was to be registered.
        what: &'static str,
        /// The name.
        name: ServiceName,
        /// The limit.
        limit: usize,
    },
    /// No entry has the name.
    #[error("there is no {what} {name}{near}")]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// The beginning of the name.
        name: String,
        /// Similar names.
        near: NearMisses,
    },
}

impl<T: ?Sized> Catalog<T> {
    /// A catalog without entries, for at most so many. `what` is what errors call an entry.
    pub fn new(what: &'static str, limit: usize) -> Self {
        let (entries, inserted, removed, found, missed) = Default::default();
        Self { what, limit, entries, inserted, removed, found, missed }
    }

    /// Registers something under a name.
    ///
    /// # Errors
    /// [`CatalogError::InvalidName`], [`CatalogError::AlreadyRegistered`], [`CatalogError::TooMany`]: the catalog stays as it is.
    pub fn insert(&self, name: &str, entry: impl Into<Arc<T>>) -> Result<Arc<T>, CatalogError> {
        let (what, name) = (self.what, self.checked(name)?);
        // Refused, it is dropped by the return, after the lock is released.
        let entry = entry.into();
        {
            let mut entries = self.entries.write();
            if entries.contains_key(&name) {
                return Err(CatalogError::AlreadyRegistered { what, name });
            }
            if entries.len() >= self.limit {
                return Err(CatalogError::TooMany { what, name, limit: self.limit });
            }
            entries.insert(name, Arc::clone(&entry));
        }
        self.inserted.fetch_add(1, Ordering::Relaxed);
        Ok(entry)
    }

    /// A name under which something can be registered, unless it is taken.
    ///
    /// # Errors
    /// [`CatalogError::InvalidName`].
    pub fn checked(&self, name: &str) -> Result<ServiceName, CatalogError> {
        let invalid = |source| CatalogError::InvalidName { what: self.what, name: beginning(name), source };
        ServiceName::new(name).map_err(invalid)
    }

    /// What is registered under a name.
    ///
    /// # Errors
    /// [`CatalogError::Unknown`], with similar names.
    pub fn get(&self, name: &str) -> Result<Arc<T>, CatalogError> {
        let found = self.entries.read().get(name).cloned();
        let counter = if found.is_some() { &self.found } else { &self.missed };
        counter.fetch_add(1, Ordering::Relaxed);
        found.ok_or_else(|| self.unknown(name))
    }

    /// Removes what is registered under a name.
    ///
    /// # Errors
    /// [`CatalogError::Unknown`], with similar names.
    pub fn remove(&self, name: &str) -> Result<Arc<T>, CatalogError> {
        let removed = self.entries.write().remove_entry(name);
        let (_, entry) = removed.ok_or_else(|| self.unknown(name))?;
        self.removed.fetch_add(1, Ordering::Relaxed);
        Ok(entry)
    }

    /// All entries, sorted by their names.
    pub fn all(&self) -> Vec<(ServiceName, Arc<T>)> {
        self.entries.read().iter().map(|(name, entry)| (name.clone(), Arc::clone(entry))).collect()
    }

    /// How it has been used.
    pub fn stats(&self) -> CatalogStats {
        CatalogStats {
            entries: self.entries.read().len(),
            inserted: self.inserted.load(Ordering::Relaxed),
            removed: self.removed.load(Ordering::Relaxed),
            found: self.found.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
        }
    }

    fn unknown(&self, name: &str) -> CatalogError {
        let entries = self.entries.read();
        let near = NearMisses::of(name, entries.keys().map(ServiceName::as_str));
        CatalogError::Unknown { what: self.what, name: beginning(name), near }
    }
}

/// The same entries in a catalog of its own, which begins to count anew.
impl<T: ?Sized> Clone for Catalog<T> {
    fn clone(&self) -> Self {
        let copy = Self::new(self.what, self.limit);
        *copy.entries.write() = self.entries.read().clone();
        copy
    }
}

impl<T: ?Sized> fmt::Debug for Catalog<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.read().keys()).finish()
    }
}

/// The beginning of a name that may be long, on one line.
fn beginning(name: &str) -> String {
    crate::text::excerpt(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_entry_and_there_are_no_more_than_the_limit() {
        let catalog = Catalog::new("thing", 2);
        catalog.insert("a", 1).unwrap();
        assert_eq!(catalog.insert("a", 2).unwrap_err().to_string(), "thing a is registered already");
        catalog.insert("b", 2).unwrap();
        let refused = catalog.insert("c", 3).unwrap_err().to_string();
        assert_eq!(refused, "thing c cannot be registered: there are 2 already, as many as there may be");
        assert_eq!(*catalog.remove("a").unwrap(), 1);
        catalog.insert("c", 3).unwrap();
        let all: Vec<_> = catalog.all().iter().map(|(name, entry)| (name.to_string(), **entry)).collect();
        assert_eq!(all, [("b".to_owned(), 2), ("c".to_owned(), 3)]);
    }

    #[test]
    fn a_name_that_is_not_valid_or_not_known_is_named_in_one_short_line() {
        let catalog = Catalog::<u8>::new("thing", 2);
        for name in ["", "A", "a b", "a\nb", &"a".repeat(1 << 20)] {
            let refused = catalog.insert(name, 1).unwrap_err().to_string();
            assert!(refused.len() < 1_000 && !refused.contains('\n'), "{refused}");
            let missed = catalog.get(name).unwrap_err().to_string();
            assert!(missed.len() < 1_000 && !missed.contains('\n'), "{missed}");
        }
        let (stats, missed) = (catalog.stats(), 5);
        assert_eq!(stats, CatalogStats { missed, ..CatalogStats::default() });
    }

    #[test]
    fn its_use_is_counted() {
        let catalog = Catalog::new("thing", 2);
        catalog.insert("a", 1).unwrap();
        catalog.get("a").unwrap();
        catalog.remove("a").unwrap();
        assert_eq!(catalog.stats(), CatalogStats { inserted: 1, removed: 1, found: 1, ..CatalogStats::default() });
    }
}
