//! The options of discovery in a namespace.

use crate::choice::{LoadRules, OutlierRules};
use crate::lease::PreservationRules;

/// How discovery works in a namespace.
///
/// | | default |
/// |---|---|
/// | [`max_instances`](Self::max_instances) | 256 a service |
/// | [`load`](Self::load) | [`LoadRules::new`] |
/// | [`outliers`](Self::outliers) | [`OutlierRules::new`] |
/// | [`preservation`](Self::preservation) | [`PreservationRules::new`] |
/// | [`unread_changes`](Self::unread_changes) | 1,024 |
/// | [`seed`](Self::seed) | another one in each process |
#[derive(Debug, Clone)]
pub struct DiscoveryOptions {
    pub(super) max_instances: usize,
    pub(super) load: LoadRules,
    pub(super) outliers: OutlierRules,
    pub(super) preservation: PreservationRules,
    pub(super) unread_changes: usize,
    pub(super) seed: Option<u64>,
}

impl Default for DiscoveryOptions {
    fn default() -> Self {
        let (load, outliers) = (LoadRules::default(), OutlierRules::default());
        Self {
            max_instances: 256,
            load,
            outliers,
            preservation: PreservationRules::default(),
            unread_changes: 1_024,
            seed: None,
        }
    }
}

impl DiscoveryOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many instances of one service are registered at most. Those that are registered at the same time may be a few
    /// more.
    pub fn max_instances(self, instances: usize) -> Self {
        Self { max_instances: instances, ..self }
    }

    /// How fast loads forget.
    pub fn load(self, rules: LoadRules) -> Self {
        Self { load: rules, ..self }
    }

    /// When instances whose calls fail are left out.
    pub fn outliers(self, rules: OutlierRules) -> Self {
        Self { outliers: rules, ..self }
    }

    /// When leases that have run out are kept, since too many have.
    pub fn preservation(self, rules: PreservationRules) -> Self {
        Self { preservation: rules, ..self }
    }

    /// How many unread changes of names are kept for a watch, 1 at least; with more it has lagged.
    pub fn unread_changes(self, changes: usize) -> Self {
        Self { unread_changes: changes, ..self }
    }

    /// Where chance begins, for tests that are to be repeated.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }
}
