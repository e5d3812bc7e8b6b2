//! Why instances do not fit, for people.

use std::collections::BTreeMap;
use std::fmt;

use foundation_kernel::names::{NearMisses, ServiceName};
use semver::{Version, VersionReq};

use crate::health::InstanceStatus;
use crate::instance::{Capability, InstanceName, Zone};

/// How many different reasons a text names.
const MAX_REASONS: usize = 4;

/// A criterion that an instance does not meet: what was asked for, and what the instance has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misfit {
    /// It is of another service.
    Service {
        /// What was asked for.
        wanted: ServiceName,
        /// What it has.
        found: ServiceName,
    },
    /// Its version is not within the range, or it states none.
    Version {
        /// What was asked for.
        wanted: VersionReq,
        /// What it has.
        found: Option<Version>,
    },
    /// Its endpoint has another protocol, or it has no endpoint.
    Protocol {
        /// What was asked for.
        wanted: String,
        /// What it has.
        found: Option<String>,
    },
    /// It cannot do something, or not as much of it.
    Capability {
        /// What was asked for.
        wanted: Capability,
        /// What it can.
        found: Option<Capability>,
    },
    /// A label has another value, or is missing.
    Label {
        /// The key.
        key: String,
        /// What was asked for.
        wanted: String,
        /// What it has.
        found: Option<String>,
    },
    /// It runs elsewhere, or does not say where.
    Zone {
        /// What was asked for.
        wanted: Zone,
        /// What it has.
        found: Option<Zone>,
    },
    /// It is not healthy.
    Status {
        /// Its status.
        found: InstanceStatus,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut instead = |what: &str, found: Option<&dyn fmt::Display>, wanted: &dyn fmt::Display| match found {
            Some(found) => write!(f, "{what} {found} instead of {wanted}"),
            None => write!(f, "no {what} instead of {wanted}"),
        };
        match self {
            Self::Service { wanted, found } => instead("service", Some(found), wanted),
            Self::Version { wanted, found } => instead("version", shown(found), wanted),
            Self::Protocol { wanted, found } => instead("protocol", shown(found), wanted),
            Self::Zone { wanted, found } => instead("zone", shown(found), wanted),
            Self::Capability { wanted, found: Some(found) } => instead("capability", Some(found), wanted),
            Self::Capability { wanted, found: None } => write!(f, "no capability {wanted}"),
            Self::Label { key, wanted, found: Some(found) } => write!(f, "label {key}={found:?} instead of {wanted:?}"),
            Self::Label { key, found: None, .. } => write!(f, "no label {key}"),
            Self::Status { found } => write!(f, "{found}"),
        }
    }
}

fn shown<T: fmt::Display>(found: &Option<T>) -> Option<&dyn fmt::Display> {
    found.as_ref().map(|found| found as _)
}

/// An instance that does not fit, with each criterion that it does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceMisfits {
    /// The instance.
    pub name: InstanceName,
    /// What it does not meet, at least one.
    pub misfits: Vec<Misfit>,
}

impl InstanceMisfits {
    pub(super) fn new(name: InstanceName, misfits: Vec<Misfit>) -> Self {
        Self { name, misfits }
    }
}

impl fmt::Display for InstanceMisfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let misfits: Vec<_> = self.misfits.iter().map(Misfit::to_string).collect();
        write!(f, "{}: {}", self.name, misfits.join(", "))
    }
}

/// No instance fits: why each of them does not, and which came closest.
///
/// Its text counts the reasons, names the closest instance, and suggests capabilities of similar names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct NoneFitsError {
    /// The service that was asked for; `None` for instances of any.
    pub service: Option<ServiceName>,
    /// Each instance that was looked at.
    pub instances: Vec<InstanceMisfits>,
    /// Capabilities whose names are similar to one that no instance has.
    pub near: NearMisses,
}

impl NoneFitsError {
    /// The instance that meets the most criteria, the first of several.
    pub fn closest(&self) -> Option<&InstanceMisfits> {
        self.instances.iter().min_by_key(|instance| instance.misfits.len())
    }

    /// Each reason as a text, with how many instances it holds for: the most frequent first.
    pub fn reasons(&self) -> Vec<(String, usize)> {
        let mut counts = BTreeMap::new();
        for misfit in self.instances.iter().flat_map(|instance| &instance.misfits) {
            *counts.entry(misfit.to_string()).or_insert(0) += 1;
        }
        let mut reasons: Vec<_> = counts.into_iter().collect();
        // Those that are equally frequent stay in the order of their texts.
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons
    }
}

impl fmt::Display for NoneFitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.instances.len() {
            0 => f.write_str("there is no instance")?,
            number => write!(f, "none of {number} instances")?,
        }
        self.service.iter().try_for_each(|service| write!(f, " of {service}"))?;
        if let Some(closest) = self.closest() {
            let reasons = self.reasons();
            let named = reasons.iter().take(MAX_REASONS).map(|(reason, count)| format!("{reason} ({count})"));
            write!(f, " fits: {}", named.collect::<Vec<_>>().join(", "))?;
            if reasons.len() > MAX_REASONS {
                write!(f, " and {} other reasons", reasons.len() - MAX_REASONS)?;
            }
            if self.instances.len() > 1 {
                write!(f, "; closest is {closest}")?;
            }
        }
        self.near.fmt(f)
    }
}
