//! The names of the instruments of one namespace.
//!
//! # Invariants
//!
//! 1. A name belongs to the kind of instrument that it was first used for, for good; a built-in one to its own from the
//!    start.
//! 2. No two names claim the same name in Prometheus' text, those of the foundation's own included. So what an
//!    instrument is called there depends on nothing but itself.

use std::collections::HashMap;
use std::sync::Arc;

use super::any_series::{AnySeries, Kind};
use super::built_in::BuiltIn;
use super::error::TelemetryError;
use super::exposed_name::ExposedName;

pub(super) struct Names {
    series: HashMap<Arc<str>, AnySeries>,
    /// The owner of each name in Prometheus' text.
    claimed: HashMap<String, Arc<str>>,
}

impl Names {
    /// No names, with room for those that each namespace has.
    pub(super) fn new() -> Self {
        Self { series: HashMap::with_capacity(12), claimed: HashMap::new() }
    }

    pub(super) fn get(&self, name: &str) -> Option<&AnySeries> {
        self.series.get(name)
    }

    pub(super) fn all(&self) -> HashMap<Arc<str>, AnySeries> {
        self.series.clone()
    }

    /// Why an unknown name cannot be given to an instrument of this kind, if it cannot.
    pub(super) fn refusal<K: Kind>(&self, name: &str) -> Option<TelemetryError> {
        match BuiltIn::of(name) {
            Some(built_in) if !built_in.kept_here => Some(TelemetryError::BuiltIn { name: name.to_owned() }),
            Some(built_in) if built_in.kind != K::KIND => Some(wrong_kind::<K>(name, built_in.kind)),
            Some(_) => None,
            None => self.clash::<K>(name),
        }
    }

    fn clash<K: Kind>(&self, name: &str) -> Option<TelemetryError> {
        let wanted = ExposedName::new(name, K::KIND);
        let with_own = BuiltIn::ALL.iter().find_map(|it| Some((wanted.in_common_with(it.exposed, it.kind)?, it.name)));
        let with_others = || wanted.claims().find_map(|claim| Some((self.claimed.get(&claim)?.to_string(), claim)));
        let (exposed, owner) = match with_own {
            Some((exposed, owner)) => (exposed, owner.to_owned()),
            None => with_others().map(|(owner, exposed)| (exposed, owner))?,
        };
        Some(TelemetryError::NameTaken { name: name.to_owned(), exposed, owner })
    }

    /// Gives a name, which was not [refused](Self::refusal), to an instrument.
    pub(super) fn insert(&mut self, name: &str, series: AnySeries) {
        if BuiltIn::of(name).is_some() {
            return self.insert_built_in(name, series);
        }
        let (name, exposed) = (Arc::<str>::from(name), ExposedName::new(name, series.kind()));
        self.claimed.extend(exposed.claims().map(|claim| (claim, Arc::clone(&name))));
        self.series.insert(name, series);
    }

    /// The same for a built-in instrument, whose claims are in the table of built-in ones.
    pub(super) fn insert_built_in(&mut self, name: &str, series: AnySeries) {
        self.series.insert(name.into(), series);
    }
}

pub(super) fn wrong_kind<K: Kind>(name: &str, found: &'static str) -> TelemetryError {
    TelemetryError::WrongKind { name: name.to_owned(), wanted: K::KIND, found }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
