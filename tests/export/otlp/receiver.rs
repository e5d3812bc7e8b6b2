//! A receiver by HTTP on the loopback, which answers as a test wants it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use foundation::telemetry::{Counter, Telemetry};
use foundation_export::{ExportRetry, ExportSchedule, ExporterSpec, OtlpExporter};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use parking_lot::Mutex;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// How many series are more than 4 MiB, with the labels of [`fill`].
pub(super) const MANY: u64 = 9_000;

/// Counts as many series as take more than 4 MiB.
pub(super) fn fill(telemetry: &Telemetry) {
    let counters = telemetry.family::<Counter>("orders", MANY as usize).unwrap();
    let long = "x".repeat(199);
    for number in 0..MANY {
        let labels = [("user", &*number.to_string()), ("a", &long), ("b", &long), ("c", &long)];
        counters.update(labels, |counter| counter.add(number));
    }
}

/// What the receiver does with a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Accept,
    /// Refuses so many points, and says why.
    RefuseSome(i64, String),
    /// A status, further headers, and a body.
    Status(u16, &'static str, Vec<u8>),
    /// An answer byte by byte.
    Slowly,
    Never,
    /// What is no HTTP.
    Garbage,
    /// An answer that goes on.
    Endless,
    /// Ends the connection without an answer, and what was not read with it.
    Reset,
}

impl Answer {
    pub(super) fn status(status: u16) -> Self {
        Self::Status(status, "", Vec::new())
    }
}

/// A request, and what was answered.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    pub(super) answer: Answer,
}

impl Asked {
    pub(super) fn request(&self) -> ExportMetricsServiceRequest {
        ExportMetricsServiceRequest::decode(&*self.body).unwrap()
    }
}

/// A receiver of which each request is shown, and how many connections it has.
pub(super) struct Receiver {
    pub(super) url: String,
    pub(super) asked: mpsc::UnboundedReceiver<Asked>,
    pub(super) connections: watch::Receiver<usize>,
}

impl Receiver {
    /// Gives these answers, one after the other, and then accepts.
    pub(super) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(answers.into_iter().collect()));
        let next = move || answers.lock().pop_front().unwrap_or(Answer::Accept);
        Self::answering(next).await
    }

    /// Gives the answers of a function.
    pub(super) async fn answering(next: impl Fn() -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, asked) = mpsc::unbounded_channel();
        let (open, connections) = watch::channel(0);
        let next = Arc::new(next);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (next, sender, open) = (Arc::clone(&next), sender.clone(), Open::new(&open));
                tokio::spawn(async move {
                    // The exporter may have left.
                    let _ended = serve(stream, &*next, sender).await;
                    drop(open);
                });
            }
        });
        Self { url, asked, connections }
    }

    pub(super) fn exporter(&self) -> OtlpExporter {
        OtlpExporter::http(&self.url).unwrap()
    }

    /// An exporter to it that exports when it is asked, and makes its attempts at once.
    pub(super) fn on_demand(&self) -> ExporterSpec {
        on_demand(self.exporter())
    }
}

pub(super) fn on_demand(exporter: OtlpExporter) -> ExporterSpec {
    let retry = ExportRetry::attempts(4).first_delay(Duration::ZERO);
    ExporterSpec::new(move || exporter.clone()).schedule(ExportSchedule::on_demand()).retry(retry)
}

/// A connection that is counted until it is dropped.
struct Open(watch::Sender<usize>);

impl Open {
    fn new(open: &watch::Sender<usize>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

async fn serve(
    mut stream: TcpStream,
    next: &(impl Fn() -> Answer + Send + Sync),
    asked: mpsc::UnboundedSender<Asked>,
) -> std::io::Result<()> {
    let (head, body) = read_request(&mut stream).await?;
    let answer = next();
    // The test may look no more.
    let _shown = asked.send(Asked { head, body, answer: answer.clone() });
    match answer {
        Answer::Accept => respond(&mut stream, 200, "", &accepted(0, "")).await?,
        Answer::RefuseSome(points, reason) => respond(&mut stream, 200, "", &accepted(points, &reason)).await?,
        Answer::Status(status, headers, body) => respond(&mut stream, status, headers, &body).await?,
        Answer::Garbage => stream.write_all(b"\x16\x03\x01 SSH-2.0 hello\r\n\r\n").await?,
        Answer::Slowly => {
            for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" {
                stream.write_all(&[*byte]).await?;
                stream.flush().await?;
                tokio::task::yield_now().await;
            }
        }
        Answer::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n").await?;
            while stream.write_all(&[0; 1_024]).await.is_ok() {}
        }
        Answer::Reset => {
            // With what is not read, the end of the connection is a reset.
            stream.set_zero_linger()?;
            return Ok(());
        }
        Answer::Never => {}
    }
    // Until the exporter leaves.
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

async fn read_request(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8(read[..end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = read.split_off(end);
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((head, body))
}

async fn respond(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status} Whatever\r\n{headers}content-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).await
}

fn accepted(rejected_data_points: i64, error_message: &str) -> Vec<u8> {
    let partial = ExportMetricsPartialSuccess { rejected_data_points, error_message: error_message.to_owned() };
    let partial_success = (partial != ExportMetricsPartialSuccess::default()).then_some(partial);
    ExportMetricsServiceResponse { partial_success }.encode_to_vec()
}
