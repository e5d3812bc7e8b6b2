//! An instance, how it is built, how it is written as metadata, and its record: with its actor and its health.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use foundation_kernel::names::{Metadata, MetadataError, Registration, ServiceName};
use foundation_kernel::ractor::ActorId;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::capability::Capability;
use super::endpoint::Endpoint;
use super::field::{FieldError, FieldErrorKind};
use super::name::InstanceName;
use super::zone::Zone;
use crate::health::{InstanceHealth, InstanceStatus};
use crate::limits::{
    DEFAULT_WEIGHT, MAX_CAPABILITIES, MAX_INSTANCE, MAX_LABEL_KEY, MAX_LABEL_VALUE, MAX_LABELS, MAX_VERSION, MAX_WEIGHT,
};

/// The field of the metadata that an instance is in.
const FIELD: &str = "instance";

/// What an instance of a service says of itself: the metadata of its registered name.
///
/// Nothing else is stored about which instances there are: an instance is a registered name whose metadata is an
/// `Instance`. It is written as `{"instance": {"service": …, "id": …, …}}`, so other metadata is never taken for one. The
/// [limits](crate::limits) of each field are in one table.
///
/// ```
/// use foundation_discovery::Instance;
///
/// let instance = Instance::builder("orders", "eu-1")
///     .version("1.4.2")
///     .endpoint("grpc://10.0.0.7:8080")
///     .zone("eu/eu-1a")
///     .weight(200)
///     .capability("refund")
///     .capability("attachment_bytes=1048576")
///     .label("team", "billing")
///     .build()?;
/// assert_eq!(instance.name().as_str(), "orders.eu-1");
/// assert_eq!(instance.protocol(), Some("grpc"));
/// assert_eq!(instance.label("team"), Some("billing"));
/// # Ok::<(), foundation_discovery::FieldError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "InstanceBuilder", into = "InstanceBuilder")]
pub struct Instance {
    name: InstanceName,
    version: Option<Version>,
    endpoint: Option<Endpoint>,
    zone: Option<Zone>,
    weight: u16,
    capabilities: BTreeMap<String, Capability>,
    labels: BTreeMap<String, String>,
    draining: bool,
    /// How long it is as JSON.
    bytes: usize,
    written: WrittenOnce,
}

/// The metadata of an instance, once it was asked for: clones and registrations of one instance share it, and what their
/// readers have read. It follows from the other fields, so it is no difference between two instances.
#[derive(Debug, Clone, Default)]
struct WrittenOnce(OnceLock<Metadata>);

impl PartialEq for WrittenOnce {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for WrittenOnce {}

impl Instance {
    /// Begins an instance of this service and with this id.
    pub fn builder(service: impl AsRef<str>, id: impl AsRef<str>) -> InstanceBuilder {
        InstanceBuilder {
            service: service.as_ref().to_owned(),
            id: id.as_ref().to_owned(),
            version: None,
            endpoint: None,
            zone: None,
            weight: DEFAULT_WEIGHT,
            capabilities: Vec::new(),
            labels: BTreeMap::new(),
            draining: false,
        }
    }

    /// Its fields again, to change some of them.
    pub fn to_builder(&self) -> InstanceBuilder {
        self.clone().into()
    }

    /// Its name: service and id.
    pub fn name(&self) -> &InstanceName {
        &self.name
    }

    /// Its service.
    pub fn service(&self) -> &ServiceName {
        self.name.service()
    }

    /// Its version.
    pub fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// Where it is reached outside of this process.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref()
    }

    /// The protocol of its endpoint.
    pub fn protocol(&self) -> Option<&str> {
        self.endpoint().map(Endpoint::protocol)
    }

    /// Where it runs.
    pub fn zone(&self) -> Option<&Zone> {
        self.zone.as_ref()
    }

    /// Its share of the work beside other instances, 1 to 1,000; 100 if it says nothing.
    pub fn weight(&self) -> u16 {
        self.weight
    }

    /// What it can do, by name.
    pub fn capabilities(&self) -> impl ExactSizeIterator<Item = &Capability> {
        self.capabilities.values()
    }

    /// One of its capabilities.
    pub fn capability(&self, name: &str) -> Option<&Capability> {
        self.capabilities.get(name)
    }

    /// Its labels, by key.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value of one of its labels.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }

    /// Whether it is about to leave: it finishes what it has and takes nothing new.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// The same as the metadata of its registered name. It is written once, and then costs a reference count.
    ///
    /// # Errors
    /// [`MetadataError`], as for any value; none is known for an instance.
    pub fn to_metadata(&self) -> Result<Metadata, MetadataError> {
        if let Some(written) = self.written.0.get() {
            return Ok(written.clone());
        }
        let written = Metadata::new(&BTreeMap::from([(FIELD, self)]))?;
        Ok(self.written.0.get_or_init(|| written).clone())
    }

    /// Checks it against limits that are lower than those of any instance.
    pub(crate) fn check(&self, capabilities: usize, labels: usize, bytes: usize) -> Result<(), FieldError> {
        check_number("capabilities", self.capabilities.len(), capabilities)?;
        check_number("labels", self.labels.len(), labels)?;
        self.check_length(bytes)
    }

    fn check_length(&self, max: usize) -> Result<(), FieldError> {
        let bytes = self.bytes;
        if bytes <= max {
            return Ok(());
        }
        Err(FieldError::text("instance", self.name.as_str(), FieldErrorKind::TooLong { bytes, max }))
    }

    /// Reads a registration. `None` if its metadata is not that of an instance.
    ///
    /// # Errors
    /// [`MetadataReadError`] if its metadata has a field `instance` which is not a valid one, or is one of another name.
    pub fn of(registration: &Registration) -> Result<Option<Self>, MetadataReadError> {
        let Some(metadata) = &registration.metadata else { return Ok(None) };
        Self::read(&registration.name, metadata)
    }

    /// Reads the metadata of a registered name. `None` if it is not that of an instance.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn read(name: &ServiceName, metadata: &Metadata) -> Result<Option<Self>, MetadataReadError> {
        Ok(Self::read_shared(name, metadata)?.map(Arc::unwrap_or_clone))
    }

    /// The same, which all readers of one registration share: it is read once.
    pub(crate) fn read_shared(name: &ServiceName, metadata: &Metadata) -> Result<Option<Arc<Self>>, MetadataReadError> {
        let Some(written) = metadata.get(FIELD) else { return Ok(None) };
        let unreadable = |source| MetadataReadError::Invalid { name: name.clone(), source };
        let instance = metadata.read_once(|_| Self::deserialize(written)).map_err(unreadable)?;
        if instance.name.registered() != name {
            return Err(MetadataReadError::OtherName { name: name.clone(), found: instance.name.clone() });
        }
        Ok(Some(instance))
    }
}

/// One incarnation of an instance as it is now: what it says of itself, its actor, and its health.
///
/// Cloning costs a reference count and the reason of its health.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceRecord {
    /// What it says of itself.
    pub instance: Arc<Instance>,
    /// The actor that has its name.
    pub actor: ActorId,
    /// Its health.
    pub health: InstanceHealth,
}

impl InstanceRecord {
    /// An instance that this actor has registered: draining if it says so, and otherwise of unknown health.
    pub fn new(instance: impl Into<Arc<Instance>>, actor: ActorId) -> Self {
        let instance = instance.into();
        let health = InstanceHealth::combined([], instance.is_draining());
        Self { instance, actor, health }
    }

    /// With this health.
    pub fn with_health(self, health: InstanceHealth) -> Self {
        Self { health, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &InstanceName {
        self.instance.name()
    }

    /// Its service.
    pub fn service(&self) -> &ServiceName {
        self.instance.service()
    }

    /// Its status.
    pub fn status(&self) -> InstanceStatus {
        self.health.status
    }
}

/// Why the metadata of a name does not say which instance it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataReadError {
    /// A field is missing or not valid.
    #[error("the metadata of {name} is not that of an instance: {source}")]
    Invalid {
        /// The registered name.
        name: ServiceName,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Service and id in the metadata are those of another name.
    #[error("the metadata of {name} is that of the instance {found}, which has to be registered as {found}")]
    OtherName {
        /// The registered name.
        name: ServiceName,
        /// The name that the metadata says.
        found: InstanceName,
    },
}

/// The fields of an [`Instance`], as texts: from code by [`Instance::builder`], or from JSON.
///
/// Nothing is checked before [`build`](Self::build).
#[must_use = "it is no instance before `build`"]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstanceBuilder {
    service: String,
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(default = "default_weight")]
    weight: u16,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    capabilities: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    draining: bool,
}

fn default_weight() -> u16 {
    DEFAULT_WEIGHT
}

impl InstanceBuilder {
    /// With another id: another instance of the same service.
    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// Its version: a [semantic version](https://semver.org) such as `1.4.2`.
    pub fn version(mut self, version: impl ToString) -> Self {
        self.version = Some(version.to_string());
        self
    }

    /// Where it is reached outside of this process: an [`Endpoint`] or its text.
    pub fn endpoint(mut self, endpoint: impl ToString) -> Self {
        self.endpoint = Some(endpoint.to_string());
        self
    }

    /// Where it runs: a [`Zone`] or its text.
    pub fn zone(mut self, zone: impl ToString) -> Self {
        self.zone = Some(zone.to_string());
        self
    }

    /// Its share of the work beside other instances, 1 to 1,000. Default: 100.
    pub fn weight(mut self, weight: u16) -> Self {
        self.weight = weight;
        self
    }

    /// Adds a [`Capability`] or its text. One of the same name is replaced.
    pub fn capability(mut self, capability: impl ToString) -> Self {
        self.capabilities.push(capability.to_string());
        self
    }

    /// Adds a label. One of the same key is replaced.
    pub fn label(mut self, key: impl ToString, value: impl ToString) -> Self {
        self.labels.insert(key.to_string(), value.to_string());
        self
    }

    /// Whether it is about to leave: it finishes what it has and takes nothing new. Default: no.
    pub fn draining(mut self, draining: bool) -> Self {
        self.draining = draining;
        self
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// [`FieldError`] names the first field that is not valid, what it has, and what it takes.
    pub fn build(self) -> Result<Instance, FieldError> {
        let service = ServiceName::new(&self.service)
            .map_err(|error| FieldError::text("service", &self.service, FieldErrorKind::Name(error)))?;
        let mut instance = Instance {
            name: InstanceName::new(&service, &self.id)?,
            version: self.version.as_deref().map(read_version).transpose()?,
            endpoint: self.endpoint.map(|text| text.parse()).transpose()?,
            zone: self.zone.map(|text| text.parse()).transpose()?,
            weight: check_weight(self.weight)?,
            capabilities: read_capabilities(&self.capabilities)?,
            labels: check_labels(self.labels)?,
            draining: self.draining,
            bytes: 0,
            written: WrittenOnce::default(),
        };
        // What cannot be written is refused by `to_metadata`, which says why.
        instance.bytes = serde_json::to_string(&instance).map_or(0, |text| text.len());
        instance.check_length(MAX_INSTANCE)?;
        Ok(instance)
    }
}

fn read_version(text: &str) -> Result<Version, FieldError> {
    FieldError::check_free("version", text, MAX_VERSION)?;
    let expected = "a semantic version such as 1.4.2";
    Version::parse(text).map_err(|error| FieldError::form_because("version", text, expected, &error))
}

fn check_weight(weight: u16) -> Result<u16, FieldError> {
    if (1..=MAX_WEIGHT).contains(&weight) {
        return Ok(weight);
    }
    let kind = FieldErrorKind::OutOfRange { min: 1, max: u64::from(MAX_WEIGHT) };
    Err(FieldError::number("weight", weight, kind))
}

fn read_capabilities(texts: &[String]) -> Result<BTreeMap<String, Capability>, FieldError> {
    let mut capabilities = BTreeMap::new();
    for text in texts {
        let capability: Capability = text.parse()?;
        capabilities.insert(capability.name().to_owned(), capability);
    }
    check_number("capabilities", capabilities.len(), MAX_CAPABILITIES)?;
    Ok(capabilities)
}

fn check_labels(labels: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, FieldError> {
    check_number("labels", labels.len(), MAX_LABELS)?;
    for (key, value) in &labels {
        FieldError::check("label key", key, MAX_LABEL_KEY, "_./-")?;
        FieldError::check_free("label value", value, MAX_LABEL_VALUE)?;
    }
    Ok(labels)
}

fn check_number(field: &'static str, found: usize, max: usize) -> Result<(), FieldError> {
    if found <= max { Ok(()) } else { Err(FieldError::number(field, found, FieldErrorKind::TooMany { max })) }
}

impl TryFrom<InstanceBuilder> for Instance {
    type Error = FieldError;

    fn try_from(fields: InstanceBuilder) -> Result<Self, FieldError> {
        fields.build()
    }
}

impl From<Instance> for InstanceBuilder {
    fn from(instance: Instance) -> Self {
        Self {
            service: instance.service().to_string(),
            id: instance.name.id().to_owned(),
            version: instance.version.map(|version| version.to_string()),
            endpoint: instance.endpoint.map(|endpoint| endpoint.to_string()),
            zone: instance.zone.map(|zone| zone.to_string()),
            weight: instance.weight,
            capabilities: instance.capabilities.values().map(ToString::to_string).collect(),
            labels: instance.labels,
            draining: instance.draining,
        }
    }
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
