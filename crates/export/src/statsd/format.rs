//! The two dialects as formats.

use std::time::UNIX_EPOCH;

use super::line::Dialect;
use super::plan::plan;
use super::sent::SentCounts;
use crate::batch::Batch;
use crate::encoded::{EncodeError, Encoded};
use crate::format::Format;

const CONTENT_TYPE: &str = "text/plain; charset=utf-8";

/// A dialect of StatsD: [`Statsd`] or [`DogStatsd`].
pub trait StatsdFormat: Format + sealed::Dialect {}

mod sealed {
    pub trait Dialect {
        const DIALECT: super::Dialect;
    }
}

/// StatsD, as Etsy's daemon reads it: `prefix.namespace.name.key.value:3|c`, with the labels as parts of the name.
///
/// | | is sent as |
/// |---|---|
/// | a counter | how much it has grown, `c`; nothing if it has not |
/// | a gauge | its value, `g`; a negative one is set to 0 first in the same datagram, since a number with a sign changes a gauge by that much |
/// | a histogram | three gauges, `.p50`, `.p99` and `.max`, of all that it has recorded; nothing if that is nothing |
///
/// ASCII letters, digits, `_` and `-` stay as they are, and so do the dots of names; all else becomes `_`. Values that are no finite
/// numbers are left out, and so are lines of more than 1,432 bytes.
///
/// As a format, apart from an [exporter](crate::StatsdExporter), it has no memory: it writes what an exporter would send for
/// which all counters began at zero.
#[derive(Debug, Clone, Copy)]
pub struct Statsd;

/// DogStatsD, as Datadog's agent reads it: `prefix.name:3|c|#namespace:production,key:value`.
///
/// Counters, gauges and histograms are sent as in [`Statsd`], apart from the labels, and from negative gauges, which are no changes
/// here. A histogram is no distribution (`d`) of DogStatsD, which takes each value that was recorded, and not a summary.
/// Letters and digits of any script, and `_-./=+%~`, stay as they are in the values of tags.
#[derive(Debug, Clone, Copy)]
pub struct DogStatsd;

impl sealed::Dialect for Statsd {
    const DIALECT: Dialect = Dialect::Plain;
}

impl sealed::Dialect for DogStatsd {
    const DIALECT: Dialect = Dialect::Tagged;
}

impl StatsdFormat for Statsd {}
impl StatsdFormat for DogStatsd {}

impl Format for Statsd {
    const NAME: &'static str = "statsd";
    const CONTENT_TYPE: &'static str = CONTENT_TYPE;

    fn encode(batch: &Batch) -> Result<Encoded, EncodeError> {
        Ok(encode(batch, Dialect::Plain))
    }
}

impl Format for DogStatsd {
    const NAME: &'static str = "dogstatsd";
    const CONTENT_TYPE: &'static str = CONTENT_TYPE;

    fn encode(batch: &Batch) -> Result<Encoded, EncodeError> {
        Ok(encode(batch, Dialect::Tagged))
    }
}

fn encode(batch: &Batch, dialect: Dialect) -> Encoded {
    let datagrams = plan(batch, dialect, "", &SentCounts::since(UNIX_EPOCH)).datagrams;
    let mut text = datagrams.iter().map(|datagram| &*datagram.text).collect::<Vec<_>>().join("\n");
    text.push('\n');
    Encoded::from(text)
}
