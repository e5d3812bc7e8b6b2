//! The checks that are declared in a namespace.
//!
//! # Invariants
//!
//! 1. No two declared checks of one name are of one service, since results are kept by name.
//! 2. No user code runs under the lock: a declaration that is removed or refused is dropped outside of it.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::definition::InstanceCheck;
use super::error::DeclareCheckError;
use crate::criteria::Criteria;
use crate::limits::MAX_DECLARED_CHECKS;

/// The checks that are declared in a namespace, by number.
#[derive(Debug)]
pub(crate) struct DeclaredChecks {
    all: Mutex<Declarations>,
    /// Notified after each change.
    changed: watch::Sender<()>,
    /// Locked by the task that runs them: another one waits to take over.
    pub(crate) runner: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Declarations {
    by_number: BTreeMap<u64, DeclaredCheck>,
    next_number: u64,
}

/// Which instances are checked, and how.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredCheck {
    pub(crate) criteria: Criteria,
    pub(crate) check: InstanceCheck,
}

impl DeclaredChecks {
    pub(crate) fn new() -> Self {
        let (changed, _) = watch::channel(());
        Self { all: Mutex::default(), changed, runner: tokio::sync::Mutex::new(()) }
    }

    /// Adds a check, and returns its number.
    pub(crate) fn add(&self, declared: DeclaredCheck) -> Result<u64, DeclareCheckError> {
        let added = self.all.lock().add(declared);
        // A declaration that is refused is dropped here, after the lock is released.
        let number = added.map_err(|refused| refused.0)?;
        self.changed.send_replace(());
        Ok(number)
    }

    /// True if it was there.
    pub(crate) fn remove(&self, number: u64) -> bool {
        let removed = self.all.lock().by_number.remove(&number);
        self.changed.send_replace(());
        removed.is_some()
    }

    pub(crate) fn all(&self) -> BTreeMap<u64, DeclaredCheck> {
        self.all.lock().by_number.clone()
    }

    /// Is notified of changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

impl Declarations {
    /// Gives back a declaration that is refused.
    fn add(&mut self, declared: DeclaredCheck) -> Result<u64, Box<(DeclareCheckError, DeclaredCheck)>> {
        if let Err(error) = self.accepts(&declared) {
            return Err(Box::new((error, declared)));
        }
        let number = self.next_number;
        self.next_number += 1;
        self.by_number.insert(number, declared);
        Ok(number)
    }

    fn accepts(&self, declared: &DeclaredCheck) -> Result<(), DeclareCheckError> {
        let check = || declared.check.name().to_owned();
        if let Some(other) = self.by_number.values().find(|other| declared.collides(other)) {
            let service = other.criteria.wanted_service().cloned();
            return Err(DeclareCheckError::NameTaken { check: check(), service });
        }
        if self.by_number.len() >= MAX_DECLARED_CHECKS {
            return Err(DeclareCheckError::TooMany { check: check(), limit: MAX_DECLARED_CHECKS });
        }
        Ok(())
    }
}

impl DeclaredCheck {
    fn collides(&self, other: &Self) -> bool {
        let services = (self.criteria.wanted_service(), other.criteria.wanted_service());
        let may_meet = services.0.zip(services.1).is_none_or(|(one, other)| one == other);
        may_meet && self.check.name() == other.check.name()
    }
}

#[cfg(test)]
mod tests {
    use foundation_kernel::names::ServiceName;

    use super::*;
    use crate::samples::ORDERS;

    fn declare(checks: &DeclaredChecks, criteria: Criteria, name: &str) -> Result<u64, String> {
        let declared = DeclaredCheck { criteria, check: InstanceCheck::tcp().named(name) };
        checks.add(declared).map_err(|error| error.to_string())
    }

    #[test]
    fn two_checks_of_one_name_are_of_different_services() {
        let (checks, orders) = (DeclaredChecks::new(), || Criteria::service(&ORDERS));
        let first = declare(&checks, orders(), "tcp").unwrap();
        let taken = r#"a check "tcp" of orders is declared already: end it, or give this one another name"#;
        assert_eq!(declare(&checks, orders(), "tcp").unwrap_err(), taken);
        assert_eq!(declare(&checks, Criteria::any(), "tcp").unwrap_err(), taken);
        declare(&checks, Criteria::service(&ServiceName::from_static("mail")), "tcp").unwrap();
        assert!(checks.remove(first) && !checks.remove(first));
        declare(&checks, orders(), "tcp").unwrap();
    }

    #[test]
    fn a_namespace_has_a_limited_number_of_declared_checks() {
        let checks = DeclaredChecks::new();
        let declare = |number: usize| declare(&checks, Criteria::any(), &number.to_string());
        let numbers: Vec<_> = (0..MAX_DECLARED_CHECKS).map(|number| declare(number).unwrap()).collect();
        assert_eq!(numbers.last(), Some(&255));
        let error = r#"check "256" cannot be declared: there are 256 declared checks, as many as there may be"#;
        assert_eq!(declare(MAX_DECLARED_CHECKS).unwrap_err(), error);
    }
}
