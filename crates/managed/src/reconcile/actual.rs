//! What is found of managed services.

use std::collections::{BTreeMap, BTreeSet};

use foundation_kernel::names::ServiceName;

use crate::needs::{Need, NeedGraph};
use crate::replacement::ReplacementStrategy;

/// What is found of one managed service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ActualService {
    /// It does not run.
    #[default]
    Stopped,
    /// It is being started, or replaced by this generation.
    Starting {
        /// The generation.
        generation: u64,
    },
    /// It works.
    Ready {
        /// The generation.
        generation: u64,
    },
    /// It runs and does not work.
    Unhealthy {
        /// The generation.
        generation: u64,
    },
    /// It is not restarted any more.
    GaveUp {
        /// The generation.
        generation: u64,
    },
    /// It is being stopped.
    Stopping {
        /// The generation.
        generation: u64,
    },
}

impl ActualService {
    /// The generation that runs, or is given up.
    pub fn generation(self) -> Option<u64> {
        match self {
            Self::Stopped => None,
            Self::Starting { generation }
            | Self::Ready { generation }
            | Self::Unhealthy { generation }
            | Self::GaveUp { generation }
            | Self::Stopping { generation } => Some(generation),
        }
    }
}

/// What is found of all managed services, and which needs are met by others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActualServices {
    /// The managed services; one that is not here is stopped.
    pub services: BTreeMap<ServiceName, ActualService>,
    /// The needs that services outside of the roster meet.
    pub met_outside: BTreeSet<Need>,
    /// How services that run get the generation that is desired. The roster says it of those that are not here.
    pub strategies: BTreeMap<ServiceName, ReplacementStrategy>,
    /// What the services need and provide that run and are not in the roster any more.
    pub removed: NeedGraph,
}

impl ActualServices {
    /// What is found of one service.
    pub fn get(&self, name: &ServiceName) -> ActualService {
        self.services.get(name).copied().unwrap_or_default()
    }

    /// The services that work.
    pub fn ready(&self) -> BTreeSet<ServiceName> {
        let ready = self.services.iter().filter(|(_, it)| matches!(it, ActualService::Ready { .. }));
        ready.map(|(name, _)| name.clone()).collect()
    }

    /// How a service that runs gets the desired generation: as it is recorded, or as its kind says.
    pub(crate) fn strategy(&self, name: &ServiceName, recorded: Option<ReplacementStrategy>) -> ReplacementStrategy {
        // A generation is begun by a restart too, and then it is to run all the same.
        let compared = || self.strategies.get(name).copied().filter(|it| *it != ReplacementStrategy::Nothing);
        recorded.or_else(compared).unwrap_or_default()
    }
}
