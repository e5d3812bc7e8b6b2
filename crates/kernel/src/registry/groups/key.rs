//! Names of groups that know the message type of their members.

use std::any::{TypeId, type_name};
use std::fmt;
use std::marker::PhantomData;

use crate::namespace::{NameError, ServiceName, key_traits};

/// The name of a group, with the message type `M` that its members answer to and the type `V` of the value that each of
/// them joins with.
///
/// A key of Elixir's duplicate registry. It is a type of its own, so that a group cannot be used as a unique name, nor
/// the reverse: neither compiles. The same text may name a service and a group; they have nothing to do with each
/// other.
///
/// ```
/// use foundation_kernel::names::GroupKey;
///
/// enum JobMsg { Work(String) }
/// const WORKERS: GroupKey<JobMsg> = GroupKey::from_static("workers");
/// const WEIGHTED: GroupKey<JobMsg, u32> = GroupKey::from_static("weighted");
/// assert_eq!(WORKERS.name().as_str(), "workers");
/// # let _ = (JobMsg::Work, WEIGHTED);
/// ```
///
/// ```compile_fail,E0308
/// use foundation_kernel::names::{GroupKey, ServiceRegistry};
///
/// const WORKERS: GroupKey<()> = GroupKey::from_static("workers");
/// fn a_group_is_no_unique_name(registry: &ServiceRegistry) {
///     let _ = registry.lookup(&WORKERS);
/// }
/// ```
///
/// ```compile_fail,E0308
/// use foundation_kernel::names::{Group, ServiceKey, ServiceRegistry};
///
/// const CONFIG: ServiceKey<()> = ServiceKey::from_static("config");
/// fn a_unique_name_is_no_group(registry: &ServiceRegistry) {
///     let _: Group<()> = registry.group(&CONFIG);
/// }
/// ```
pub struct GroupKey<M, V = ()> {
    name: ServiceName,
    kind: PhantomData<fn(M, V)>,
}

impl<M, V> GroupKey<M, V> {
    /// A key for a name that is known at compile time; in a `const`, a bad name does not compile.
    ///
    /// ```compile_fail,E0080
    /// use foundation_kernel::names::GroupKey;
    ///
    /// const SPACED: GroupKey<()> = GroupKey::from_static("word workers");
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

key_traits!(GroupKey<M, V>);

/// What the members of a group have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    types: TypeId,
    message: &'static str,
    value: &'static str,
}

impl Kind {
    pub(crate) fn of<M: 'static, V: 'static>() -> Self {
        Self { types: TypeId::of::<(fn(M), V)>(), message: type_name::<M>(), value: type_name::<V>() }
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.types == other.types
    }
}

impl Eq for Kind {}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            "()" => f.write_str(self.message),
            value => write!(f, "{} with {value}", self.message),
        }
    }
}
