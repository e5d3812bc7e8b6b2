//! The numbers that are exported at one time.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use foundation_telemetry::Scrape;
use parking_lot::Mutex;

use crate::encoded::{EncodeError, Encoded};

/// The numbers of a namespace, read once for all exporters that are due at the same time, and encoded once for each format.
#[derive(Clone)]
pub struct Batch(Arc<Contents>);

struct Contents {
    scrape: Scrape,
    series: usize,
    dropped: usize,
    /// By the types of the formats: their names are chosen by others.
    encoded: Mutex<HashMap<TypeId, Arc<Encoding>>>,
    /// Whether the event that it was taken has been shown.
    shown: AtomicBool,
}

type Encoding = OnceLock<Result<Encoded, EncodeError>>;

impl Batch {
    /// A batch of at most so many series; those beyond are counted as [dropped](Self::dropped), the last families first.
    pub fn new(mut scrape: Scrape, max_series: usize) -> Self {
        let mut room = max_series;
        let (mut series, mut dropped) = (0, 0);
        for family in &mut scrape.families {
            dropped += family.series.len().saturating_sub(room);
            family.series.truncate(room);
            room -= family.series.len();
            series += family.series.len();
        }
        scrape.families.retain(|family| !family.series.is_empty());
        Self(Arc::new(Contents { scrape, series, dropped, encoded: Mutex::default(), shown: AtomicBool::new(false) }))
    }

    /// The numbers.
    pub fn scrape(&self) -> &Scrape {
        &self.0.scrape
    }

    /// When they were read.
    pub fn taken_at(&self) -> SystemTime {
        self.0.scrape.taken_at
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.0.series
    }

    /// How many series had no room.
    pub fn dropped(&self) -> usize {
        self.0.dropped
    }

    /// Whether these are the same numbers, and not only equal ones.
    #[cfg(feature = "otlp")]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether the event that it was taken has been shown; from now on it has.
    pub(crate) fn is_shown(&self) -> bool {
        self.0.shown.swap(true, Ordering::Relaxed)
    }

    /// The numbers in the format of this type, which is encoded the first time.
    pub(crate) fn encoded_by(
        &self,
        format: TypeId,
        encode: impl FnOnce(&Self) -> Result<Encoded, EncodeError>,
    ) -> Result<Encoded, EncodeError> {
        let encoding = Arc::clone(self.0.encoded.lock().entry(format).or_default());
        // Not under the lock: the format may be foreign code.
        encoding.get_or_init(|| encode(self)).clone()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("taken_at", &self.0.scrape.taken_at)
            .field("series", &self.0.series)
            .field("dropped", &self.0.dropped)
            .finish_non_exhaustive()
    }
}
