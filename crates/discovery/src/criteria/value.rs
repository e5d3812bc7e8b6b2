//! Criteria, and the instances that meet them.

use std::collections::{BTreeMap, BTreeSet};

use foundation_kernel::names::{NearMisses, ServiceName};
use semver::VersionReq;

use super::misfit::{InstanceMisfits, Misfit, NoneFitsError};
use crate::health::InstanceStatus;
use crate::instance::{Capability, FieldError, Instance, InstanceRecord, Zone};
use crate::limits::MAX_VERSION;

/// What an instance has to be: of which service and version, reached how, able to do what, where, and labelled how.
///
/// Without a criterion all instances fit. Draining and unhealthy instances fit, too, unless
/// [`healthy_only`](Self::healthy_only) is asked for; the [choice](crate::choice) leaves them out.
///
/// ```
/// use foundation_discovery::{Criteria, Instance, InstanceRecord};
/// use foundation_kernel::names::ServiceName;
/// use foundation_kernel::ractor::ActorId;
///
/// const ORDERS: ServiceName = ServiceName::from_static("orders");
/// let old = Instance::builder("orders", "a").version("1.3.2").capability("refund").build()?;
/// let new = Instance::builder("orders", "b").version("1.4.0").capability("refunds").build()?;
/// let records = [(old, 1), (new, 2)].map(|(it, actor)| InstanceRecord::new(it, ActorId::Local(actor)));
///
/// let criteria = Criteria::service(&ORDERS).version("^1.4")?;
/// assert_eq!(criteria.select(&records)?[0].name().id(), "b");
///
/// let error = criteria.capability("refundz")?.select(&records).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "none of 2 instances of orders fits: no capability refundz (2), version 1.3.2 instead of ^1.4 (1); \
///      closest is orders.b: no capability refundz; did you mean refund, refunds?"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Criteria {
    service: Option<ServiceName>,
    version: Option<VersionReq>,
    protocol: Option<String>,
    capabilities: Vec<Capability>,
    labels: BTreeMap<String, String>,
    zone: Option<Zone>,
    healthy_only: bool,
}

impl Criteria {
    /// Instances of any service.
    pub fn any() -> Self {
        Self::default()
    }

    /// Instances of this service.
    pub fn service(service: &ServiceName) -> Self {
        Self { service: Some(service.clone()), ..Self::default() }
    }

    /// Of a version within a range such as `^1.4` or `>=1.2, <1.5`. As in Cargo, a pre-release fits only if the range
    /// names one of the same version. An instance without a version does not fit.
    ///
    /// # Errors
    /// [`FieldError`] of the field `version`.
    pub fn version(mut self, range: &str) -> Result<Self, FieldError> {
        self.version = Some(read_range(range)?);
        Ok(self)
    }

    /// With an endpoint of this protocol.
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocol = Some(protocol.into());
        self
    }

    /// Able to do this, besides what was asked for before: `refund`, or `attachment_bytes=5000` for as much at least.
    ///
    /// # Errors
    /// [`FieldError`] of the field `capability`.
    pub fn capability(mut self, capability: &str) -> Result<Self, FieldError> {
        self.capabilities.push(capability.parse()?);
        Ok(self)
    }

    /// With this label. One that was asked for with the same key is replaced.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// In this zone, or anywhere in a region. An instance that does not say where it runs does not fit.
    ///
    /// # Errors
    /// [`FieldError`] of the field `zone`.
    pub fn zone(mut self, zone: &str) -> Result<Self, FieldError> {
        self.zone = Some(zone.parse()?);
        Ok(self)
    }

    /// Whose checks all succeed. Without a check nothing is known of an instance, and it does not fit.
    pub fn healthy_only(mut self) -> Self {
        self.healthy_only = true;
        self
    }

    /// The same criteria without [`healthy_only`](Self::healthy_only).
    pub(crate) fn of_any_status(mut self) -> Self {
        self.healthy_only = false;
        self
    }

    /// The service that is asked for.
    pub fn wanted_service(&self) -> Option<&ServiceName> {
        self.service.as_ref()
    }

    /// What instances must be able to do.
    pub fn wanted_capabilities(&self) -> impl ExactSizeIterator<Item = &Capability> {
        self.capabilities.iter()
    }

    /// Whether an instance meets all criteria.
    pub fn accepts(&self, instance: &Instance, status: InstanceStatus) -> bool {
        self.each_misfit(instance, status).next().is_none()
    }

    /// Each criterion that an instance does not meet.
    pub fn misfits(&self, instance: &Instance, status: InstanceStatus) -> Vec<Misfit> {
        self.each_misfit(instance, status).collect()
    }

    /// Looked for one after the other, as far as the caller goes.
    fn each_misfit<'a>(
        &'a self,
        instance: &'a Instance,
        status: InstanceStatus,
    ) -> impl Iterator<Item = Misfit> + use<'a> {
        let capabilities = self.capabilities.iter().filter_map(|wanted| misfit_of_capability(wanted, instance));
        let labels = self.labels.iter().filter_map(|(key, wanted)| misfit_of_label(key, wanted, instance));
        let is_healthy = !self.healthy_only || status == InstanceStatus::Healthy;
        let unhealthy = (!is_healthy).then_some(Misfit::Status { found: status });
        [self.misfit_of_service(instance), self.misfit_of_version(instance), self.misfit_of_protocol(instance)]
            .into_iter()
            .flatten()
            .chain(capabilities)
            .chain(labels)
            .chain(self.misfit_of_zone(instance))
            .chain(unhealthy)
    }

    fn misfit_of_service(&self, instance: &Instance) -> Option<Misfit> {
        let (wanted, found) = (self.service.as_ref()?, instance.service());
        (wanted != found).then(|| Misfit::Service { wanted: wanted.clone(), found: found.clone() })
    }

    fn misfit_of_version(&self, instance: &Instance) -> Option<Misfit> {
        let (wanted, found) = (self.version.as_ref()?, instance.version());
        let fits = found.is_some_and(|found| wanted.matches(found));
        (!fits).then(|| Misfit::Version { wanted: wanted.clone(), found: found.cloned() })
    }

    fn misfit_of_protocol(&self, instance: &Instance) -> Option<Misfit> {
        let (wanted, found) = (self.protocol.as_ref()?, instance.protocol());
        (found != Some(wanted)).then(|| Misfit::Protocol { wanted: wanted.clone(), found: found.map(str::to_owned) })
    }

    fn misfit_of_zone(&self, instance: &Instance) -> Option<Misfit> {
        let (wanted, found) = (self.zone.as_ref()?, instance.zone());
        let fits = found.is_some_and(|found| wanted.contains(found));
        (!fits).then(|| Misfit::Zone { wanted: wanted.clone(), found: found.cloned() })
    }

    /// The instances that meet all criteria, in the order in which they are given. Cost: linear in them.
    ///
    /// # Errors
    /// [`NoneFitsError`] says why none does.
    pub fn select<'a>(
        &self,
        records: impl IntoIterator<Item = &'a InstanceRecord> + Clone,
    ) -> Result<Vec<&'a InstanceRecord>, NoneFitsError> {
        let fits = |record: &&InstanceRecord| self.accepts(&record.instance, record.status());
        let fitting: Vec<_> = records.clone().into_iter().filter(fits).collect();
        if fitting.is_empty() { Err(self.explain(records)) } else { Ok(fitting) }
    }

    /// Why none of these instances fits. Cost: an allocation for each criterion that each of them does not meet.
    #[cold]
    pub(crate) fn explain<'a>(&self, records: impl IntoIterator<Item = &'a InstanceRecord> + Clone) -> NoneFitsError {
        let known = records.clone().into_iter().flat_map(|record| record.instance.capabilities());
        let known: BTreeSet<_> = known.map(Capability::name).collect();
        let missing = self.capabilities.iter().find(|wanted| !known.contains(wanted.name()));
        let near = missing.map(|wanted| NearMisses::of(wanted.name(), known.iter().copied())).unwrap_or_default();
        let misfits = |record: &InstanceRecord| {
            InstanceMisfits::new(record.name().clone(), self.misfits(&record.instance, record.status()))
        };
        NoneFitsError::of(self.service.clone(), records.into_iter().map(misfits), near)
    }
}

fn misfit_of_capability(wanted: &Capability, instance: &Instance) -> Option<Misfit> {
    let found = instance.capability(wanted.name());
    let fits = found.is_some_and(|found| found.meets(wanted));
    (!fits).then(|| Misfit::Capability { wanted: wanted.clone(), found: found.cloned() })
}

fn misfit_of_label(key: &str, wanted: &str, instance: &Instance) -> Option<Misfit> {
    let found = instance.label(key);
    (found != Some(wanted)).then(|| {
        let (key, wanted, found) = (key.to_owned(), wanted.to_owned(), found.map(str::to_owned));
        Misfit::Label { key, wanted, found }
    })
}

fn read_range(text: &str) -> Result<VersionReq, FieldError> {
    FieldError::check_free("version", text, MAX_VERSION)?;
    let expected = "a range of versions such as ^1.4";
    VersionReq::parse(text).map_err(|error| FieldError::form_because("version", text, expected, &error))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::samples::{ORDERS, instances, records, statuses};

    fn misfits(criteria: Criteria, instance: &Instance) -> String {
        let misfits = criteria.misfits(instance, InstanceStatus::Unhealthy);
        misfits.iter().map(Misfit::to_string).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn each_criterion_that_is_not_met_says_what_was_asked_for_and_what_was_found() {
        let plain = Instance::builder("mail", "a").build().unwrap();
        let full = Instance::builder("mail", "a")
            .version("1.3.2")
            .endpoint("http://mail:80")
            .zone("us/us-1")
            .capability("attachment_bytes=10")
            .label("team", "a")
            .build()
            .unwrap();
        let criteria = Criteria::service(&ORDERS).version("^1.4").unwrap().protocol("grpc").label("team", "b");
        let criteria = criteria.capability("attachment_bytes=500").unwrap().zone("eu").unwrap().healthy_only();
        assert_eq!(
            misfits(criteria.clone(), &full),
            "service mail instead of orders, version 1.3.2 instead of ^1.4, protocol http instead of grpc, \
             capability attachment_bytes=10 instead of attachment_bytes=500, label team=\"a\" instead of \"b\", \
             zone us/us-1 instead of eu, unhealthy"
        );
        assert_eq!(
            misfits(criteria, &plain),
            "service mail instead of orders, no version instead of ^1.4, no protocol instead of grpc, \
             no capability attachment_bytes=500, no label team, no zone instead of eu, unhealthy"
        );
    }

    #[test]
    fn a_pre_release_fits_only_a_range_that_names_one() {
        let release = Instance::builder("orders", "a").version("1.4.0-rc.1").build().unwrap();
        let accepts = |range: &str| Criteria::any().version(range).unwrap().accepts(&release, InstanceStatus::Healthy);
        assert!(!accepts("^1.3") && accepts(">=1.4.0-rc.0") && !accepts(">=1.4.0-rc.2"));
    }

    #[test]
    fn criteria_that_cannot_be_read_are_refused_by_their_field() {
        let error = Criteria::any().version("one").unwrap_err().to_string();
        assert!(error.starts_with(r#"version "one" is not a range of versions such as ^1.4: "#), "{error}");
        assert_eq!(Criteria::any().capability("a b").unwrap_err().field, "capability");
        assert_eq!(Criteria::any().zone("").unwrap_err().field, "zone");
    }

    #[test]
    fn without_any_instance_the_error_says_so() {
        let error = Criteria::service(&ORDERS).select([]).unwrap_err();
        assert_eq!(error.to_string(), "there is no instance of orders");
    }

    #[test]
    fn of_many_reasons_the_most_frequent_are_named() {
        let instance = |at: u64| Instance::builder("orders", at.to_string()).version(format!("1.{at}.0"));
        let records: Vec<_> = (0..7)
            .map(|at| InstanceRecord::new(instance(at).build().unwrap(), foundation_kernel::ractor::ActorId::Local(at)))
            .collect();
        let error = Criteria::any().version("^2").unwrap().healthy_only().select(&records).unwrap_err();
        assert_eq!(
            error.to_string(),
            "none of 7 instances fits: unknown (7), version 1.0.0 instead of ^2 (1), version 1.1.0 instead of ^2 (1), \
             version 1.2.0 instead of ^2 (1) and 4 other reasons; \
             closest is orders.0: version 1.0.0 instead of ^2, unknown"
        );
    }

    fn criteria() -> impl Strategy<Value = Criteria> {
        let texts = (option::of("(\\^|=|~|<)1\\.[0-9]"), option::of("grpc|http"), option::of("(eu|us)(/[ab])?"));
        let lists = (vec("[abc](=[1-9])?", 0..3), vec(("[ac]", "[xy]"), 0..2));
        (any::<bool>(), texts, lists, any::<bool>()).prop_map(|(service, (version, protocol, zone), lists, healthy)| {
            let mut criteria = if service { Criteria::service(&ORDERS) } else { Criteria::any() };
            if let Some(version) = version {
                criteria = criteria.version(&version).unwrap();
            }
            if let Some(protocol) = protocol {
                criteria = criteria.protocol(protocol);
            }
            if let Some(zone) = zone {
                criteria = criteria.zone(&zone).unwrap();
            }
            for capability in lists.0 {
                criteria = criteria.capability(&capability).unwrap();
            }
            for (key, value) in lists.1 {
                criteria = criteria.label(key, value);
            }
            if healthy { criteria.healthy_only() } else { criteria }
        })
    }

    proptest! {
        #[test]
        fn an_instance_fits_exactly_if_it_has_no_misfit(
            criteria in criteria(), instance in instances(), status in statuses(),
        ) {
            let misfits = criteria.misfits(&instance, status);
            prop_assert_eq!(criteria.accepts(&instance, status), misfits.is_empty());
            prop_assert!(Criteria::any().accepts(&instance, status));
            prop_assert!(Criteria::service(instance.service()).accepts(&instance, status));
        }

        #[test]
        fn one_more_criterion_never_lets_more_instances_fit(
            criteria in criteria(), instance in instances(), status in statuses(),
        ) {
            let fits = criteria.accepts(&instance, status);
            let more = [
                criteria.clone().capability("a=5").unwrap(),
                criteria.clone().label("b", "x"),
                criteria.clone().healthy_only(),
            ];
            prop_assert!(more.iter().all(|more| fits || !more.accepts(&instance, status)));
        }

        #[test]
        fn a_selection_has_all_that_fit_in_order_or_says_of_each_why_not(
            criteria in criteria(), records in vec(records(), 0..8),
        ) {
            let fits = |record: &&InstanceRecord| criteria.accepts(&record.instance, record.status());
            let expected: Vec<_> = records.iter().filter(fits).collect();
            match criteria.select(&records) {
                Ok(selected) => prop_assert_eq!(selected, expected),
                Err(error) => {
                    prop_assert!(expected.is_empty());
                    prop_assert_eq!(error.instances, records.len());
                    let misfits = |it: &InstanceRecord| criteria.misfits(&it.instance, it.status()).len();
                    let closest = error.closest.map(|closest| closest.misfits.len());
                    prop_assert!(closest != Some(0));
                    prop_assert_eq!(closest, records.iter().map(misfits).min());
                    prop_assert!(error.reasons.len() <= 4);
                    prop_assert!(error.reasons.is_sorted_by(|a, b| a.1 >= b.1));
                    prop_assert!(error.reasons.iter().all(|(_, count)| (1..=records.len()).contains(count)));
                }
            }
        }
    }
}
