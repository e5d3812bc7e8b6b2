//! Names and labels that could break a format, through each of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use foundation::telemetry::{Counter, Gauge, Scrape};
use foundation_export::{Batch, Csv, DogStatsd, Format, Json, OpenMetrics, PrometheusText, Statsd};

use crate::setup::start;

const SEPARATORS: [&str; 12] = ["a|b", "a#b", "a:b", "a@b", "a,b", "a;b", "a=b", "a b", "a\"b", "a{b}", "a\\", "ä€"];

/// Numbers whose labels have separators and whose values are not all finite, and a family of the name.
async fn scrape(name: &str) -> Scrape {
    let (foundation, _exports) = start().await;
    let telemetry = foundation.telemetry();
    let users = telemetry.family::<Counter>("users", 100).unwrap();
    SEPARATORS.iter().for_each(|value| users.update([("user", value)], Counter::increment));
    let levels = telemetry.family::<Gauge>("level", 10).unwrap();
    for (room, value) in
        [("a", f64::NAN), ("b", f64::INFINITY), ("c", f64::NEG_INFINITY), ("d", f64::MIN), ("e", 5e-324)]
    {
        levels.update([("room", room)], |gauge| gauge.set(value));
    }
    telemetry.histogram("size").unwrap().record(f64::MAX);
    let mut scrape = telemetry.scrape();
    // Telemetry refuses such a name; the formats have to bear it all the same.
    let family = scrape.families.iter_mut().find(|family| &*family.name == "size").unwrap();
    family.name = Arc::from(name);
    family.help = Some(Arc::from(name));
    scrape
}

fn text<F: Format>(batch: &Batch) -> String {
    String::from_utf8(F::encoded(batch).unwrap().as_bytes().to_vec()).unwrap()
}

/// The names of all lines of a text of Prometheus.
fn names(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(['{', ' ']).next().unwrap()).collect()
}

fn is_prometheus_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_:".contains(&byte);
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(is_allowed)
}

#[tokio::test]
async fn no_name_breaks_a_format() {
    let long = "x".repeat(1 << 20);
    for name in SEPARATORS.into_iter().chain(["a\nb", "a\r\nb 1", "a\0b", "\u{2028}", "1a", &long]) {
        let batch = Batch::new(scrape(name).await, usize::MAX);
        let series = batch.series();

        let json: serde_json::Value = serde_json::from_str(&text::<Json>(&batch)).unwrap();
        assert!(json["families"].as_array().unwrap().iter().any(|family| family["name"] == name));

        let csv = text::<Csv>(&batch);
        assert_eq!(csv.matches(",production,").count(), series, "{name:?}");

        for written in [text::<PrometheusText>(&batch), text::<OpenMetrics>(&batch)] {
            let names = names(&written);
            assert!(names.iter().all(|name| is_prometheus_name(name)), "{name:?}: {names:?}");
            let comments = written.lines().filter(|line| line.starts_with('#'));
            let mut comments = comments.filter(|line| !line.starts_with("# HELP ") && !line.starts_with("# TYPE "));
            assert!(comments.all(|line| line == "# EOF" || line.starts_with("# UNIT ")), "{name:?}");
        }

        for (written, fields) in [(text::<Statsd>(&batch), 2), (text::<DogStatsd>(&batch), 3)] {
            for line in written.lines() {
                let found: Vec<_> = line.split('|').collect();
                assert!(found.len() == fields && ["c", "g"].contains(&found[1]), "{line:?}");
                let (_, value) = found[0].rsplit_once(':').unwrap();
                assert!(value.parse::<f64>().unwrap().is_finite(), "{line:?}");
                assert!(line.len() <= 1_432);
            }
        }
    }
}

#[tokio::test]
async fn a_label_of_a_megabyte_is_refused_and_counted_and_no_format_has_it() {
    let (foundation, exports) = start().await;
    let telemetry = foundation.telemetry();
    let users = telemetry.family::<Counter>("users", 100).unwrap();
    let long = "x".repeat(1 << 20);
    for value in [&*long, "a\nb", "a\0b"] {
        assert!(users.with([("user", value)]).is_err());
        users.update([("user", value)], Counter::increment);
    }
    assert_eq!(telemetry.snapshot().counter("telemetry.unrecorded"), Some(3));
    for format in ["csv", "json", "prometheus", "openmetrics", "statsd", "dogstatsd"] {
        let text = exports.encode(format).unwrap();
        let text = std::str::from_utf8(text.as_bytes()).unwrap();
        assert!(text.len() < 100_000 && !text.contains("xxxx") && !text.contains('\0'), "{format}");
    }
}
