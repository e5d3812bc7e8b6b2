//! The names of the instruments of one namespace, with their series and descriptions.
//!
//! # Invariants
//!
//! 1. A name belongs to the kind of instrument that it was first used for, for good; a built-in one to its own from the
//!    start.
//! 2. No two names claim the same name in Prometheus' text, those of the foundation's own included. So what an
//!    instrument is called there depends on nothing but itself.
//! 3. There are never more than `MAX_INSTRUMENTS` names and labelled series together, besides the built-in ones and one
//!    overflow series a name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foundation_kernel::instruments::Counter;
use foundation_kernel::names::Namespace;
use parking_lot::RwLock;

use super::sealed::Kind;
use super::{AnySeries, Budget, Instrument, SeriesReading, SeriesTable};
use crate::built_in::{Row, TABLE};
use crate::error::TelemetryError;
use crate::labels::Labels;
use crate::name::Grammar;
use crate::prometheus::ExposedName;
use crate::scrape::{MetricFamily, Series};
use crate::unit::Unit;

/// How many names and labelled series a namespace may have.
pub(crate) const MAX_INSTRUMENTS: usize = 10_000;
/// How many characters a description may have.
const MAX_HELP: usize = 1_000;

pub(crate) struct Names {
    namespace: Namespace,
    budget: Arc<Budget>,
    known: RwLock<Known>,
    descriptions: RwLock<HashMap<Box<str>, Description>>,
}

/// What is said about a name, which may have no instrument.
#[derive(Default)]
struct Description {
    help: Option<Arc<str>>,
    unit: Option<Unit>,
}

#[derive(Default)]
struct Known {
    series: HashMap<Arc<str>, AnySeries>,
    /// The owner of each name in Prometheus' text; the claims of built-in instruments are in their table.
    claimed: HashMap<String, Arc<str>>,
}

impl Names {
    /// No names, with room for those that each namespace has.
    pub(crate) fn new(namespace: Namespace) -> Self {
        let known = Known { series: HashMap::with_capacity(12), ..Known::default() };
        let budget = Arc::new(Budget::new(MAX_INSTRUMENTS));
        Self { namespace, budget, known: RwLock::new(known), descriptions: RwLock::default() }
    }

    /// The counters of a built-in name, which are shown from the start and made when they are first used.
    pub(crate) fn shown(&self, name: &str) -> Arc<SeriesTable<Counter>> {
        let table = Arc::new(SeriesTable::shown(self.namespace, name, &self.budget));
        self.known.write().series.insert(name.into(), AnySeries::Counter(Arc::clone(&table)));
        table
    }

    /// The series of a name, made if there are none.
    pub(crate) fn table<K: Instrument>(&self, name: &str) -> Result<Arc<SeriesTable<K>>, TelemetryError> {
        let known = self.known.read();
        if let Some(series) = known.series.get(name) {
            return of_kind(name, series);
        }
        Grammar::Instrument.check(name)?;
        // Here, too: a caller that counts under a refused name again and again must not hold up all others. Under the
        // same lock as the check before: a name that another thread gives to an instrument in between would be refused
        // because of itself.
        let checked = known.check::<K>(name);
        drop(known);
        checked.and_then(|()| self.make(name))
    }

    fn make<K: Instrument>(&self, name: &str) -> Result<Arc<SeriesTable<K>>, TelemetryError> {
        let mut known = self.known.write();
        if let Some(series) = known.series.get(name) {
            return of_kind(name, series);
        }
        known.check::<K>(name)?;
        if BuiltIn::of(name).is_none() && !self.budget.take() {
            return Err(TelemetryError::TooManyInstruments { name: name.to_owned(), limit: MAX_INSTRUMENTS });
        }
        let table = Arc::new(SeriesTable::new(self.namespace, name, &self.budget));
        known.insert(name, K::wrap(Arc::clone(&table)));
        Ok(table)
    }

    /// Sets the description of a name; a later one replaces an earlier one. Control characters become spaces.
    pub(crate) fn describe(&self, name: &str, help: &str) -> Result<(), TelemetryError> {
        Grammar::Instrument.check(name)?;
        let help: String = help.chars().take(MAX_HELP).map(|it| if it.is_control() { ' ' } else { it }).collect();
        self.set(name, |known| known.help = Some(help.into()))
    }

    /// Sets the unit of a name; a later one replaces an earlier one. That in which the name ends cannot be replaced.
    pub(crate) fn unit(&self, name: &str, unit: Unit) -> Result<(), TelemetryError> {
        Grammar::Instrument.check(name)?;
        match Unit::of_name(name, Counter::KIND) {
            Some(found) if found != unit => {
                Err(TelemetryError::UnitInName { name: name.to_owned(), wanted: unit, found })
            }
            _ => self.set(name, |known| known.unit = Some(unit)),
        }
    }

    fn set(&self, name: &str, change: impl FnOnce(&mut Description)) -> Result<(), TelemetryError> {
        let mut known = self.descriptions.write();
        if known.len() >= MAX_INSTRUMENTS && !known.contains_key(name) {
            return Err(TelemetryError::TooManyInstruments { name: name.to_owned(), limit: MAX_INSTRUMENTS });
        }
        change(known.entry(name.into()).or_default());
        Ok(())
    }

    /// All families in the order of their names, with descriptions; `others` are those of other components.
    pub(crate) fn read(&self, others: Vec<MetricFamily>) -> Vec<MetricFamily> {
        self.families(others, AnySeries::read)
    }

    /// The same at a tick: series that are resting now will not come back.
    pub(crate) fn read_at_tick(&self, others: Vec<MetricFamily>) -> Vec<MetricFamily> {
        self.families(others, AnySeries::read_at_tick)
    }

    fn families(
        &self,
        others: Vec<MetricFamily>,
        read: impl Fn(&AnySeries) -> Vec<SeriesReading>,
    ) -> Vec<MetricFamily> {
        let other = |family: MetricFamily| (Arc::clone(&family.name), family);
        let series = |it: SeriesReading| Series::new(it.labels, it.since, it.reading);
        let named = |(name, it): (Arc<str>, AnySeries)| {
            (Arc::clone(&name), MetricFamily::new(name, it.kind(), read(&it).into_iter().map(series)))
        };
        // The lock is not held while instruments are read.
        let tables = self.known.read().series.clone();
        let all: BTreeMap<_, _> = others.into_iter().map(other).chain(tables.into_iter().map(named)).collect();
        let descriptions = self.descriptions.read();
        let described = all.into_values().filter(|family| !family.series.is_empty()).map(|mut family| {
            let built_in = || BuiltIn::of(&family.name).map(|it| it.help.into());
            let known = descriptions.get(&*family.name);
            family.help = known.and_then(|it| it.help.clone()).or_else(built_in);
            family.unit = family.unit.or_else(|| known?.unit.clone());
            family
        });
        described.collect()
    }

    /// Removes a series that has no holder and still shows this mark.
    pub(crate) fn retire(&self, name: &str, labels: &Labels, seen: u64) -> bool {
        let table = self.known.read().series.get(name).cloned();
        table.is_some_and(|table| table.retire(labels, seen))
    }
}

impl Known {
    /// Refuses an unknown name that cannot be given to an instrument of this kind.
    fn check<K: Instrument>(&self, name: &str) -> Result<(), TelemetryError> {
        match BuiltIn::of(name) {
            Some(built_in) if !built_in.kept_here => Err(TelemetryError::BuiltIn { name: name.to_owned() }),
            Some(built_in) if built_in.kind != K::KIND => Err(wrong_kind::<K>(name, built_in.kind)),
            Some(_) => Ok(()),
            None => self.clash::<K>(name).map_or(Ok(()), Err),
        }
    }

    /// The error for a name that would be that of another instrument in Prometheus' text.
    fn clash<K: Instrument>(&self, name: &str) -> Option<TelemetryError> {
        let wanted = ExposedName::new(name, K::KIND);
        let with_own = BuiltIn::all().find_map(|it| Some((wanted.in_common_with(it.exposed, it.kind)?, it.name)));
        let with_others = || wanted.claims().find_map(|claim| Some((self.claimed.get(&claim)?.to_string(), claim)));
        let (exposed, owner) = match with_own {
            Some((exposed, owner)) => (exposed, owner.to_owned()),
            None => with_others().map(|(owner, exposed)| (exposed, owner))?,
        };
        Some(TelemetryError::NameTaken { name: name.to_owned(), exposed, owner })
    }

    /// Gives a [checked](Self::check) name to an instrument.
    fn insert(&mut self, name: &str, series: AnySeries) {
        let name = Arc::<str>::from(name);
        if BuiltIn::of(&name).is_none() {
            let exposed = ExposedName::new(&name, series.kind());
            self.claimed.extend(exposed.claims().map(|claim| (claim, Arc::clone(&name))));
        }
        self.series.insert(name, series);
    }
}

fn of_kind<K: Instrument>(name: &str, series: &AnySeries) -> Result<Arc<SeriesTable<K>>, TelemetryError> {
    K::unwrap(series).cloned().ok_or_else(|| wrong_kind::<K>(name, series.kind()))
}

fn wrong_kind<K: Instrument>(name: &str, found: &'static str) -> TelemetryError {
    TelemetryError::WrongKind { name: name.to_owned(), wanted: K::KIND, found }
}

/// An instrument of the foundation's own in each namespace: no other may have its name, or one that becomes the same in
/// Prometheus.
#[derive(Debug, Clone, Copy)]
struct BuiltIn {
    name: &'static str,
    /// The name in Prometheus' text, of a counter without its `_total`.
    exposed: &'static str,
    kind: &'static str,
    /// Its description in the export.
    help: &'static str,
    /// Whether it is an instrument of the telemetry service, and not only read by it.
    kept_here: bool,
}

impl BuiltIn {
    /// The one of this name.
    fn of(name: &str) -> Option<Self> {
        TABLE.binary_search_by(|(known, ..)| known.cmp(&name)).ok().map(|position| Self::at(&TABLE[position]))
    }

    fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(Self::at)
    }

    const fn at(&(name, exposed, kind, help, kept_here): &Row) -> Self {
        Self { name, exposed, kind, help, kept_here }
    }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
