//! Reports, infos, health and states, written by serde: durations in milliseconds, times as RFC 3339.

use std::time::{Duration, UNIX_EPOCH};

use foundation::events::RetentionReport;
use foundation::health::Condition;
use foundation::names::Measurement;
use foundation::supervision::{ChildEvent, Health, Report, Stopped};
use foundation::telemetry::Counter;
use foundation::{ChildSpec, Foundation, NewEvent, StopCause, TestNamespace};
use foundation_testkit::configured;
use serde::Serialize;
use serde_json::{Value, json};

use crate::sources;

fn written(value: &impl Serialize) -> Value {
    let text = serde_json::to_string(value).expect("it is plain JSON");
    serde_json::from_str(&text).unwrap()
}

/// The names of the fields, in order.
fn fields(value: &Value) -> Vec<&str> {
    let mut fields: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    fields.sort_unstable();
    fields
}

#[foundation::test(builder = configured())]
async fn every_snapshot_of_a_namespace_is_written_as_json(namespace: TestNamespace) {
    namespace.config().update("server.port", 81).await.unwrap();
    let name = namespace.services().namespace().to_string();

    let info = written(&namespace.registry().service_info());
    assert_eq!((&info["namespace"], fields(&info)), (&json!(name), vec!["namespace", "services"]));
    let service = &info["services"][0];
    assert_eq!((&service["name"], &service["status"]), (&json!("config_server"), &json!("running")));
    assert!(service["uptime_ms"].is_number() && service["actor"].is_string(), "{service}");
    assert!(service["measures"]["idle_ms"].is_number() && service["measures"]["messages"].is_u64(), "{service}");
    for (_, measures) in namespace.registry().measures() {
        assert!(written(&measures)["handling_ns"]["count"].is_u64());
    }

    let health = written(&namespace.health().await);
    assert_eq!(health["namespace"], json!(name));
    assert!(health["services"].as_array().unwrap().iter().all(|it| it["health"] == "healthy"), "{health}");

    let status = written(&namespace.config().status().await.unwrap());
    assert_eq!(status["overrides"], json!(1));
    let history = written(&namespace.config().history("server.port").await.unwrap());
    assert_eq!((&history[0]["cause"], &history[0]["change"]["new"]), (&json!("update"), &json!(81)));
    assert!(history[0]["recorded_at"].as_str().unwrap().ends_with('Z'), "{history}");
    let commit = written(&namespace.config().update("server.port", 82).await.unwrap());
    assert!(commit["generation"].is_u64(), "{commit}");

    assert!(written(&namespace.events().stats().await.unwrap())["recorded"].is_u64());
    let verification = written(&namespace.events().verify(|_| ()).await.unwrap());
    assert_eq!((&verification["finding_count"], &verification["findings"]), (&json!(0), &json!([])));

    namespace
        .services()
        .application()
        .unwrap()
        .start_child(ChildSpec::task("clerk", |_| std::future::pending::<()>()))
        .await
        .unwrap();
    let children = written(&namespace.services().application().unwrap().which_children().await.unwrap());
    assert_eq!((&children[0]["id"], &children[0]["kind"]), (&json!("clerk"), &json!("worker")));
    assert!(children[0]["state"]["running"].is_string(), "{children}");
    assert_eq!(
        written(&namespace.services().application().unwrap().count_children().await.unwrap())["workers"],
        json!(1)
    );

    let requests = namespace.telemetry().family::<Counter>("requests", 10).unwrap();
    requests.with([("method", "GET")]).unwrap().increment();
    let scrape = written(&namespace.telemetry().scrape());
    let family = scrape["families"].as_array().unwrap().iter().find(|it| it["name"] == "requests").unwrap();
    let series = &family["series"][0];
    let expected = (&json!({ "method": "GET" }), &json!({ "counter": 1 }), &Value::Null);
    assert_eq!((&series["labels"], &series["reading"], &series["rate"]), expected);
    assert!(series["since"].as_str().unwrap().ends_with('Z') && scrape["taken_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(scrape["namespace"], json!(name));
}

#[tokio::test]
async fn every_report_of_an_end_is_written_as_json() {
    let foundation = Foundation::builder().start().await.unwrap();
    assert_eq!(written(&foundation.registry().stats())["production"], json!(4));
    let test = foundation.test_namespace().await.unwrap();
    let cleanup = written(&foundation.cleanup(test.services().namespace()).await.unwrap());
    assert_eq!(cleanup["namespace"], json!(test.services().namespace().to_string()));
    assert!(cleanup["took_ms"].is_number() && cleanup["stopped"][0]["how"] == "in_time", "{cleanup}");
    let shutdown = written(&foundation.shutdown().await);
    assert_eq!(
        (&shutdown["cause"], &shutdown["namespaces"][0]["namespace"]),
        (&json!("request"), &json!("production"))
    );
    assert!(shutdown["took_ms"].is_number(), "{shutdown}");
}

#[test]
fn each_health_cause_and_report_has_a_word_and_its_units() {
    assert_eq!(written(&Health::NotFound), json!("not_found"));
    assert_eq!(written(&Health::Failed("no answer".into())), json!({ "failed": "no answer" }));
    assert_eq!(written(&Health::TimedOut(Duration::from_micros(1_500))), json!({ "timed_out_ms": 1.5 }));
    assert_eq!(
        written(&[Condition::Healthy, Condition::Degraded, Condition::Down]),
        json!(["healthy", "degraded", "down"])
    );
    assert_eq!(written(&StopCause::Collapse), json!("collapse"));
    assert_eq!(
        written(&[Stopped::InTime, Stopped::Brutally, Stopped::Killed]),
        json!(["in_time", "brutally", "killed"])
    );
    assert_eq!(written(&Measurement::Sampled), json!("sampled"));
    let mut retention = RetentionReport::default();
    retention.clock_ahead = Duration::from_micros(1_500);
    assert_eq!(written(&retention)["clock_ahead_ms"], json!(1.5));
    let happened = ChildEvent::StartFailed { cause: "no desk".into() };
    let report = Report::new("top/office", "clerk", happened);
    let expected =
        json!({ "supervisor": "top/office", "child": "clerk", "happened": { "start_failed": { "cause": "no desk" } } });
    assert_eq!(written(&report), expected);
}

#[tokio::test]
async fn the_times_of_events_are_written_as_rfc_3339_and_read_back_in_both_forms() {
    let noon = UNIX_EPOCH + Duration::from_millis(1_796_000_400_500);
    let foundation = Foundation::builder().clock(move || noon).start().await.unwrap();
    let id = foundation.events().append(NewEvent::new("noted").unwrap()).await.unwrap();
    let event = foundation.events().get(id).await.unwrap().unwrap();
    let mut json = written(&*event);
    assert_eq!(json["recorded_at"], json!("2026-11-30T01:00:00.5Z"));
    let again: foundation::events::Event = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(again, *event);
    // In the earlier format.
    json["recorded_at"] = json!({ "secs_since_epoch": 1_796_000_400, "nanos_since_epoch": 500_000_000 });
    assert_eq!(serde_json::from_value::<foundation::events::Event>(json).unwrap(), *event);
    foundation.shutdown().await;
}

/// The suffixes of types that show a state or a result.
const SHOWN: [&str; 8] = ["Report", "Health", "Info", "Status", "Stats", "Verification", "Count", "Measures"];

#[test]
fn every_report_health_info_and_state_can_be_written() {
    let (mut seen, mut missing) = (0, Vec::new());
    for text in sources::of_libraries() {
        for (start, _) in text.match_indices("\npub struct ").chain(text.match_indices("\npub enum ")) {
            let name = text[start..].split_whitespace().nth(2).unwrap();
            let name = name.split(|it: char| !it.is_alphanumeric()).next().unwrap();
            if SHOWN.iter().any(|ending| name.ends_with(ending)) {
                seen += 1;
                let attributes = text[..start].rsplit("\n\n").next().unwrap();
                let by_hand = text.contains(&format!("impl Serialize for {name}"));
                if !by_hand && !attributes.contains("Serialize") {
                    missing.push(name.to_owned());
                }
            }
        }
    }
    assert!(seen > 15, "{seen} are not all");
    assert_eq!(missing, Vec::<String>::new(), "they need `Serialize`");
}
