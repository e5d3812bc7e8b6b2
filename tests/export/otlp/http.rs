//! Exports by HTTP.

use std::time::Duration;

use foundation_export::{ExportError, ExportRetry, ExporterStats, Exports, OtlpExporter};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;

use super::receiver::{Answer, Receiver, fill, on_demand};
use crate::setup::{LONG, StoppedClock, every, start};

/// Exports once to a receiver that gives these answers.
async fn export(answers: impl IntoIterator<Item = Answer>) -> (Result<usize, ExportError>, ExporterStats, Receiver) {
    let (_foundation, exports) = start().await;
    let receiver = Receiver::start(answers).await;
    exports.register("collector", receiver.on_demand()).await.unwrap();
    let outcome = exports.now("collector", LONG).await.map(|exported| exported.series);
    (outcome, exports.stats("collector").unwrap(), receiver)
}

async fn fails(answers: impl IntoIterator<Item = Answer>) -> (String, ExporterStats) {
    let (outcome, stats, _receiver) = export(answers).await;
    (outcome.unwrap_err().to_string(), stats)
}

#[tokio::test]
async fn a_receiver_gets_the_numbers_of_now_with_what_is_said_of_the_program() {
    let (foundation, exports) = start().await;
    let mut receiver = Receiver::start([]).await;
    let exporter = receiver.exporter().attribute("service.name", "orders").unwrap();
    exports.register("collector", on_demand(exporter)).await.unwrap();
    foundation.telemetry().count("orders");
    let exported = exports.now("collector", LONG).await.unwrap();
    let asked = receiver.asked.recv().await.unwrap();
    assert!(asked.head.starts_with("POST /v1/metrics HTTP/1.1\r\n"), "{}", asked.head);
    assert!(asked.head.contains("content-type: application/x-protobuf\r\n"), "{}", asked.head);
    let request = asked.request();
    let attributes = &request.resource_metrics[0].resource.as_ref().unwrap().attributes;
    let keys: Vec<_> = attributes.iter().map(|attribute| &*attribute.key).collect();
    assert_eq!(keys, ["foundation.namespace", "service.name"]);
    // As the same request would be by the types of OTLP's authors.
    assert_eq!(request.encode_to_vec(), asked.body);
    assert!(request.resource_metrics[0].scope_metrics[0].metrics.iter().any(|metric| metric.name == "orders"));
    assert_eq!(exported.bytes, asked.body.len());
    let stats = exports.stats("collector").unwrap();
    assert_eq!(stats.target.unwrap().to_string(), format!("{} by Http", receiver.url));
}

#[tokio::test]
async fn a_receiver_that_is_busy_each_second_time_gets_all_exports() {
    let (_foundation, exports) = start().await;
    let receiver = Receiver::start((0..10).map(|number| Answer::status(if number % 2 == 0 { 503 } else { 200 }))).await;
    exports.register("collector", receiver.on_demand()).await.unwrap();
    for _ in 0..5 {
        exports.now("collector", LONG).await.unwrap();
    }
    let stats = exports.stats("collector").unwrap();
    assert_eq!((stats.attempts, stats.successes, stats.retries, stats.failures), (10, 5, 5, 0));
}

#[tokio::test]
async fn a_receiver_that_answers_byte_by_byte_is_understood() {
    let (outcome, stats, _receiver) = export([Answer::Slowly]).await;
    assert_eq!((outcome.unwrap() > 0, stats.attempts), (true, 1));
}

#[tokio::test]
async fn a_connection_that_is_reset_is_made_again() {
    let (outcome, stats, _receiver) = export([Answer::Reset, Answer::Reset]).await;
    assert_eq!((outcome.unwrap() > 0, stats.attempts), (true, 3));
}

#[tokio::test]
async fn what_is_no_http_is_not_asked_again() {
    let (error, stats) = fails([Answer::Garbage]).await;
    assert!(error.starts_with("exporter collector has failed at attempt 1: invalid HTTP"), "{error}");
    assert_eq!(stats.retries, 0);
}

#[tokio::test]
async fn a_success_that_is_no_answer_of_otlp_is_a_failure() {
    let (error, _) = fails([Answer::Status(200, "", b"<html>Welcome</html>".to_vec())]).await;
    assert!(error.ends_with("200 OK without an answer of OTLP"), "{error}");
}

#[tokio::test]
async fn an_answer_that_never_ends_is_not_read_to_its_end() {
    let (error, stats) = fails([Answer::Endless]).await;
    assert!(error.ends_with("an answer of more than 65536 bytes"), "{error}");
    assert_eq!(stats.retries, 0);
}

#[tokio::test]
async fn a_body_that_is_too_large_for_the_receiver_is_not_sent_again() {
    let (error, stats) = fails([Answer::Status(413, "", b"\x12\x09too large".to_vec())]).await;
    assert!(error.ends_with("413 Payload Too Large: too large"), "{error}");
    assert_eq!((stats.attempts, stats.failures), (1, 1));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (error, stats) = fails([Answer::Status(307, "location: http://127.0.0.1:1/\r\n", Vec::new())]).await;
    assert!(error.ends_with("307 Temporary Redirect"), "{error}");
    assert_eq!(stats.attempts, 1);
}

#[tokio::test]
async fn series_that_a_receiver_refuses_are_counted_and_not_sent_again() {
    let (outcome, stats, _receiver) = export([Answer::RefuseSome(3, "unknown unit".to_owned())]).await;
    assert_eq!(outcome.unwrap() as u64, stats.series);
    assert_eq!((stats.attempts, stats.successes, stats.series_dropped), (1, 1, 3));
    assert_eq!(stats.last_rejection.as_deref(), Some("unknown unit"));
}

#[tokio::test]
async fn a_receiver_that_refuses_more_than_it_got_has_refused_all() {
    let (outcome, stats, _receiver) = export([Answer::RefuseSome(i64::MAX, String::new())]).await;
    assert_eq!((outcome.unwrap(), stats.series), (0, 0));
    assert!(stats.series_dropped > 0 && stats.series_dropped < 1_000, "{stats:?}");
}

#[tokio::test]
async fn an_address_without_a_receiver_is_tried_again() {
    let (_foundation, exports) = start().await;
    // Bound and not listened on, so that no other test has the port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let exporter = OtlpExporter::http(&format!("http://{}", socket.local_addr().unwrap())).unwrap();
    exports.register("collector", on_demand(exporter)).await.unwrap();
    let error = exports.now("collector", LONG).await.unwrap_err().to_string();
    assert!(error.starts_with("exporter collector has failed at attempt 4: no connection to 127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn a_receiver_is_asked_again_when_it_says_and_not_within_the_period_if_that_is_later() {
    let (_foundation, exports) = start().await;
    let busy = |headers| Answer::Status(429, headers, Vec::new());
    let receiver = Receiver::start([busy("retry-after: 0\r\n"), Answer::Accept, busy("retry-after: 86400\r\n")]).await;
    // By the exporter's own rule it would take longer than the test.
    let retry = ExportRetry::attempts(4).first_delay(LONG);
    exports.register("collector", receiver.on_demand().retry(retry).schedule(every(3_600))).await.unwrap();
    exports.now("collector", LONG).await.unwrap();
    assert_eq!(exports.stats("collector").unwrap().attempts, 2);
    let error = exports.now("collector", LONG).await.unwrap_err().to_string();
    assert_eq!(error, "exporter collector has failed at attempt 1: 429 Too Many Requests");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_never_answers_is_left_after_the_time_out_with_its_connection() {
    let _clock = StoppedClock::new();
    let (_foundation, exports) = start().await;
    let mut receiver = Receiver::start([Answer::Never]).await;
    let spec = receiver.on_demand().retry(ExportRetry::attempts(1));
    exports.register("collector", spec.timeout(Duration::from_secs(2))).await.unwrap();
    let (outcome, ()) = tokio::join!(exports.now("collector", LONG), async {
        receiver.asked.recv().await.unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
    });
    let error = outcome.unwrap_err().to_string();
    assert_eq!(error, "exporter collector has failed at attempt 1: no end within 2s");
    receiver.connections.wait_for(|open| *open == 0).await.unwrap();
}

/// Numbers of more than 4 MiB, for two requests.
async fn large(answers: impl IntoIterator<Item = Answer>) -> (foundation::Foundation, Exports, Receiver) {
    let (foundation, exports) = start().await;
    fill(foundation.telemetry());
    let receiver = Receiver::start(answers).await;
    exports.register("collector", receiver.on_demand()).await.unwrap();
    (foundation, exports, receiver)
}

#[tokio::test]
async fn numbers_of_more_than_four_mebibytes_are_sent_in_parts_and_what_was_accepted_is_not_sent_again() {
    let refused = |many| Answer::RefuseSome(many, format!("{many} too old"));
    let (_foundation, exports, mut receiver) = large([refused(2), Answer::status(503), refused(5)]).await;
    let exported = exports.now("collector", LONG).await.unwrap();
    let mut bodies = Vec::new();
    for _ in 0..3 {
        let asked = receiver.asked.recv().await.unwrap();
        assert!(asked.body.len() <= 4 * 1_024 * 1_024, "{}", asked.body.len());
        assert_eq!(asked.request().resource_metrics.len(), 1);
        bodies.push(asked.body);
    }
    assert!(receiver.asked.try_recv().is_err(), "a request more");
    assert!(bodies[1] == bodies[2] && bodies[0] != bodies[1], "the second part, twice");
    assert_eq!(exported.bytes, bodies[0].len() + bodies[2].len());
    assert_eq!(exported.rejected, Some((7, "5 too old".to_owned())));
    let request = ExportMetricsServiceRequest::decode(&*[&*bodies[0], &*bodies[1]].concat()).unwrap();
    assert_eq!(request.resource_metrics[0].resource, request.resource_metrics[1].resource);
}

#[tokio::test]
async fn numbers_of_which_a_part_is_refused_are_not_sent_again() {
    let (_foundation, exports, mut receiver) = large([Answer::status(400)]).await;
    exports.now("collector", LONG).await.unwrap_err();
    // New numbers, from their first part on.
    exports.now("collector", LONG).await.unwrap();
    let answers: Vec<_> = std::iter::from_fn(|| receiver.asked.try_recv().ok()).map(|asked| asked.answer).collect();
    assert_eq!(answers, [Answer::status(400), Answer::Accept, Answer::Accept]);
}
