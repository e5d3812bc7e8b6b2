//! Sets of kinds: those of a namespace, and those that each namespace begins with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use foundation_kernel::names::{NearMisses, ServiceName};
use parking_lot::RwLock;

use super::any_kind::AnyKind;
use super::erased::Erased;
use super::error::KindError;
use super::kind::ServiceKind;
use crate::limits::MAX_KINDS;

/// Kinds of services, by their names: what each namespace of a registry [begins with](crate::Managed::service_with).
///
/// Cheap to clone; the kinds are shared.
///
/// ```
/// # use std::sync::Arc;
/// # use foundation_config_server::garde::{self, Validate};
/// # use foundation_kernel::supervision::{BoxError, ChildSpec};
/// # use foundation_managed::{ServiceContext, ServiceKind};
/// # use serde::{Deserialize, Serialize};
/// use foundation_managed::{KindError, KindSet};
///
/// # #[derive(Serialize, Deserialize, Validate)]
/// # struct Desk { #[garde(skip)] number: u16 }
/// # struct Clerks;
/// # impl ServiceKind for Clerks {
/// #     type Config = Desk;
/// #     const NAME: &'static str = "clerks";
/// #     fn child(&self, _: &ServiceContext, _: Arc<Desk>) -> Result<ChildSpec, BoxError> { Err("no desk".into()) }
/// # }
/// let mut kinds = KindSet::new();
/// kinds.insert(Clerks)?;
/// assert_eq!(kinds.insert(Clerks), Err(KindError::AlreadyRegistered { kind: "clerks" }));
/// # Ok::<(), KindError>(())
/// ```
#[derive(Clone, Default)]
pub struct KindSet(BTreeMap<&'static str, Arc<dyn AnyKind>>);

impl KindSet {
    /// A set without kinds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind.
    ///
    /// # Errors
    /// [`KindError::InvalidName`], [`KindError::AlreadyRegistered`], [`KindError::TooMany`]: the set stays as it is.
    pub fn insert<K: ServiceKind>(&mut self, kind: K) -> Result<(), KindError> {
        self.insert_erased(K::NAME, Arc::new(Erased::new(kind)))
    }

    fn insert_erased(&mut self, name: &'static str, kind: Arc<dyn AnyKind>) -> Result<(), KindError> {
        ServiceName::new(name).map_err(|source| KindError::InvalidName { name, source })?;
        if self.0.contains_key(name) {
            return Err(KindError::AlreadyRegistered { kind: name });
        }
        if self.0.len() >= MAX_KINDS {
            return Err(KindError::TooMany { kind: name, limit: MAX_KINDS });
        }
        self.0.insert(name, kind);
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for KindSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The kinds of one namespace. It belongs to the namespace, and outlives the manager.
#[derive(Default)]
pub(crate) struct Kinds(RwLock<KindSet>);

impl Kinds {
    /// Adds a kind.
    pub(crate) fn register<K: ServiceKind>(&self, kind: K) -> Result<(), KindError> {
        let kind: Arc<dyn AnyKind> = Arc::new(Erased::new(kind));
        // A kind that is refused is dropped after the lock is released: its destructor is the user's.
        self.0.write().insert_erased(K::NAME, Arc::clone(&kind))
    }

    /// Adds all kinds whose names are free.
    pub(crate) fn extend(&self, kinds: &KindSet) {
        let mut all = self.0.write();
        for (name, kind) in &kinds.0 {
            all.0.entry(name).or_insert_with(|| Arc::clone(kind));
        }
    }

    /// The kind of this name.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<dyn AnyKind>, KindError> {
        let kinds = self.0.read();
        kinds.0.get(name).cloned().ok_or_else(|| {
            let near = NearMisses::of(name, kinds.0.keys().copied());
            KindError::Unknown { kind: name.to_owned(), near }
        })
    }

    /// All of them, sorted.
    pub(crate) fn all(&self) -> Vec<Arc<dyn AnyKind>> {
        self.0.read().0.values().cloned().collect()
    }
}
