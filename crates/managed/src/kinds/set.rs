//! Sets of kinds: those of a namespace, and those that each namespace begins with.

use std::sync::Arc;

use foundation_kernel::catalog::Catalog;

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
/// assert_eq!(kinds.insert(Clerks).unwrap_err().to_string(), "kind clerks is registered already");
/// # Ok::<(), KindError>(())
/// ```
#[derive(Debug, Clone)]
pub struct KindSet(Kinds);

impl KindSet {
    /// A set without kinds.
    pub fn new() -> Self {
        Self(Kinds::default())
    }

    /// Adds a kind.
    ///
    /// # Errors
    /// [`KindError::Catalog`] for a name that is not valid or is taken, and for one kind too many: the set stays as it is.
    pub fn insert<K: ServiceKind>(&mut self, kind: K) -> Result<(), KindError> {
        self.0.register(kind)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.all().is_empty()
    }
}

impl Default for KindSet {
    fn default() -> Self {
        Self::new()
    }
}

/// The kinds of one namespace. It belongs to the namespace, and outlives the manager.
#[derive(Debug, Clone)]
pub(crate) struct Kinds(Catalog<dyn AnyKind>);

impl Default for Kinds {
    fn default() -> Self {
        Self(Catalog::new("kind", MAX_KINDS))
    }
}

impl Kinds {
    /// Adds a kind.
    pub(crate) fn register<K: ServiceKind>(&self, kind: K) -> Result<(), KindError> {
        let kind: Arc<dyn AnyKind> = Arc::new(Erased::new(kind));
        self.0.insert(K::NAME, kind)?;
        Ok(())
    }

    /// Adds all kinds whose names are free, as long as there is room.
    pub(crate) fn extend(&self, kinds: &KindSet) {
        for (name, kind) in kinds.0.0.all() {
            // One that is there already stays.
            drop(self.0.insert(name.as_str(), kind));
        }
    }

    /// The kind of this name.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<dyn AnyKind>, KindError> {
        Ok(self.0.get(name)?)
    }

    /// All of them, sorted.
    pub(crate) fn all(&self) -> Vec<Arc<dyn AnyKind>> {
        self.0.all().into_iter().map(|(_, kind)| kind).collect()
    }
}
