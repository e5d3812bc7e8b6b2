//! The instances of a catalog that meet some criteria.

use std::collections::BTreeSet;

use foundation_kernel::names::ServiceName;

use super::error::FindError;
use super::value::Catalog;
use crate::criteria::Criteria;
use crate::instance::{Capability, InstanceRecord};

impl Catalog {
    /// The instances that meet all criteria, sorted by service and id. Cost: linear in the instances of the service that is
    /// asked for; without a service, in those that have the rarest of the capabilities that are asked for; or in all of them.
    ///
    /// # Errors
    /// [`FindError::NoService`] names services of similar names; [`FindError::NoneFits`] says why none does.
    pub fn select(&self, criteria: &Criteria) -> Result<Vec<&InstanceRecord>, FindError> {
        let fitting = self.fitting(criteria);
        if fitting.is_empty() { Err(criteria.explain(self.considered(criteria)?).into()) } else { Ok(fitting) }
    }

    /// The same without an explanation: none if no instance fits.
    pub(crate) fn fitting(&self, criteria: &Criteria) -> Vec<&InstanceRecord> {
        let fits = |record: &&InstanceRecord| criteria.accepts(&record.instance, record.status());
        let number = |needed: &&Capability| self.by_capability.get(needed.name()).map_or(0, BTreeSet::len);
        match (criteria.wanted_service(), criteria.wanted_capabilities().min_by_key(number)) {
            (Some(service), _) => self.instances(service).filter(fits).collect(),
            (None, Some(rarest)) => self.with_capability(rarest).filter(fits).collect(),
            (None, None) => self.iter().filter(fits).collect(),
        }
    }

    /// The instances that an explanation is about, if none fits.
    ///
    /// # Errors
    /// [`FindError::NoService`].
    pub(crate) fn considered(&self, criteria: &Criteria) -> Result<Vec<&InstanceRecord>, FindError> {
        let Some(service) = criteria.wanted_service() else { return Ok(self.iter().collect()) };
        self.check_has(service)?;
        Ok(self.instances(service).collect())
    }

    pub(super) fn check_has(&self, service: &ServiceName) -> Result<(), FindError> {
        if self.services.contains_key(service) {
            return Ok(());
        }
        Err(FindError::NoService { service: service.clone(), near: self.near(service) })
    }
}
