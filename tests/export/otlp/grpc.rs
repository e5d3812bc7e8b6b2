//! Exports by gRPC, to a receiver of `tonic`.

use std::collections::VecDeque;
use std::time::Duration;

use foundation_export::{ExportRetry, OtlpExporter, SecretString};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::{Code, Request, Response, Status};

use super::receiver::{fill, on_demand};
use crate::setup::{LONG, StoppedClock, start};

/// `RetryInfo` of a millisecond.
const SOON: &[u8] = b"\x08\x08\x1a\x32\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x06\x0a\x04\x10\xc0\x84\x3d";

type Answers = VecDeque<Result<ExportMetricsServiceResponse, Status>>;

struct Service {
    answers: Mutex<Answers>,
    asked: mpsc::UnboundedSender<Request<ExportMetricsServiceRequest>>,
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        // The test may look no more.
        let _shown = self.asked.send(request);
        let answer = self.answers.lock().pop_front();
        answer.unwrap_or_else(|| Ok(ExportMetricsServiceResponse::default())).map(Response::new)
    }
}

/// A receiver that gives these answers, and then accepts; its requests.
async fn receiver(
    answers: impl IntoIterator<Item = Result<ExportMetricsServiceResponse, Status>>,
) -> (OtlpExporter, mpsc::UnboundedReceiver<Request<ExportMetricsServiceRequest>>) {
    let (sender, asked) = mpsc::unbounded_channel();
    let service = Service { answers: Mutex::new(answers.into_iter().collect()), asked: sender };
    let incoming = tonic::transport::server::TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", incoming.local_addr().unwrap());
    let service = MetricsServiceServer::new(service).max_decoding_message_size(4 * 1_024 * 1_024);
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    (OtlpExporter::grpc(&url).unwrap(), asked)
}

fn busy(code: Code) -> Result<ExportMetricsServiceResponse, Status> {
    Err(Status::new(code, "no room just now"))
}

#[tokio::test]
async fn a_receiver_gets_the_numbers_with_the_headers() {
    let (foundation, exports) = start().await;
    let (exporter, mut asked) = receiver([]).await;
    let exporter = exporter.attribute("service.name", "orders").unwrap();
    let exporter = exporter.header("x-tenant", SecretString::from("a")).unwrap();
    exports.register("collector", on_demand(exporter)).await.unwrap();
    foundation.telemetry().count("orders");
    let exported = exports.now("collector", LONG).await.unwrap();
    let request = asked.recv().await.unwrap();
    assert_eq!(request.metadata().get("x-tenant").unwrap(), "a");
    let part = &request.get_ref().resource_metrics[0];
    assert_eq!(part.resource.as_ref().unwrap().attributes[1].key, "service.name");
    let points = part.scope_metrics[0].metrics.len();
    assert!(points > 0 && exported.series >= points && exported.rejected.is_none());
}

#[tokio::test]
async fn numbers_of_more_than_four_mebibytes_are_sent_in_parts() {
    let (foundation, exports) = start().await;
    fill(foundation.telemetry());
    let (exporter, mut asked) = receiver([]).await;
    exports.register("collector", on_demand(exporter)).await.unwrap();
    exports.now("collector", LONG).await.unwrap();
    let parts = std::iter::from_fn(|| asked.try_recv().ok()).map(|request| request.into_inner().resource_metrics.len());
    assert_eq!(parts.collect::<Vec<_>>(), [1, 1]);
}

#[tokio::test]
async fn a_receiver_that_is_not_available_each_second_time_gets_all_exports() {
    let (_foundation, exports) = start().await;
    let answers = (0..10).map(|number| if number % 2 == 0 { busy(Code::Unavailable) } else { Ok(Default::default()) });
    let (exporter, _asked) = receiver(answers).await;
    exports.register("collector", on_demand(exporter)).await.unwrap();
    for _ in 0..5 {
        exports.now("collector", LONG).await.unwrap();
    }
    let stats = exports.stats("collector").unwrap();
    assert_eq!((stats.attempts, stats.successes, stats.retries, stats.failures), (10, 5, 5, 0));
}

#[tokio::test]
async fn a_receiver_without_room_is_asked_again_only_if_it_says_when() {
    let (_foundation, exports) = start().await;
    let says = Err(Status::with_details(Code::ResourceExhausted, "later", SOON.to_vec().into()));
    let (exporter, _asked) = receiver([says, Ok(Default::default()), busy(Code::ResourceExhausted)]).await;
    // By the exporter's own rule it would take longer than the test.
    let spec = on_demand(exporter).retry(ExportRetry::attempts(4).first_delay(LONG));
    exports.register("collector", spec).await.unwrap();
    exports.now("collector", LONG).await.unwrap();
    assert_eq!(exports.stats("collector").unwrap().attempts, 2);
    let error = exports.now("collector", LONG).await.unwrap_err().to_string();
    assert!(error.ends_with("at attempt 1: RESOURCE_EXHAUSTED: no room just now"), "{error}");
}

#[tokio::test]
async fn what_a_receiver_refuses_is_not_sent_again() {
    let (_foundation, exports) = start().await;
    let partial = ExportMetricsPartialSuccess { rejected_data_points: 2, error_message: "too old".to_owned() };
    let partial = ExportMetricsServiceResponse { partial_success: Some(partial) };
    let (exporter, _asked) = receiver([busy(Code::InvalidArgument), Ok(partial)]).await;
    exports.register("collector", on_demand(exporter)).await.unwrap();
    let error = exports.now("collector", LONG).await.unwrap_err().to_string();
    assert!(error.ends_with("at attempt 1: INVALID_ARGUMENT: no room just now"), "{error}");
    assert_eq!(exports.now("collector", LONG).await.unwrap().rejected, Some((2, "too old".to_owned())));
}

#[tokio::test]
async fn an_address_without_a_receiver_is_tried_again() {
    let (_foundation, exports) = start().await;
    // Bound and not listened on, so that no other test has the port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let exporter = OtlpExporter::grpc(&format!("http://{}", socket.local_addr().unwrap())).unwrap();
    exports.register("collector", on_demand(exporter)).await.unwrap();
    let error = exports.now("collector", LONG).await.unwrap_err().to_string();
    assert!(error.starts_with("exporter collector has failed at attempt 4: no connection to 127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn what_is_no_http_2_is_not_asked_again() {
    let (_foundation, exports) = start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let exporter = OtlpExporter::grpc(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    exports.register("collector", on_demand(exporter)).await.unwrap();
    let answers = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let (outcome, _stream) = tokio::join!(exports.now("collector", LONG), answers);
    let error = outcome.unwrap_err().to_string();
    assert!(error.starts_with("exporter collector has failed at attempt 1: "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_never_answers_is_left_after_the_time_out() {
    let _clock = StoppedClock::new();
    let (_foundation, exports) = start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let exporter = OtlpExporter::grpc(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let spec = on_demand(exporter).retry(ExportRetry::attempts(1)).timeout(Duration::from_secs(2));
    exports.register("collector", spec).await.unwrap();
    let silent = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
        // It ends with the attempt.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap()
    };
    let (outcome, _read) = tokio::join!(exports.now("collector", LONG), silent);
    assert!(outcome.unwrap_err().to_string().ends_with("at attempt 1: no end within 2s"));
}

/// Ends each connection with this text.
async fn ends_with(text: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let settings = b"\0\0\0\x04\0\0\0\0\0";
            let (length, code) = (8 + text.len() as u8, 11);
            let go_away = [&[0, 0, length, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, code], text].concat();
            let _sent = stream.write_all(&[settings, &*go_away].concat()).await;
            // Until the exporter closes it.
            let _read = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
    });
    url
}

#[tokio::test]
async fn a_receiver_that_ends_the_connection_with_the_secret_shows_it_nowhere() {
    let (_foundation, exports) = start().await;
    let url = ends_with(b"no such token: e5f0\"c2d4").await;
    let exporter = OtlpExporter::grpc(&url).unwrap();
    let exporter = exporter.header("authorization", SecretString::from("e5f0\"c2d4")).unwrap();
    let spec = on_demand(exporter).retry(ExportRetry::attempts(1));
    exports.register("collector", spec).await.unwrap();
    let error = exports.now("collector", LONG).await.unwrap_err().to_string();
    assert!(error.contains("attempt 1") && !error.contains("c2d4"), "{error}");
}
