//! Why instances do not fit, for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use foundation_kernel::names::{NearMisses, ServiceName};
use semver::{Version, VersionReq};

use crate::health::InstanceStatus;
use crate::instance::{Capability, InstanceName, Zone};

/// How many different reasons an error keeps.
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

/// No instance fits: the most frequent reasons, and the instance that came closest.
///
/// Its text counts the reasons, names the closest instance, and suggests capabilities of similar names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct NoneFitsError {
    /// The service that was asked for; `None` for instances of any.
    pub service: Option<ServiceName>,
    /// How many instances were looked at.
    pub instances: usize,
    /// The instance that meets the most criteria, the first of several; `None` if there is no instance.
    pub closest: Option<Box<InstanceMisfits>>,
    /// The most frequent reasons as texts, at most 4, with how many instances each holds for.
    pub reasons: Vec<(String, usize)>,
    /// How many other reasons there are.
    pub other_reasons: usize,
    /// Capabilities whose names are similar to one that no instance has.
    pub near: NearMisses,
}

impl NoneFitsError {
    /// From each instance that was looked at.
    pub(super) fn of(
        service: Option<ServiceName>,
        instances: impl IntoIterator<Item = InstanceMisfits>,
        near: NearMisses,
    ) -> Self {
        let (mut counts, mut closest, mut number) = (BTreeMap::new(), None::<Box<InstanceMisfits>>, 0);
        for instance in instances {
            number += 1;
            // What was asked for twice is one reason.
            let texts: BTreeSet<_> = instance.misfits.iter().map(Misfit::to_string).collect();
            texts.into_iter().for_each(|text| *counts.entry(text).or_insert(0) += 1);
            if closest.as_ref().is_none_or(|closest| instance.misfits.len() < closest.misfits.len()) {
                closest = Some(Box::new(instance));
            }
        }
        let mut reasons: Vec<_> = counts.into_iter().collect();
        // Those that are equally frequent stay in the order of their texts.
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let other_reasons = reasons.len().saturating_sub(MAX_REASONS);
        reasons.truncate(MAX_REASONS);
        Self { service, instances: number, closest, reasons, other_reasons, near }
    }
}

impl fmt::Display for NoneFitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.instances {
            0 => f.write_str("there is no instance")?,
            number => write!(f, "none of {number} instances")?,
        }
        self.service.iter().try_for_each(|service| write!(f, " of {service}"))?;
        if let Some(closest) = &self.closest {
            let named: Vec<_> = self.reasons.iter().map(|(reason, count)| format!("{reason} ({count})")).collect();
            write!(f, " fits: {}", named.join(", "))?;
            if self.other_reasons > 0 {
                write!(f, " and {} other reasons", self.other_reasons)?;
            }
            if self.instances > 1 {
                write!(f, "; closest is {closest}")?;
            }
        }
        self.near.fmt(f)
    }
}
