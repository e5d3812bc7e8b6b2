//! The names of instances: a service and an id as one registered name.
//!
//! # Invariants
//!
//! 1. The name is the service, a dot, and the id. An id has no dot, so the last dot of a name separates the two, and
//!    different pairs have different names.

use std::fmt;
use std::hash::{Hash, Hasher};

use foundation_kernel::names::ServiceName;

use super::field::{FieldError, FieldErrorKind};
use crate::limits::MAX_ID;

/// The name under which an instance is registered: `<service>.<id>`.
///
/// The service is any [`ServiceName`]; the id has 1 to 63 bytes of `[a-z0-9_-]`. Together they have at most 128 bytes, as
/// any name. Cloning costs two reference counts.
///
/// ```
/// use foundation_discovery::InstanceName;
/// use foundation_kernel::names::ServiceName;
///
/// let name = InstanceName::new(&ServiceName::new("shop.orders")?, "eu-1")?;
/// assert_eq!(name.as_str(), "shop.orders.eu-1");
///
/// let read = InstanceName::of(name.registered()).ok_or("an instance")?;
/// assert_eq!((read.service().as_str(), read.id()), ("shop.orders", "eu-1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialOrd, Ord)]
pub struct InstanceName {
    service: ServiceName,
    registered: ServiceName,
}

impl InstanceName {
    /// The name of this instance of a service.
    ///
    /// # Errors
    /// [`FieldError`] of the field `id`, also if it is too long for its service.
    pub fn new(service: &ServiceName, id: &str) -> Result<Self, FieldError> {
        FieldError::check("id", id, MAX_ID, "_-")?;
        let registered = ServiceName::new(format!("{service}.{id}"));
        let registered = registered.map_err(|error| FieldError::text("id", id, FieldErrorKind::Name(error)))?;
        Ok(Self { service: service.clone(), registered })
    }

    /// Reads a registered name. `None` if it cannot be that of an instance.
    ///
    /// A name with a dot need not be one: its metadata says whether it is, see [`Instance::of`](crate::Instance::of).
    pub fn of(registered: &ServiceName) -> Option<Self> {
        let (service, id) = registered.as_str().rsplit_once('.')?;
        FieldError::check("id", id, MAX_ID, "_-").ok()?;
        Some(Self { service: ServiceName::new(service).ok()?, registered: registered.clone() })
    }

    /// The service of a registered name, if it is one of an instance: it need not be.
    pub(crate) fn service_of(registered: &ServiceName) -> Option<&str> {
        registered.as_str().rsplit_once('.').map(|(service, _)| service)
    }

    /// The service.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The id, which is unique within the service.
    pub fn id(&self) -> &str {
        &self.as_str()[self.service.as_str().len() + 1..]
    }

    /// The registered name: what a [`ServiceKey`](foundation_kernel::names::ServiceKey) of the instance is made from.
    pub fn registered(&self) -> &ServiceName {
        &self.registered
    }

    /// The registered name as text.
    pub fn as_str(&self) -> &str {
        self.registered.as_str()
    }
}

/// By the registered name alone, which says which service it is of.
impl PartialEq for InstanceName {
    fn eq(&self, other: &Self) -> bool {
        self.registered == other.registered
    }
}

impl Eq for InstanceName {}

impl Hash for InstanceName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.registered.hash(state);
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.registered.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn service(text: &str) -> ServiceName {
        ServiceName::new(text).unwrap()
    }

    #[test]
    fn an_id_that_does_not_fit_is_refused_as_the_field_id() {
        for (id, kind) in [("", "is empty"), ("a.b", "has '.' at byte 1"), ("A", "has 'A' at byte 0")] {
            let error = InstanceName::new(&service("orders"), id).unwrap_err();
            assert!(error.field == "id" && error.to_string().contains(kind), "{error}");
        }
        assert!(InstanceName::new(&service("orders"), &"x".repeat(MAX_ID + 1)).is_err());
        let error = InstanceName::new(&service(&"x".repeat(100)), &"y".repeat(28)).unwrap_err();
        assert!(error.field == "id" && error.to_string().contains("at most 128"), "{error}");
        assert!(InstanceName::new(&service(&"x".repeat(100)), &"y".repeat(27)).is_ok());
    }

    #[test]
    fn a_name_without_an_id_is_no_instance() {
        for name in ["orders", "orders.", "a.b.", &format!("a.{}", "x".repeat(MAX_ID + 1))] {
            assert_eq!(InstanceName::of(&service(name)), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn service_and_id_come_back_from_the_name(of in "[a-z][a-z0-9_.-]{0,60}", id in "[a-z0-9_-]{1,60}") {
            let name = InstanceName::new(&service(&of), &id).unwrap();
            prop_assert_eq!((name.service().as_str(), name.id()), (of.as_str(), id.as_str()));
            prop_assert_eq!(InstanceName::of(name.registered()), Some(name));
        }

        #[test]
        fn a_name_that_is_read_is_written_as_it_was(text in "[a-z][a-z0-9_.-]{0,120}") {
            if let Some(name) = InstanceName::of(&service(&text)) {
                prop_assert_eq!(InstanceName::new(name.service(), name.id()), Ok(name));
            }
        }
    }
}
