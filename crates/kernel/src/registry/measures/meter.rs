//! The meter of one actor.

use std::sync::{Arc, OnceLock};

use ractor::ActorId;
use tracing::{Span, debug_span, info_span};

use super::by_name::Measures;
use super::measurement::Measurement;
use super::measuring::Measuring;
use super::metered::Metered;
use super::series::Series;
use crate::registry::holder::Holder;
use crate::supervisor::{Handled, Life, Metering};

/// The target of the spans of messages.
const TARGET: &str = "foundation::service";
/// The target of the spans of starts and stops.
const LIFE: &str = "foundation::lifecycle";

/// Measures one incarnation of a name, for as long as it has the name.
pub(crate) struct Meter {
    timed_one_in: Option<u64>,
    holder: Arc<Holder>,
    measures: Arc<Measures>,
    /// Set at the first message: a service without messages has none.
    series: OnceLock<Arc<Series>>,
}

impl Meter {
    pub(crate) fn new(measures: &Arc<Measures>, holder: &Arc<Holder>, measurement: Option<Measurement>) -> Self {
        Self {
            timed_one_in: measurement.unwrap_or(measures.measurement()).timed_one_in(),
            holder: Arc::clone(holder),
            measures: Arc::clone(measures),
            series: OnceLock::new(),
        }
    }

    #[inline]
    fn begin(&self) -> Option<Measuring<'_>> {
        let timed_one_in = self.timed_one_in?;
        // An actor that has lost the name no longer acts under it.
        if self.holder.is_retired() {
            return None;
        }
        let series = self.series.get_or_init(|| self.measures.series(self.holder.name()));
        Some(Measuring::begin(series, timed_one_in))
    }

    /// `None` if no subscriber wants it; then nothing is made.
    #[inline]
    fn message_span(&self, actor: ActorId) -> Option<Span> {
        let (namespace, service) = (self.measures.namespace(), self.holder.name());
        let span = debug_span!(target: TARGET, "handle", %namespace, %service, %actor);
        (!span.is_disabled()).then_some(span)
    }
}

impl Metering for Meter {
    type Metered<'a, F: Future<Output = Handled> + Send> = Metered<'a, F>;

    #[inline]
    fn meter<F: Future<Output = Handled> + Send>(&self, actor: ActorId, handling: F) -> Metered<'_, F> {
        match self.begin() {
            Some(measuring) => Metered::new(handling, self.message_span(actor), Some(measuring)),
            None => Metered::new(handling, None, None),
        }
    }

    fn span(&self, life: Life, actor: ActorId) -> Span {
        if self.timed_one_in.is_none() {
            return Span::none();
        }
        let (namespace, service) = (self.measures.namespace(), self.holder.name());
        match life {
            Life::Start => info_span!(target: LIFE, "start", %namespace, %service, %actor),
            Life::Stop => info_span!(target: LIFE, "stop", %namespace, %service, %actor),
        }
    }
}
