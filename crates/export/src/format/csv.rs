//! CSV, as RFC 4180 has it.

use std::fmt::{self, Write};

use foundation_kernel::instruments::Reading;
use foundation_kernel::written::rfc3339;
use foundation_telemetry::{MetricFamily, Series};

use super::Format;
use crate::batch::Batch;
use crate::encoded::{EncodeError, Encoded};

const HEADINGS: &str = "taken_at,namespace,name,kind,labels,value,rate,count,sum,min,max,p50,p90,p99";

/// CSV, as RFC 4180 has it: a line of headings, and a line for each series.
///
/// `taken_at,namespace,name,kind,labels,value,rate,count,sum,min,max,p50,p90,p99`: the value of a counter and of a gauge; from
/// the count on what a histogram has. What a series does not have is empty. Lines end in CR LF, and values with commas, quotation
/// marks or line ends stand in quotation marks.
#[derive(Debug, Clone, Copy)]
pub struct Csv;

impl Format for Csv {
    const NAME: &'static str = "csv";
    const CONTENT_TYPE: &'static str = "text/csv; charset=utf-8; header=present";

    fn encode(batch: &Batch) -> Result<Encoded, EncodeError> {
        let scrape = batch.scrape();
        let beginning = format!("{},{}", rfc3339::format(scrape.taken_at).unwrap_or_default(), scrape.namespace);
        let mut text = format!("{HEADINGS}\r\n");
        for family in &scrape.families {
            for series in &family.series {
                // Writing to a string cannot fail.
                let _ = write_line(&mut text, &beginning, family, series);
            }
        }
        Ok(Encoded::from(text))
    }
}

fn write_line(text: &mut String, beginning: &str, family: &MetricFamily, series: &Series) -> fmt::Result {
    write!(text, "{beginning},{},{},{}", CsvField(&family.name), family.kind, CsvField(&series.labels.to_string()))?;
    let rate = Number(series.rate);
    match &series.reading {
        Reading::Counter(value) => write!(text, ",{value},{rate},,,,,,,")?,
        Reading::Gauge(value) => write!(text, ",{},,,,,,,,", Number(Some(*value)))?,
        Reading::Histogram(summary) => {
            write!(text, ",,{rate},{},{}", summary.count, Number(Some(summary.sum)))?;
            for figure in [summary.min, summary.max, summary.p50, summary.p90, summary.p99] {
                write!(text, ",{}", Number(figure))?;
            }
        }
        _ => write!(text, ",,,,,,,,,")?,
    }
    text.write_str("\r\n")
}

/// A value that is quoted if it has to be.
pub(crate) struct CsvField<'a>(pub(crate) &'a str);

impl fmt::Display for CsvField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains([',', '"', '\r', '\n']) {
            write!(f, "\"{}\"", self.0.replace('"', "\"\""))
        } else {
            f.write_str(self.0)
        }
    }
}

/// A number, or nothing.
struct Number(Option<f64>);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |value| write!(f, "{value}"))
    }
}
