//! The formats that are built in.

use foundation::telemetry::{Counter, Gauge, Histogram};
use foundation_export::Batch;

use crate::setup::start;

#[tokio::test]
async fn a_table_has_a_line_for_each_series_with_as_many_fields_whatever_the_labels_are() {
    let (foundation, exports) = start().await;
    let telemetry = foundation.telemetry();
    let hostile = ["a,b", "a\"b", "a\nb", "a\r\nb", "=1+1", "", "ä{}", "\\"];
    let users = telemetry.family::<Counter>("users", 100).unwrap();
    hostile.iter().for_each(|value| users.update([("user", value)], Counter::increment));
    let levels = telemetry.family::<Gauge>("levels", 100).unwrap();
    for (name, value) in [("nan", f64::NAN), ("up", f64::INFINITY), ("down", f64::NEG_INFINITY)] {
        levels.update([("level", name)], |gauge| gauge.set(value));
    }
    telemetry.histogram("sizes").unwrap().record(2.0);

    let series = Batch::new(telemetry.scrape(), usize::MAX).series();
    let text = exports.encode("csv").unwrap();
    let text = std::str::from_utf8(text.as_bytes()).unwrap();
    let rows = rows(text);
    assert!(rows.iter().all(|row| row.len() == 14), "{text}");
    assert_eq!(rows.len(), 1 + series);
    let of = |name: &str| rows.iter().filter(|row| row[2] == name).cloned().collect::<Vec<_>>();
    // Labels with line ends, and empty ones, are refused where they are counted.
    assert_eq!(of("users").len(), hostile.len() - 2);
    assert_eq!(of("telemetry.unrecorded")[0][5], "2");
    assert!(of("users").iter().all(|row| row[5] == "1"));
    let levels: Vec<_> = of("levels").iter().map(|row| row[5].clone()).collect();
    assert_eq!(levels, ["-inf", "NaN", "inf"]);
    let sizes = &of("sizes")[0];
    assert_eq!((&*sizes[7], &*sizes[8], &*sizes[11]), ("1", "2", "2"));
}

/// Reads a table as RFC 4180 has it.
fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '"' if quoted && rest.peek() == Some(&'"') => field.extend(rest.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            other => field.push(other),
        }
    }
    rows
}

#[tokio::test]
async fn numbers_that_json_does_not_have_are_texts() {
    let (foundation, exports) = start().await;
    let levels = foundation.telemetry().family::<Gauge>("level", 3).unwrap();
    let values = [("a", f64::NAN), ("b", f64::INFINITY), ("c", f64::NEG_INFINITY)];
    values.into_iter().for_each(|(level, value)| levels.update([("level", level)], |gauge| gauge.set(value)));
    let json: serde_json::Value = serde_json::from_slice(exports.encode("json").unwrap().as_bytes()).unwrap();
    let families = json["families"].as_array().unwrap();
    let level = families.iter().find(|family| family["name"] == "level").unwrap();
    let texts = [0, 1, 2].map(|at| level["series"][at]["reading"]["gauge"].clone());
    assert_eq!(texts, ["NaN", "inf", "-inf"]);
    assert_eq!(json["namespace"], "production");
    assert!(json["taken_at"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn a_batch_has_no_more_series_than_it_may_and_counts_the_others() {
    let (foundation, _exports) = start().await;
    let telemetry = foundation.telemetry();
    telemetry.family::<Histogram>("latency", 10).unwrap();
    let all = Batch::new(telemetry.scrape(), usize::MAX);
    assert_eq!((all.dropped(), all.series() > 5), (0, true));
    let some = Batch::new(telemetry.scrape(), 5);
    assert_eq!((some.series(), some.dropped()), (5, all.series() - 5));
    assert_eq!(some.scrape().families.iter().map(|family| family.series.len()).sum::<usize>(), 5);
    let none = Batch::new(telemetry.scrape(), 0);
    assert_eq!((none.series(), none.dropped()), (0, all.series()));
}

/// For parsers of others: `cargo test --test export -- --ignored --nocapture print_open_metrics`.
#[tokio::test]
#[ignore = "prints what a parser of others reads"]
async fn print_open_metrics() {
    let (foundation, exports) = start().await;
    let telemetry = foundation.telemetry();
    let latency = telemetry.family::<Histogram>("latency_ms", 10).unwrap();
    ["a", "b\"c", "d\\e"].iter().for_each(|path| latency.update([("path", path)], |it| it.record(12.5)));
    telemetry.histogram("sizes_bytes").unwrap().record(4_096.0);
    telemetry.histogram("other").unwrap().record(1.0);
    telemetry.count("orders");
    telemetry.gauge("level").unwrap().set(f64::NAN);
    print!("{}", String::from_utf8_lossy(exports.encode("openmetrics").unwrap().as_bytes()));
}
