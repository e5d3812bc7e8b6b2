//! The series of one name, of any kind.

use std::sync::Arc;

use foundation_kernel::{Counter, Gauge, Histogram};

use super::instrument::Reads;
use super::labels::Labels;
use super::scrape::Series;
use super::series_table::SeriesTable;

/// A kind of instrument that can be had by name and that a [`Family`](crate::Family) may consist of: [`Counter`],
/// [`Gauge`] or [`Histogram`].
pub trait Instrument: sealed::Kind {}

impl Instrument for Counter {}
impl Instrument for Gauge {}
impl Instrument for Histogram {}

/// A name belongs to one kind.
#[derive(Clone)]
pub enum AnySeries {
    Counter(Arc<SeriesTable<Counter>>),
    Gauge(Arc<SeriesTable<Gauge>>),
    Histogram(Arc<SeriesTable<Histogram>>),
}

/// The same for each kind.
macro_rules! each {
    ($any:expr, $table:ident => $does:expr) => {
        match $any {
            AnySeries::Counter($table) => $does,
            AnySeries::Gauge($table) => $does,
            AnySeries::Histogram($table) => $does,
        }
    };
}

impl AnySeries {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Counter(_) => Counter::KIND,
            Self::Gauge(_) => Gauge::KIND,
            Self::Histogram(_) => Histogram::KIND,
        }
    }

    pub(super) fn read(&self) -> Vec<Series> {
        each!(self, table => table.read())
    }

    pub(super) fn read_at_tick(&self) -> Vec<Series> {
        each!(self, table => table.read_at_tick())
    }

    pub(super) fn retire(&self, labels: &Labels, seen: u64) -> bool {
        each!(self, table => table.retire(labels, seen))
    }
}

mod sealed {
    use super::{AnySeries, Arc, Reads, SeriesTable};

    pub trait Kind: Reads {
        #[doc(hidden)]
        fn wrap(table: Arc<SeriesTable<Self>>) -> AnySeries;
        #[doc(hidden)]
        fn unwrap(series: &AnySeries) -> Option<&Arc<SeriesTable<Self>>>;
    }
}
pub(super) use sealed::Kind;

macro_rules! kind {
    ($kind:ident) => {
        impl Kind for $kind {
            fn wrap(table: Arc<SeriesTable<Self>>) -> AnySeries {
                AnySeries::$kind(table)
            }
            fn unwrap(series: &AnySeries) -> Option<&Arc<SeriesTable<Self>>> {
                match series {
                    AnySeries::$kind(table) => Some(table),
                    _ => None,
                }
            }
        }
    };
}
kind!(Counter);
kind!(Gauge);
kind!(Histogram);
